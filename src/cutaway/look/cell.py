"""A cell: one value of a feature map, taken apart into what it was summed up from."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from torch import Tensor

from cutaway.errors import ConfigError, NotFoundError
from cutaway.look.reach import Box, reach
from cutaway.look.sums import find_sum, terms
from cutaway.nets.parts import told_shape
from cutaway.nets.subject import Subject


@dataclass(frozen=True)
class Cell:
    """One value and all that it is made of: value = Σ patch · kernel + bias.

    Args:
        image: ``(C, H, W)``, as it was given.
        layer: its address.
        unit: of the layer, from 0.
        row: of the unit's map, from 0; 0 for a dense layer.
        column: likewise.
        value: as the layer gave it.
        patch: what the kernel lies on, ``(c, h, w)`` float32; 0 in the padding. For a dense layer its
            inputs, as the maps that were flattened.
        kernel: ``(c, h, w)`` float32.
        bias: 0 where there is none.
        channels: which of the layer's input each slice is, c of them.
        places: row and column of the layer's input that each position of the patch is, ``(h, w, 2)``
            int64; −1 in the padding.
        grid: height and width of the layer's input.
        field: the pixels of the image behind the value: top, left, bottom, right.
        subject: the subject's name.
    """

    image: Tensor
    layer: str
    unit: int
    row: int
    column: int
    value: float
    patch: Tensor
    kernel: Tensor
    bias: float
    channels: Sequence[int]
    places: Tensor
    grid: tuple[int, int]
    field: Box
    subject: str = ""

    @property
    def products(self) -> Tensor:
        """What each input adds to the value, ``(c, h, w)``."""
        return self.patch * self.kernel

    @property
    def total(self) -> float:
        """The sum of all products and the bias, added in double precision."""
        return float((self.patch.double() * self.kernel.double()).sum()) + self.bias


def cell(
    subject: Subject,
    image: Tensor,
    layer: str,
    unit: int,
    *,
    row: int | None = None,
    column: int | None = None,
) -> Cell:
    """One value of a unit's map, explained: the patch, the kernel, their products, the bias.

    For a convolution with stride s, padding p and dilation d,

        y[o, r, c] = b[o] + Σ_{i, u, v} x[i, r · s + u · d − p, c · s + v · d − p] · w[o, i, u, v],

    over the channels i of the group of o. A transposed one sums over the inputs that are spread to
    this place: those with r + p − i · s = u · d for some u. V. Dumoulin and F. Visin, "A guide to
    convolution arithmetic for deep learning", 2016.

    Args:
        subject: trained or not.
        image: ``(1, C, H, W)`` or ``(C, H, W)``: uint8 pixels, or float inputs.
        layer: a convolution, transposed or not, or a dense layer: a module's name, or a call such as
            ``conv2d@3``.
        unit: from 0.
        row: of the unit's map; where the map is largest when not given.
        column: likewise.

    Raises:
        NotFoundError: there is no such layer, unit or place.
        ConfigError: the layer is no sum of products, or the image has another shape.
        DataError: weights or image are not finite.
    """
    images = image[None] if image.dim() == 3 else image
    if len(images) != 1:
        raise ConfigError(f"image should be one image 1×C×H×W, not {told_shape(image)}.")
    summed = find_sum(subject, images, layer)
    place = _place(layer, summed.output, unit, row, column)
    found = terms(subject, layer, summed, unit, place)
    value = summed.output[(unit, *place) if summed.output.dim() == 3 else unit]
    return Cell(
        images[0],
        layer,
        unit,
        *place,
        float(value),
        found.patch.float().cpu(),
        found.kernel.float().cpu(),
        found.bias,
        found.channels,
        found.places,
        found.grid,
        reach(subject, images, layer, unit, place),
        subject.name,
    )


def _place(layer: str, output: Tensor, unit: int, row: int | None, column: int | None) -> tuple[int, int]:
    """The place asked for, or the one with the largest value."""
    if not 0 <= unit < len(output):
        raise NotFoundError(f"{layer} has no unit {unit}; they are numbered from 0 to {len(output) - 1}.")
    if output.dim() == 1:
        if row or column:
            raise NotFoundError(
                f"{layer} gives one value for each unit: it has no row {row or 0}, {column or 0}."
            )
        return 0, 0
    found = output[unit]
    for name, at, length in (("row", row, found.shape[0]), ("column", column, found.shape[1])):
        if at is not None and not 0 <= at < length:
            raise NotFoundError(f"{layer} has no {name} {at}; they are numbered from 0 to {length - 1}.")
    if row is not None:
        found = found[row : row + 1]
    if column is not None:
        found = found[:, column : column + 1]
    down, across = divmod(int(found.argmax()), found.shape[1])
    return (down if row is None else row), (across if column is None else column)
