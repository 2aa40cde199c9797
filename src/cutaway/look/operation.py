"""Operations: calls of functions as data, with slots in the place of the values that depend on a layer."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

Function = Callable[..., Any]


@dataclass(frozen=True)
class Slot:
    """The place of a value that depends on the layer.

    Args:
        number: counted from the layer's output, 0.
        shape: of the value when it was recorded.
    """

    number: int
    shape: tuple[int, ...]


@dataclass(frozen=True)
class Operation:
    """One call of a function of PyTorch that has to do with the layer's output.

    Args:
        function: what was called.
        args: its arguments, with slots in the place of tensors that depend on the layer.
        kwargs: likewise, by name.
        outputs: a slot for each tensor it gave, in order.
        written: for each tensor that it changed in place, the slot before and the one behind.
    """

    function: Function
    args: tuple[Any, ...]
    kwargs: Mapping[str, Any]
    outputs: tuple[Slot, ...]
    written: tuple[tuple[Slot, Slot], ...]

    @property
    def inputs(self) -> list[Slot]:
        """The slots it reads, in the order of its arguments; one that is given twice comes twice."""
        return [leaf for leaf in leaves((self.args, self.kwargs)) if isinstance(leaf, Slot)]


HERE = object()
"""Stands for the view in the arguments of what writes to it."""


@dataclass(frozen=True, eq=False)
class Through:
    """A function that writes to a view of a value, as one that gives view and value anew.

    Args:
        function: works in place on the view.
        views: the operations that made the view, from the value on.
    """

    function: Function
    views: tuple[Operation, ...]

    def __call__(
        self, value: Tensor, args: tuple[Any, ...], kwargs: Mapping[str, Any]
    ) -> tuple[Tensor, Tensor]:
        """The view and the value, changed; the value that is given is left as it is."""
        # What is written may differ between variants where the value does not.
        view = whole = value.clone()
        for operation in self.views:
            view_args, view_kwargs = mapped(
                (operation.args, operation.kwargs),
                lambda leaf, view=view: view if isinstance(leaf, Slot) else leaf,  # type: ignore[misc]
            )
            view = operation.function(*view_args, **view_kwargs)
        args, kwargs = mapped((args, kwargs), lambda leaf: view if leaf is HERE else leaf)
        self.function(*args, **kwargs)
        return view, whole


def leaves(value: Any) -> Iterator[Any]:
    """What stands in nested tuples, lists, dicts and slices, in order."""
    if isinstance(value, (tuple, list)):
        for part in value:
            yield from leaves(part)
    elif isinstance(value, Mapping):
        yield from leaves(tuple(value.values()))
    elif isinstance(value, slice):
        yield from (value.start, value.stop, value.step)
    else:
        yield value


def mapped(value: Any, change: Callable[[Any], Any]) -> Any:
    """The same nest with ``change`` applied to each leaf."""
    if isinstance(value, torch.Size):
        return value
    if isinstance(value, (tuple, list)):
        parts = [mapped(part, change) for part in value]
        # Named tuples of PyTorch, such as torch.max gives, take one sequence too.
        return parts if isinstance(value, list) else tuple(parts)
    if isinstance(value, Mapping):
        return {key: mapped(part, change) for key, part in value.items()}
    if isinstance(value, slice):
        return slice(change(value.start), change(value.stop), change(value.step))
    return change(value)
