"""A ranking that streams against all values sorted at once."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from cutaway.look.ranking import Ranking

IMAGES, UNITS = 60, 7


def values(kinds: int) -> Tensor:
    """Values of few kinds, so that many are equal; one unit rises, one falls, one stands still."""
    found = torch.randint(kinds, (IMAGES, UNITS), generator=torch.Generator().manual_seed(kinds)).float()
    found[:, 0] = torch.arange(IMAGES)
    found[:, 1] = -torch.arange(IMAGES)
    found[:, 2] = 0
    return found - 2


def ranked(found: Tensor, count: int, parts: list[range], chunk: int) -> list[Ranking]:
    """A ranking for each part of the images, seen in chunks; a place is a number of image and unit."""
    rankings = []
    for part in parts:
        ranking = Ranking.empty(count, UNITS)
        for numbers in torch.arange(part.start, part.stop).split(chunk):

            def locate(rows: Tensor, units: Tensor, numbers: Tensor = numbers) -> Tensor:
                return 100 * numbers[rows] + units

            ranking.see(found[numbers], numbers, locate)
        rankings.append(ranking)
    return rankings


def check(ranking: Ranking, found: Tensor, count: int) -> None:
    for unit in range(UNITS):
        order = sorted(range(len(found)), key=lambda image: (-found[image, unit].item(), image))[:count]
        missing = count - len(order)
        assert ranking.numbers[:, unit].tolist() == order + [-1] * missing
        assert ranking.values[: len(order), unit].tolist() == [found[image, unit].item() for image in order]
        assert ranking.places[: len(order), unit].tolist() == [100 * image + unit for image in order]
        assert ranking.values[len(order) :, unit].tolist() == [-torch.inf] * missing


@pytest.mark.parametrize("kinds", [2, 5, 1000])
@pytest.mark.parametrize("count", [1, 4, 60, 64])
@pytest.mark.parametrize("chunk", [1, 7, 60])
def test_the_largest_values_and_of_equal_ones_the_earlier_images(kinds: int, count: int, chunk: int) -> None:
    found = values(kinds)
    check(ranked(found, count, [range(IMAGES)], chunk)[0], found, count)


@pytest.mark.parametrize("order", [[0, 1, 2], [2, 0, 1], [1, 2, 0]])
@pytest.mark.parametrize("count", [3, 30])
def test_parts_merged_in_any_order_are_the_whole(order: list[int], count: int) -> None:
    found = values(3)
    parts = ranked(found, count, [range(25), range(25, 29), range(29, IMAGES)], 6)
    whole = parts[order[0]]
    for at in order[1:]:
        whole.merge(parts[at])
    check(whole, found, count)


def test_places_are_asked_for_only_where_a_value_enters() -> None:
    found = torch.tensor([[5.0, 1.0], [4.0, 2.0], [3.0, 0.0], [6.0, 0.0]])
    ranking, asked = Ranking.empty(2, 2), list[tuple[int, int]]()

    def locate(rows: Tensor, units: Tensor) -> Tensor:
        asked.extend(zip(rows.tolist(), units.tolist(), strict=True))
        return torch.zeros_like(rows)

    ranking.see(found[:2], torch.arange(2), locate)
    assert sorted(asked) == [(0, 0), (0, 1), (1, 0), (1, 1)]
    asked.clear()
    ranking.see(found[2:3], torch.tensor([2]), locate)
    assert not asked
    ranking.see(found[3:], torch.tensor([3]), locate)
    assert asked == [(0, 0)]


def test_a_part_has_its_units_alone() -> None:
    ranking = ranked(values(5), 3, [range(IMAGES)], 60)[0]
    part = ranking.part(slice(1, 3))
    assert torch.equal(part.values, ranking.values[:, 1:3])
    assert torch.equal(part.numbers, ranking.numbers[:, 1:3])
    assert torch.equal(part.places, ranking.places[:, 1:3])
