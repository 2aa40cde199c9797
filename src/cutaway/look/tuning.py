"""Tuning: how a unit's answer depends on the orientation and the scale of what it is shown."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from functools import cached_property

import torch
from torch import Tensor

SELECTIVE = 1 / 3
"""From this orientation index on, a unit counts as tuned: the orientation it prefers gets twice the
answer of the one across."""

_NEAR = 0.9
"""Scales and colours with at least this part of the strongest answer are told apart by their tuning."""

_FAINT = 1e-5
"""An answer below this part of the layer's strongest one is rounding."""


class Word(StrEnum):
    """What a unit answers, in a word."""

    HORIZONTAL = "horizontal"
    RISING = "diagonal /"
    VERTICAL = "vertical"
    FALLING = "diagonal \\"
    BLOB = "blob"
    NONE = "none"


_LINES = (Word.HORIZONTAL, Word.RISING, Word.VERTICAL, Word.FALLING)
"""At 0°, 45°, 90° and 135°."""


@dataclass(frozen=True)
class Tuning:
    """The answers of a layer's units to stimuli of all orientations.

    An answer is the largest over all phases of the value in the middle of the unit's map, less the value
    for even grey. A unit's curve is taken at one scale and in one colour: where its answer is strongest,
    or, of those within a tenth of that, where it depends most on the orientation.

    Args:
        answers: ``(U, K, A, S)`` float32: units, colours, angles, scales.
        even: the larger answer to an evenly bright or dark image, ``(U, K)`` float32.
        angles: A of them, in degrees: of the lines, counter-clockwise from horizontal.
        wavelengths: S of them, in pixels; infinite for an edge.
        colours: K names of the channels that vary.
    """

    answers: Tensor
    even: Tensor
    angles: Sequence[float]
    wavelengths: Sequence[float]
    colours: Sequence[str]

    @cached_property
    def strength(self) -> Tensor:
        """The strongest answer of each unit, ``(U,)``; 0 for one that answers nothing."""
        strongest = self.answers.flatten(1).amax(1).clamp_min(0)
        return torch.where(strongest > _FAINT * strongest.amax(), strongest, 0)

    @cached_property
    def _place(self) -> tuple[Tensor, Tensor]:
        """The colour and the scale of each unit's curve, ``(U,)`` each."""
        height = self.answers.amax(2)  # (U, K, S)
        tuned = torch.where(
            height >= _NEAR * self.strength[:, None, None],
            self._vectors(self.answers.transpose(2, 3)).abs(),
            -1,
        )
        best = tuned.flatten(1).argmax(1)
        scales = len(self.wavelengths)
        return best // scales, best % scales

    @property
    def colour(self) -> Tensor:
        """Which of the colours each unit's curve is of, ``(U,)`` int64."""
        return self._place[0]

    @property
    def scale(self) -> Tensor:
        """Which of the wavelengths each unit prefers, ``(U,)`` int64."""
        return self._place[1]

    @cached_property
    def curves(self) -> Tensor:
        """The answer of each unit by angle, ``(U, A)`` float32, not below 0; zeros for one that is silent."""
        units = torch.arange(len(self.answers))
        curves = self.answers[units, self.colour, :, self.scale].clamp_min(0)
        return torch.where(self.strength[:, None] > 0, curves, 0)

    @cached_property
    def preferred(self) -> Tensor:
        """The preferred orientation of each unit, ``(U,)`` float32 from 0 to below 180 degrees.

        Where a parabola through the strongest answer and its two neighbours is largest. NaN for a unit
        that answers nothing.
        """
        peak = self.curves.argmax(1)
        count = len(self.angles)
        low, top, high = (
            self.curves.gather(1, ((peak + step) % count)[:, None])[:, 0] for step in (-1, 0, 1)
        )
        angles = torch.tensor(self.angles, dtype=torch.float32)
        gaps = torch.cat([angles[1:], angles[:1] + 180]) - angles  # to the next angle
        before, behind = gaps[(peak - 1) % count], gaps[peak]
        rise, fall = (top - low) / before, (top - high) / behind  # neither is negative
        steep = torch.where(rise + fall > 0, rise + fall, 1)
        shift = (rise * behind - fall * before) / (2 * steep)
        return torch.where(self.strength > 0, (angles[peak] + shift) % 180, torch.nan)

    @cached_property
    def index(self) -> Tensor:
        """The orientation index (r − r⊥) / (r + r⊥) of each unit, ``(U,)`` float32 from −1 to 1.

        r is the answer to the preferred orientation and r⊥ to the one across.
        """
        across = self._at(self.preferred + 90)
        along = self._at(self.preferred)
        return torch.where(self.strength > 0, (along - across) / (along + across), 0)

    @cached_property
    def circular_variance(self) -> Tensor:
        """1 − |Σ r e^{2iθ}| / Σ r of each unit, ``(U,)`` float32: 0 for one angle alone, 1 for all alike.

        D. Ringach, R. Shapley, M. Hawken, "Orientation selectivity in macaque V1", J. Neurosci. 2002.
        """
        return 1 - self._vectors(self.curves).abs()

    @cached_property
    def width(self) -> Tensor:
        """Half the width of the curve at half its height, ``(U,)`` float32 in degrees.

        NaN where the curve does not fall to half its height on both sides.
        """
        steps = torch.arange(0, 90.25, 0.25)
        half = self._at(self.preferred)[:, None] / 2
        sides = []
        for sign in (-1, 1):
            below = self._at(self.preferred[:, None] + sign * steps) <= half  # (U, steps)
            first = steps[below.int().argmax(1)]
            sides.append(torch.where(below.any(1), first, torch.nan))
        return torch.where(self.strength > 0, (sides[0] + sides[1]) / 2, torch.nan)

    @property
    def words(self) -> list[Word]:
        """What each unit answers, in a word.

        One of four orientations where the orientation index is above a third. A blob where the weakest
        of all orientations gets half of the strongest answer or more, and an even surface less than
        half. None where no orientation is preferred, or nothing is answered.
        """
        flat = self.curves.amin(1) >= self.curves.amax(1) / 2
        even = self.even.gather(1, self.colour[:, None])[:, 0]
        blob = flat & (even < self.strength / 2) & (self.strength > 0)
        words = []
        for unit, index in enumerate(self.index.tolist()):
            if index > SELECTIVE:
                words.append(_LINES[round(float(self.preferred[unit]) / 45) % 4])
            else:
                words.append(Word.BLOB if blob[unit] else Word.NONE)
        return words

    def _at(self, degrees: Tensor) -> Tensor:
        """The curves between the angles that were shown: ``(U,)`` or ``(U, n)`` degrees to the same."""
        angles = torch.tensor([*self.angles, self.angles[0] + 180], dtype=torch.float32)
        turned = (degrees.nan_to_num() - angles[0]) % 180 + angles[0]
        after = torch.searchsorted(angles, turned.contiguous(), right=True).clamp(1, len(self.angles))
        share = (turned - angles[after - 1]) / (angles[after] - angles[after - 1])
        closed = torch.cat([self.curves, self.curves[:, :1]], 1)
        flat = (len(closed), -1)
        low, high = (closed.gather(1, at.reshape(flat)).view(at.shape) for at in (after - 1, after))
        return low + share * (high - low)

    def _vectors(self, curves: Tensor) -> Tensor:
        """Σ r e^{2iθ} / Σ r of curves ``(…, A)``, complex ``(…,)``; 0 where all is 0."""
        angles = torch.deg2rad(torch.tensor(self.angles, dtype=torch.float32))
        turns = torch.polar(torch.ones_like(angles), 2 * angles)
        positive = curves.clamp_min(0)
        total = positive.sum(-1)
        return (positive * turns).sum(-1) / torch.where(total > 0, total, 1)
