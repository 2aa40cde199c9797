"""Folding: a scale and a shift behind a weighted sum count as part of it, where nobody else reads the sum.

A batch norm behind a convolution is such a pair in evaluation mode, also behind the convolution's
max-pool: where the pool has chosen, scale and shift meet the sum itself. Whether somebody else reads it
is known only when the whole pass is over, so it is asked while relevance goes back.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import torch
from torch import Tensor

from cutaway.look.backward.sums import Sums


@dataclass
class Reads:
    """How many operations read a value."""

    count: int = 0


@dataclass(frozen=True)
class Link:
    """A scale and a shift for each output, ``(O,)`` each, and the values that nobody else may read."""

    scale: Tensor
    shift: Tensor
    before: tuple[Reads, ...]


@dataclass(frozen=True)
class Chain:
    """What follows a weighted sum, up to one of the values behind it.

    Args:
        links: of the sum, shared by all values behind it.
        place: how many links lie before this value.
        reads: those of this value, and of the values between it and the link before.
    """

    links: list[Link] = field(default_factory=list)
    place: int = 0
    reads: tuple[Reads, ...] = field(default_factory=lambda: (Reads(),))

    def chosen(self) -> Chain:
        """The chain of a value that is made of this one by choosing places."""
        return Chain(self.links, self.place, (*self.reads, Reads()))

    def scaled(self, scale: Tensor, shift: Tensor) -> Chain | None:
        """The chain of ``scale · value + shift``; None where another link has been made already."""
        if len(self.links) > self.place:
            return None
        self.links.append(Link(scale, shift, self.reads))
        return Chain(self.links, self.place + 1)

    def holds(self, place: int) -> bool:
        """Whether the first ``place`` links are part of the sum."""
        return all(reads.count <= 1 for link in self.links[:place] for reads in link.before)

    def folded(self, sums: Sums, y: Tensor | None) -> tuple[Sums, Tensor | None]:
        """A sum with all links that hold, and its result with them, if that is given."""
        for place, link in enumerate(self.links):
            if not self.holds(place + 1):
                break
            sums = sums.scaled(link.scale, link.shift)
            if y is not None:
                y = torch.addcmul(sums.spread(link.shift), y, sums.spread(link.scale))
        return sums, y
