"""Weighted sums: convolutions and dense layers as one thing, whatever their weights are replaced by."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import torch
import torch.nn.functional as F
from torch import Tensor

from cutaway.look.backward.rules import Call

Apply = Callable[[Tensor, Tensor], Tensor]


@dataclass(frozen=True)
class Sums:
    """``y = x ∗ weight + bias``, where ∗ is a convolution, a transposed one, or a matrix product.

    Args:
        weight: of the layer.
        bias: ``(O,)``, or None.
        apply: ``x ∗ w`` for any weights of that shape.
        outputs: the axis of the weights that counts outputs; −1 for a grouped transposed convolution,
            whose outputs lie on two axes.
        back: from what arrives at the outputs to the inputs, where there is a quick way.
    """

    weight: Tensor
    bias: Tensor | None
    apply: Apply
    outputs: int = 0
    back: Callable[[Tensor, Tensor, Tensor], Tensor] | None = None

    def transposed(self, arriving: Tensor, x: Tensor, weight: Tensor) -> Tensor:
        """``arriving ∗ᵀ weight``: like x."""
        if self.back:
            return self.back(arriving, x, weight)
        with torch.enable_grad():
            leaf = x.detach().requires_grad_()
            value = self.apply(leaf, weight)
        (found,) = torch.autograd.grad(value, leaf, arriving)
        return found

    def scaled(self, scale: Tensor, shift: Tensor) -> Sums:
        """The sums with a scale and a shift for each output: ``scale · (x ∗ w + b) + shift``.

        Args:
            scale: ``(O,)``.
            shift: ``(O,)``.
        """
        shape = [1] * self.weight.dim()
        shape[self.outputs] = -1
        bias = shift if self.bias is None else self.bias * scale + shift
        return replace(self, weight=self.weight * scale.view(shape), bias=bias)

    def spread(self, values: Tensor, x: Tensor) -> Tensor:
        """A number for each output, ``(O,)``, in the shape that adds to the outputs of ``x``."""
        return values.view(-1, *[1] * (self._axes(x)))

    def _axes(self, x: Tensor) -> int:
        return 0 if self.weight.dim() == 2 else x.dim() - 2


def sums_of(call: Call) -> Sums | None:
    """A call of a convolution or dense layer as sums; None where its weights depend on the image."""
    if call.name == "linear":
        return _dense(call.argument(1, "weight"), call.argument(2, "bias"))
    if call.name in {"matmul", "mm"}:
        other = call.args[1] if len(call.args) > 1 else call.kwargs.get("other", call.kwargs.get("mat2"))
        if not isinstance(other, Tensor) or other.requires_grad or other.dim() != 2:
            return None
        return None if call.args[0] is other or not call.args[0].requires_grad else _dense(other.t(), None)
    weight = call.argument(1, "weight")
    if not isinstance(weight, Tensor) or weight.requires_grad:
        return None
    bias = call.argument(2, "bias")
    if isinstance(bias, Tensor) and bias.requires_grad:
        return None
    return _convolution(call, weight, bias)


def _dense(weight: Tensor, bias: Tensor | None) -> Sums | None:
    if weight.requires_grad or (bias is not None and bias.requires_grad):
        return None
    return Sums(weight, bias, F.linear, back=lambda arriving, _, weights: arriving @ weights)


def _convolution(call: Call, weight: Tensor, bias: Tensor | None) -> Sums | None:
    """conv1d to 3d and their transposes; their arguments behind the bias stay as they are."""
    turned = "transpose" in call.name
    rest = call.args[3:]
    named = {key: value for key, value in call.kwargs.items() if key not in {"input", "weight", "bias"}}

    def apply(x: Tensor, w: Tensor) -> Tensor:
        return call.function(x, w, None, *rest, **named)  # type: ignore[no-any-return]

    groups = call.argument(6, "groups", 1)
    if turned and groups != 1:
        return None
    padding = call.argument(4, "padding", 0)
    if turned or isinstance(padding, str) or weight.dim() != 4:
        return Sums(weight, bias, apply, int(turned))
    stride = _pair(call.argument(3, "stride", 1))
    pad, dilation = _pair(padding), _pair(call.argument(5, "dilation", 1))

    def back(arriving: Tensor, x: Tensor, w: Tensor) -> Tensor:
        found: Tensor = torch.ops.aten.convolution_backward(
            arriving, x, w, None, stride, pad, dilation, False, [0, 0], groups, [True, False, False]
        )[0]
        return found

    return Sums(weight, bias, apply, 0, back)


def _pair(value: int | tuple[int, ...]) -> list[int]:
    return [value, value] if isinstance(value, int) else list(value) * (2 // len(value))
