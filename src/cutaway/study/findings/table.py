"""A study's results: a row a variant, with intervals, differences to the base and verdicts."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

from cutaway.config import StoppingKind, Study
from cutaway.errors import ConfigError
from cutaway.nets import training_memory
from cutaway.study.findings.statistics import Difference, Estimate, corrected, estimate, paired
from cutaway.study.findings.verdict import Verdict, judge, judge_base
from cutaway.study.trial import Trial, TrialStatus
from cutaway.study.variant import Variant
from cutaway.training import Score
from cutaway.training.room import optimiser_states


class Measure(StrEnum):
    """What trials are compared by."""

    OBJECTIVE = "objective"
    """Cross-entropy in nats, on the study's split."""
    TOP1 = "top1_error"
    """Share of images, 0 to 1."""
    TOP5 = "top5_error"
    """Share of images, 0 to 1."""
    SECONDS = "seconds"
    """Of training and scoring, on the machine that trained it."""
    MULTIPLY_ADDS = "multiply_adds"
    """Of the net for one image: the same for every seed."""
    MEMORY = "memory"
    """Bytes of a training step at its fullest, by the planner: the same for every seed."""


PLANNED = (Measure.MULTIPLY_ADDS, Measure.MEMORY)
"""Known without training, exactly: their intervals have no width, and nothing is tested."""

MEASURED = (Measure.OBJECTIVE, Measure.TOP1, Measure.TOP5, Measure.SECONDS)
"""Known from trials."""

_SCORED = frozenset({TrialStatus.FINISHED, TrialStatus.PLATEAU, TrialStatus.EARLY})
"""Trials whose scores count. Those that diverged are counted apart: a mean over the others says so."""


@dataclass(frozen=True)
class VariantRow:
    """A variant and what came of it.

    Args:
        variant: what it is.
        trials: one for each seed, in their order.
        parameters: of its net; 0 where it can't be planned.
        estimates: over the seeds that ended with finite values.
        differences: to the base, paired by seed; empty for the base itself.
        verdict: of the top-1 error.
        budget: the share of it that scores and differences are of: below 1 where the study ended trials
            early, and then the base's are those that it had there.
    """

    variant: Variant
    trials: tuple[Trial, ...]
    parameters: int
    estimates: Mapping[Measure, Estimate]
    differences: Mapping[Measure, Difference]
    verdict: Verdict
    budget: float = 1.0


@dataclass(frozen=True)
class StudyTable:
    """A study's results.

    Args:
        id: eight letters and digits; empty for one that is in no ledger.
        study: what was asked for.
        base: the row that the others are compared to.
        rows: the others, in the study's order.
    """

    id: str
    study: Study
    base: VariantRow
    rows: tuple[VariantRow, ...]

    def row(self, name: str) -> VariantRow:
        """The row of a variant by its name; KeyError where there is none."""
        for row in (self.base, *self.rows):
            if row.variant.name == name:
                return row
        raise KeyError(name)


def tabulate(
    study: Study,
    variants: Sequence[Variant],
    trials: Sequence[Trial],
    id: str = "",  # noqa: A002
) -> StudyTable:
    """What a study's trials say, as far as there are any.

    Args:
        study: what was asked for.
        variants: the base first.
        trials: in any order; those of other variants or seeds than the study's are left out, and those
            that there are not yet are taken as waiting.
        id: of the study in the ledger.

    Raises:
        ConfigError: there are no variants.
    """
    if not variants:
        raise ConfigError("A study needs at least its base; expand() gives it and its variants.")
    by_seed = {(trial.variant, trial.seed): trial for trial in trials}
    every = [
        tuple(by_seed.get((one.name, seed), Trial(one.name, seed)) for seed in study.every_seed)
        for one in variants
    ]
    split = study.split.value
    base = _Side(variants[0], every[0], split)
    others = [_Side(one, own, split) for one, own in zip(variants[1:], every[1:], strict=True)]
    stages = 1 + len(study.stopping.rungs) if study.stopping.rule is StoppingKind.HALVING else 1
    differences = _differences(others, base, stages)
    compared = sum(not math.isnan(found[Measure.TOP1].p) for found in differences if Measure.TOP1 in found)
    estimates = base.estimates()
    first = VariantRow(
        base.variant,
        base.trials,
        base.parameters,
        estimates,
        {},
        judge_base(base.trials, estimates.get(Measure.TOP1)),
        base.budget,
    )
    rows = []
    for side, found in zip(others, differences, strict=True):
        verdict = judge(
            side.variant,
            found.get(Measure.TOP1),
            side.trials,
            base.trials,
            compared=compared,
            stages=stages,
            budget=side.budget,
        )
        rows.append(
            VariantRow(
                side.variant, side.trials, side.parameters, side.estimates(), found, verdict, side.budget
            )
        )
    return StudyTable(id, study, first, tuple(rows))


class _Side:
    """One of the two that are compared: a variant, its trials, and what they measured.

    Args:
        variant: it or the base.
        trials: one for each seed.
        split: whose scores count.
    """

    def __init__(self, variant: Variant, trials: tuple[Trial, ...], split: str) -> None:
        self.variant, self.trials, self.split = variant, trials, split
        self.parameters = variant.plan.parameters if variant.plan else 0
        ended = [max(one.rungs) for one in trials if one.status is TrialStatus.EARLY and one.rungs]
        self.budget = min(ended, default=1.0)
        self.planned = _planned(variant)

    def scores(self, budget: float) -> dict[int, Score]:
        """By seed, what was measured at a share of the budget: 1 for where trials ended."""
        found = {}
        for trial in self.trials:
            # Where it ended early is no end, and its scores there are none of a whole budget.
            whole = trial.scores if trial.status is not TrialStatus.EARLY else {}
            score = (whole if budget >= 1 else trial.rungs.get(budget, {})).get(self.split)
            if trial.status in _SCORED and score is not None:
                found[trial.seed] = score
        return found

    def values(self, measure: Measure, budget: float) -> dict[int, float]:
        """By seed."""
        if measure is Measure.SECONDS:
            return {trial.seed: trial.seconds for trial in self.trials if trial.status in _SCORED}
        return {seed: float(getattr(score, measure.value)) for seed, score in self.scores(budget).items()}

    def resolution(self, measure: Measure, budget: float) -> float:
        """One image as a share of all; 0 for what is no share."""
        if measure not in {Measure.TOP1, Measure.TOP5}:
            return 0.0
        return max((1 / score.images for score in self.scores(budget).values()), default=0.0)

    def estimates(self) -> dict[Measure, Estimate]:
        """Of what there is."""
        measured = {
            measure: estimate(
                self.values(measure, self.budget).values(), self.resolution(measure, self.budget)
            )
            for measure in MEASURED
        }
        planned = {
            measure: Estimate(value, value, value, len(self.trials))
            for measure, value in self.planned.items()
        }
        return {measure: one for measure, one in (measured | planned).items() if one.count}


def _planned(variant: Variant) -> dict[Measure, float]:
    if variant.plan is None:
        return {}
    recipe = variant.experiment.train
    images = min(recipe.microbatch or recipe.batch, recipe.batch)
    memory = training_memory(variant.plan, images, optimiser_states(recipe)).total
    return {Measure.MULTIPLY_ADDS: float(variant.plan.multiply_adds), Measure.MEMORY: float(memory)}


def _differences(others: Sequence[_Side], base: _Side, stages: int) -> list[dict[Measure, Difference]]:
    """Of each variant to the base, corrected by measure over all variants."""
    found = [_difference(side, base) for side in others]
    for measure in MEASURED:
        having = [one for one in found if measure in one]
        for one, difference in zip(having, corrected([one[measure] for one in having], stages), strict=True):
            one[measure] = difference
    return found


def _difference(side: _Side, base: _Side) -> dict[Measure, Difference]:
    budget = min(side.budget, base.budget)
    found = {}
    for measure in MEASURED:
        if measure is Measure.SECONDS and budget < 1:
            continue  # the time of a part of the budget and that of the whole are no pair
        difference = paired(
            side.values(measure, budget),
            base.values(measure, budget),
            max(side.resolution(measure, budget), base.resolution(measure, budget)),
        )
        if difference.count:
            found[measure] = difference
    for measure in PLANNED:
        if measure in side.planned and measure in base.planned:
            value = side.planned[measure] - base.planned[measure]
            found[measure] = Difference(value, value, value, math.nan, math.nan, len(side.trials))
    return found
