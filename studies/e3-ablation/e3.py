"""The page of E3: what each layer is worth, from the results in this folder alone."""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable, Mapping, Sequence
from functools import partial

from matplotlib.figure import Figure
from page import (
    Claim,
    Outcome,
    Page,
    Results,
    difference,
    judged,
    made_line,
    percent,
    row,
    rows,
    runs_table,
    table,
)

from cutaway import plot
from cutaway.draw.studies.costs import front
from cutaway.draw.studies.wording import duration, signed, value
from cutaway.study import Difference, Effect, Measure, StudyTable, TrialStatus, VariantRow
from cutaway.study.findings.statistics import paired

STUDY, NAN = "e3", "e3-nan"

PUBLISHED = {Measure.OBJECTIVE: 1.2, Measure.TOP1: 0.35, Measure.TOP5: 0.17}
"""Of the whole net after epoch 15, read off the report's plots."""

CURVES = {
    "curves-relu-early": ("without relu1", "without relu2"),
    "curves-relu-late": ("without relu3", "without relu4"),
    "curves-pools": ("without pool1", "without pool2"),
    "curves-stages": ("without relu2, relu3, relu4 and pool4", "without conv4 and pool4"),
    "curves-jitter": ("without jitter",),
}
"""Which variants are drawn beside the base on one picture."""

EPOCH, POOL2 = 8, (0.76, 0.48)
"""Of the second claim: top-1 error without pool2 and with it."""

EARLY, LATE = (1, 2), (3, 4)
"""Stages whose ReLU matters, and stages in which it hardly does."""

STAGE4 = "without conv4 and pool4"

HARDLY = 0.05
"""Of the top-1 error: the smallest difference that matters. A plot such as the report shows no less, and
two networks that are equally good differ by as much on 500 images, √(2 × 0.35 × 0.65 / 500) × 1.96 = 0.06."""

PENDING = "not measured yet"


def page(results: Results) -> Page:
    """All tables, pictures and claims."""
    tables, pictures = _images(results)
    made: dict[str, Callable[[StudyTable], str]] = {
        "published": published_table,
        "variants": variants_table,
        "sentences": sentences,
        "pools": pools_table,
    }
    waiting = [*made, *CURVES, "forest", "cost", "claims", "runs", "made"]
    known = [name for name in (STUDY, NAN) if f"{name}.json" in results.files]
    tables["rates"] = rates_table(results.study(NAN)) if NAN in known else PENDING
    if STUDY not in known:
        return Page(tables | dict.fromkeys(waiting, PENDING), pictures)
    found = results.study(STUDY)
    tables |= {name: make(found) for name, make in made.items()}
    drawn = {name: plot(found, which="curves", variants=names) for name, names in CURVES.items()}
    drawn |= {"forest": plot(found, which="forest"), "cost": plot(found, which="cost")}
    tables |= {name: f"{picture(name, _alt(name))}\n\n{seen(name, found)}" for name in drawn}
    tables |= {"runs": runs_table(results, *known), "made": made_line(results, *known)}
    return Page(tables, pictures | drawn, claims(found, results.study(NAN) if NAN in known else None))


def _images(results: Results) -> tuple[dict[str, str], dict[str, Figure]]:
    """The sheet and the pyramid, which need no training."""
    told = {"textures": "a crop of each of 25 textures, and the same moved within clutter"}
    told["textures-pyramid"] = "one training image at ever smaller sizes"
    options: Mapping[str, Mapping[str, int]] = {"textures": {"columns": 5}}
    drawn = {
        name: plot(results.look(name), **options.get(name, {}))
        for name in told
        if f"{name}.npz" in results.files
    }
    return {name: picture(name, alt) if name in drawn else PENDING for name, alt in told.items()}, drawn


def picture(name: str, alt: str) -> str:
    """A picture of this page in Markdown."""
    return f"![{alt}](pictures/{name}.png)"


def seen(name: str, found: StudyTable) -> str:
    """What a picture shows, in figures."""
    if name == "forest":
        told = [one.verdict.effect.value for one in found.rows]
        counts = ", ".join(f"{told.count(effect)} {effect}" for effect in dict.fromkeys(told))
        return f"Of {len(told)} networks, compared with the whole one: {counts}."
    if name == "cost":
        kept = _cheapest(found)
        return f"No other network is both cheaper and better than {', '.join(kept)}." if kept else ""
    ends = [f"{one.variant.name} {_end(one)}" for one in map(partial(row, found), ("base", *CURVES[name]))]
    return f"Top-1 error of the {found.study.split} split at the end: {', '.join(ends)}."


def _end(one: VariantRow) -> str:
    diverged = sum(trial.status is TrialStatus.DIVERGED for trial in one.trials)
    told = percent(one, places=1)
    if not diverged:
        return told
    share = f"{diverged} of {len(one.trials)} diverged"
    return share if told == "–" else f"{told} ({share})"


def _cheapest(found: StudyTable) -> list[str]:
    """The networks on the Pareto front of multiply-adds and error, of those that never diverged."""
    known = [one for one in rows(found) if Measure.TOP1 in one.estimates]
    whole = [one for one in known if one.verdict.effect is not Effect.DIVERGES]
    points = [(one.estimates[Measure.MULTIPLY_ADDS].mean, one.estimates[Measure.TOP1].mean) for one in whole]
    return [whole[at].variant.name for at in front(points)]


def _alt(name: str) -> str:
    if name in CURVES:
        return f"objective, top-1 and top-5 error by epoch: base, {', '.join(CURVES[name])}"
    known = {"forest": "differences to the base", "cost": "multiply-adds against error"}
    return known[name]


def published_table(found: StudyTable) -> str:
    """The base's scores beside the report's."""
    epochs = max((one.epoch for trial in found.base.trials for one in trial.epochs), default=0)
    head = ["", "published, epoch 15>", f"ours, epoch {epochs}, {found.study.split} split>"]
    names = {Measure.OBJECTIVE: "objective (nats)", Measure.TOP1: "top-1 error", Measure.TOP5: "top-5 error"}
    return table(
        head,
        [[name, _plain(measure, PUBLISHED[measure]), _estimate(found.base, measure)]
         for measure, name in names.items()],
    )  # fmt: skip


def variants_table(found: StudyTable) -> str:
    """Every network: what it is worth and what it takes."""
    head = ["network", "objective>", "top-1 error>", "to the base, points>", "top-5 error>", "multiply-adds>"]
    head += ["memory of a step>", "time>"]
    lines = []
    for one in rows(found):
        planned = [_mean(one, measure) for measure in (Measure.MULTIPLY_ADDS, Measure.MEMORY)]
        scores = [
            _estimate(one, Measure.OBJECTIVE),
            percent(one, places=1),
            difference(one, places=1) if one is not found.base else "",
            percent(one, Measure.TOP5, places=1),
        ]
        lines.append([_name(one), *scores, *planned, _mean(one, Measure.SECONDS)])
    return table(head, lines)


def sentences(found: StudyTable) -> str:
    """What the study itself says of every change, corrected for all of them."""
    return "\n".join(f"- {one.verdict.sentence}" for one in rows(found))


def pools_table(found: StudyTable) -> str:
    """What the first two pools save: memory and time with and without them."""
    lines = []
    for name in ("base", "without pool1", "without pool2"):
        one = row(found, name)
        times = [_ratio(one, found.base, measure) for measure in (Measure.MEMORY, Measure.SECONDS)]
        lines.append([name, _mean(one, Measure.MEMORY), times[0], _mean(one, Measure.SECONDS), times[1]])
    return table(
        ["network", "memory of a step>", "of the base>", "time of a training>", "of the base>"], lines
    )


def rates_table(found: StudyTable) -> str:
    """At which learning rates the whole net and that without its fourth stage diverge."""
    lines = []
    for one in sorted(rows(found), key=lambda one: (one.variant.experiment.train.lr, one.variant.edits)):
        ended = [trial for trial in one.trials if trial.status is not TrialStatus.WAITING]
        diverged = [trial for trial in ended if trial.status is TrialStatus.DIVERGED]
        reasons = sorted({trial.reason for trial in diverged if trial.reason})
        lines.append(
            [
                f"{one.variant.experiment.train.lr:g}",
                "without conv4 and pool4" if one.variant.edits else "whole",
                f"{len(diverged)} of {len(ended)}",
                percent(one, places=1),
                "; ".join(reasons),
            ]
        )
    epochs = found.base.variant.experiment.train.epochs
    return table(["learning rate>", "network", "diverged", f"top-1 error, epoch {epochs}>", "where"], lines)


def _name(one: VariantRow) -> str:
    return f"{one.variant.name} (diverges)" if one.verdict.effect is Effect.DIVERGES else one.variant.name


def _estimate(one: VariantRow, measure: Measure) -> str:
    if measure is not Measure.OBJECTIVE:
        return percent(one, measure, places=1)
    found = one.estimates.get(measure)
    if found is None:
        return "–"
    half = (found.high - found.low) / 2
    return f"{found.mean:.2f}" if math.isnan(half) else f"{found.mean:.2f} ±{half:.2f}"


def _mean(one: VariantRow, measure: Measure) -> str:
    found = one.estimates.get(measure)
    if found is None:
        return "–"
    return duration(found.mean) if measure is Measure.SECONDS else value(measure, found.mean)


def _ratio(one: VariantRow, base: VariantRow, measure: Measure) -> str:
    found, whole = one.estimates.get(measure), base.estimates.get(measure)
    return f"×{found.mean / whole.mean:.1f}" if found and whole else "–"


def _plain(measure: Measure, number: float) -> str:
    return f"about {number:g}" if measure is Measure.OBJECTIVE else f"about {100 * number:.0f} %"


def claims(found: StudyTable, rates: StudyTable | None = None) -> list[Claim]:
    """The report's claims beside the measurements."""
    return [_worse(found), _relus(found), _pool2(found), _stage4(found, rates)]


def _worse(found: StudyTable) -> Claim:
    """Every ablated network is worse. The one without jitter is ours, and no ablation."""
    ablated = [one for one in found.rows if one.variant.edits]
    worse = [one for one in ablated if one.verdict.effect in (Effect.WORSE, Effect.DIVERGES)]
    means = [one.differences[Measure.TOP1].mean for one in ablated if Measure.TOP1 in one.differences]
    better = [one for one in ablated if one.verdict.effect is Effect.BETTER]
    told = f"{len(worse)} of {len(ablated)} are worse or diverge, {len(better)} better (corrected p-values)"
    if means:
        told += f"; differences from {signed(100 * min(means), 1)} to {signed(100 * max(means), 1)} points"
    outcome = judged(bool(ablated) and len(worse) == len(ablated), bool(better))
    return Claim("Every ablated network is worse than the whole one", outcome, told)


def _relus(found: StudyTable) -> Claim:
    """ReLU matters in the first stages and hardly in the last ones."""
    text = "ReLU matters in the first two stages and hardly in the last two"
    base = _errors(found.base, found)
    early, late = (
        _means([_errors(row(found, f"without relu{number}"), found) for number in numbers])
        for numbers in (EARLY, LATE)
    )
    first, last = (paired(side, base, _resolution(found)) for side in (early, late))
    contrast = paired(early, late, _resolution(found))
    if min(first.count, last.count, contrast.count) < 2:
        return Claim(text, Outcome.UNTOLD, "fewer than two seeds of each were trained to their end")
    held = first.low >= HARDLY > last.high and contrast.low > 0
    failed = first.high < HARDLY or contrast.high < 0 or last.low > HARDLY
    told = (
        f"without one of the first two {_points(first)} points of top-1 error, without one of the last two "
        f"{_points(last)}; between the two {_points(contrast)}"
    )
    return Claim(text, judged(held, failed), told)


def _pool2(found: StudyTable) -> Claim:
    """Without pool2, epoch 8 has a top-1 error of 0.76 against 0.48."""
    text = f"Without pool2 the top-1 error at epoch {EPOCH} is {POOL2[0]:.2f}, with it {POOL2[1]:.2f}"
    without, whole = (_at(row(found, name), EPOCH, found) for name in ("without pool2", "base"))
    gap = paired(without, whole, _resolution(found))
    if gap.count < 2:
        return Claim(text, Outcome.UNTOLD, f"fewer than two seeds of both have an epoch {EPOCH}")
    seeds = without.keys() & whole.keys()
    both = [statistics.fmean(side[seed] for seed in seeds) for side in (without, whole)]
    told = f"{both[0]:.2f} against {both[1]:.2f}: {_points(gap)} points"
    half = (POOL2[0] - POOL2[1]) / 2  # at least of what was published
    return Claim(text, judged(gap.low > half, gap.high < half), told)


def _stage4(found: StudyTable, rates: StudyTable | None) -> Claim:
    """Without the fourth conv and pool, training gives NaN."""
    text = "Without conv4 and pool4 training gives NaN"
    ended = [one for one in row(found, STAGE4).trials if one.status is not TrialStatus.WAITING]
    diverged = [one for one in ended if one.status is TrialStatus.DIVERGED]
    rate = found.base.variant.experiment.train.lr
    told = f"{len(diverged)} of {len(ended)} trainings diverge at a learning rate of {rate:g}"
    if rates is not None:
        told += f"; the whole network diverges {_from(rates, '')}, that one {_from(rates, '-conv4 -pool4')}"
    if any(one.status is TrialStatus.DIVERGED for one in found.base.trials):
        return Claim(text, Outcome.UNTOLD, f"{told}, and so does the whole network")
    held = bool(ended) and len(diverged) == len(ended)
    return Claim(text, judged(held, bool(ended) and not diverged), told)


def _from(rates: StudyTable, edits: str) -> str:
    """The smallest rate at which a network diverges, with whichever seed."""
    broken = [
        one.variant.experiment.train.lr
        for one in rows(rates)
        if one.variant.edits == edits and any(t.status is TrialStatus.DIVERGED for t in one.trials)
    ]
    every = max(one.variant.experiment.train.lr for one in rows(rates))
    return f"from {min(broken):g} on" if broken else f"at no rate up to {every:g}"


def _errors(one: VariantRow, found: StudyTable) -> dict[int, float]:
    """The top-1 errors of a row's trials that ended with finite values, by seed."""
    split = found.study.split.value
    return {
        trial.seed: trial.scores[split].top1_error
        for trial in one.trials
        if trial.status is TrialStatus.FINISHED and split in trial.scores
    }


def _at(one: VariantRow, epoch: int, found: StudyTable) -> dict[int, float]:
    """The top-1 errors of a row's trials at the end of an epoch, by seed."""
    split = found.study.split.value
    return {
        trial.seed: at.scores[split].top1_error
        for trial in one.trials
        for at in trial.epochs
        if at.epoch == epoch and split in at.scores and math.isfinite(at.scores[split].top1_error)
    }


def _means(sides: Sequence[Mapping[int, float]]) -> dict[int, float]:
    """By seed the mean over networks, for seeds that all have."""
    shared = set.intersection(*(set(side) for side in sides))
    return {seed: statistics.fmean(side[seed] for side in sides) for seed in shared}


def _resolution(found: StudyTable) -> float:
    """One image as a share of all."""
    scores = [trial.scores.get(found.study.split.value) for trial in found.base.trials]
    return max((1 / score.images for score in scores if score), default=0.0)


def _points(found: Difference) -> str:
    """A difference with its interval, in points."""
    ends = f"{signed(100 * found.low, 1)} to {signed(100 * found.high, 1)}"
    return f"{signed(100 * found.mean, 1)} ({ends})"
