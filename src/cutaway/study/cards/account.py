"""A layer card in words: a line for each part, with its source, or with what would give it."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

from cutaway.config.size import show_bytes
from cutaway.look import Spectrum
from cutaway.study.cards.card import (
    Evidence,
    Knocked,
    LayerCard,
    LayerTime,
    Learned,
    Left,
    Readable,
    Retrained,
    Size,
    StepMemory,
    UnitCounts,
)

T = TypeVar("T")


@dataclass(frozen=True)
class Line:
    """A part of a card.

    Args:
        label: what it is about, in a word or two.
        text: what is known; or why nothing is, and what would give it.
        source: where it comes from; empty where nothing is known.
    """

    label: str
    text: str
    source: str = ""


def account(card: LayerCard) -> list[Line]:
    """All parts of a card, in a fixed order."""
    return [
        _line("cost", card.size, _size),
        _line("memory", card.memory, _memory),
        _line("time", card.time, _time),
        _line("learning", card.learning, _learning),
        _line("class", card.readable, _readable),
        _line("image", card.left, _left),
        _line("rank", card.spectrum, _rank),
        _line("units", card.units, lambda found: _units(found, card.layer)),
        _line("knocked out", card.knocked, _knocked),
        _line("trained without", card.ablated, _retrained),
        _line("random", card.frozen, _retrained),
        _line("random up to it", card.frozen_up_to, _retrained),
    ]


def _line(label: str, evidence: Evidence[T], told: Callable[[T], str]) -> Line:
    if evidence.value is None:
        return Line(label, evidence.missing)
    return Line(label, told(evidence.value), evidence.source)


def _size(found: Size) -> str:
    parts = []
    for count, share, what in (
        (found.parameters, found.parameter_share, "parameters"),
        (found.multiply_adds, found.multiply_add_share, "multiply-adds"),
    ):
        parts.append(f"{count:,} {what} ({percent(share)} of the net's)" if count else f"no {what}")
    return ", ".join([*parts, f"{show_bytes(found.output_bytes)} of output"])


def _memory(found: StepMemory) -> str:
    whole, saved = show_bytes(found.whole), show_bytes(abs(found.saved))
    if not found.saved:
        return f"a training step takes {whole}, with it and without it"
    if found.saved < 0:
        return f"a training step takes {whole}, and {saved} more without it"
    return f"of the {whole} of a training step {saved} fall away with it"


def _time(found: LayerTime) -> str:
    return f"{_seconds(found.seconds)} for an image, {percent(found.share)} of a forward pass"


def _learning(found: Learned) -> str:
    own = found.own
    parts = [f"mean |gradient| {own.weight_gradient:.2g}"]
    if not math.isnan(own.updates[0]):
        parts.append(f"steps from {own.updates[0]:.2g} to {own.updates[-1]:.2g} of its weights' length")
    if not math.isnan(own.distance):
        most = (
            "the farthest of all" if found.farthest == own.layer else f"{found.farthest} {found.distance:.2g}"
        )
        parts.append(f"distance from the start {own.distance:.2g} ({most})")
    if own.settled:
        parts.append(f"from epoch {own.settled} on its steps are a tenth of the largest or less")
    return ", ".join(parts)


def _readable(found: Readable) -> str:
    one, other = (_around(reading.error, reading.interval) for reading in (found.trained, found.random))
    return f"a linear classifier is wrong on {one}; behind random weights on {other}"


def _left(found: Left) -> str:
    one, other = (_around(kept.error, kept.interval) for kept in (found.trained, found.random))
    return f"{one} of the pixels' variance can't be rebuilt from it; behind random weights {other}"


def _around(share: float, interval: tuple[float, float]) -> str:
    low, high = (100 * end for end in interval)
    return f"{100 * share:.1f} % ({low:.1f} to {high:.1f})"


def _rank(found: Spectrum) -> str:
    told = f"{found.dimensions()} of {found.units} dimensions hold 99 % of the variance"
    few = "; too few images to tell" if found.limited else ""
    return f"{told}, effective rank {found.effective_rank:.1f}{few}"


def _units(found: UnitCounts, layer: str) -> str:
    rare = f", {found.rare} rare" if found.rare else ""
    seen = f", seen at {found.seen}" if found.seen != layer else ""
    alike = "duplicate" if found.duplicates == 1 else "duplicates"
    return f"{found.dead} of {found.units} units dead, {found.duplicates} {alike}{rare}{seen}"


def _knocked(found: Knocked) -> str:
    whole = f"{100 * found.lost:.1f} of {100 * found.accuracy:.1f} points are lost when it tells nothing"
    unit = f"of its units {found.dearest} costs most, {100 * found.dearest_lost:.1f} points"
    return f"{whole}; {unit}, and {found.spare} of {found.units} cost none"


def _retrained(found: Retrained) -> str:
    return found.row.verdict.sentence


def percent(share: float) -> str:
    """A share from 0 to 1 as a person reads it: 17 %, 0.4 %."""
    value = 100 * share
    return "less than 0.1 %" if 0 < value < 0.05 else f"{value:.{0 if value >= 1 or not value else 1}f} %"


def _seconds(seconds: float) -> str:
    for factor, unit in ((1.0, "s"), (1e3, "ms"), (1e6, "µs")):
        if seconds * factor >= 1 or unit == "µs":
            return f"{seconds * factor:.3g} {unit}"
    raise AssertionError
