"""Intervals against their definitions, and against how often they hold."""

from __future__ import annotations

import math

import pytest
import torch

from cutaway.look.interval import NORMAL_95, ratio, wilson


@pytest.mark.parametrize(("wrong", "count"), [(1, 10), (5, 10), (3, 2000), (1999, 2000)])
def test_the_ends_of_wilsons_interval_solve_its_equation(wrong: int, count: int) -> None:
    """Both ends p are where |wrong/count − p| is z standard deviations of a share of p itself."""
    for end in wilson(wrong, count):
        deviation = math.sqrt(end * (1 - end) / count)
        assert abs(wrong / count - end) == pytest.approx(NORMAL_95 * deviation, rel=1e-9)


def test_wilsons_interval_of_nothing_wrong_does_not_claim_certainty() -> None:
    low, high = wilson(0, 100)
    assert low == 0
    assert high == pytest.approx(NORMAL_95**2 / (100 + NORMAL_95**2))
    assert wilson(100, 100)[0] == pytest.approx(1 - high)
    assert wilson(100, 100)[1] == 1


def test_a_ratio_holds_in_about_95_of_100_samples() -> None:
    generator = torch.Generator().manual_seed(1)
    below = torch.rand(2000, 60, generator=generator) + 0.5
    above = below * (0.3 + 0.2 * torch.randn(2000, 60, generator=generator)).abs()
    # The truth of so skewed a ratio comes from all samples together.
    truth = float(above.sum() / below.sum())
    held = 0
    for a, b in zip(above, below, strict=True):
        share, (low, high) = ratio(a, b)
        assert share == pytest.approx(float(a.double().sum() / b.double().sum()))
        held += low <= truth <= high
    assert 0.92 < held / 2000 < 0.97


def test_the_interval_of_a_ratio_of_proportional_sums_has_no_width() -> None:
    below = torch.tensor([1.0, 2.0, 5.0])
    share, (low, high) = ratio(below * 0.25, below)
    assert share == low == high == pytest.approx(0.25)
    assert ratio(torch.tensor([1.0]), torch.tensor([4.0])) == (0.25, (0.25, 0.25))
