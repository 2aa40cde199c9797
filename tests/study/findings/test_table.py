"""Tables of trials whose scores are known: who is compared with whom, in what, and what is left out."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats
from tests.study.tables import BASE_VARIANT, EXPERIMENT, score, trial, trials, variant

from cutaway.config import SplitKind, StoppingConfig, StoppingKind, Study, TrainConfig
from cutaway.errors import ConfigError
from cutaway.nets import training_memory
from cutaway.study import BASE, Effect, Estimate, Measure, Origin, Trial, TrialStatus, Variant
from cutaway.study.findings.table import tabulate

RELU = variant("without relu1", "-relu1", Origin.ABLATE, layers=("relu1",))
POOL = variant("without pool1", "-pool1", Origin.ABLATE, layers=("pool1",))
VARIANTS = [BASE_VARIANT, RELU, POOL]
FIVE, THREE = Study(seeds=5), Study(seeds=3)
HALVING = Study(seeds=3, stopping=StoppingConfig(rule=StoppingKind.HALVING, rungs=(0.25, 0.5)))

BASES = [0.020, 0.025, 0.022, 0.027, 0.021]
WORSE = [0.120, 0.129, 0.123, 0.126, 0.119]
SIMILAR = [0.023, 0.024, 0.020, 0.029, 0.022]

EVERY = [*trials(BASE, BASES), *trials(RELU.name, WORSE), *trials(POOL.name, SIMILAR)]


def test_a_table_has_means_differences_and_verdicts() -> None:
    table = tabulate(FIVE, VARIANTS, EVERY, "abcd1234")
    assert (table.id, table.study) == ("abcd1234", FIVE)
    relu, pool = table.rows
    assert table.row(RELU.name) is relu
    assert table.row(BASE) is table.base
    with pytest.raises(KeyError):
        table.row("without conv1")
    assert [one.seed for one in relu.trials] == [0, 1, 2, 3, 4]

    low, high = stats.t.interval(0.95, 4, loc=np.mean(WORSE), scale=stats.sem(WORSE))
    top1 = relu.estimates[Measure.TOP1]
    assert (top1.low, top1.mean, top1.high) == pytest.approx((low, np.mean(WORSE), high))
    for row, errors in ((relu, WORSE), (pool, SIMILAR)):
        test = stats.ttest_rel(errors, BASES)
        difference = row.differences[Measure.TOP1]
        assert difference.p == pytest.approx(test.pvalue)
        assert (difference.low, difference.high) == pytest.approx(tuple(test.confidence_interval(0.95)))
    # Two are compared: the smaller p counts twice, the other once.
    assert relu.differences[Measure.TOP1].adjusted == pytest.approx(2 * relu.differences[Measure.TOP1].p)
    assert pool.differences[Measure.TOP1].adjusted == pool.differences[Measure.TOP1].p

    assert (relu.verdict.effect, pool.verdict.effect) == (Effect.WORSE, Effect.NONE_SEEN)
    assert relu.verdict.sentence.startswith("Without relu1 the top-1 error rises by 10.0 points (±")
    assert table.base.differences == {}
    assert table.base.verdict.sentence.startswith("The base has a top-1 error of 2.3 % (±")


def test_what_only_the_plain_interval_carries_is_told_with_the_number_of_variants() -> None:
    lifted = [base + more for base, more in zip(BASES, [0.01, 0.02, 0.03, 0.004, 0.036], strict=True)]
    some = [one for one in EVERY if one.variant == BASE]
    some += [*trials(RELU.name, lifted), *trials(POOL.name, SIMILAR)]
    row = tabulate(FIVE, VARIANTS, some).rows[0]
    assert row.differences[Measure.TOP1].low > 0
    assert row.verdict.effect is Effect.NONE_SEEN
    p = stats.ttest_rel(lifted, BASES).pvalue
    assert f" once corrected for 2 variants (p {p:.2g}, corrected {2 * p:.2g})." in row.verdict.sentence


def test_every_measure_is_compared_on_the_study_s_split() -> None:
    relu = tabulate(FIVE, VARIANTS, EVERY).rows[0]
    assert set(relu.estimates) == set(relu.differences) == set(Measure)
    for measure, factor in ((Measure.OBJECTIVE, 3), (Measure.TOP1, 1), (Measure.TOP5, 0.25)):
        assert relu.estimates[measure].mean == pytest.approx(factor * np.mean(WORSE))
        expected = factor * (np.mean(WORSE) - np.mean(BASES))
        assert relu.differences[measure].mean == pytest.approx(expected)
    assert relu.estimates[Measure.SECONDS].mean == pytest.approx(12)
    validation = Study(seeds=5, split=SplitKind.VALIDATION)
    assert tabulate(validation, VARIANTS, EVERY).rows[0].estimates[Measure.TOP1].mean == 0.5


def test_what_the_planner_knows_is_exact_and_not_tested() -> None:
    adam = EXPERIMENT.model_copy(update={"train": TrainConfig(optimiser="adam", batch=64, microbatch=16)})
    variants = [BASE_VARIANT, POOL, variant("adam", experiment=adam)]
    table = tabulate(THREE, variants, [])
    assert POOL.plan is not None
    assert BASE_VARIANT.plan is not None
    # By hand: a 3×3 kernel of 2 filters on 6×6 places; a dense layer behind a pool to 3×3, or behind none.
    base, pool = 2 * 9 * 36 + 2 * 9 * 10, 2 * 9 * 36 + 2 * 36 * 10
    assert table.base.estimates[Measure.MULTIPLY_ADDS] == Estimate(base, base, base, 3)
    assert (table.rows[0].parameters, table.base.parameters) == (2 * 9 + 2 + 72 * 10 + 10, 2 * 9 + 2 + 190)
    difference = table.rows[0].differences[Measure.MULTIPLY_ADDS]
    assert (difference.low, difference.mean, difference.high) == (pool - base,) * 3
    assert math.isnan(difference.p)
    assert math.isnan(difference.adjusted)
    # SGD with momentum remembers a number for each weight, Adam two; 16 images go through at once.
    memory = [row.estimates[Measure.MEMORY].mean for row in (table.base, *table.rows)]
    plans = BASE_VARIANT.plan, POOL.plan
    assert memory[:2] == [training_memory(one, 128, states=1).total for one in plans]
    assert memory[2] == training_memory(plans[0], 16, states=2).total


def test_missing_trials_lower_the_count() -> None:
    some = [
        one for one in EVERY if (one.variant, one.seed) not in {(BASE, 1), (RELU.name, 3), (RELU.name, 4)}
    ]
    some.append(Trial(RELU.name, 3, status=TrialStatus.FAILED, reason="the disk is full"))
    row = tabulate(FIVE, VARIANTS, some).rows[0]
    assert [one.status for one in row.trials] == [TrialStatus.FINISHED] * 3 + ["failed", "waiting"]
    assert row.estimates[Measure.TOP1].count == 3
    assert row.differences[Measure.TOP1].count == 2
    assert row.differences[Measure.TOP1].mean == pytest.approx(0.1 + 0.001 / 2)
    assert " with 2 of 5 seeds" in row.verdict.sentence


def test_trials_of_other_seeds_and_variants_are_left_out() -> None:
    more = [*EVERY, trial(RELU.name, 7, 0.9), trial("gone", 0, 0.9)]
    assert repr(tabulate(FIVE, VARIANTS, more)) == repr(tabulate(FIVE, VARIANTS, EVERY))  # NaN too
    later = Study(seeds=2, first_seed=3)
    assert [one.seed for one in tabulate(later, VARIANTS, EVERY).rows[0].trials] == [3, 4]


def test_a_plateau_counts_as_an_end() -> None:
    some = [
        trial(one.variant, one.seed, WORSE[one.seed], TrialStatus.PLATEAU)
        if one.variant == RELU.name
        else one
        for one in EVERY
    ]
    assert tabulate(FIVE, VARIANTS, some).rows[0].differences[Measure.TOP1].count == 5


def test_without_trials_there_is_a_table_that_says_so() -> None:
    table = tabulate(THREE, VARIANTS, [])
    assert [row.verdict.effect for row in table.rows] == [Effect.UNTOLD] * 2
    assert table.rows[0].verdict.sentence == "Without relu1, no trial has ended yet."
    assert set(table.rows[0].estimates) == {Measure.MULTIPLY_ADDS, Measure.MEMORY}
    with pytest.raises(ConfigError, match="at least its base"):
        tabulate(THREE, [], [])


def test_one_seed_claims_no_interval() -> None:
    row = tabulate(Study(seeds=1), VARIANTS, EVERY).rows[0]
    assert math.isnan(row.estimates[Measure.TOP1].low)
    assert math.isnan(row.differences[Measure.TOP1].adjusted)
    assert row.verdict.effect is Effect.UNTOLD
    assert row.verdict.sentence == "Without relu1, +10.0 points with one seed: nothing can be said."


def test_trials_that_diverge_are_in_no_mean() -> None:
    gone = [
        trial(POOL.name, seed, math.nan, TrialStatus.DIVERGED, reason="NaN at step 212 in conv1")
        for seed in range(2)
    ]
    some = [one for one in EVERY if one.variant != POOL.name or one.seed > 1] + gone
    row = tabulate(FIVE, VARIANTS, some).rows[1]
    assert row.verdict.effect is Effect.DIVERGES
    assert "diverges in 2 of 5 trials (NaN at step 212 in conv1); where it does not, " in row.verdict.sentence
    assert {row.estimates[measure].count for measure in (Measure.TOP1, Measure.SECONDS)} == {3}
    assert row.estimates[Measure.TOP1].mean == pytest.approx(np.mean(SIMILAR[2:]))
    # All of them: one variant less is compared.
    every = [one for one in EVERY if one.variant != POOL.name]
    every += [trial(POOL.name, seed, math.nan, TrialStatus.DIVERGED) for seed in range(5)]
    table = tabulate(FIVE, VARIANTS, every)
    assert Measure.TOP1 not in table.rows[1].estimates
    assert Measure.TOP1 not in table.rows[1].differences
    difference = table.rows[0].differences[Measure.TOP1]
    assert difference.adjusted == difference.p


def test_a_variant_that_can_not_be_trained_is_a_row() -> None:
    broken = Variant("without conv1", EXPERIMENT, None, "-conv1", problem="line 3: too small.")
    row = tabulate(FIVE, [*VARIANTS, broken], EVERY).rows[2]
    assert (row.parameters, row.estimates, row.differences) == (0, {}, {})
    assert row.verdict.effect is Effect.UNTOLD


def test_seeds_that_agree_on_few_images_claim_nothing() -> None:
    # One image of 1000 more with each of three seeds: t would be infinite.
    some = [*trials(BASE, [0.02, 0.021, 0.019]), *trials(RELU.name, [0.021, 0.022, 0.020])]
    row = tabulate(THREE, [BASE_VARIANT, RELU], some).rows[0]
    assert row.differences[Measure.TOP1].half == pytest.approx(
        stats.t.ppf(0.975, 2) * math.sqrt(2 / 3) / 1000
    )
    assert row.verdict.effect is Effect.NONE_SEEN
    # The one of fewer images decides how finely a share is known.
    coarse = [Trial(RELU.name, 0, status=TrialStatus.FINISHED, scores={"test": score(0.02, images=50)})]
    row = tabulate(THREE, [BASE_VARIANT, RELU], [*some[:5], *coarse]).rows[0]
    assert row.differences[Measure.TOP1].count == 2
    row = tabulate(THREE, [BASE_VARIANT, RELU], [*some[:3], *some[4:], *coarse]).rows[0]
    assert row.differences[Measure.TOP1].half == pytest.approx(stats.t.ppf(0.975, 2) * math.sqrt(2 / 3) / 50)


def test_what_ended_early_is_compared_with_the_base_at_that_rung() -> None:
    quarter, half = [0.30, 0.31, 0.32], [0.2, 0.2, 0.2]
    base = [trial(BASE, seed, 0.02, rungs={0.25: quarter[seed], 0.5: half[seed]}) for seed in range(3)]
    early = [
        trial(RELU.name, seed, 0.52 + seed / 100, TrialStatus.EARLY, {0.25: 0.52 + seed / 50})
        for seed in range(3)
    ]
    going = [trial(POOL.name, seed, 0.03, rungs={0.25: 0.3, 0.5: 0.2}) for seed in range(3)]
    table = tabulate(HALVING, VARIANTS, [*base, *early, *going])
    relu, pool = table.rows
    assert (table.base.budget, relu.budget, pool.budget) == (1.0, 0.25, 1.0)
    test = stats.ttest_rel([0.52, 0.54, 0.56], quarter)
    difference = relu.differences[Measure.TOP1]
    assert difference.mean == pytest.approx(0.23)
    assert difference.p == pytest.approx(test.pvalue)
    assert relu.estimates[Measure.TOP1].mean == pytest.approx(0.54)
    # Each of the two could have been compared at either rung or at the end.
    assert difference.adjusted == pytest.approx(min(1, 3 * 2 * difference.p))
    assert "at a quarter of the budget, where the study ended it" in relu.verdict.sentence
    # A quarter of the time against all of it says nothing; the net's own cost is what it is.
    assert Measure.SECONDS not in relu.differences
    assert Measure.MULTIPLY_ADDS in relu.differences
    assert Measure.SECONDS in pool.differences
    assert table.base.estimates[Measure.TOP1].mean == pytest.approx(0.02)


def test_trials_of_a_variant_are_compared_where_the_first_of_them_ended() -> None:
    base = [trial(BASE, seed, 0.02, rungs={0.25: 0.3, 0.5: 0.2}) for seed in range(3)]
    mixed = [
        trial(RELU.name, 0, 0.25, TrialStatus.EARLY, {0.25: 0.35, 0.5: 0.25}),
        trial(RELU.name, 1, 0.36, TrialStatus.EARLY, {0.25: 0.36}),
        trial(RELU.name, 2, 0.03, rungs={0.25: 0.34, 0.5: 0.2}),
    ]
    row = tabulate(HALVING, [BASE_VARIANT, RELU], [*base, *mixed]).rows[0]
    assert row.budget == 0.25
    assert row.differences[Measure.TOP1].count == 3
    assert row.differences[Measure.TOP1].mean == pytest.approx(0.05)
    # One that has no rung to be compared at is in no mean.
    lost = [trial(RELU.name, 0, 0.25, TrialStatus.EARLY), *trials(RELU.name, [0, 0.03, 0.02])[1:]]
    row = tabulate(HALVING, [BASE_VARIANT, RELU], [*base, *lost]).rows[0]
    assert (row.budget, row.differences[Measure.TOP1].count) == (1.0, 2)
