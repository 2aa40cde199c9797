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
        weight: of the layer: ``(O, I)``, ``(O, I / groups, …)``, or ``(I, O / groups, …)`` of a
            transposed convolution.
        bias: ``(O,)``, or None.
        apply: ``x ∗ w`` for any weights of that shape.
        turned: a transposed convolution.
        groups: into which inputs and outputs are parted.
        back: from what arrives at the outputs to the inputs, where there is a quick way.
    """

    weight: Tensor
    bias: Tensor | None
    apply: Apply
    turned: bool = False
    groups: int = 1
    back: Callable[[Tensor, Tensor, Tensor], Tensor] | None = None

    def transposed(self, arriving: Tensor, x: Tensor, weight: Tensor) -> Tensor:
        """``arriving ∗ᵀ weight``: like x, whose shape alone counts; a tensor that nobody else has."""
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
        inputs, kernel = len(self.weight), [1] * (self.weight.dim() - 2)
        if self.turned:
            by_group = scale.view(self.groups, 1, -1).expand(-1, inputs // self.groups, -1)
            factor = by_group.reshape(inputs, -1, *kernel)
        else:
            factor = scale.view(-1, 1, *kernel)
        bias = shift if self.bias is None else self.bias * scale + shift
        return replace(self, weight=self.weight * factor, bias=bias)

    def spread(self, values: Tensor) -> Tensor:
        """A number for each output, ``(O,)``, in the shape that adds to the outputs."""
        return values.view(-1, *[1] * (self.weight.dim() - 2))


def sums_of(call: Call) -> Sums | None:
    """A call of a convolution or dense layer as sums; None where more than its input depends on the image."""
    if len(call.tensors) != 1:
        return None
    x = call.tensors[0]
    if call.name == "linear":
        weight: Tensor = call.argument(1, "weight")
        return _dense(weight, call.argument(2, "bias")) if weight.dim() == 2 else None
    if call.name in {"matmul", "mm"}:
        other = call.argument(1, "mat2" if call.name == "mm" else "other")
        return _dense(other.t(), None) if x is call.args[0] and other.dim() == 2 else None
    if call.name == "addmm":
        return _added_product(call, x)
    return _convolution(call, x) if "conv" in call.name else None


def _dense(weight: Tensor, bias: Tensor | None) -> Sums:
    return Sums(weight, bias, F.linear, back=lambda arriving, _, weights: arriving @ weights)


def _added_product(call: Call, x: Tensor) -> Sums | None:
    bias, first, second = call.args[0], call.argument(1, "mat1"), call.argument(2, "mat2")
    plain = call.kwargs.get("alpha", 1) == call.kwargs.get("beta", 1) == 1
    if x is not first or not plain or bias.numel() != second.shape[1]:
        return None
    return _dense(second.t(), bias.reshape(-1))


def _convolution(call: Call, x: Tensor) -> Sums | None:
    """conv1d to 3d and their transposes; their arguments behind the bias stay as they are."""
    weight, bias = call.argument(1, "weight"), call.argument(2, "bias")
    if x is not call.args[0] or x.dim() != weight.dim():
        return None
    turned = "transpose" in call.name
    rest = call.args[3:]
    named = {key: value for key, value in call.kwargs.items() if key not in {"input", "weight", "bias"}}

    def apply(x: Tensor, w: Tensor) -> Tensor:
        result: Tensor = call.function(x, w, None, *rest, **named)
        return result

    groups = call.argument(6, "groups", 1)
    axes = weight.dim() - 2
    stride = _each(call.argument(3, "stride", 1), axes)
    dilation = _each(call.argument(7 if turned else 5, "dilation", 1), axes)
    padding = _padding(call.argument(4, "padding", 0), weight, dilation)
    beyond = _each(call.argument(5, "output_padding", 0) if turned else 0, axes)
    if padding is None:
        return Sums(weight, bias, apply, turned, groups)

    def back(arriving: Tensor, x: Tensor, w: Tensor) -> Tensor:
        found: Tensor = torch.ops.aten.convolution_backward(
            arriving, x, w, None, stride, padding, dilation, turned, beyond, groups, [True, False, False]
        )[0]
        return found

    return Sums(weight, bias, apply, turned, groups, back)


def _padding(padding: str | int | tuple[int, ...], weight: Tensor, dilation: list[int]) -> list[int] | None:
    """Zeros on each side; None where the two sides have unequally many."""
    if padding == "valid":
        return [0] * len(dilation)
    if not isinstance(padding, str):
        return _each(padding, len(dilation))
    total = [step * (side - 1) for step, side in zip(dilation, weight.shape[2:], strict=True)]
    return None if any(number % 2 for number in total) else [number // 2 for number in total]


def _each(value: int | tuple[int, ...], axes: int) -> list[int]:
    return [value] * axes if isinstance(value, int) else list(value) * (axes // len(value))
