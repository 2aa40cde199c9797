"""Relevance through operations: sums by their rules, everything else by its own."""

from __future__ import annotations

from collections.abc import Container, Mapping
from typing import Any

import torch
from torch import Tensor
from torch.utils.weak import WeakTensorKeyDictionary

from cutaway.errors import ConfigError
from cutaway.look.backward.chain import Chain
from cutaway.look.backward.composite import Composite
from cutaway.look.backward.kept import Keeper
from cutaway.look.backward.norms import line_of
from cutaway.look.backward.operations import ACTIVATIONS, AVERAGES, MAXIMA, MOVES, WEIGHTED
from cutaway.look.backward.relevance import CHANGED, Box, RelevanceRule, shares
from cutaway.look.backward.rules import Call, Otherwise, Rule, Rules, applied, depends, plain, writes
from cutaway.look.backward.sums import Sums, sums_of
from cutaway.look.calls import function_name
from cutaway.look.operation import Function, leaves

_CHOICES = frozenset({"maximum", "minimum", "max_unpool1d", "max_unpool2d", "max_unpool3d"})
"""One of two values, or values put where they were chosen: relevance goes where the gradient does."""

_DROPOUTS = frozenset(name for name in MOVES if "dropout" in name)

_CHANGES = frozenset({"_SameBackward", "_AffineBackward", "_AveragedBackward", "_AddedBackward"})
"""What gives other numbers than it was given."""


class Propagation(Rules):
    """The rules of all operations.

    Args:
        composite: the rules of weighted sums.
        otherwise: as for :class:`Rules`.
    """

    def __init__(self, composite: Composite, otherwise: Otherwise) -> None:
        rules: dict[str, Rule] = dict.fromkeys(MOVES | _CHOICES, plain)
        rules |= dict.fromkeys(MAXIMA, self._maximum)
        rules |= dict.fromkeys(ACTIVATIONS | {"local_response_norm", "neg", "negative"}, self._same)
        rules |= dict.fromkeys(_DROPOUTS, self._dropout)
        rules |= dict.fromkeys(WEIGHTED | {"addmm"}, self._weighted)
        rules |= dict.fromkeys(AVERAGES, self._average)
        rules |= dict.fromkeys(("add", "sub", "subtract"), self._plus)
        rules |= dict.fromkeys(("mul", "multiply", "div", "divide", "true_divide"), self._times)
        rules["batch_norm"] = self._batch_norm
        super().__init__("LRP", rules, otherwise)
        self.composite = composite
        self.foreign: dict[str, None] = {}
        self.begin()

    def begin(self) -> None:
        """A forward pass begins."""
        super().begin()
        self.chains = WeakTensorKeyDictionary()
        self.keeper = Keeper()

    def __torch_function__(
        self, func: Function, types: Any, args: tuple[Any, ...] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        """As of :class:`Rules`; counts who reads the results of weighted sums."""
        kwargs = kwargs or {}
        read = [leaf for leaf in leaves((args, kwargs)) if depends(leaf)]
        chains = [self.chains[leaf] for leaf in read if leaf in self.chains]
        writing = bool(args) and (writes(func, args, kwargs) or func is Tensor.__setitem__)
        # A rule makes its result anew, and `moved` tells when that is written back.
        ruled = self.rules.get(function_name(func).lstrip("_")) not in (plain, None)
        if writing and not (ruled and depends(args[0])):
            self.keeper.before_write(args[0])
            self.chains.pop(args[0], None)
        result = super().__torch_function__(func, types, args, kwargs)
        # What gives the same tensor again, such as a dropout that does nothing, reads nothing.
        anew = (leaf for leaf in leaves(result) if depends(leaf) and all(leaf is not one for one in read))
        if chains and (writing or any(True for _ in anew)):
            for chain in chains:
                chain.reads[-1].count += 1
        return result

    def refused(self, call: Call) -> Any:
        """As of :class:`Rules`; remembers what was passed with its plain gradient."""
        result = super().refused(call)
        if any(depends(leaf) for leaf in leaves(result)):
            self.foreign[call.name] = None
        return result

    def moved(self, source: Tensor, target: Tensor) -> None:
        """As of :class:`Rules`; the target is about to be written to."""
        self.keeper.before_write(target)
        self.chains.pop(target, None)
        if (chain := self.chains.pop(source, None)) is not None:
            self.chains[target] = chain

    def _weighted(self, call: Call) -> Any:
        sums = sums_of(call)
        if sums is None:
            return self.refused(call)
        (x,) = call.tensors
        rule = self.composite.conv if "conv" in call.name else self.composite.dense
        if self.composite.first is not None and not _behind(x, {"_WeightedBackward"}):
            rule = self.composite.first
            if isinstance(rule, Box) and _behind(x, _CHANGES):
                raise ConfigError(CHANGED)
        chain = Chain()
        result = applied(_Weighted, x, call, (sums, rule, chain, self.keeper))
        if result.dim() == 2 or sums.weight.dim() > 2:
            self.chains[result] = chain
        return result

    def _maximum(self, call: Call) -> Any:
        result = call.plain()
        chain = self.chains.get(call.args[0])
        if chain is not None and isinstance(result, Tensor) and "pool" in call.name:
            self.chains[result] = chain.chosen()
        return result

    def _average(self, call: Call) -> Any:
        return applied(_Averaged, call.args[0], call, self.keeper)

    def _dropout(self, call: Call) -> Any:
        if not call.argument(2, "training", True):
            return call.plain()
        return self.refused(call) if "alpha" in call.name else self._same(call)

    def _same(self, call: Call) -> Any:
        """Relevance goes back as it is: what comes out is this one value in another size."""
        if len(call.tensors) > 1:
            return self.refused(call)
        return applied(_Same, call.tensors[0], call)

    def _batch_norm(self, call: Call) -> Any:
        line = line_of(call)
        return self.refused(call) if line is None else self._affine(call, *line, absorbing=True)

    def _affine(self, call: Call, scale: Tensor, shift: Tensor, *, absorbing: bool) -> Any:
        """``scale · x + shift`` for each channel: part of the sum before it, or a rule of its own."""
        x = call.tensors[0]
        # Without gradients nobody reads the sum for the target's sake.
        chain = self.chains.get(x) if torch.is_grad_enabled() else None
        following = chain.scaled(scale, shift) if chain is not None else None
        spread = [1, -1, *[1] * (x.dim() - 2)]
        line = (scale.view(spread), shift.view(spread)) if absorbing else None
        result = applied(_Affine, x, call, (line, following, self.keeper))
        if following:
            self.chains[result] = following
        return result

    def _plus(self, call: Call) -> Any:
        """A sum of two values, each of which gets its share; or one of a value and a constant."""
        left, right = call.args[0], call.argument(1, "other")
        sign = 1.0 if call.name == "add" else -1.0
        alpha = call.argument(2, "alpha", 1)
        if len(call.tensors) > 1:
            return applied(_Added, left, right, call, (sign * alpha, self.keeper))
        constant = _channels(left, right)
        if constant is None or alpha != 1:
            return self._same(call)
        if depends(left):
            return self._affine(call, torch.ones_like(constant), sign * constant, absorbing=False)
        return self._affine(call, sign * torch.ones_like(constant), constant, absorbing=False)

    def _times(self, call: Call) -> Any:
        """A value times a constant, or divided by one."""
        left, right = call.args[0], call.argument(1, "other")
        divided = call.name not in {"mul", "multiply"}
        if len(call.tensors) > 1 or (divided and not depends(left)) or call.kwargs.get("rounding_mode"):
            return self.refused(call)
        constant = _channels(left, right)
        if constant is None:
            return self._same(call)
        scale = 1 / constant if divided else constant
        return self._affine(call, scale, torch.zeros_like(scale), absorbing=False)


def _channels(left: Any, right: Any) -> Tensor | None:
    """The constant of an operation as a number for each channel, ``(C,)``; None where it is another thing."""
    value, constant = (left, right) if depends(left) else (right, left)
    if value.dim() < 2:
        return None
    channels = value.shape[1]
    if isinstance(constant, Tensor):
        shape = [1] * (value.dim() - constant.dim()) + list(constant.shape)
        if len(shape) != value.dim() or shape[1] not in (1, channels):
            return None
        if any(side != 1 for axis, side in enumerate(shape) if axis != 1):
            return None
        return constant.detach().to(value.dtype).reshape(-1).expand(channels).contiguous()
    if not isinstance(constant, int | float):
        return None
    return torch.full((channels,), float(constant), dtype=value.dtype, device=value.device)


def _behind(x: Tensor, names: Container[str]) -> bool:
    """Whether a value depends on the result of one of some functions, by the names of their nodes."""
    seen, rest = set(), [x.grad_fn]
    while rest:
        node = rest.pop()
        if node is None or node in seen:
            continue
        if type(node).__name__ in names:
            return True
        seen.add(node)
        rest += [before for before, _ in node.next_functions]
    return False


class _Weighted(torch.autograd.Function):
    """A weighted sum that hands back relevance by a rule, with what was folded into it."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, call: Call, rest: tuple[Sums, RelevanceRule, Chain, Keeper]) -> Tensor:
        result: Tensor = call.plain()
        ctx.sums, ctx.rule, ctx.chain, keeper = rest
        ctx.x = keeper.keep(x)
        ctx.result = keeper.keep(result) if getattr(ctx.rule, "reads_result", True) else None
        return result

    @staticmethod
    def backward(ctx: Any, *arriving: Tensor) -> tuple[Tensor | None, ...]:
        x: Tensor = ctx.x.value()
        sums, y = ctx.chain.folded(ctx.sums, ctx.result and ctx.result.value())
        return ctx.rule(sums, x, x.new_empty(0) if y is None else y, arriving[0]), None, None


class _Affine(torch.autograd.Function):
    """A scale and a shift: part of the sum before, or divided between the value and the shift.

    Source of that division: Hui, Binder, "BatchNorm decomposition for deep neural network
    interpretation", 2019.
    """

    @staticmethod
    def forward(
        ctx: Any, x: Tensor, call: Call, rest: tuple[tuple[Tensor, Tensor] | None, Chain | None, Keeper]
    ) -> Tensor:
        ctx.line, ctx.chain, keeper = rest
        ctx.x = keeper.keep(x) if ctx.line else None
        result: Tensor = call.plain()
        return result

    @staticmethod
    def backward(ctx: Any, *arriving: Tensor) -> tuple[Tensor | None, ...]:
        relevance = arriving[0]
        if ctx.line and not (ctx.chain is not None and ctx.chain.holds(ctx.chain.place)):
            scale, shift = ctx.line
            amount = (scale * ctx.x.value()).abs_()
            relevance = relevance * shares(amount, amount + shift.abs())
        return relevance, None, None


class _Same(torch.autograd.Function):
    """A function of each number by itself, which hands relevance back as it is."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, call: Call) -> Tensor:
        ctx.shape = x.shape
        result: Tensor = call.plain()
        return result

    @staticmethod
    def backward(ctx: Any, *arriving: Tensor) -> tuple[Tensor, None]:
        return arriving[0].sum_to_size(ctx.shape), None


class _Averaged(torch.autograd.Function):
    """A sum with weights that nobody learns: each input's share of it."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, call: Call, keeper: Keeper) -> Tensor:
        result: Tensor = call.plain()
        ctx.x, ctx.result, ctx.call = keeper.keep(x), keeper.keep(result), call
        return result

    @staticmethod
    def backward(ctx: Any, *arriving: Tensor) -> tuple[Tensor, None, None]:
        x, result, call = ctx.x.value(), ctx.result.value(), ctx.call
        with torch.enable_grad():
            leaf = x.detach().requires_grad_()
            value = call.function(leaf, *call.args[1:], **call.kwargs)
        (found,) = torch.autograd.grad(value, leaf, shares(arriving[0], result))
        return x * found, None, None


class _Added(torch.autograd.Function):
    """A sum of two values: each one's share of it."""

    @staticmethod
    def forward(ctx: Any, a: Tensor, b: Tensor, call: Call, rest: tuple[float, Keeper]) -> Tensor:
        result: Tensor = call.plain()
        ctx.sign, keeper = rest
        ctx.values = [keeper.keep(value) for value in (a, b, result)]
        return result

    @staticmethod
    def backward(ctx: Any, *arriving: Tensor) -> tuple[Tensor | None, ...]:
        a, b, result = (kept.value() for kept in ctx.values)
        share = shares(arriving[0], result)
        first, second = (a * share).sum_to_size(a.shape), (b * share).sum_to_size(b.shape)
        return first, second if ctx.sign == 1 else second.mul_(ctx.sign), None, None
