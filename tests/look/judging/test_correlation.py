"""Ranks and correlations against counting by hand."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from cutaway.look.judging.correlation import average_ranks, order, overlap, spearman

TIED = torch.tensor([[3.0, 1.0, 3.0, -2.0, 3.0, 1.0], [0.0, -0.0, 5.0, 5.0, -1.0, 7.0]])


def slow_ranks(values: list[float]) -> list[float]:
    """For each value how many are smaller, and half of the others that are equal, from 1."""
    return [
        1 + sum(other < value for other in values) + (sum(other == value for other in values) - 1) / 2
        for value in values
    ]


def slow_spearman(one: list[float], other: list[float]) -> float:
    """Pearson's correlation of the ranks, by sums."""
    a, b = slow_ranks(one), slow_ranks(other)
    mean_a, mean_b = sum(a) / len(a), sum(b) / len(b)
    above = sum((x - mean_a) * (y - mean_b) for x, y in zip(a, b, strict=True))
    below = sum((x - mean_a) ** 2 for x in a) * sum((y - mean_b) ** 2 for y in b)
    return above / math.sqrt(below)


def some(rows: int, pixels: int, seed: int = 0, kinds: int = 9) -> Tensor:
    """Whole numbers, so that there are ties."""
    generator = torch.Generator().manual_seed(seed)
    return torch.randint(kinds, (rows, pixels), generator=generator).float() - kinds // 2


def test_equal_values_share_their_mean_rank() -> None:
    assert average_ranks(TIED).tolist() == [[5, 2.5, 5, 1, 5, 2.5], [2.5, 2.5, 4.5, 4.5, 1, 6]]
    values = some(4, 30)
    assert average_ranks(values).tolist() == [slow_ranks(row) for row in values.tolist()]
    assert average_ranks(values.T).shape == (30, 4), "a view whose rows are not next to each other"


def test_spearman_is_the_correlation_of_ranks() -> None:
    one, other = some(5, 40, 1), some(5, 40, 2)
    wanted = [slow_spearman(a, b) for a, b in zip(one.tolist(), other.tolist(), strict=True)]
    assert spearman(one, other).tolist() == pytest.approx(wanted, abs=1e-12)
    # Without ties, 1 − 6 Σ d² / (n (n² − 1)) from Spearman's paper.
    a, b = torch.tensor([1.0, 2, 3, 4, 5]), torch.tensor([2.0, 1, 5, 3, 4])
    assert float(spearman(a, b)) == pytest.approx(1 - 6 * (1 + 1 + 4 + 1 + 1) / (5 * 24))


def test_spearman_sees_only_the_order() -> None:
    values = some(3, 25, 3, kinds=1000)
    assert spearman(values, values**3).tolist() == pytest.approx([1, 1, 1])
    assert spearman(values, -3 * values).tolist() == pytest.approx([-1, -1, -1])


def test_a_constant_map_agrees_with_nothing() -> None:
    assert spearman(torch.zeros(1, 9), some(1, 9)).tolist() == [0]
    assert spearman(torch.ones(1, 9), torch.ones(1, 9)).tolist() == [0]


def test_the_hottest_pixel_comes_first() -> None:
    values = torch.tensor([[0.5, -1.0, 2.0, 1.0], [4.0, 3.0, 2.0, 1.0]])
    assert order(values, 0).tolist() == [[2, 3, 0, 1], [0, 1, 2, 3]]


def test_equals_stand_in_a_drawn_order_that_is_the_same_for_all() -> None:
    flat = torch.zeros(3, 50)
    places = order(flat, 1)
    assert sorted(places[0].tolist()) == list(range(50))
    assert torch.equal(places[0], places[1])
    assert places[0].tolist() != list(range(50))
    assert not torch.equal(places, order(flat, 2))
    assert torch.equal(order(flat[:1], 1), places[:1]), "an image alone"


def test_the_top_that_two_maps_share() -> None:
    one, other = some(4, 30, 4), some(4, 30, 5)
    first, second = order(one, 7), order(other, 7)
    wanted = []
    for a, b in zip(first.tolist(), second.tolist(), strict=True):
        top = [{pixel for pixel, place in enumerate(places) if place < 6} for places in (a, b)]
        wanted.append(len(top[0] & top[1]) / 6)
    assert overlap(first, second, 6).tolist() == pytest.approx(wanted)
    assert overlap(first, first, 6).tolist() == [1, 1, 1, 1]
