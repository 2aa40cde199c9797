"""Which pixels of an image one value of a layer can depend on."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from cutaway.look.backward.graph import float_inputs
from cutaway.look.capture import capture
from cutaway.nets.subject import Subject

Box = tuple[int, int, int, int]
"""Top, left, bottom and right in pixels; bottom and right are those behind the last."""

_NOISES = 3
"""Fillings with noise that are tried where NaN does not come through: one may happen to change nothing."""


def reach(subject: Subject, image: Tensor, layer: str, unit: int, place: tuple[int, int] = (0, 0)) -> Box:
    """The box of pixels that the value at a place of a unit's map depends on.

    A net of ours has it in its plan. In any other model the rows above some row are made NaN, which
    every operation on numbers hands on, whatever the weights: the value stays finite as long as none
    of its pixels is among them. The first row that matters is found by halving, and likewise the last
    one and the columns, with about log₂ H passes of four images. Where a model keeps NaN from coming
    through, rows are filled with noise in place of it.

    Args:
        subject: trained or not.
        image: ``(1, C, H, W)``: uint8 pixels, or float inputs.
        layer: an address as ``capture`` takes it.
        unit: from 0.
        place: row and column of the map, from 0; both 0 for a dense layer.
    """
    row, column = place
    _, height, width = subject.input_shape
    if subject.plan is not None:
        for planned in (*subject.plan.rows, *subject.plan.leaves()):
            if planned.name == layer:
                rows, columns = planned.field.pixels(row, column, height, width)
                return rows.start, columns.start, rows.stop, columns.stop
    inputs = float_inputs(subject, image)
    axes = image_axes(inputs, subject)
    if axes is None:
        return 0, 0, height, width

    with capture(subject.model, [layer]) as outputs:

        def values(batch: Tensor) -> Tensor:
            parts = []
            for part in batch.split(subject.batch or len(batch)):
                with subject.applying(len(part)):
                    parts.append(outputs(subject.filled(part))[layer][: len(part)])
            found = torch.cat(parts)[:, unit]
            return found if found.dim() == 1 else found.reshape(len(found), *found.shape[1:])[:, row, column]

        own = values(inputs)
        dark = torch.full_like(inputs, torch.nan)
        if values(dark).isnan().all():
            return _box(inputs, dark, axes, lambda batch: values(batch).isnan())
        generator = torch.Generator().manual_seed(0)
        least = 1e-6 * max(1.0, float(own.abs()))
        boxes = []
        for _ in range(_NOISES):
            noise = torch.randn(inputs.shape, generator=generator).to(inputs)
            boxes.append(_box(inputs, noise, axes, lambda batch: (values(batch) - own).abs() > least))
        tops, lefts, bottoms, rights = zip(*boxes, strict=True)
        return min(tops), min(lefts), max(bottoms), max(rights)


def image_axes(inputs: Tensor, subject: Subject) -> tuple[int, int] | None:
    """Where rows and columns are among the axes of the inputs; None where preprocessing hid them."""
    channels, height, width = subject.input_shape
    if inputs.shape[1:] == (channels, height, width):
        return 2, 3
    return (1, 2) if inputs.shape[1:] == (height, width, channels) else None


def _box(inputs: Tensor, filling: Tensor, axes: tuple[int, int], moved: Callable[[Tensor], Tensor]) -> Box:
    """The least box outside of which ``filling`` moves nothing: halving from all four sides at once."""
    height, width = inputs.shape[axes[0]], inputs.shape[axes[1]]
    lengths = (height, width, height, width)
    # For each side: so many rows or columns may be filled without effect, and so many may not.
    still, much = [0, 0, 0, 0], list(lengths)
    while any(high - low > 1 for low, high in zip(still, much, strict=True)):
        tried = [(low + high) // 2 for low, high in zip(still, much, strict=True)]
        batch = inputs.repeat(4, 1, 1, 1)
        for side, count in enumerate(tried):
            start = 0 if side < 2 else lengths[side] - count
            axis = axes[side % 2] - 1
            batch[side].narrow(axis, start, count).copy_(filling[0].narrow(axis, start, count))
        for side, effect in enumerate(moved(batch).tolist()):
            if effect:
                much[side] = tried[side]
            else:
                still[side] = tried[side]
    return still[0], still[1], height - still[2], width - still[3]
