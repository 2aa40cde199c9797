"""Receptive fields: which pixels of the image a layer's value can depend on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from cutaway.nets.words import Pair, Window


@dataclass(frozen=True)
class ReceptiveField:
    """The pixels behind the values of a layer, along height and along width.

    The value at row i, column j of the output depends on the rows from ``start[0] + i · jump[0]``,
    ``size[0]`` of them, and likewise the columns; those outside the image are padding. Every step
    by a window of k values, stride s and padding p makes

        size' = size + (k − 1) · jump,   start' = start − p · jump,   jump' = s · jump.

    Where branches are joined it is the least that covers them all. A. Araujo et al., "Computing
    Receptive Fields of Convolutional Neural Networks", Distill, 2019.

    Args:
        size: rows and columns.
        jump: pixels from one value's field to the next one's.
        start: the first row and column of the first value's field; negative in the padding.
        grid: how many values there are along height and width.
        seen: the first row and the one behind the last that any value depends on; columns likewise.
    """

    size: Pair
    jump: Pair
    start: Pair
    grid: Pair
    seen: tuple[Pair, Pair] = field(compare=False, default=((0, 0), (0, 0)))

    @classmethod
    def of_image(cls, height: int, width: int) -> ReceptiveField:
        """Each pixel by itself."""
        return cls((1, 1), (1, 1), (0, 0), (height, width), ((0, height), (0, width)))

    def through(self, window: Window, grid: Pair) -> ReceptiveField:
        """The field behind a window that stands on ``grid`` places."""

        def along(axis: int) -> tuple[int, int, int, Pair]:
            size = self.size[axis] + (window.size[axis] - 1) * self.jump[axis]
            jump = self.jump[axis] * window.stride[axis]
            start = self.start[axis] - window.before[axis] * self.jump[axis]
            low, high = self.seen[axis]
            # The first and the last value that do not stand in the padding alone.
            first = max(-(-(low + 1 - size - start) // jump), 0)
            last = min((high - 1 - start) // jump, grid[axis] - 1)
            seen = (max(low, start + first * jump), min(high, start + last * jump + size))
            return size, jump, start, seen

        (height, down, top, rows), (width, across, left, columns) = along(0), along(1)
        return ReceptiveField((height, width), (down, across), (top, left), grid, (rows, columns))

    def of_all(self) -> ReceptiveField:
        """The field of a value that depends on all places: a dense unit's."""
        return self.through(Window(self.grid, self.grid), (1, 1))

    @classmethod
    def union(cls, fields: Sequence[ReceptiveField]) -> ReceptiveField:
        """The least field that covers those of joined branches."""

        def along(axis: int) -> tuple[int, int]:
            first = min(field.start[axis] for field in fields)
            last = max(field.start[axis] + field.size[axis] for field in fields)
            return last - first, first

        (height, top), (width, left) = along(0), along(1)
        rows, columns = (
            (min(field.seen[axis][0] for field in fields), max(field.seen[axis][1] for field in fields))
            for axis in (0, 1)
        )
        return cls((height, width), fields[0].jump, (top, left), fields[0].grid, (rows, columns))

    def pixels(self, row: int, column: int, height: int, width: int) -> tuple[slice, slice]:
        """The rows and columns of an image behind the value at one place."""
        top = self.start[0] + row * self.jump[0]
        left = self.start[1] + column * self.jump[1]
        return _cut(top, self.size[0], self.seen[0], height), _cut(left, self.size[1], self.seen[1], width)


def _cut(start: int, size: int, seen: Pair, length: int) -> slice:
    """From ``start`` on, ``size`` of what is seen; empty where that is padding alone."""
    first = max(start, seen[0])
    return slice(first, max(first, min(start + size, seen[1], length)))
