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


def arrangement(subject: Subject, layer: str) -> tuple[int, int, int]:
    """Channels, height and width of the maps that a dense layer is given flattened.

    They are those of the last tensor with rows and columns that was flattened before the layer, in the
    order that it was flattened in, if it has as many values; otherwise ``(inputs, 1, 1)``.

    Args:
        subject: is applied to one black image.
        layer: a dense layer's address.
    """
    maps: list[tuple[int, ...]] = []

    def flattened(name: str, number: int, args: Sequence[Any], kwargs: Mapping[str, Any]) -> None:
        del name, number, kwargs
        if args and isinstance(args[0], Tensor) and args[0].dim() == 4:
            maps.append(tuple(args[0].shape[1:]))

    blank = torch.zeros(1, *subject.input_shape, dtype=torch.uint8)
    address = f"{layer}:input"
    with capture(subject.model, [address]) as outputs, Calls(_FLATTENING, before=flattened):
        width = outputs(subject.filled(subject.inputs(blank)))[address].shape[-1]
    for shape in reversed(maps):
        if math.prod(shape) == width:
            return shape[0], shape[1], shape[2]
    return width, 1, 1
