"""The k images that excite each unit most, kept while images stream by."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

Locate = Callable[[Tensor, Tensor], Tensor]
"""From rows of a chunk and units, ``(M,)`` each, to the places of the values in their maps."""


@dataclass
class Ranking:
    """The k largest values of every unit so far, with the images they came from.

    Equal values stand in the order of their images, so that the result depends neither on chunks nor
    on the order in which parts are merged.

    Args:
        values: ``(k, U)`` float32, largest first; −∞ where there is none yet.
        numbers: of the images, ``(k, U)`` int64; −1 where there is none.
        places: of the value in the unit's map, ``(k, U)`` int64.
    """

    values: Tensor
    numbers: Tensor
    places: Tensor

    @classmethod
    def empty(cls, count: int, units: int) -> Ranking:
        """A ranking of ``count`` images a unit that has seen none."""
        none = torch.full((count, units), -1)
        return cls(torch.full((count, units), -torch.inf), none, none.clone())

    def see(self, values: Tensor, numbers: Tensor, locate: Locate) -> None:
        """Take in the values ``(N, U)`` of images that come behind all those seen before.

        Args:
            values: finite.
            numbers: of the images, ``(N,)``, ascending.
            locate: asked only for what enters.
        """
        # Images come in order, so a value that equals the last one kept comes too late.
        entering = values > self.values[-1]
        if not entering.any():
            return  # the way of most chunks, once a few thousand images were seen
        count = len(self.values)
        rows, units = (entering.any(axis).nonzero().flatten() for axis in (1, 0))
        both = torch.cat((self.values[:, units], values[rows][:, units]))
        # Stable, and what was kept stands first: of equal values the earlier image wins.
        order = both.argsort(dim=0, descending=True, stable=True)[:count]
        rank, column = (order >= count).nonzero(as_tuple=True)
        row = rows[order[rank, column] - count]
        old = order.clamp_max(count - 1)
        chosen_numbers = self.numbers[:, units].gather(0, old)
        chosen_places = self.places[:, units].gather(0, old)
        chosen_numbers[rank, column] = numbers[row]
        chosen_places[rank, column] = locate(row, units[column])
        self.values[:, units] = both.gather(0, order)
        self.numbers[:, units], self.places[:, units] = chosen_numbers, chosen_places

    def part(self, units: slice) -> Ranking:
        """The ranking of some units."""
        return Ranking(self.values[:, units], self.numbers[:, units], self.places[:, units])

    def merge(self, other: Ranking) -> None:
        """Take in the ranking of other images."""
        values = torch.cat((self.values, other.values))
        numbers = torch.cat((self.numbers, other.numbers))
        places = torch.cat((self.places, other.places))
        by_number = numbers.argsort(dim=0, stable=True)
        order = values.gather(0, by_number).argsort(dim=0, descending=True, stable=True)[: len(self.values)]
        chosen = by_number.gather(0, order)
        self.values, self.numbers = values.gather(0, chosen), numbers.gather(0, chosen)
        self.places = places.gather(0, chosen)
