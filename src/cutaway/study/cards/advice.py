"""Advice from layer cards: what follows from the evidence, with its figures, and no more than it carries.

That a layer may go, or stay random, is said only where a study trained the net so and the whole 95 %
interval of the top-1 error's difference lies below a stated margin. "No effect seen" alone is no reason: few
seeds see no effect of anything (D. Altman and M. Bland, "Absence of evidence is not evidence of absence",
BMJ 311, 1995). A difference whose interval ends below the margin is not inferior, as clinical trials have it
(G. Piaggio et al., "Reporting of noninferiority and equivalence randomized trials", JAMA 308, 2012). That a
layer is needed takes the study's verdict, whose p-value is corrected for all its variants. Whatever else
the evidence suggests is worded as a thing to try.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from fnmatch import fnmatchcase

from cutaway.errors import ConfigError
from cutaway.study.cards.card import Evidence, LayerCard, LayerCards, Retrained
from cutaway.study.findings.statistics import LEVEL, Difference
from cutaway.study.findings.table import Measure
from cutaway.study.findings.verdict import Effect
from cutaway.study.trial import TrialStatus

MARGIN = 0.5
"""Points of top-1 error that a simpler net may cost, unless another margin is given."""

LITTLE = 0.1
"""Weights that went less than this share of the farthest layer's way have hardly learnt."""

MANY = 0.1
"""Idle units are worth a sentence from this share of the layer's on."""

NARROW = 0.5
"""A layer that uses less than this share of its dimensions may be too wide."""

SEEN = 0.005
"""A cost that changes by less than this share is left out."""


class AdviceKind(StrEnum):
    """What is advised, or what is known."""

    REMOVE = "may go"
    RANDOM = "may stay random"
    SAVES = "saves cost"
    NEEDED = "is needed"
    LEARNS = "has to learn"
    DIVERGES = "diverges"
    TRY = "try"
    OPEN = "not decided"


CARRIED = frozenset(
    {AdviceKind.REMOVE, AdviceKind.RANDOM, AdviceKind.SAVES, AdviceKind.NEEDED, AdviceKind.LEARNS}
)
"""Kinds that the interval of a study carries; the others are to be tried, or found out."""


@dataclass(frozen=True)
class Advice:
    """One piece of advice.

    Args:
        layer: that it is about.
        kind: in a word.
        sentence: with the figures that it follows from.
        source: where these come from.
    """

    layer: str
    kind: AdviceKind
    sentence: str
    source: str


def advise(cards: LayerCards, margin: float = MARGIN) -> list[Advice]:
    """What follows from the evidence: what a study carries first, then what to try, then what is not decided.

    Within a kind layer by layer. What is said of a layer is said of it alone: that two may go does not say
    that both may.

    Args:
        cards: of a net's layers.
        margin: points of top-1 error, above 0: an interval below it is taken for no harm.

    Raises:
        ConfigError: the margin is not a number above 0 and below 100.
    """
    check_margin(margin)
    found = [piece for card in cards.cards.values() for piece in _of_layer(card, margin)]
    found += _first_layers(cards, margin)
    order = list(AdviceKind)
    return sorted(found, key=lambda piece: order.index(piece.kind))


def check_margin(margin: float) -> None:
    """Raise where a margin is none.

    Raises:
        ConfigError: it is not a number above 0 and below 100.
    """
    if not 0 < margin < 100:
        raise ConfigError(f"margin should be points above 0 and below 100, such as 0.5, not {margin:g}.")


def _of_layer(card: LayerCard, margin: float) -> Iterator[Advice]:
    """Advice on one layer: what a study tells, then what to try where none does."""
    yield from _on_ablation(card, margin)
    yield from _on_freezing(card, margin)
    yield from _on_width(card)
    if card.frozen.value is None:
        yield from _on_learning(card)
    if card.ablated.value is None:
        yield from _on_knockout(card, margin)


def _on_ablation(card: LayerCard, margin: float) -> Iterator[Advice]:
    found = card.ablated.value
    if found is None:
        return
    name, source = card.layer, card.ablated.source
    told = _diverging(found, f"without {name}")
    if told:
        yield Advice(name, AdviceKind.DIVERGES, f"{told}.", source)
    if found.top1 is None:
        return
    points = _points(found.top1, margin)
    match _grade(found, margin):
        case _Grade.HARMLESS:
            yield _harmless(name, found, points, source)
        case _Grade.COSTLY:
            yield Advice(name, AdviceKind.NEEDED, f"{name} is needed: without it {points}.", source)
        case _Grade.HARMFUL:
            yield Advice(name, AdviceKind.NEEDED, f"{name} helps: without it {points}.", source)
        case _Grade.OPEN:
            yield Advice(name, AdviceKind.OPEN, f"Without {name} {points}: {_open(margin)}.", source)


def _harmless(name: str, found: Retrained, points: str, source: str) -> Advice:
    """A layer that the error does not need: it may go, unless it is there to make the others cheaper."""
    costs = _costs(found)
    told = ", ".join([points, *_savings(found)])
    if costs and all(change > 0 for change, _ in costs):
        sentence = f"{name} saves cost: without it {told}."
        return Advice(name, AdviceKind.SAVES, sentence, source)
    return Advice(name, AdviceKind.REMOVE, f"{name} may go: {told}.", source)


def _on_freezing(card: LayerCard, margin: float) -> Iterator[Advice]:
    found = card.frozen.value
    if found is None:
        return
    name, source, so = card.layer, card.frozen.source, _untaught(found)
    told = _diverging(found, f"with {name} {so}")
    if told:
        yield Advice(name, AdviceKind.DIVERGES, f"{told}.", source)
    if found.top1 is None:
        return
    points = _points(found.top1, margin)
    match _grade(found, margin):
        case _Grade.HARMLESS:
            saved = ", ".join([points, *_savings(found)])
            yield Advice(name, AdviceKind.RANDOM, f"{name} may stay {so}: {saved}.", source)
        case _Grade.COSTLY:
            yield Advice(name, AdviceKind.LEARNS, f"{name} has to learn: {so} {points}.", source)
        case _Grade.HARMFUL:
            yield Advice(name, AdviceKind.LEARNS, f"{name} learns something: {so} {points}.", source)
        case _Grade.OPEN:
            yield Advice(name, AdviceKind.OPEN, f"With {name} {so} {points}: {_open(margin)}.", source)


def _first_layers(cards: LayerCards, margin: float) -> Iterator[Advice]:
    """The most first layers that may all stay random: no fewer of them did harm either."""
    deepest: tuple[LayerCard, Retrained] | None = None
    for card in cards.cards.values():
        found = card.frozen_up_to.value
        if found is None:
            continue
        if found.top1 is None or _grade(found, margin) is not _Grade.HARMLESS:
            break
        deepest = card, found
    if deepest is None or deepest[1].top1 is None:
        return
    card, found = deepest
    told = ", ".join([_points(deepest[1].top1, margin), *_savings(found)])
    first = found.row.variant.layers[0]
    sentence = f"{first} to {card.layer} may all stay {_untaught(found)}: {told}."
    yield Advice(card.layer, AdviceKind.RANDOM, sentence, card.frozen_up_to.source)


class _Grade(StrEnum):
    """How an interval lies to 0 and to the margin."""

    HARMLESS = "all below the margin"
    COSTLY = "all above the margin"
    HARMFUL = "all above 0"
    OPEN = "neither"


def _grade(found: Retrained, margin: float) -> _Grade:
    top1 = found.top1
    if top1 is None:
        return _Grade.OPEN
    if 100 * top1.high < margin:
        return _Grade.HARMLESS
    # The verdict's p-value is corrected for all variants of the study, the interval is its own.
    if found.row.verdict.effect is Effect.WORSE and top1.low > 0:
        return _Grade.COSTLY if 100 * top1.low >= margin else _Grade.HARMFUL
    return _Grade.OPEN


def _points(top1: Difference, margin: float) -> str:
    """As +12.4 points (±1.1 with 5 seeds): so fine that one sees where it lies to 0 and the margin."""
    mean, low, high = (100 * value for value in (top1.mean, top1.low, top1.high))
    half = (high - low) / 2
    places = next((some for some in range(1, 6) if _tells(mean, half, margin, some)), 6)
    sign = "" if round(mean, places) == 0 else "+" if mean > 0 else "−"
    return f"{sign}{abs(mean):.{places}f} points (±{half:.{places}f} with {top1.count} seeds)"


def _tells(mean: float, half: float, margin: float, places: int) -> bool:
    """Whether the ends of the rounded interval lie to 0 and to the margin as its own do."""
    shown, around = round(mean, places), round(half, places)
    ends = ((round(shown + sign * around, places), mean + sign * half) for sign in (-1, 1))
    same = all(
        (rounded < line, rounded > line) == (true < line, true > line)
        for rounded, true in ends
        for line in (0.0, margin)
    )
    return same and (around > 0 or half == 0)


def _savings(found: Retrained) -> list[str]:
    """What it costs less, or more: time as far as its interval tells, all else by the planner."""
    time = _time(found)
    return [*([time] if time else []), *(told for _, told in _costs(found))]


def _time(found: Retrained) -> str:
    """The difference in training time; empty where the interval does not tell one from none."""
    seconds = found.row.differences.get(Measure.SECONDS)
    base = found.base.estimates.get(Measure.SECONDS)
    if not seconds or not base or base.mean <= 0:
        return ""
    # NaN, of one seed, is below no level.
    if not (seconds.adjusted < LEVEL and seconds.low * seconds.high > 0):
        return ""
    half = 100 * (seconds.high - seconds.low) / 2 / base.mean
    return f"{_share(seconds.mean / base.mean)} time (±{half:.{0 if half >= 1 else 1}f})"


def _costs(found: Retrained) -> list[tuple[float, str]]:
    """What the planner has more or less of, as a share of the base's, and in words; small ones left out."""
    parameters = math.nan
    if found.base.parameters and found.row.parameters:
        parameters = found.row.parameters / found.base.parameters - 1
    changes = {
        "multiply-adds": found.change(Measure.MULTIPLY_ADDS),
        "memory": found.change(Measure.MEMORY),
        "parameters": parameters,
    }
    return [
        (change, f"{_share(change, counted=what != 'memory')} {what}")
        for what, change in changes.items()
        if abs(change) >= SEEN  # NaN is not
    ]


def _share(change: float, *, counted: bool = False) -> str:
    percent = 100 * abs(change)
    less = "fewer" if counted else "less"
    return f"{percent:.{0 if percent >= 1 else 1}f} % {less if change < 0 else 'more'}"


def _untaught(found: Retrained) -> str:
    """How layers that do not learn are: what was pre-trained is not random, and the classifier never is."""
    variant = found.row.variant
    weighted = [row.name for row in variant.plan.rows if row.parameters] if variant.plan else []
    taught = {
        layer
        for layer in variant.layers
        if layer not in weighted[-1:]
        and any(fnmatchcase(layer, pattern) for pattern in variant.experiment.pretrain.layers)
    }
    if not taught:
        return "random"
    return "as pre-trained" if taught >= set(variant.layers) else "frozen"


def _open(margin: float) -> str:
    return f"more seeds would tell whether it costs more than {margin:g} points"


def _diverging(found: Retrained, how: str) -> str:
    if not found.diverged:
        return ""
    reasons = [trial.reason for trial in found.row.trials if trial.status is TrialStatus.DIVERGED]
    reason = f" ({reasons[0].splitlines()[0]})" if reasons[0] else ""
    return f"{how[0].upper()}{how[1:]} {found.diverged} of {len(found.row.trials)} trainings diverge{reason}"


def _on_width(card: LayerCard) -> Iterator[Advice]:
    """Fewer units, where some are idle or dimensions are not used."""
    counts, spectrum = card.units.value, card.spectrum.value
    if not card.argument or not card.removable:
        return
    if counts is not None and counts.idle >= max(1, MANY * counts.units):
        left = max(1, counts.units - counts.idle)
        told = f"{counts.idle} of {counts.units} units of {card.layer} are dead or duplicates"
        yield _try(card, told, f"{card.layer}.{card.argument}={left}", card.units)
    elif spectrum is not None and not spectrum.limited:
        used = spectrum.dimensions()
        if used < NARROW * spectrum.units:
            told = f"{card.layer} uses {used} of its {spectrum.units} dimensions (99 % of the variance)"
            yield _try(card, told, f"{card.layer}.{card.argument}={max(1, used)}", card.spectrum)


def _on_learning(card: LayerCard) -> Iterator[Advice]:
    """Freezing, where weights hardly moved, or where a probe reads as much behind random ones."""
    if not card.argument:  # a frozen norm keeps its means and variances too
        return
    learned, readable = card.learning.value, card.readable.value
    tell = f'try freezing it: train.freeze = ["{card.layer}"]; a study with auto = "freeze" tells'
    if learned is not None and learned.own.distance == 0:
        return  # it was frozen already
    if learned is not None and learned.own.distance < LITTLE * learned.distance:
        told = f"distance {_percent(learned.own.distance)}; {learned.farthest}: {_percent(learned.distance)}"
        sentence = f"{card.layer} hardly learns ({told}): {tell}."
        yield Advice(card.layer, AdviceKind.TRY, sentence, card.learning.source)
    elif (
        learned is not None and readable is not None and readable.trained.error >= readable.random.interval[0]
    ):
        errors = [100 * reading.error for reading in (readable.trained, readable.random)]
        told = f"{errors[0]:.1f} % wrong and {errors[1]:.1f} %"
        sentence = (
            f"From {card.layer} the class is read no better than behind random weights ({told}): {tell}."
        )
        yield Advice(card.layer, AdviceKind.TRY, sentence, card.readable.source)


def _on_knockout(card: LayerCard, margin: float) -> Iterator[Advice]:
    found = card.knocked.value
    if found is None or not card.removable or not found.knows or 100 * found.lost >= margin:
        return
    told = f"{100 * found.lost:.1f} points are lost when {card.layer} tells nothing"
    yield _try(card, told, f"-{card.layer}", card.knocked)


def _try(card: LayerCard, told: str, edit: str, evidence: Evidence[object]) -> Advice:
    sentence = f'{told}: try {edit} (a study with edits = "{edit}" tells).'
    return Advice(card.layer, AdviceKind.TRY, sentence, evidence.source)


def _percent(share: float) -> str:
    if math.isnan(share):
        return "not known"
    return f"{100 * share:.{1 if abs(share) < 0.1 else 0}f} %"
