"""Mosaics: many small pictures in one array, each with its number and its place."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

Values = NDArray[np.float32]


@dataclass(frozen=True)
class Mosaic:
    """Tiles of one size in a grid, with a strip above each for its number.

    Args:
        tiles: ``(N, h, w)``, float32.
        columns: tiles in a row.
        numbers: the unit that each tile shows.
        blank: the tiles that are marked as carrying nothing.
        spacing: between columns, as a part of a tile's width.
        margin: pixels to the left of the first column, for what is written beside its rows.
    """

    tiles: Values
    columns: int
    numbers: Sequence[int]
    blank: Sequence[bool]
    spacing: float = 0.08
    margin: int = 0

    @property
    def rows(self) -> int:
        """Rows of tiles; the last one may not be full."""
        return math.ceil(len(self.tiles) / self.columns)

    @property
    def gap(self) -> int:
        """Pixels between columns."""
        return int(max(1, round(self.tiles.shape[2] * self.spacing)))

    @property
    def strip(self) -> int:
        """Pixels above each tile, where its number stands."""
        return int(max(1, round(self.tiles.shape[1] * 0.3)))

    @property
    def size(self) -> tuple[int, int]:
        """Height and width of the whole, in tile pixels."""
        _, height, width = self.tiles.shape
        return self.rows * (height + self.strip), self.columns * (width + self.gap) - self.gap

    def evened(self) -> Mosaic:
        """The same tiles, each divided by its largest magnitude: shapes without their strength."""
        largest = np.nanmax(np.abs(self.tiles), axis=(1, 2), keepdims=True, initial=0.0)
        tiles: Values = np.divide(self.tiles, np.where(largest > 0, largest, 1), dtype=np.float32)
        return replace(self, tiles=tiles)

    @property
    def limit(self) -> float:
        """The largest magnitude, at which the palette ends on both sides."""
        return float(np.nanmax(np.abs(self.tiles), initial=0.0))

    def corner(self, index: int) -> tuple[int, int]:
        """Top and left of a tile."""
        row, column = divmod(index, self.columns)
        _, height, width = self.tiles.shape
        return row * (height + self.strip) + self.strip, column * (width + self.gap)

    def array(self) -> Values:
        """The whole as one array; NaN where there is no tile."""
        canvas = np.full(self.size, np.nan, np.float32)
        _, height, width = self.tiles.shape
        for index, tile in enumerate(self.tiles):
            top, left = self.corner(index)
            canvas[top : top + height, left : left + width] = tile
        return canvas


_IN_A_ROW = 20
"""Units of a dense layer that stand in one row; more make a grid."""


def map_mosaic(maps: Tensor, blank: Tensor, numbers: Sequence[int] | None = None) -> Mosaic:
    """The mosaic of one image's maps: ``(C, H, W)``, or ``(F,)`` for a dense layer.

    Units of a dense layer are tiles of one value. Values in one line, ``(C, L)``, are a tile of a row,
    and what has more axes than rows and columns has the last ones side by side.

    Args:
        maps: of one image.
        blank: the units that carry nothing, ``(C,)`` bool.
        numbers: of the units; from 0 when not given.
    """
    columns = _columns(len(maps))
    if maps.dim() == 1:
        values = maps.numpy()[:, None, None].repeat(3, 1).repeat(3, 2)
        # Few tiles of one value would be huge in a grid.
        columns = len(maps) if len(maps) <= _IN_A_ROW else columns
    else:
        values = (maps[:, None] if maps.dim() == 2 else maps.flatten(2)).numpy()
    return Mosaic(values, columns, range(len(maps)) if numbers is None else numbers, blank.tolist())


_SIDE_BY_SIDE = 3
"""Slices of a filter that stand in one row; more make a square."""


def kernel_mosaic(weights: Tensor, numbers: Sequence[int] | None = None) -> Mosaic:
    """The mosaic of a conv's kernels, ``(O, I, h, w)``.

    With one input channel a tile is a kernel. With more, a tile is a filter: its slices side by
    side, one for each input channel: up to three in a row, more laid out nearly square.
    """
    filters, channels, height, width = weights.shape
    # Three, as of colours, in a square would leave a hole.
    across = channels if channels <= _SIDE_BY_SIDE else math.ceil(math.sqrt(channels))
    down = math.ceil(channels / across)
    values = weights.numpy()
    if channels == 1:
        tiles = values[:, 0]
    else:
        # A line of NaN keeps slices apart without a colour of its own.
        tiles = np.full((filters, down * (height + 1) - 1, across * (width + 1) - 1), np.nan, np.float32)
        for channel in range(channels):
            top, left = (channel // across) * (height + 1), (channel % across) * (width + 1)
            tiles[:, top : top + height, left : left + width] = values[:, channel]
    dead = [not values[f].any() for f in range(filters)]
    called = range(filters) if numbers is None else numbers
    # Slices of one filter lie closer together than two filters.
    return Mosaic(tiles, _columns(filters, wide=channels > 1), called, dead, 0.08 if channels == 1 else 0.2)


def _columns(count: int, wide: bool = False) -> int:
    """Columns for ``count`` tiles: wider than high, and a full last row where one is near."""
    target = max(1, min(count, round(math.sqrt(count * (2.5 if wide else 4)))))
    near = [
        c for c in range(max(1, round(target * 0.75)), min(count, round(target * 1.3)) + 1) if count % c == 0
    ]
    return min(near, key=lambda c: abs(c - target)) if near else target
