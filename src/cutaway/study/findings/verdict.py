"""What a study may say of a variant: one word and one sentence, and no more than its interval carries.

A change is said to do something only where its p-value, corrected for all variants of the study, is
below 0.05: of studies in which no change does anything, at most one in twenty claims that one does. The ±
of a sentence is half the 95 % interval of that difference alone. Where the interval leaves 0 out and the
corrected p-value does not, the sentence says so, and claims nothing.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from cutaway.study.findings.phrase import phrase
from cutaway.study.findings.statistics import LEVEL, Difference, Estimate
from cutaway.study.trial import ENDED, Trial, TrialStatus
from cutaway.study.variant import Origin, Variant


class Effect(StrEnum):
    """What a change did to the error."""

    WORSE = "worse"
    BETTER = "better"
    NONE_SEEN = "no effect seen"
    UNTOLD = "can't be told"
    """One seed, too few pairs, or a variant that can't be trained; the base itself."""
    DIVERGES = "diverges"
    """No trial, or only some, came to its end with finite values."""


@dataclass(frozen=True)
class Verdict:
    """A variant's verdict.

    Args:
        effect: in a word.
        sentence: in plain words, with the figures: "Without relu1 the top-1 error rises by 12.4
            points (±1.1): it matters."
    """

    effect: Effect
    sentence: str


def judge(
    variant: Variant,
    difference: Difference | None,
    trials: Sequence[Trial],
    base: Sequence[Trial] = (),
    *,
    compared: int = 1,
    stages: int = 1,
    budget: float = 1.0,
) -> Verdict:
    """The verdict on a variant's top-1 error.

    Args:
        variant: not the base.
        difference: of the top-1 error, as a share, with its p-value corrected; None where no seed has
            both.
        trials: of the variant, one for each seed of the study.
        base: of the base, likewise.
        compared: variants that the p-value is corrected for.
        stages: points of the budget that it is corrected for.
        budget: the share of it that trials were compared at: below 1 for what a study ended early.
    """
    said = phrase(variant)
    if variant.problem:
        return Verdict(Effect.UNTOLD, f"{said} it can't be trained: {_line(variant.problem)}.")
    diverged = _with(trials, TrialStatus.DIVERGED)
    found = Effect.UNTOLD, ""
    if difference is not None and difference.count:
        found = _told(variant, difference, len(trials), _family(compared, stages), _where(budget))
    if diverged:
        behind = f"; where it does not, {found[1]}" if found[1] else ""
        return Verdict(Effect.DIVERGES, f"{said} training diverges in {_share_of(diverged, trials)}{behind}.")
    effect, told = found
    if not told:
        return Verdict(effect, f"{said}, {_missing(trials, base)}.")
    comma = "" if effect in {Effect.WORSE, Effect.BETTER} else ","
    return Verdict(effect, f"{said}{comma} {told}.")


def judge_base(trials: Sequence[Trial], top1: Estimate | None) -> Verdict:
    """What there is to say of the base, which the others are compared to."""
    diverged = _with(trials, TrialStatus.DIVERGED)
    told = ""
    if top1 is not None and top1.count:
        half = 100 * (top1.high - top1.low) / 2
        margin = "" if math.isnan(half) else f" (±{half:.{_places(half)}f})"
        shown = f"{100 * top1.mean:.{_places(half if margin else 0.05)}f}"
        told = f"a top-1 error of {shown} %{margin} with {_seeds(top1.count, len(trials))}"
    if diverged:
        behind = f"; where it does not, it has {told}" if told else ""
        return Verdict(Effect.DIVERGES, f"The base diverges in {_share_of(diverged, trials)}{behind}.")
    return Verdict(Effect.UNTOLD, f"The base has {told}." if told else f"The base: {_missing(trials, ())}.")


def _told(
    variant: Variant, difference: Difference, seeds: int, family: str, where: str
) -> tuple[Effect, str]:
    """The effect and what is said of it, behind "Without relu1" and without the full stop."""
    mean, half = 100 * difference.mean, 100 * difference.half
    with_seeds = f"with {_seeds(difference.count, seeds)}"
    if math.isnan(half) or math.isnan(difference.adjusted):
        why = "" if difference.count == 1 else " that all agree"
        return Effect.UNTOLD, f"{_signed(mean)} points{where} {with_seeds}{why}: nothing can be said"
    places = _telling_places(mean, half)
    margin = f"(±{half:.{places}f})"
    if difference.adjusted < LEVEL:
        effect = Effect.WORSE if mean > 0 else Effect.BETTER
        does = "rises" if mean > 0 else "falls"
        few = f", {with_seeds}" if difference.count < seeds else ""
        size = f"{abs(mean):.{places}f} points {margin}"
        meaning = "" if where else f": {_meaning(variant, effect)}"
        return effect, f"the top-1 error {does} by {size}{where}{few}{meaning}"
    told = f"{_signed(mean, places)} points {margin}{where}: no effect seen {with_seeds}"
    if difference.p < LEVEL:
        told += f" once corrected for {family} (p {difference.p:.2g}, corrected {difference.adjusted:.2g})"
    return Effect.NONE_SEEN, told


def _meaning(variant: Variant, effect: Effect) -> str:
    if effect is Effect.WORSE:
        return "it matters"
    return "better without" if variant.origin in {Origin.ABLATE, Origin.STAGE} else "better so"


def _where(budget: float) -> str:
    if budget >= 1:
        return ""
    words = {0.25: "a quarter", 0.5: "half", 0.75: "three quarters"}
    return f" at {words.get(budget, f'{100 * budget:.3g} %')} of the budget, where the study ended it"


def _family(compared: int, stages: int) -> str:
    variants = f"{compared} variants" if compared > 1 else "one variant"
    return f"{variants} at {stages} stages" if stages > 1 else variants


def _missing(trials: Sequence[Trial], base: Sequence[Trial]) -> str:
    """Why there is nothing to compare."""
    failed = _with(trials, TrialStatus.FAILED)
    if failed:
        return f"{_share_of(failed, trials)} failed: run the study again"
    if not any(trial.status in ENDED for trial in trials):
        return "no trial has ended yet"
    if diverged := _with(base, TrialStatus.DIVERGED):
        return f"nothing to compare with: the base diverges in {_share_of(diverged, base)}"
    return "nothing to compare with yet: no trial of the base with a seed of these has ended"


def _share_of(some: Sequence[Trial], trials: Sequence[Trial]) -> str:
    """How many of those that ended, and why: "2 of 3 trials (NaN at step 212 in conv3)"."""
    count = sum(trial.status in ENDED or trial.status is some[0].status for trial in trials)
    reason = next((_line(trial.reason) for trial in some if trial.reason), "")
    so_far = " so far" if count < len(trials) else ""
    told = f"{len(some)} of {count} {'trial' if count == 1 else 'trials'}{so_far}"
    return f"{told} ({reason})" if reason else told


def _with(trials: Sequence[Trial], status: TrialStatus) -> list[Trial]:
    return [trial for trial in trials if trial.status is status]


def _line(text: str) -> str:
    return text.strip().split("\n", 1)[0].rstrip(". ")


def _seeds(count: int, seeds: int) -> str:
    if count < seeds:
        return f"{count} of {seeds} seeds"
    return "one seed" if count == 1 else f"{count} seeds"


def _places(size: float) -> int:
    """Decimals of points: 0.1 is shown as 0.1, 0.05 as 0.05, and 0.005 as 0.005."""
    return 1 if size >= 0.095 else 2 if size >= 0.0095 else 3


def _telling_places(mean: float, half: float) -> int:
    """Decimals with which one sees whether the interval leaves 0 out."""
    for places in range(_places(half), 8):
        shown, margin = round(abs(mean), places), round(half, places)
        if margin > 0 and (shown > margin) == (abs(mean) > half):
            return places
    return 8


def _signed(points: float, places: int | None = None) -> str:
    shown = f"{abs(points):.{_places(abs(points)) if places is None else places}f}"
    sign = "" if float(shown) == 0 else "+" if points > 0 else "−"
    return sign + shown
