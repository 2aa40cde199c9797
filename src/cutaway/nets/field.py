"""Receptive fields: which pixels of the image a layer's value can depend on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

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
    """

    size: Pair
    jump: Pair
    start: Pair
    grid: Pair

    @classmethod
    def of_image(cls, height: int, width: int) -> ReceptiveField:
        """Each pixel by itself."""
        return cls((1, 1), (1, 1), (0, 0), (height, width))

    def through(self, window: Window, grid: Pair) -> ReceptiveField:
        """The field behind a window that stands on ``grid`` places."""

        def along(axis: int) -> tuple[int, int, int]:
            size, jump, start = self.size[axis], self.jump[axis], self.start[axis]
            reach = size + (window.size[axis] - 1) * jump
            return reach, jump * window.stride[axis], start - window.before[axis] * jump

        (height, down, top), (width, across, left) = along(0), along(1)
        return ReceptiveField((height, width), (down, across), (top, left), grid)

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
        return cls((height, width), fields[0].jump, (top, left), fields[0].grid)

    def pixels(self, row: int, column: int, height: int, width: int) -> tuple[slice, slice]:
        """The rows and columns of an image behind the value at one place."""
        top = self.start[0] + row * self.jump[0]
        left = self.start[1] + column * self.jump[1]
        return (
            slice(max(top, 0), min(top + self.size[0], height)),
            slice(max(left, 0), min(left + self.size[1], width)),
        )
