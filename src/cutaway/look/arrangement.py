"""Which maps a dense layer's inputs are: the flattened ones, back in their rows and columns."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from cutaway.look.calls import Calls
from cutaway.look.capture import capture
from cutaway.nets.subject import Subject

_FLATTENING = {"flatten", "reshape", "view", "squeeze"}
_MIXING = {"linear", "matmul", "mm", "bmm", "addmm", "einsum"}


def arrangement(subject: Subject, layer: str) -> tuple[int, int, int]:
    """Channels, height and width of the maps that a dense layer is given flattened.

    They are those of the last tensor with rows and columns that was flattened before the layer, in the
    order that it was flattened in, if it has as many values; otherwise ``(inputs, 1, 1)``. Where a dense
    layer between the two gives as many values, these are its units, and no maps.

    Args:
        subject: is applied to one black image.
        layer: a dense layer's address.
    """
    seen: list[tuple[int, ...]] = []

    def flattened(name: str, number: int, args: Sequence[Any], kwargs: Mapping[str, Any]) -> None:
        del number, kwargs
        if name in _FLATTENING and args and isinstance(args[0], Tensor) and args[0].dim() == 4:
            seen.append(tuple(args[0].shape[1:]))

    def mixed(name: str, number: int, result: object) -> None:
        del number
        if name in _MIXING and isinstance(result, Tensor):
            seen.append(tuple(result.shape[-1:]))

    blank = torch.zeros(1, *subject.input_shape, dtype=torch.uint8)
    address = f"{layer}:input"
    with capture(subject.model, [address]) as outputs, Calls(_FLATTENING | _MIXING, flattened, mixed):
        width = outputs(subject.filled(subject.inputs(blank)))[address].shape[-1]
    for shape in reversed(seen):
        if math.prod(shape) == width:
            return (shape[0], shape[1], shape[2]) if len(shape) == 3 else (width, 1, 1)
    return width, 1, 1
