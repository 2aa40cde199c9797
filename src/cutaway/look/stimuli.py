"""Stimuli: gratings and edges of all orientations, scales and places, as images for a subject.

An orientation is that of the lines: 0° is horizontal, 90° vertical, and it grows counter-clockwise, so
that 45° rises to the right, "/". At an orientation θ, what varies is the distance from a line through
the middle of the image, along the normal of the lines, with y growing downwards:

    d(x, y) = (x − x₀) sin θ + (y − y₀) cos θ,

    grating of wavelength λ and phase φ:   cos(2π d / λ + φ),
    edge at a distance s:                  ±1 on its two sides, and between them 2 (d − s).
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor

from cutaway.errors import ConfigError

EDGE = math.inf
"""The wavelength of an edge."""

MIDDLE, AMPLITUDE = 127.5, 127.5
"""A pixel is the middle plus the amplitude times a stimulus from −1 to 1, rounded."""

_FINEST = 3.0  # pixels of the shortest wave; two are the least that pixels can show, and only along an axis
_SCALES = 6
_MOST_COLOURS = 8


@dataclass(frozen=True)
class Batch:
    """Some stimuli that differ in their phase alone.

    Args:
        pixels: ``(P, C, H, W)`` uint8.
        colour: which of :attr:`Stimuli.colours`.
        angle: which of :attr:`Stimuli.angles`.
        scale: which of :attr:`Stimuli.wavelengths`.
    """

    pixels: Tensor
    colour: int
    angle: int
    scale: int


@dataclass(frozen=True)
class Stimuli:
    """Gratings and edges for images of one shape.

    Args:
        shape: ``(C, H, W)``.
        angles: in degrees, from 0 to below 180.
        wavelengths: in pixels; six from 3 to half of the shorter side, and edges, when not given.
        phases: of each grating, evenly over a wave.
    """

    shape: tuple[int, int, int]
    angles: Sequence[float] = field(default=tuple(range(0, 180, 15)))
    wavelengths: Sequence[float] = ()
    phases: int = 8

    def __post_init__(self) -> None:
        if not self.wavelengths:
            object.__setattr__(self, "wavelengths", (*_octaves(min(self.shape[1:])), EDGE))
        # NaN is in no order, so what is asked is what must hold.
        if len(self.angles) < 4 or not all(0 <= angle < 180 for angle in self.angles):
            raise ConfigError("angles should be four or more, from 0 to below 180 degrees.")
        if list(self.angles) != sorted(set(self.angles)):
            raise ConfigError("angles should grow, each given once.")
        if not all(wavelength >= 2 for wavelength in self.wavelengths):
            raise ConfigError("wavelengths should be 2 pixels or more: pixels can't show shorter waves.")
        if self.phases < 2:
            raise ConfigError(f"phases should be 2 or more, not {self.phases}.")

    @property
    def colours(self) -> tuple[str, ...]:
        """Which channels vary: all of them alike, then each alone, as long as there are no more than 8."""
        channels = self.shape[0]
        alone = range(channels) if 1 < channels <= _MOST_COLOURS else ()
        return ("all channels", *(f"channel {number}" for number in alone))

    @property
    def count(self) -> int:
        """How many images there are."""
        images = sum(2 * len(self._offsets()) if scale == EDGE else self.phases for scale in self.wavelengths)
        return images * len(self.angles) * len(self.colours)

    def batches(self) -> Iterator[Batch]:
        """All stimuli, those of one colour, angle and scale at a time."""
        for angle, degrees in enumerate(self.angles):
            for scale, wavelength in enumerate(self.wavelengths):
                patterns = self.edges(degrees) if wavelength == EDGE else self.gratings(degrees, wavelength)
                for colour in range(len(self.colours)):
                    yield Batch(self._coloured(patterns, colour), colour, angle, scale)

    def even(self) -> Tensor:
        """Images without a pattern: the middle grey, then dark and bright of each colour.

        ``(1 + 2K, C, H, W)`` uint8.
        """
        fields = torch.tensor([-1.0, 1.0])[:, None, None].expand(2, *self.shape[1:])
        grey = self._coloured(torch.zeros(1, *self.shape[1:]), 0)
        return torch.cat([grey, *(self._coloured(fields, colour) for colour in range(len(self.colours)))])

    def gratings(self, angle: float, wavelength: float) -> Tensor:
        """Gratings of all phases, ``(P, H, W)`` from −1 to 1."""
        phases = torch.arange(self.phases) * (2 * math.pi / self.phases)
        return torch.cos(self._distance(angle) * (2 * math.pi / wavelength) + phases[:, None, None])

    def edges(self, angle: float) -> Tensor:
        """Edges at all places, each with the bright side on either side, ``(P, H, W)`` from −1 to 1."""
        offsets = torch.tensor(self._offsets())[:, None, None]
        found = (2 * (self._distance(angle) - offsets)).clamp(-1, 1)
        return torch.cat([found, -found])

    def _offsets(self) -> list[float]:
        """How far edges lie from the middle: each next one twice as far, to an eighth of the image."""
        reach = min(self.shape[1:]) / 8
        steps = [2.0**power for power in range(32) if 2.0**power <= max(reach, 1)]
        return [*(-step for step in steps[::-1]), 0.0, *steps]

    def _distance(self, angle: float) -> Tensor:
        """How far each pixel lies from the middle along the normal of the lines, ``(H, W)``."""
        _, height, width = self.shape
        down, across = torch.arange(height) - (height - 1) / 2, torch.arange(width) - (width - 1) / 2
        turn = math.radians(angle)
        return across[None, :] * math.sin(turn) + down[:, None] * math.cos(turn)

    def _coloured(self, patterns: Tensor, colour: int) -> Tensor:
        """Patterns ``(P, H, W)`` in one of the colours, ``(P, C, H, W)`` uint8."""
        channels = self.shape[0]
        on = torch.ones(channels) if colour == 0 else torch.eye(channels)[colour - 1]
        values = patterns[:, None] * on[:, None, None]
        return (MIDDLE + AMPLITUDE * values).round().to(torch.uint8)


def _octaves(side: int) -> list[float]:
    """Wavelengths from 3 pixels to half of a side, evenly on a logarithmic scale."""
    longest = max(side / 2, _FINEST)
    return sorted({_FINEST * (longest / _FINEST) ** (step / (_SCALES - 1)) for step in range(_SCALES)})
