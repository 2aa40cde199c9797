"""Up-convolutional nets: from a few numbers, or from small maps, to an image."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

WIDTH = 32
"""Channels of the largest maps; those of half the size have twice as many, up to four times."""

_SMALLEST = 4
"""Sides below this are not halved any more."""


class UpConv(nn.Module):
    """Maps doubled in size by nearest neighbours and convolved, until the image's size is reached.

    Resizing and convolving leaves no checks, as a transposed convolution does (Odena, Dumoulin, Olah,
    "Deconvolution and checkerboard artifacts", 2016).

    Args:
        given: the shape of what it is given, ``(F,)`` or ``(C, h, w)``.
        image: ``(C, H, W)`` of what it gives, from 0 to 1.
        width: channels of the largest maps.
    """

    def __init__(self, given: tuple[int, ...], image: tuple[int, int, int], width: int = WIDTH) -> None:
        super().__init__()
        channels, height, width_of_image = image
        doublings = self._doublings(given, (height, width_of_image))
        self.sides = [
            (math.ceil(height / 2**left), math.ceil(width_of_image / 2**left))
            for left in range(doublings, -1, -1)
        ]
        widths = [width * min(4, 2**left) for left in range(doublings, -1, -1)]
        self.given = given
        self.width = width
        self.flat = len(given) != 3
        first = widths[0]
        self.enter: nn.Module = (
            nn.Linear(math.prod(given), first * math.prod(self.sides[0]))
            if self.flat
            else nn.Conv2d(given[0], first, 3, padding=1)
        )
        self.first = first
        self.steps = nn.ModuleList(
            nn.Sequential(nn.Conv2d(before, after, 3, padding=1), nn.BatchNorm2d(after), nn.ReLU())
            for before, after in zip([first, *widths[:-1]], widths, strict=True)
        )
        self.leave = nn.Conv2d(widths[-1], channels, 3, padding=1)

    @staticmethod
    def _doublings(given: tuple[int, ...], size: tuple[int, int]) -> int:
        """How often maps are doubled: from the given size where there is one, else from about 4×4."""
        smallest = min(given[1:]) if len(given) == 3 else _SMALLEST
        return max(0, round(math.log2(max(1.0, min(size) / max(1, smallest)))))

    def forward(self, given: Tensor) -> Tensor:
        """``(N, F)`` or ``(N, C, h, w)`` to ``(N, C, H, W)`` from 0 to 1."""
        maps = self.enter(given.flatten(1) if self.flat else given)
        if self.flat:
            maps = maps.view(len(given), self.first, *self.sides[0])
        for side, step in zip(self.sides, self.steps, strict=True):
            if tuple(maps.shape[2:]) != side:
                maps = F.interpolate(maps, side, mode="nearest")
            maps = step(maps)
        return torch.sigmoid(self.leave(maps))
