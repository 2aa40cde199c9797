"""Variants before their units mix: two passes hold them all."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor

from cutaway.look.functions import (
    BATCH_NORM,
    EACH,
    MEAN,
    POOLS,
    SHAPE,
    TWO,
    TWO_IN_PLACE,
    argument,
    averaged_axes,
    is_first,
)
from cutaway.look.operation import Operation, Slot, mapped


@dataclass(frozen=True)
class Apart:
    """A value in which every variant differs from the unmodified one in its own unit only.

    Args:
        base: unmodified, ``(N, C · span, …)``.
        replaced: with every unit replaced, likewise.
        span: how many places of the second axis belong to a unit; 1 before flattening.
    """

    base: Tensor
    replaced: Tensor
    span: int = 1

    @cached_property
    def change(self) -> Tensor:
        """What replacing adds, of the shape of both."""
        return self.replaced - self.base

    def both(self, function: Callable[[Tensor], Tensor], span: int) -> Apart:
        """A function that keeps units apart, applied."""
        return Apart(function(self.base), function(self.replaced), span)

    def mixed(self, units: Tensor) -> Tensor:
        """The variants of some units ``(V,)`` in full, ``(V, N, C · span, …)``."""
        places = self.base.shape[1]
        own = torch.arange(places, device=self.base.device) // self.span == units[:, None]
        shape = (len(units), 1, places, *[1] * (self.base.dim() - 2))
        return torch.where(own.view(shape), self.replaced, self.base)


def apart(operation: Operation, values: Sequence[Apart]) -> Apart | None:
    """What an operation gives for units that have not mixed; None where it may mix them.

    Args:
        operation: gives one value.
        values: its inputs, in order.
    """
    first, shape = values[0], operation.outputs[0].shape
    if any(value.span != first.span for value in values) or first.base.dim() < 2:
        return None
    if operation.function in SHAPE and len(values) == 1 and is_first(operation):
        return _reshaped(first, shape)
    if all(value.base.shape == shape for value in values) and _is_each(operation, len(values)):
        return _each(operation, values)
    return _each(operation, values) if len(values) == 1 and _keeps_units(operation, first) else None


def _is_each(operation: Operation, inputs: int) -> bool:
    """Whether an operation treats each number by itself."""
    alone = operation.function in EACH and inputs == 1 and is_first(operation)
    return alone or operation.function in TWO | TWO_IN_PLACE


def _keeps_units(operation: Operation, value: Apart) -> bool:
    """Whether an operation treats each map by itself."""
    function, before, shape = operation.function, value.base.shape, operation.outputs[0].shape
    if not is_first(operation):
        return False
    if function in POOLS:
        return len(before) == len(shape) == 4 and before[:2] == shape[:2]
    if function in BATCH_NORM:
        return value.span == 1 and not argument(operation, 5, "training", False)
    axes = averaged_axes(operation, len(before)) if function in MEAN else None
    return bool(axes) and all(axis >= 2 - len(before) for axis in axes or ())


def _reshaped(value: Apart, shape: tuple[int, ...]) -> Apart | None:
    """A value in another shape, if the places of a unit stay together."""
    before = value.base.shape
    if len(shape) < 2 or shape[0] != before[0]:
        return None
    if shape[1] == before[1]:
        return value.both(lambda x: x.reshape(shape), value.span)
    if len(shape) == 2 and len(before) > 2:
        return value.both(lambda x: x.reshape(shape), value.span * math.prod(before[2:]))
    return None


def _each(operation: Operation, values: Sequence[Apart]) -> Apart:
    """An operation applied to the unmodified and to the replaced values; neither is changed in place."""

    def applied(parts: list[Tensor]) -> Tensor:
        filled = iter([part.clone() for part in parts] if operation.written else parts)
        args, kwargs = mapped(
            (operation.args, operation.kwargs),
            lambda leaf: next(filled) if isinstance(leaf, Slot) else leaf,
        )
        result: Tensor = operation.function(*args, **kwargs)
        return result

    base, replaced = applied([v.base for v in values]), applied([v.replaced for v in values])
    return Apart(base, replaced, values[0].span)
