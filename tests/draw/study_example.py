"""A study's results made by hand: nothing is trained, and every number is known."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

from cutaway.config import Experiment, StoppingConfig, StoppingKind, Study
from cutaway.nets import parse_net, plan
from cutaway.store import EpochRow
from cutaway.study import (
    BASE,
    Difference,
    Effect,
    Estimate,
    Measure,
    Origin,
    StudyTable,
    Trial,
    TrialStatus,
    Variant,
    VariantRow,
    Verdict,
)
from cutaway.training import Score

EPOCHS = 5
_T = {2: 12.706, 3: 4.303, 4: 3.182, 5: 2.776, 8: 2.365, 10: 2.262}
"""Two-sided 95 % quantiles of Student's t, by the number of values."""

_NET = "conv 4 3x3 | relu | conv 6 3x3 | relu | flatten | dense 10"


@dataclass(frozen=True)
class Plot:
    """What a variant of the example comes to.

    Args:
        last: its top-1 error in the last epoch, with seed 0.
        spread: what each further seed adds.
        broken: how many of its trials, the last ones, diverge in epoch 2.
        early: all of its trials end in epoch 2.
    """

    name: str
    net: str
    last: float
    spread: float
    effect: Effect
    adjusted: float
    broken: int = 0
    early: bool = False
    problem: str = ""


PLOTS = (
    Plot("without relu1", _NET.replace("| relu ", "", 1), 0.35, 0.004, Effect.WORSE, 0.0004),
    Plot("conv1 random", _NET, 0.229, -0.002, Effect.NONE_SEEN, 1.0),
    Plot("conv2.filters=12", _NET.replace("conv 6", "conv 12"), 0.17, 0.004, Effect.BETTER, 0.021),
    Plot("train.lr=0.5", _NET, 0.24, 0.005, Effect.DIVERGES, math.nan, broken=2),
    Plot("without conv2 and relu2", "conv 4 3x3 | relu | flatten | dense 10", 0.15, 0.006, Effect.WORSE, 0.03,
         early=True),
    Plot("without conv1", "relu | dense 10", 0.9, 0.0, Effect.UNTOLD, math.nan,
         problem="dense1 works on values in one row, not on maps of 1×8×8. Put flatten before it."),
)  # fmt: skip


def some_table(seeds: int = 3, *, test: bool = True, plots: Sequence[Plot] = PLOTS) -> StudyTable:
    """A base with an error of 22, 23, 24 … % and variants of it.

    Args:
        seeds: trials of each.
        test: whether the test split was scored in every epoch.
        plots: the variants.
    """
    stopping = StoppingConfig(rule=StoppingKind.HALVING, rungs=(0.4,), keep=0.5)
    study = Study(name="what layers are worth", base="small", seeds=seeds, stopping=stopping)
    base = _row(Plot(BASE, _NET, 0.22, 0.01, Effect.NONE_SEEN, math.nan), seeds, test)
    base = replace(base, verdict=Verdict(Effect.UNTOLD, "The base has a top-1 error of 23.0 %."))
    rows = tuple(_compared(_row(one, seeds, test), base, one) for one in plots)
    return StudyTable("k3vq81xa", study, base, rows)


def _row(one: Plot, seeds: int, test: bool) -> VariantRow:
    planned = None if one.problem else plan(parse_net(one.net), (1, 8, 8))
    origin = Origin.BASE if one.name == BASE else Origin.GIVEN
    experiment = Experiment(name="small", net=one.net)
    variant = Variant(one.name, experiment, planned, origin=origin, problem=one.problem)
    if planned is None:
        return VariantRow(variant, (), 0, {}, {}, Verdict(one.effect, f"{one.name} can't be trained."))
    trials = tuple(_trial(one, seed, seeds, test) for seed in range(seeds))
    ended = [trial for trial in trials if trial.status is not TrialStatus.DIVERGED]
    estimates = {}
    if ended:
        for measure in (Measure.OBJECTIVE, Measure.TOP1, Measure.TOP5):
            estimates[measure] = estimate([getattr(trial.scores["test"], measure) for trial in ended])
        estimates[Measure.SECONDS] = estimate([trial.seconds for trial in ended])
    for measure, number in ((Measure.MULTIPLY_ADDS, planned.multiply_adds), (Measure.MEMORY, 3_000_000.0)):
        estimates[measure] = Estimate(number, number, number, seeds)
    sentence = f"{one.name[:1].upper()}{one.name[1:]}: {one.effect}."
    budget = 0.4 if one.early else 1.0
    verdict = Verdict(one.effect, sentence)
    return VariantRow(variant, trials, planned.parameters, estimates, {}, verdict, budget)


def _trial(one: Plot, seed: int, seeds: int, test: bool) -> Trial:
    diverges = seed >= seeds - one.broken
    last = 2 if one.early or diverges else EPOCHS
    epochs = tuple(_epoch(one, seed, epoch, test, diverges and epoch == last) for epoch in range(1, last + 1))
    status = TrialStatus.DIVERGED if diverges else TrialStatus.EARLY if one.early else TrialStatus.FINISHED
    reason = "NaN at step 212 in conv1" if diverges else "rung 0.4: 5th of 5" if one.early else ""
    scores = {"validation": _score(one, seed, last, 0.99), "test": _score(one, seed, last, 1.0)}
    return Trial(
        one.name, seed, f"run{len(one.name):02d}{seed:02d}", status, reason, epochs, 4.0 * last + 0.2 * seed,
        {} if diverges else scores,
    )  # fmt: skip


def _epoch(one: Plot, seed: int, epoch: int, test: bool, broken: bool) -> EpochRow:
    shares = {"train": 0.9, "validation": 0.99} | ({"test": 1.0} if test else {})
    scores = {split: _score(one, seed, epoch, share) for split, share in shares.items()}
    if broken:
        scores = {split: replace(score, objective=math.nan) for split, score in scores.items()}
    return EpochRow(epoch, 0.1, 4.0, 500.0, epoch == EPOCHS, scores)


def _score(one: Plot, seed: int, epoch: int, share: float) -> Score:
    """Falls from epoch to epoch to the variant's error in the last."""
    top1 = min(1.0, (one.last + one.spread * seed) * share * (1 + 0.5 * (EPOCHS - epoch)))
    return Score(3 * top1, top1, top1 / 3, 1000)


def estimate(values: Sequence[float]) -> Estimate:
    """A mean with Student's interval."""
    mean, half = _student(values)
    return Estimate(mean, mean - half, mean + half, len(values))


def _student(values: Sequence[float]) -> tuple[float, float]:
    count = len(values)
    mean = sum(values) / count
    if count < 2:
        return mean, math.nan
    deviation = math.sqrt(sum((value - mean) ** 2 for value in values) / (count - 1))
    return mean, _T[count] * deviation / math.sqrt(count)


def _compared(row: VariantRow, base: VariantRow, one: Plot) -> VariantRow:
    pairs = [
        trial.scores["test"].top1_error - other.scores["test"].top1_error
        for trial, other in zip(row.trials, base.trials, strict=False)
        if trial.scores
    ]
    if not pairs:
        return row
    mean, half = _student(pairs)
    lone = math.isnan(half)
    adjusted = math.nan if lone else one.adjusted
    difference = Difference(mean, mean - half, mean + half, adjusted / 5, adjusted, len(pairs))
    effect = Effect.UNTOLD if lone and one.effect is not Effect.DIVERGES else one.effect
    return replace(row, differences={Measure.TOP1: difference}, verdict=replace(row.verdict, effect=effect))
