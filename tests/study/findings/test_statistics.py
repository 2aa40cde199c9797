"""Means, paired differences and Holm's correction against SciPy and the papers' definitions."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import pytest
from scipy import stats

from cutaway.study.findings.statistics import Difference, corrected, estimate, holm, paired

ERRORS = [0.0123, 0.0131, 0.0119, 0.0127, 0.0140]


def draws(count: int, seed: int) -> tuple[dict[int, float], dict[int, float]]:
    generator = np.random.default_rng(seed)
    shared = generator.normal(size=count)
    variant, base = (shared + generator.normal(size=(2, count))).tolist()
    return dict(enumerate(variant)), dict(enumerate(base))


@pytest.mark.parametrize("count", [2, 3, 5, 30])
def test_a_mean_has_the_t_interval_of_scipy(count: int) -> None:
    values = list(draws(count, seed=count)[0].values())
    found = estimate(values)
    low, high = stats.t.interval(0.95, count - 1, loc=np.mean(values), scale=stats.sem(values))
    assert found.count == count
    assert found.mean == pytest.approx(np.mean(values), rel=1e-12)
    assert (found.low, found.high) == pytest.approx((low, high), rel=1e-10)


@pytest.mark.parametrize("count", [2, 3, 5, 30])
def test_a_difference_is_the_paired_test_of_scipy(count: int) -> None:
    variant, base = draws(count, seed=count)
    found = paired(variant, base)
    test = stats.ttest_rel(list(variant.values()), list(base.values()))
    low, high = test.confidence_interval(0.95)
    assert (found.low, found.high) == pytest.approx((low, high), rel=1e-10)
    assert found.mean == pytest.approx((low + high) / 2, rel=1e-10)
    assert found.half == pytest.approx((high - low) / 2, rel=1e-10)
    assert found.p == found.adjusted == pytest.approx(test.pvalue, rel=1e-10, abs=0)
    assert found.count == count


def test_a_p_value_below_one_in_twenty_is_an_interval_without_zero() -> None:
    for seed in range(200):
        found = paired(*draws(3, seed))
        assert (found.p < 0.05) == (not found.low <= 0 <= found.high)


def test_pairs_are_the_seeds_that_both_have_with_finite_values() -> None:
    variant = {4: 1.0, 0: 2.0, 1: math.nan, 2: 5.0, 3: 4.5}
    base = {0: 1.5, 2: 3.0, 1: 1.0, 3: math.inf, 9: 0.0, 4: 0.2}
    found = paired(variant, base)
    test = stats.ttest_rel([2.0, 5.0, 1.0], [1.5, 3.0, 0.2])
    assert found.count == 3
    assert found.p == pytest.approx(test.pvalue, rel=1e-10, abs=0)


def test_a_mean_leaves_out_what_is_not_finite_and_counts_the_rest() -> None:
    assert estimate([1.0, math.nan, 3.0, math.inf]) == estimate([1.0, 3.0])
    assert estimate([1.0, math.nan, 3.0]).count == 2


@pytest.mark.parametrize("resolution", [0.0, 1e-4])
def test_one_value_has_no_interval_and_none_has_no_mean(resolution: float) -> None:
    one, none = estimate([0.3], resolution), estimate([], resolution)
    assert (one.mean, one.count, none.count) == (0.3, 1, 0)
    assert all(map(math.isnan, (one.low, one.high, none.mean, none.low, none.high)))
    pair, no_pair = paired({0: 0.3}, {0: 0.1}, resolution), paired({0: 0.3}, {1: 0.1}, resolution)
    assert pair.mean == pytest.approx(0.2)
    assert (pair.count, no_pair.count) == (1, 0)
    assert all(map(math.isnan, (pair.low, pair.high, pair.p, pair.adjusted, no_pair.mean, no_pair.p)))


def test_values_that_all_agree_tell_no_interval_where_no_resolution_is_known() -> None:
    # 0.1 + 0.2 style rounding is no spread either: these differences are unlike in their last bits.
    variant, base = {0: 0.3, 1: 0.4, 2: 0.7}, {0: 0.2, 1: 0.3, 2: 0.6}
    assert len({variant[seed] - base[seed] for seed in base}) > 1
    found = paired(variant, base)
    assert found.mean == pytest.approx(0.1)
    assert all(map(math.isnan, (found.low, found.high, found.p)))
    assert math.isnan(estimate([0.1, 0.1, 0.1]).low)


def test_shares_that_agree_are_known_no_better_than_by_an_image() -> None:
    images = 500
    found = estimate([0.1] * 4, 1 / images)
    assert found.high - found.mean == pytest.approx(stats.t.ppf(0.975, 3) / images / math.sqrt(4), rel=1e-10)
    # 20 images more in each of three seeds: √2 images of deviation, 2 degrees of freedom.
    difference = paired(dict.fromkeys(range(3), 0.14), dict.fromkeys(range(3), 0.10), 1 / images)
    t = 20 / (math.sqrt(2) / math.sqrt(3))
    assert difference.p == pytest.approx(2 * stats.t.sf(t, 2), rel=1e-9)
    assert difference.half == pytest.approx(stats.t.ppf(0.975, 2) * math.sqrt(2 / 3) / images, rel=1e-9)


def test_shares_that_are_the_same_differ_by_nothing_with_p_one() -> None:
    same = dict.fromkeys(range(3), 0.1)
    found = paired(same, same, 0.001)
    assert (found.mean, found.p) == (0, 1)
    assert found.half > 0


def test_a_spread_above_the_resolution_is_taken_as_it_is() -> None:
    resolution = 1e-4
    base = [0.0110, 0.0126, 0.0121, 0.0118, 0.0121]
    test = stats.ttest_rel(ERRORS, base)
    found = paired(dict(enumerate(ERRORS)), dict(enumerate(base)), resolution)
    assert found.p == pytest.approx(test.pvalue, rel=1e-10, abs=0)
    low, _ = stats.t.interval(0.95, 4, loc=np.mean(ERRORS), scale=stats.sem(ERRORS))
    assert estimate(ERRORS, resolution).low == pytest.approx(low, rel=1e-10)


@pytest.mark.parametrize("seeds", range(2, 21))
def test_differences_of_an_image_say_no_more_than_their_signs(seeds: int) -> None:
    # A coin a seed decides between an image more and one less: all agree with 2^(1 − N).
    found = paired(dict.fromkeys(range(seeds), 0.101), dict.fromkeys(range(seeds), 0.100), 0.001)
    assert found.p >= 2.0 ** (1 - seeds) * (1 - 1e-9)


def rejected(p_values: Sequence[float], level: float) -> set[int]:
    """Holm's procedure as the paper has it: from the smallest on, until one is too large."""
    found: set[int] = set()
    left = [at for at, p in enumerate(p_values) if not math.isnan(p)]
    while left:
        smallest = min(left, key=lambda at: p_values[at])
        if p_values[smallest] > level / len(left):
            break
        found.add(smallest)
        left.remove(smallest)
    return found


def test_holm_rejects_what_the_procedure_rejects_at_every_level() -> None:
    generator = np.random.default_rng(5)
    for _ in range(50):
        p_values = (generator.uniform(size=7) ** 3).tolist()
        p_values[2] = math.nan
        p_values[4] = p_values[3]
        adjusted = holm(p_values)
        for level in (0.001, 0.01, 0.05, 0.2, 0.5, 0.9):
            assert rejected(p_values, level) == {at for at, p in enumerate(adjusted) if p <= level}


def test_holm_by_hand() -> None:
    # Three are tested: 0.01 · 3, 0.02 · 2, and 0.03 · 1, which may not come out below the one before.
    adjusted = holm([0.03, math.nan, 0.01, 0.02])
    assert adjusted[0] == pytest.approx(0.04)
    assert math.isnan(adjusted[1])
    assert adjusted[2:] == pytest.approx([0.03, 0.04])
    assert holm([0.6, 0.9]) == [1.0, 1.0]
    assert holm([]) == []


def test_differences_are_corrected_for_variants_and_stages() -> None:
    found = [Difference(1, 0, 2, p, p, 3) for p in (0.001, math.nan, 0.2)]
    once, thrice = corrected(found), corrected(found, stages=3)
    assert [once[0].adjusted, once[2].adjusted] == pytest.approx([0.002, 0.2])
    assert [thrice[0].adjusted, thrice[2].adjusted] == pytest.approx([0.006, 0.6])
    assert math.isnan(once[1].adjusted)
    assert once[0].p == 0.001
    assert corrected([Difference(1, 0, 2, 0.9, 0.9, 3)], stages=3)[0].adjusted == 1
