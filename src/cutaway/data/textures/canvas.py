"""What all textures are drawn on: N frames, each with its own scale, turn, place and randomness."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

_REFERENCE = 64
"""Lengths are given in pixels of a frame with this side; larger frames show the same, finer."""

_SHADES = 32
"""Side of each frame's table of random numbers; no frame shows more than so many tiles in a row."""


@dataclass(frozen=True)
class Plane:
    """Coordinates on N frames, in units of a texture's period.

    Args:
        u: ``(N, H, W)``, along the texture's first direction.
        v: ``(N, H, W)``, at a right angle to it.
        pixel: ``(N, 1, 1)``, the side of a pixel in these units.
    """

    u: Tensor
    v: Tensor
    pixel: Tensor

    def cover(self, depth: Tensor) -> Tensor:
        """How much of each pixel lies inside a shape: ``(N, H, W)`` from 0 to 1.

        Args:
            depth: distance from the shape's edge, positive inside. The edge is soft over a pixel, so
                that no staircases betray the raster.
        """
        return (depth / self.pixel + 0.5).clamp_(0, 1)

    def moved(self, du: Tensor, dv: Tensor) -> Plane:
        """The plane with every point displaced, in periods."""
        return Plane(self.u + du, self.v + dv, self.pixel)


@dataclass(frozen=True)
class Shades:
    """A random number for every tile of a grid on N frames; they repeat after 32 tiles.

    Args:
        table: ``(N, 32²)``.
    """

    table: Tensor

    def place(self, column: Tensor, row: Tensor) -> Tensor:
        """Where in the table the tiles at whole-numbered ``(N, H, W)`` stand."""
        return column.long() & (_SHADES - 1) | (row.long() & (_SHADES - 1)) * _SHADES

    def at(self, place: Tensor) -> Tensor:
        """The numbers at places ``(N, H, W)``."""
        return self.table.gather(1, place.flatten(1)).view(place.shape)

    def __call__(self, column: Tensor, row: Tensor) -> Tensor:
        """The numbers of tiles, ``(N, H, W)``."""
        return self.at(self.place(column, row))


class Canvas:
    """N empty frames.

    Args:
        count: N.
        sides: ``(H, W)``.
        generator: where all randomness comes from.
    """

    def __init__(self, count: int, sides: tuple[int, int], generator: torch.Generator) -> None:
        self.count = count
        self.sides = sides
        self.unit = min(sides) / _REFERENCE
        self.generator = generator

    def uniform(self, low: float, high: float) -> Tensor:
        """A number for each frame, ``(N, 1, 1)``."""
        return torch.rand(self.count, 1, 1, generator=self.generator) * (high - low) + low

    def plane(self, shortest: float, longest: float) -> Plane:
        """A plane at any scale, turn and place.

        Args:
            shortest: the least period, in reference pixels.
            longest: the greatest.
        """
        # Periods are even on the scale of ratios: 8 to 16 is as likely as 16 to 32.
        period = self.uniform(math.log(shortest), math.log(longest)).exp() * self.unit
        turn = self.uniform(0, 2 * math.pi)
        cos, sin = turn.cos() / period, turn.sin() / period
        y = torch.arange(self.sides[0], dtype=torch.float32).view(1, -1, 1)
        x = torch.arange(self.sides[1], dtype=torch.float32).view(1, 1, -1)
        # Off by a whole number of tiles, so that places are positive and tables look different.
        u = cos * x + sin * y + self.uniform(0, _SHADES)
        v = cos * y - sin * x + self.uniform(0, _SHADES)
        return Plane(u, v, 1 / period)

    def shades(self) -> Shades:
        """A random number from 0 to 1 for every tile of a grid."""
        return Shades(torch.rand(self.count, _SHADES * _SHADES, generator=self.generator))

    def noise(self, gain: Callable[[Tensor, Tensor], Tensor]) -> Tensor:
        """Gaussian noise with a given spectrum: mean 0, deviation 1 in every frame.

        Args:
            gain: the amplitude at frequencies ``fx`` and ``fy`` ``(1, H, W/2 + 1)``, in cycles per
                reference pixel; it may differ from frame to frame.

        Returns:
            ``(N, H, W)``.
        """
        height, width = self.sides
        white = torch.randn(self.count, height, width, generator=self.generator)
        fy = torch.fft.fftfreq(height).view(1, -1, 1) * self.unit
        fx = torch.fft.rfftfreq(width).view(1, 1, -1) * self.unit
        return level(torch.fft.irfft2(torch.fft.rfft2(white) * gain(fx, fy), s=self.sides))

    def clouds(self, slope: float, finest: float) -> Tensor:
        """Noise of all sizes, ``(N, H, W)``: its amplitude falls as frequency to the power −slope.

        Args:
            slope: 1 is rough, 2 is smooth.
            finest: structures smaller than so many reference pixels fade.
        """

        def gain(fx: Tensor, fy: Tensor) -> Tensor:
            square = fx**2 + fy**2
            falling = square.clamp(min=(1 / _REFERENCE) ** 2) ** (-slope / 2)
            return falling * torch.exp(-square * finest**2)

        return self.noise(gain)


def level(images: Tensor) -> Tensor:
    """Images ``(N, H, W)`` brought to mean 0 and deviation 1 each; a blank one to zeros."""
    images = images - images.mean((1, 2), keepdim=True)
    deviation = images.square().mean((1, 2), keepdim=True).sqrt()
    return images / deviation.clamp(min=1e-6)


def near(x: Tensor) -> Tensor:
    """Distance to the nearest whole number, 0 to ½."""
    return (x - x.round()).abs_()
