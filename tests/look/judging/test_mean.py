"""Means with intervals against tables and simulation."""

from __future__ import annotations

import math

import pytest
import torch

from cutaway.look.judging.mean import mean_of, student_95

TABLE = {1: 12.706, 2: 4.303, 3: 3.182, 4: 2.776, 5: 2.571, 7: 2.365, 10: 2.228, 30: 2.042, 100: 1.984}
"""Student's t for 95 %, two sides, as tables have it."""


@pytest.mark.parametrize("freedom", TABLE)
def test_student_is_that_of_the_tables(freedom: int) -> None:
    assert student_95(freedom) == pytest.approx(TABLE[freedom], abs=6e-4)


def test_the_interval_is_students() -> None:
    found = mean_of(torch.tensor([1.0, 2.0, 3.0, 6.0]))
    spread = math.sqrt((4 + 1 + 0 + 9) / 3)
    half = 3.182 * spread / 2
    assert (found.mean, found.count) == (3, 4)
    assert (found.low, found.high) == pytest.approx((3 - half, 3 + half), abs=1e-3)


def test_it_holds_the_true_mean_in_19_of_20_samples() -> None:
    draws = torch.randn(2000, 5, generator=torch.Generator().manual_seed(0)) + 7
    held = sum(found.low <= 7 <= found.high for found in map(mean_of, draws))
    assert 0.935 < held / 2000 < 0.965


def test_what_says_nothing_is_left_out() -> None:
    found = mean_of(torch.tensor([1.0, math.nan, 3.0]))
    assert (found.mean, found.count) == (2, 2)
    alone = mean_of(torch.tensor([4.0, math.nan]))
    assert (alone.mean, alone.low, alone.high, alone.count) == (4, 4, 4, 1)
    none = mean_of(torch.tensor([math.nan]))
    assert math.isnan(none.mean)
    assert none.count == 0
