"""How a variant is marked in every picture of a study: a colour and a shape for its verdict, a note."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import Any

from matplotlib.lines import Line2D

from cutaway.study import Effect, TrialStatus, VariantRow

BASE_COLOUR = "#8a8a8a"
"""Of the base: grey, which no variant that has an effect is."""

PAGE = "#ffffff"
"""Behind everything; a page puts its own in place of it."""


@dataclass(frozen=True)
class Mark:
    """How a verdict looks.

    Args:
        colour: hexadecimal, so that a page can replace it by its own.
        marker: a shape of Matplotlib's: no verdict is told by its colour alone.
        filled: or an outline.
    """

    colour: str
    marker: str
    filled: bool = True

    def style(self, *, half: bool = False) -> dict[str, Any]:
        """Keywords for ``Axes.plot``; half filled for a variant that was not trained to its end."""
        return {
            "color": self.colour,
            "marker": self.marker,
            "markersize": 6,
            "markerfacecolor": self.colour if self.filled or half else "none",
            "markerfacecoloralt": "none",
            "fillstyle": "left" if half else "full",
            "markeredgewidth": 1.1,
            "linestyle": "none",
        }


MARKS = {
    Effect.WORSE: Mark("#b2182b", "^"),
    Effect.BETTER: Mark("#2166ac", "v"),
    Effect.NONE_SEEN: Mark(BASE_COLOUR, "o"),
    Effect.DIVERGES: Mark("#c77700", "X"),
    Effect.UNTOLD: Mark(BASE_COLOUR, "D", filled=False),
}
"""Red and blue are the ends of the signed palette. All are told apart with every kind of colour blindness."""


def ended_early(row: VariantRow) -> bool:
    """Whether the study's stopping rule ended any of its trials."""
    return any(trial.status is TrialStatus.EARLY for trial in row.trials)


def note(row: VariantRow) -> str:
    """What of a variant is not as it should be: "2 of 3 diverged: NaN at step 212 in conv3"; or empty."""
    if row.variant.problem:
        return f"can't be trained: {row.variant.problem}"
    counts = Counter(trial.status for trial in row.trials)
    told = []
    for status in (TrialStatus.DIVERGED, TrialStatus.EARLY, TrialStatus.FAILED, TrialStatus.WAITING):
        if counts[status]:
            word = "not ended" if status is TrialStatus.WAITING else status.value
            reasons = {trial.reason for trial in row.trials if trial.status is status and trial.reason}
            # Of several reasons none stands for all.
            why = f": {reasons.pop()}" if status is not TrialStatus.EARLY and len(reasons) == 1 else ""
            if status is TrialStatus.EARLY and row.budget < 1:
                why = f" at {row.budget:.0%} of the budget"
            told.append(f"{counts[status]} of {len(row.trials)} {word}{why}")
    return "; ".join(told)


def shorten(text: str, most: int) -> str:
    """A text of at most so many characters: of a longer one the beginning and the end."""
    text = " ".join(text.split())
    if len(text) <= most:
        return text
    end = (most - 1) // 3
    return f"{text[: most - 1 - end].rstrip()}…{text[len(text) - end :].lstrip()}"


def legend_handles(rows: tuple[VariantRow, ...]) -> list[Line2D]:
    """An entry for each verdict that there is, and one for variants that ended early."""
    present = {row.verdict.effect for row in rows}
    handles = [
        Line2D([], [], label=effect.value, **mark.style())
        for effect, mark in MARKS.items()
        if effect in present
    ]
    if any(ended_early(row) for row in rows):
        style = MARKS[Effect.NONE_SEEN].style(half=True)
        handles.append(Line2D([], [], label="half filled: ended early", **style))
    return handles
