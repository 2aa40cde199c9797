"""Which pixels of the image stand behind each place of a layer: planned for our nets, measured for others."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from cutaway.look.backward.graph import float_inputs
from cutaway.look.capture import capture
from cutaway.look.reach import image_axes
from cutaway.look.responses import LayerSize
from cutaway.nets.field import ReceptiveField
from cutaway.nets.subject import Subject

_FAINTEST = 1e-5
"""A pixel counts when it moves a value by more than this part of the layer's largest one: less may be
rounding, which a convolution by Winograd's algorithm spreads over neighbours."""

_NOISES = 3
"""Images of noise that are changed: in one alone a maximum or a ReLU may hide a change."""


@dataclass(frozen=True)
class Windows:
    """The receptive fields of all places of a layer, cut to the image.

    Args:
        rows: first row and the one behind the last, for each row of the map, ``(H, 2)`` int64.
        columns: likewise, ``(W, 2)``.
    """

    rows: Tensor
    columns: Tensor

    def boxes(self, places: Tensor) -> Tensor:
        """Top, left, bottom and right of places ``(…, 2)``: ``(…, 4)``, bottom and right exclusive.

        A place without row and column (−1, −1), as of a dense unit, has the field of the first.
        """
        row, column = places.clamp_min(0).unbind(-1)
        rows, columns = self.rows[row], self.columns[column]
        return torch.stack((rows[..., 0], columns[..., 0], rows[..., 1], columns[..., 1]), -1)


def windows(subject: Subject, sizes: Mapping[str, LayerSize]) -> dict[str, Windows]:
    """The receptive fields of layers.

    A net of ours has them in its plan. Of any other model, and of layers that no plan names, they are
    measured: each row of three images of noise is replaced in turn, then each column, and a place depends
    on those that move its value. That takes height + width forward passes. What looks at the whole image,
    such as attention, a squeeze or a dense layer, has the whole image for its field.

    Args:
        subject: trained or not.
        sizes: of the layers.
    """
    plan = subject.plan
    planned = {row.name: row.field for row in (*plan.rows, *plan.leaves())} if plan else {}
    found = {
        name: _planned(planned[name], subject)
        for name, size in sizes.items()
        if name in planned and planned[name].grid == size.grid
    }
    rest = [name for name in sizes if name not in found]
    return found | (measured_windows(subject, rest) if rest else {})


def measured_windows(subject: Subject, layers: Sequence[str]) -> dict[str, Windows]:
    """The receptive fields that a model shows, for layers ``(N, U)``, ``(N, U, W)`` or ``(N, U, H, W)``."""
    generator = torch.Generator().manual_seed(0)
    shape = subject.input_shape
    # Noise as the model takes it: in its kind of numbers, with rows and columns where they lie.
    like = float_inputs(subject, torch.zeros(_NOISES, *shape, dtype=torch.uint8))
    images, others = (torch.randn(like.shape, generator=generator).to(like) for _ in range(2))
    axes = image_axes(like, subject)
    moved: dict[str, tuple[list[Tensor], list[Tensor]]] = {layer: ([], []) for layer in layers}
    with capture(subject.model, layers) as outputs:

        def maps(pictures: Tensor) -> dict[str, Tensor]:
            parts = []
            for part in pictures.split(subject.batch or len(pictures)):
                with subject.applying(len(part)):
                    given = outputs(subject.filled(part))
                parts.append({layer: _maps(value[: len(part)]) for layer, value in given.items()})
            return {layer: torch.cat([part[layer] for part in parts]) for layer in layers}

        base = maps(images)
        for axis, length in enumerate(shape[1:]):
            for at in range(length):
                changed = images.clone()
                if axes is None:  # nobody knows where a row went: all of the image counts
                    changed.copy_(others)
                else:
                    changed.select(axes[axis], at).copy_(others.select(axes[axis], at))
                for layer, value in maps(changed).items():
                    change = (value - base[layer]).abs()
                    # Images, units and the other axis of the map count together.
                    moved[layer][axis].append(change.amax((0, 1, 3 - axis)).cpu())
    found = {}
    for layer, changes in moved.items():
        least = _FAINTEST * float(base[layer].abs().max())
        rows, columns = (_hulls(torch.stack(axis) > least) for axis in changes)
        found[layer] = Windows(rows, columns)
    return found


def _maps(output: Tensor) -> Tensor:
    """An output as maps ``(N, U, H, W)``."""
    if output.dim() < 4:
        return output.float().reshape(*output.shape[:2], 1, -1)
    return output.float().flatten(3)


def _planned(field: ReceptiveField, subject: Subject) -> Windows:
    _, height, width = subject.input_shape
    rows = [field.pixels(row, 0, height, width)[0] for row in range(field.grid[0])]
    columns = [field.pixels(0, column, height, width)[1] for column in range(field.grid[1])]
    return Windows(_pairs(rows), _pairs(columns))


def _pairs(slices: Sequence[slice]) -> Tensor:
    return torch.tensor([(part.start, part.stop) for part in slices])


def _hulls(moved: Tensor) -> Tensor:
    """From which pixels ``(L,)`` move each place ``(P,)``: first and one behind the last, ``(P, 2)``.

    ``moved`` is ``(L, P)`` bool; a place that none moves is given all.
    """
    length = len(moved)
    moved = moved | ~moved.any(0)
    first = moved.int().argmax(0)
    last = length - moved.flip(0).int().argmax(0)
    return torch.stack((first, last), 1)
