"""Patches: the part of a layer's maps that a change of some pixels reaches, and how it grows layer by layer.

A covered window of the image moves a window of the first maps, which is wider by a kernel, and so on: behind
a sliding kernel of ``k`` places, stride ``s`` and padding ``p``, places ``a`` to ``b`` move the places
⌈(a + p − k + 1) / s⌉ to ⌊(b + p) / s⌋. All else stays as it is in the unchanged image's maps.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property

import torch
import torch.nn.functional as F
from torch import Tensor

from cutaway.look.functions import CONV, MAX_POOL, argument, is_first
from cutaway.look.fused import pool_pairs
from cutaway.look.operation import Operation
from cutaway.look.pooling import QuickPools

Pair = tuple[int, int]


@dataclass(frozen=True)
class Sliding:
    """An operation that looks at maps through a small window that slides over them.

    Args:
        apply: does so without padding, ``(V, C, h, w)``.
        size: rows and columns that one place of its output sees, from the first to the last.
        stride: from a place to the next.
        padding: above and on the left, and below and on the right.
        filling: what stands in the padding.
    """

    apply: Callable[[Tensor], Tensor]
    size: Pair
    stride: Pair
    padding: tuple[Pair, Pair]
    filling: float = 0.0


def sliding(operation: Operation) -> Sliding | None:
    """A convolution or a max-pool of maps as a sliding window; None for other operations."""
    plain = is_first(operation) and len(operation.inputs) == len(operation.outputs) == 1
    if not plain or operation.written or len(operation.inputs[0].shape) != 4:
        return None
    if operation.function is pool_pairs:
        return Sliding(pool_pairs, (2, 2), (2, 2), ((0, 0), (0, 0)))
    if operation.function in CONV:
        return _convolution(operation)
    return _max_pool(operation) if operation.function in MAX_POOL else None


def _convolution(operation: Operation) -> Sliding | None:
    weight, bias = argument(operation, 1, "weight", None), argument(operation, 2, "bias", None)
    stride = _pair(argument(operation, 3, "stride", 1))
    dilation = _pair(argument(operation, 5, "dilation", 1))
    groups = argument(operation, 6, "groups", 1)
    size = tuple(d * (k - 1) + 1 for d, k in zip(dilation, weight.shape[2:], strict=True))
    given = argument(operation, 4, "padding", 0)
    if isinstance(given, str):
        around = [0 if given == "valid" else side - 1 for side in size]
        before = tuple(side // 2 for side in around)
        after = tuple(side - first for side, first in zip(around, before, strict=True))
    else:
        before = after = _pair(given)

    def apply(maps: Tensor) -> Tensor:
        return F.conv2d(maps, weight, bias, stride, 0, dilation, groups)

    return Sliding(apply, _pair(size), stride, (_pair(before), _pair(after)))


def _max_pool(operation: Operation) -> Sliding | None:
    if argument(operation, 5, "ceil_mode", False) or argument(operation, 6, "return_indices", False):
        return None
    size = _pair(argument(operation, 1, "kernel_size", None))
    stride = _pair(argument(operation, 2, "stride", None) or size)
    padding = _pair(argument(operation, 3, "padding", 0))
    if _pair(argument(operation, 4, "dilation", 1)) != (1, 1):
        return None

    def apply(maps: Tensor) -> Tensor:
        with QuickPools():
            return F.max_pool2d(maps, size, stride)

    return Sliding(apply, size, stride, (padding, padding), float("-inf"))


@dataclass(frozen=True)
class Region:
    """Where patches of one size lie in maps, all of them within.

    Args:
        rows: the first row of each, ``(V,)`` int64.
        columns: the first column, likewise.
        size: rows and columns of every patch.
        grid: those of the maps.
    """

    rows: Tensor
    columns: Tensor
    size: Pair
    grid: Pair

    @property
    def share(self) -> float:
        """Of the maps' places."""
        return self.size[0] * self.size[1] / (self.grid[0] * self.grid[1])

    @cached_property
    def _places(self) -> tuple[Tensor, Tensor]:
        """The rows ``(V, h, 1)`` and columns ``(V, 1, w)`` of all places of the patches."""
        down, right = (torch.arange(side) for side in self.size)
        return (self.rows[:, None] + down)[:, :, None], (self.columns[:, None] + right)[:, None]

    @classmethod
    def covering(cls, starts: Sequence[Tensor], stops: Sequence[Tensor], grid: Pair) -> Region:
        """Regions of one size that hold all from ``starts`` to ``stops``, ``(V,)`` each."""
        sides = [
            min(side, max(1, int((stop - start).max())))
            for start, stop, side in zip(starts, stops, grid, strict=True)
        ]
        rows, columns = (
            start.clamp(0, side - length) for start, length, side in zip(starts, sides, grid, strict=True)
        )
        return cls(rows, columns, (sides[0], sides[1]), grid)

    def through(self, window: Sliding, grid: Pair) -> Region:
        """What patches here move behind a sliding window, whose output has ``grid`` places."""
        starts, stops = [], []
        for axis, first in enumerate((self.rows, self.columns)):
            size, stride, before = window.size[axis], window.stride[axis], window.padding[0][axis]
            starts.append(-((size - 1 - before - first) // stride))
            stops.append((first + self.size[axis] - 1 + before) // stride + 1)
        starts = [start.clamp(min=0) for start in starts]
        stops = [stop.clamp(max=side) for stop, side in zip(stops, grid, strict=True)]
        return Region.covering(starts, stops, grid)

    def seen(self, window: Sliding) -> Region:
        """What a sliding window sees from here, in its padded input."""
        rows, columns = self.rows * window.stride[0], self.columns * window.stride[1]
        size, grid = (
            tuple(
                (count - 1) * step + width
                for count, step, width in zip(counts, window.stride, window.size, strict=True)
            )
            for counts in (self.size, self.grid)
        )
        return Region(rows, columns, _pair(size), _pair(grid))

    def within(self, seen: Region, window: Sliding) -> Region | None:
        """Where patches lie in what a sliding window sees; None where it does not see all of them."""
        top, left = window.padding[0]
        rows, columns = self.rows + top - seen.rows, self.columns + left - seen.columns
        low = min(int(rows.min()), int(columns.min()))
        free = (
            side - length - int(last.max())
            for side, length, last in zip(seen.size, self.size, (rows, columns), strict=True)
        )
        return Region(rows, columns, self.size, seen.size) if low >= 0 and min(free) >= 0 else None

    def cut(self, maps: Tensor, images: Tensor, numbers: Tensor) -> Tensor:
        """Some of the patches out of maps ``(n, C, H, W)``: ``(v, C, h, w)``, channels last.

        Args:
            maps: of several images.
            images: whose maps each patch is cut out of, ``(v,)``.
            numbers: of the patches, ``(v,)``.
        """
        places = maps.permute(0, 2, 3, 1).unfold(1, self.size[0], 1).unfold(2, self.size[1], 1)
        found = places.permute(0, 1, 2, 4, 5, 3)[images, self.rows[numbers], self.columns[numbers]]
        return found.permute(0, 3, 1, 2)

    def put(self, maps: Tensor, patches: Tensor, numbers: Tensor) -> None:
        """Write some of the patches ``(v, C, h, w)`` into maps ``(v, C, H, W)``."""
        rows, columns = self._places
        each = torch.arange(len(numbers))[:, None, None]
        maps.permute(0, 2, 3, 1)[each, rows[numbers], columns[numbers]] = patches.permute(0, 2, 3, 1)

    def between(self, starts: Sequence[Tensor], stops: Sequence[Tensor], numbers: Tensor) -> Tensor:
        """Which places of some patches lie between rows and columns ``(V,)`` each: ``(v, 1, h, w)`` bool."""
        inside = [
            (at[numbers] >= start[numbers, None, None]) & (at[numbers] < stop[numbers, None, None])
            for at, start, stop in zip(self._places, starts, stops, strict=True)
        ]
        return (inside[0] & inside[1])[:, None]


def padded(window: Sliding, maps: Tensor) -> Tensor:
    """Maps with the padding that a sliding window wants, channels last."""
    (top, left), (bottom, right) = window.padding
    if top or left or bottom or right:
        maps = F.pad(maps, (left, right, top, bottom), value=window.filling)
    return maps.contiguous(memory_format=torch.channels_last)


def _pair(value: int | Sequence[int]) -> Pair:
    return (value, value) if isinstance(value, int) else (int(value[0]), int(value[-1]))
