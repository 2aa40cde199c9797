"""Recorded operations applied to many variants at once: a batch of batches, ``(V, N, …)``.

Operations known to treat numbers or images one by one are applied as they are. All others go through
``torch.vmap``, which means exactly what a loop over the variants would.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from cutaway.look.functions import (
    BATCH_NORM,
    EACH,
    JOIN,
    LINEAR,
    MAPS,
    MEAN,
    SHAPE,
    TWO,
    TWO_IN_PLACE,
    argument,
    averaged_axes,
    is_first,
)
from cutaway.look.fused import pool_pairs
from cutaway.look.operation import Operation, Slot, leaves, mapped


def batched(operation: Operation, taken: Callable[[Any], Any], count: int) -> tuple[Tensor, ...]:
    """What an operation gives, ``(V, …)`` each; what it changed in place and does not give comes behind.

    Args:
        operation: as recorded for one variant.
        taken: gives the variants ``(V, …)`` for a slot, and all else as it is.
        count: V.
    """
    args, kwargs = mapped((operation.args, operation.kwargs), taken)
    inputs, outputs = operation.inputs, operation.outputs
    if not inputs:
        # A constant that dependent values will be written into.
        return (torch.stack([operation.function(*args, **kwargs)] * count),)
    found = None
    if len(outputs) == 1 and all(after in outputs for _, after in operation.written):
        if len(inputs) == 1 and is_first(operation):
            found = _one(operation, inputs[0].shape, args, kwargs)
        elif operation.function in TWO | TWO_IN_PLACE and _aligned(operation):
            found = operation.function(*args, **kwargs)
        if found is None and operation.function in JOIN:
            found = _joined(operation, args, kwargs, count)
    return _mapped_over(operation, args, kwargs) if found is None else (found,)


def _one(operation: Operation, before: tuple[int, ...], args: Any, kwargs: Any) -> Tensor | None:
    """A known function of one value that depends on the variant; None for others."""
    function, shape, values = operation.function, operation.outputs[0].shape, args[0]
    found: Tensor | None = None
    if function in EACH | LINEAR or (function in TWO | TWO_IN_PLACE and _aligned(operation)):
        # A layout that is asked for is one of four axes, and changes no value.
        found = function(*args, **{name: value for name, value in kwargs.items() if name != "memory_format"})
    elif function in SHAPE:
        found = values.reshape(len(values), *shape)
    elif function in MEAN and (axes := averaged_axes(operation, len(before))):
        found = function(values, axes, keepdim=len(shape) == len(before))
    elif _by_images(operation, before):
        images = function(values.flatten(0, 1), *args[1:], **kwargs)
        found = images.unflatten(0, (len(values), shape[0]))
    return found


def _by_images(operation: Operation, before: tuple[int, ...]) -> bool:
    """Whether an operation treats each image by itself."""
    function = operation.function
    if function in BATCH_NORM:
        return len(before) >= 2 and not argument(operation, 5, "training", False)
    return (function in MAPS or function is pool_pairs) and len(before) == 4


def _aligned(operation: Operation) -> bool:
    """Whether tensors line up from the right, with the variants in front of all their axes."""
    shapes = [tuple(leaf.shape) for leaf in operation.args if isinstance(leaf, (Slot, Tensor))]
    longest = max(map(len, shapes))
    inside = any(isinstance(leaf, (Slot, Tensor)) for leaf in leaves(operation.kwargs))
    return not inside and all(len(slot.shape) == longest for slot in operation.inputs)


def _joined(operation: Operation, args: Any, kwargs: Any, count: int) -> Tensor:
    """``torch.cat``; values that are the same for all variants are repeated."""
    recorded = argument(operation, 0, "tensors", ())
    parts = args[0] if args else kwargs["tensors"]
    whole = [
        part if isinstance(slot, Slot) else part.expand(count, *part.shape)
        for part, slot in zip(parts, recorded, strict=True)
    ]
    axis = argument(operation, 1, "dim", 0)
    return torch.cat(whole, axis if axis < 0 else axis - len(operation.outputs[0].shape))


def _mapped_over(operation: Operation, args: Any, kwargs: Any) -> tuple[Tensor, ...]:
    """An operation on each variant by itself, whatever it is, in one call."""
    recorded = list(leaves((operation.args, operation.kwargs)))
    given = zip(recorded, leaves((args, kwargs)), strict=True)
    dependent = [value for slot, value in given if isinstance(slot, Slot)]
    behind = [before for before, after in operation.written if after not in operation.outputs]

    def once(*parts: Tensor) -> tuple[Tensor, ...]:
        filled = iter(parts)
        one_args, one_kwargs = mapped(
            (operation.args, operation.kwargs),
            lambda leaf: next(filled) if isinstance(leaf, Slot) else leaf,
        )
        result = operation.function(*one_args, **one_kwargs)
        changed = [parts[operation.inputs.index(slot)] for slot in behind]
        return (*(leaf for leaf in leaves(result) if isinstance(leaf, Tensor)), *changed)

    with warnings.catch_warnings():
        # Some functions have no rule for batches and are looped over: slower, and no less right.
        warnings.simplefilter("ignore")
        return torch.vmap(once, randomness="error")(*dependent)
