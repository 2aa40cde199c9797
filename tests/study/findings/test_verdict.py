"""Sentences: each says what was measured, and claims what the corrected p-value carries."""

from __future__ import annotations

import math

import pytest
from tests.study.tables import BASE_VARIANT, EXPERIMENT, trial, trials, variant

from cutaway.config import PretrainConfig
from cutaway.study import Difference, Effect, Estimate, Origin, Trial, TrialStatus, Variant, Verdict
from cutaway.study.findings.phrase import phrase
from cutaway.study.findings.verdict import judge, judge_base

RELU = variant("without relu1", "-relu1", Origin.ABLATE, layers=("relu1",))
NAN = math.nan


def points(
    mean: float, half: float, p: float = 0.001, adjusted: float | None = None, count: int = 5
) -> Difference:
    """A difference in points."""
    low, high = (mean - half) / 100, (mean + half) / 100
    return Difference(mean / 100, low, high, p, p if adjusted is None else adjusted, count)


def said(difference: Difference | None, one: Variant = RELU, seeds: int = 5, **more: float) -> Verdict:
    return judge(one, difference, trials(one.name, [0.1] * seeds), **more)  # type: ignore[arg-type]


def test_what_the_interval_carries_is_claimed() -> None:
    assert said(points(12.4, 1.1)) == Verdict(
        Effect.WORSE, "Without relu1 the top-1 error rises by 12.4 points (±1.1): it matters."
    )
    assert said(points(-0.82, 0.31)) == Verdict(
        Effect.BETTER, "Without relu1 the top-1 error falls by 0.8 points (±0.3): better without."
    )
    assert said(points(-0.82, 0.31), variant(edits="relu1=tanh")) == Verdict(
        Effect.BETTER, "With relu1 → tanh the top-1 error falls by 0.8 points (±0.3): better so."
    )


def test_what_it_does_not_carry_is_not() -> None:
    assert said(points(0.2, 0.5, 0.4, 0.9)) == Verdict(
        Effect.NONE_SEEN, "Without relu1, +0.2 points (±0.5): no effect seen with 5 seeds."
    )
    assert said(points(-0.02, 0.05, 0.4)).sentence == (
        "Without relu1, −0.02 points (±0.05): no effect seen with 5 seeds."
    )
    assert said(points(0.0, 0.5, 1.0)).sentence == (
        "Without relu1, 0.0 points (±0.5): no effect seen with 5 seeds."
    )


def test_the_corrected_p_value_decides_and_not_the_plain_interval() -> None:
    plain = points(0.62, 0.41, 0.012, 0.13)
    assert said(plain, compared=11) == Verdict(
        Effect.NONE_SEEN,
        "Without relu1, +0.6 points (±0.4): no effect seen with 5 seeds once corrected for 11 variants "
        "(p 0.012, corrected 0.13).",
    )
    assert "once corrected for 11 variants at 3 stages (" in said(plain, compared=11, stages=3).sentence
    assert "once corrected for one variant at 3 stages (" in said(plain, stages=3).sentence
    assert said(points(1, 0.9, 0.04, 0.05)).effect is Effect.NONE_SEEN
    assert said(points(1, 0.9, 0.04, 0.0499)).effect is Effect.WORSE


@pytest.mark.parametrize(
    ("mean", "half", "shown"),
    [
        (12.44, 1.06, "12.4 points (±1.1)"),
        (0.24, 0.23, "0.24 points (±0.23)"),  # ±0.2 and 0.2 would look as if 0 were in it
        (0.052, 0.048, "0.052 points (±0.048)"),
        (0.13, 0.05, "0.13 points (±0.05)"),
        (0.021, 0.0094, "0.021 points (±0.009)"),
        (0.5, 0.00004, "0.50000 points (±0.00004)"),
    ],
)
def test_decimals_show_on_which_side_of_zero_the_interval_ends(mean: float, half: float, shown: str) -> None:
    assert f"rises by {shown}:" in said(points(mean, half)).sentence
    assert f"falls by {shown}:" in said(points(-mean, half)).sentence


def test_decimals_show_that_zero_is_within_the_interval() -> None:
    assert "+0.4 points (±0.4)" in said(points(0.41, 0.43, 0.06)).sentence
    assert "+0.4 points (±0.5)" in said(points(0.449, 0.451, 0.06)).sentence


def test_one_seed_says_nothing() -> None:
    assert said(points(0.4, NAN, NAN, count=1), seeds=1) == Verdict(
        Effect.UNTOLD, "Without relu1, +0.4 points with one seed: nothing can be said."
    )
    assert said(points(-0.04, NAN, NAN, count=1), seeds=3) == Verdict(
        Effect.UNTOLD, "Without relu1, −0.04 points with 1 of 3 seeds: nothing can be said."
    )
    assert said(points(0.4, NAN, NAN, count=3), seeds=3).sentence == (
        "Without relu1, +0.4 points with 3 seeds that all agree: nothing can be said."
    )


def test_fewer_pairs_than_seeds_are_told() -> None:
    assert said(points(12.4, 1.1, count=3)).sentence == (
        "Without relu1 the top-1 error rises by 12.4 points (±1.1), with 3 of 5 seeds: it matters."
    )
    assert said(points(0.2, 0.5, 0.4, count=3)).sentence == (
        "Without relu1, +0.2 points (±0.5): no effect seen with 3 of 5 seeds."
    )


def test_divergence_is_a_result() -> None:
    reason = "NaN at step 212 in conv3"
    gone = [trial("x", seed, status=TrialStatus.DIVERGED, reason=reason) for seed in range(3)]
    pool = variant("without pool1", "-pool1", Origin.ABLATE, layers=("pool1",))
    assert judge(pool, None, gone) == Verdict(
        Effect.DIVERGES, f"Without pool1 training diverges in 3 of 3 trials ({reason})."
    )
    some = [gone[0], *trials("x", [0.1, 0.2, 0.3])]
    assert judge(pool, points(0.2, 1.5, 0.4, count=3), some) == Verdict(
        Effect.DIVERGES,
        f"Without pool1 training diverges in 1 of 4 trials ({reason}); where it does not, "
        "+0.2 points (±1.5): no effect seen with 3 of 4 seeds.",
    )
    assert judge(pool, points(9, 1.5, count=3), some).sentence.endswith(
        "; where it does not, the top-1 error rises by 9.0 points (±1.5), with 3 of 4 seeds: it matters."
    )
    begun = [gone[0], Trial("x", 1), Trial("x", 2)]
    assert judge(pool, None, begun).sentence == (
        f"Without pool1 training diverges in 1 of 1 trial so far ({reason})."
    )


def test_what_the_study_ended_early_is_told_of_where_it_ended() -> None:
    assert said(points(3.1, 0.8), budget=0.25) == Verdict(
        Effect.WORSE,
        "Without relu1 the top-1 error rises by 3.1 points (±0.8) at a quarter of the budget, where the "
        "study ended it.",
    )
    assert said(points(0.2, 0.5, 0.4), budget=0.5).sentence == (
        "Without relu1, +0.2 points (±0.5) at half of the budget, where the study ended it: no effect seen "
        "with 5 seeds."
    )
    assert " at 12.5 % of the budget," in said(points(0.2, 0.5, 0.4), budget=0.125).sentence


def test_what_can_not_be_trained_or_was_not_yet_says_why() -> None:
    problem = "line 4: conv2 has a 5×5 kernel but its input is 4×4.\n    conv 4 5x5"
    broken = Variant("without pool1", EXPERIMENT, None, "-pool1", layers=("pool1",), problem=problem)
    assert judge(broken, None, [Trial("without pool1", 0)]) == Verdict(
        Effect.UNTOLD,
        "Without pool1 it can't be trained: line 4: conv2 has a 5×5 kernel but its input is 4×4.",
    )
    waiting = [Trial("x", seed) for seed in range(3)]
    assert judge(RELU, None, waiting).sentence == "Without relu1, no trial has ended yet."
    failed = [Trial("x", 0, status=TrialStatus.FAILED, reason="the disk is full."), *waiting[1:]]
    assert judge(RELU, None, failed).sentence == (
        "Without relu1, 1 of 1 trial so far (the disk is full) failed: run the study again."
    )
    ended = trials("x", [0.1, 0.1])
    assert judge(RELU, None, ended, waiting).sentence == (
        "Without relu1, nothing to compare with yet: no trial of the base with a seed of these has ended."
    )
    gone = [Trial("base", seed, status=TrialStatus.DIVERGED, reason="NaN") for seed in range(2)]
    assert judge(RELU, None, ended, gone) == Verdict(
        Effect.UNTOLD,
        "Without relu1, nothing to compare with: the base diverges in 2 of 2 trials (NaN).",
    )


def test_the_base_is_told_of_without_a_claim() -> None:
    five = trials("base", [0.1] * 5)
    assert judge_base(five, Estimate(0.01234, 0.0112, 0.0135, 5)) == Verdict(
        Effect.UNTOLD, "The base has a top-1 error of 1.2 % (±0.1) with 5 seeds."
    )
    assert judge_base(five[:1], Estimate(0.01234, NAN, NAN, 1)).sentence == (
        "The base has a top-1 error of 1.23 % with one seed."
    )
    assert judge_base([Trial("base", 0)], None).sentence == "The base: no trial has ended yet."
    gone = [trial("base", 0, status=TrialStatus.DIVERGED, reason="NaN"), *five[1:3]]
    assert judge_base(gone, Estimate(0.01, 0.008, 0.012, 2)) == Verdict(
        Effect.DIVERGES,
        "The base diverges in 1 of 3 trials (NaN); where it does not, it has a top-1 error of 1.0 % (±0.2) "
        "with 2 of 3 seeds.",
    )
    assert judge_base(gone[:1], None).sentence == "The base diverges in 1 of 1 trial (NaN)."


@pytest.mark.parametrize(
    ("one", "expected"),
    [
        (BASE_VARIANT, "The base"),
        (RELU, "Without relu1"),
        (variant(edits="-relu1"), "Without relu1"),
        (variant(edits="relu1=tanh"), "With relu1 → tanh"),
        (variant(edits="-relu1 -pool1 conv1.filters=3"), "Without relu1 and pool1, with conv1.filters 3"),
        (variant(edits="conv1+=batchnorm"), "With batchnorm after conv1"),
        (variant(edits="..flatten1 +dense 10"), "Cut off after flatten1, with dense 10 at the end"),
        (variant("narrow", "conv1.filters=1"), 'With "narrow"'),
        (variant("with one filter", "conv1.filters=1"), "With one filter"),
        (variant("a b", "-relu1 -pool1", Origin.STAGE, layers=("relu1", "pool1")), "Without relu1 and pool1"),
        (
            variant("conv1 random", origin=Origin.FREEZE, layers=("conv1",)),
            "With conv1 random and frozen",
        ),
        (
            variant("c", origin=Origin.FREEZE_UP_TO, layers=("conv1", "conv2", "conv3")),
            "With conv1 to conv3 random and frozen",
        ),
        (variant("train.lr 0.05", changes={"train.lr": 0.05}), "With train.lr 0.05"),
        (
            variant("-relu1, train.lr 0.05", "-relu1", Origin.GRID, changes={"train.lr": 0.05}),
            "Without relu1, with train.lr 0.05",
        ),
        (
            variant("train.freeze conv1 conv2", changes={"train.freeze": ["conv1", "conv2"]}),
            "With conv1 and conv2 random and frozen",
        ),
        (
            variant(
                "conv1 random",
                origin=Origin.FREEZE,
                layers=("conv1",),
                experiment=EXPERIMENT.model_copy(update={"pretrain": PretrainConfig(layers=("conv1",))}),
            ),
            "With conv1 frozen",
        ),
        (Variant("-relu", EXPERIMENT, None, "relu", problem="no edit"), 'With "-relu"'),
    ],
)
def test_variants_are_named_as_a_sentence_begins(one: Variant, expected: str) -> None:
    assert phrase(one) == expected
