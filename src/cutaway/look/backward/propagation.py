"""Relevance through operations: sums by their rules, everything else by its own."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor
from torch.utils.weak import WeakTensorKeyDictionary

from cutaway.look.backward.composite import Composite
from cutaway.look.backward.folding import Chain
from cutaway.look.backward.operations import ACTIVATIONS, AVERAGES, MAXIMA, MOVES, WEIGHTED
from cutaway.look.backward.relevance import RelevanceRule, shares
from cutaway.look.backward.rules import Call, Otherwise, Rule, Rules, applied, depends, plain
from cutaway.look.backward.sums import Sums, sums_of
from cutaway.look.operation import Function, leaves


class Propagation(Rules):
    """The rules of all operations.

    Args:
        composite: the rules of weighted sums.
        otherwise: as for :class:`Rules`.
    """

    def __init__(self, composite: Composite, otherwise: Otherwise) -> None:
        rules: dict[str, Rule] = dict.fromkeys(MOVES, plain)
        rules |= dict.fromkeys(MAXIMA, self._maximum)
        rules |= dict.fromkeys(ACTIVATIONS | {"local_response_norm"}, _same)
        rules |= dict.fromkeys(
            ("dropout", "dropout1d", "dropout2d", "dropout3d", "feature_dropout"), self._dropout
        )
        rules |= dict.fromkeys(WEIGHTED, self._weighted)
        rules |= dict.fromkeys(AVERAGES, lambda call: applied(_Averaged, call.args[0], call))
        rules |= {"batch_norm": self._batch_norm, "add": self._add, "sub": self._subtract}
        rules |= {"mul": self._multiply, "div": self._divide, "neg": _same, "negative": _same}
        super().__init__("LRP", rules, otherwise)
        self.composite = composite
        self.chains: WeakTensorKeyDictionary = WeakTensorKeyDictionary()

    def begin(self) -> None:
        """A forward pass begins."""
        self.chains = WeakTensorKeyDictionary()

    def __torch_function__(
        self, func: Function, types: Any, args: tuple[Any, ...] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        """As of :class:`Rules`; counts who reads the results of weighted sums."""
        read = [leaf for leaf in leaves((args, kwargs or {})) if depends(leaf)]
        chains = [self.chains[leaf] for leaf in read if leaf in self.chains]
        result = super().__torch_function__(func, types, args, kwargs)
        if chains and any(depends(leaf) for leaf in leaves(result)):
            for chain in chains:
                chain.reads[-1].count += 1
        return result

    def moved(self, source: Tensor, target: Tensor) -> None:
        """As of :class:`Rules`."""
        self.chains.pop(target, None)
        if (chain := self.chains.pop(source, None)) is not None:
            self.chains[target] = chain

    def _weighted(self, call: Call) -> Any:
        sums = sums_of(call)
        if sums is None:
            return self.refused(call)
        x = call.args[0]
        rule = self.composite.dense if call.name in {"linear", "matmul", "mm"} else self.composite.conv
        if self.composite.first is not None and not _behind_sum(x):
            rule = self.composite.first
        chain = Chain()
        result = applied(_Weighted, x, call, (sums, rule, chain))
        if sums.outputs >= 0 and (result.dim() == 2 or sums.weight.dim() > 2):
            self.chains[result] = chain
        return result

    def _maximum(self, call: Call) -> Any:
        result = call.plain()
        chain = self.chains.get(call.args[0])
        if chain is not None and isinstance(result, Tensor) and "pool" in call.name:
            self.chains[result] = chain.chosen()
        return result

    def _dropout(self, call: Call) -> Any:
        return _same(call) if call.argument(2, "training", True) else call.plain()

    def _batch_norm(self, call: Call) -> Any:
        mean, variance = call.argument(1, "running_mean"), call.argument(2, "running_var")
        if call.argument(5, "training", False) or mean is None or variance is None:
            return self.refused(call)
        weight, bias = call.argument(3, "weight"), call.argument(4, "bias")
        scale = (variance + call.argument(7, "eps", 1e-5)).rsqrt()
        scale = scale if weight is None else scale * weight
        shift = -mean * scale if bias is None else bias - mean * scale
        return self._affine(call, scale, shift, absorbing=True)

    def _affine(self, call: Call, scale: Tensor, shift: Tensor, *, absorbing: bool) -> Any:
        """``scale · x + shift`` for each channel: part of the sum before it, or a rule of its own."""
        x = next(leaf for leaf in leaves((call.args, call.kwargs)) if depends(leaf))
        chain = self.chains.get(x)
        following = chain.scaled(scale, shift) if chain is not None else None
        spread = [1, -1, *[1] * (x.dim() - 2)]
        line = scale.view(spread), shift.view(spread)
        result = applied(_Affine, x, call, (line, absorbing, following))
        if following:
            self.chains[result] = following
        return result

    def _add(self, call: Call) -> Any:
        return self._plus(call, 1.0)

    def _subtract(self, call: Call) -> Any:
        return self._plus(call, -1.0)

    def _plus(self, call: Call, sign: float) -> Any:
        """A sum of two values, each of which gets its share; or one of a value and a constant."""
        if len(call.tensors) > 1:
            return applied(_Added, call.args[0], call.args[1], call, sign * call.kwargs.get("alpha", 1))
        constant = _channels(call)
        if constant is None or call.kwargs.get("alpha", 1) != 1:
            return _same(call)
        turned = sign < 0 and not depends(call.args[0])
        ones = torch.ones_like(constant)
        shift = constant * (1.0 if turned else sign)
        return self._affine(call, -ones if turned else ones, shift, absorbing=False)

    def _multiply(self, call: Call) -> Any:
        return self._times(call, lambda constant: constant)

    def _divide(self, call: Call) -> Any:
        if not depends(call.args[0]):
            return self.refused(call)
        return self._times(call, lambda constant: 1 / constant)

    def _times(self, call: Call, factor: Any) -> Any:
        if len(call.tensors) > 1:
            return self.refused(call)
        constant = _channels(call)
        if constant is None:
            return _same(call)
        scale = factor(constant)
        return self._affine(call, scale, torch.zeros_like(scale), absorbing=False)


def _channels(call: Call) -> Tensor | None:
    """The constant of an operation as a number for each channel, ``(C,)``; None where it is another thing."""
    if len(call.args) < 2:
        return None
    first, second = call.args[:2]
    value, constant = (first, second) if depends(first) else (second, first)
    channels = value.shape[1] if value.dim() > 1 else 0
    if isinstance(constant, Tensor):
        shape = [1] * (value.dim() - constant.dim()) + list(constant.shape)
        if value.dim() < 2 or len(shape) != value.dim() or shape[1] not in (1, channels):
            return None
        if any(side != 1 for axis, side in enumerate(shape) if axis != 1):
            return None
        return constant.detach().to(value.dtype).reshape(-1).expand(channels).contiguous()
    if value.dim() < 2 or not isinstance(constant, int | float):
        return None
    return torch.full((channels,), float(constant), dtype=value.dtype, device=value.device)


def _same(call: Call) -> Any:
    """Relevance goes back as it is: what comes out is this one value in another size."""
    x = next(leaf for leaf in leaves((call.args, call.kwargs)) if depends(leaf))
    return applied(_Same, x, call)


def _behind_sum(x: Tensor) -> bool:
    """Whether a value depends on the result of a weighted sum."""
    seen, rest = set(), [x.grad_fn]
    while rest:
        node = rest.pop()
        if node is None or node in seen:
            continue
        if type(node).__name__ == "_WeightedBackward":
            return True
        seen.add(node)
        rest += [before for before, _ in node.next_functions]
    return False


class _Weighted(torch.autograd.Function):
    """A weighted sum that hands back relevance by a rule, with what was folded into it."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, call: Call, rest: tuple[Sums, RelevanceRule, Chain]) -> Tensor:
        result: Tensor = call.function(*call.args, **call.kwargs)
        ctx.save_for_backward(x, result)
        ctx.rest = rest
        return result

    @staticmethod
    def backward(ctx: Any, *arriving: Tensor) -> tuple[Tensor | None, ...]:
        x, result = ctx.saved_tensors
        sums, rule, chain = ctx.rest
        whole, y = chain.folded(sums, result)
        return rule(whole, x, y, arriving[0]), None, None


class _Affine(torch.autograd.Function):
    """A scale and a shift: part of the sum before, or divided between the value and the shift."""

    @staticmethod
    def forward(
        ctx: Any, x: Tensor, call: Call, rest: tuple[tuple[Tensor, Tensor], bool, Chain | None]
    ) -> Tensor:
        ctx.save_for_backward(x)
        ctx.rest = rest
        return call.function(*call.args, **call.kwargs)  # type: ignore[no-any-return]

    @staticmethod
    def backward(ctx: Any, *arriving: Tensor) -> tuple[Tensor | None, ...]:
        (x,) = ctx.saved_tensors
        (scale, shift), absorbing, chain = ctx.rest
        relevance = arriving[0]
        if absorbing and not (chain is not None and chain.holds(chain.place)):
            amount = (scale * x).abs()
            relevance = relevance * shares(amount, amount + shift.abs())
        return relevance, None, None


class _Same(torch.autograd.Function):
    """A function of each number by itself, which hands relevance back as it is."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, call: Call) -> Tensor:
        ctx.shape = x.shape
        return call.function(*call.args, **call.kwargs)  # type: ignore[no-any-return]

    @staticmethod
    def backward(ctx: Any, *arriving: Tensor) -> tuple[Tensor, None]:
        return arriving[0].sum_to_size(ctx.shape), None


class _Averaged(torch.autograd.Function):
    """A sum with weights that nobody learns: each input's share of it."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, call: Call) -> Tensor:
        result: Tensor = call.function(*call.args, **call.kwargs)
        ctx.save_for_backward(x, result)
        ctx.call = call
        return result

    @staticmethod
    def backward(ctx: Any, *arriving: Tensor) -> tuple[Tensor, None]:
        x, result = ctx.saved_tensors
        with torch.enable_grad():
            leaf = x.detach().requires_grad_()
            value = ctx.call.function(leaf, *ctx.call.args[1:], **ctx.call.kwargs)
        (found,) = torch.autograd.grad(value, leaf, shares(arriving[0], result))
        return x * found, None


class _Added(torch.autograd.Function):
    """A sum of two values: each one's share of it."""

    @staticmethod
    def forward(ctx: Any, a: Tensor, b: Tensor, call: Call, sign: float) -> Tensor:
        result: Tensor = call.function(*call.args, **call.kwargs)
        ctx.save_for_backward(a, b, result)
        ctx.sign = sign
        return result

    @staticmethod
    def backward(ctx: Any, *arriving: Tensor) -> tuple[Tensor | None, ...]:
        a, b, result = ctx.saved_tensors
        share = shares(arriving[0], result)
        return (a * share).sum_to_size(a.shape), (ctx.sign * b * share).sum_to_size(b.shape), None, None
