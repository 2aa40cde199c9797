"""Judgements: how good the explanations of some methods are, as numbers."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from cutaway.look.judging.correlation import average_ranks
from cutaway.look.judging.curves import Curves
from cutaway.look.judging.mean import Mean, mean_of

CHANCE = "chance"
"""The row of random maps: what a method comes to that knows nothing."""

CRITERIA = {"deletion": False, "insertion": True, "sensitivity": False, "sanity": False}
"""What methods are ranked by, and whether more of it is better."""


@dataclass(frozen=True)
class Judged:
    """What the maps of one method came to; NaN for an image whose map is zero where that says nothing.

    Args:
        deletion: the probability of the class while the hottest pixels go.
        insertion: likewise while they come.
        sensitivity: the largest change of the map under noise, as a share of the map, ``(N,)`` float64.
        correlation: with the map of a net with random weights, by step of the cascade: the amount of
            Spearman's, 0 to 1, ``(stages, N)`` float64.
        structure: likewise, the structural similarity.
        seconds: for an image, the least of several times.
        zero: images whose map is zero everywhere.
    """

    deletion: Curves
    insertion: Curves
    sensitivity: Tensor
    correlation: Tensor
    structure: Tensor
    seconds: float
    zero: int = 0

    def values(self, criterion: str) -> Tensor:
        """One of ``CRITERIA`` for each image, ``(N,)`` float64; sanity is that of all weights random."""
        if criterion == "sensitivity":
            return self.sensitivity
        if criterion == "sanity":
            return self.correlation[-1]
        return (self.deletion if criterion == "deletion" else self.insertion).areas

    def mean(self, criterion: str) -> Mean:
        """The mean over images, with its 95 % interval."""
        return mean_of(self.values(criterion))


@dataclass(frozen=True)
class Judgement:
    """How good the explanations of some methods are for some images.

    Args:
        rows: by method, in the order asked for; ``CHANCE`` is the last.
        refused: why the others could not be applied, by method.
        agreement: Spearman's correlation of the maps of two methods, the mean over images, ``(M, M)``
            float64, in the order of the rows.
        overlap: the share of their hottest pixels that two methods have in common, likewise.
        top: how many of the pixels are the hottest, as a share.
        stages: the lowest layer whose weights were random in each step of the cascade.
        classes: whose probability was explained, ``(N,)`` int64.
        fills: what removed pixels became, and what others were shown on.
        subject: the subject's name.
    """

    rows: Mapping[str, Judged]
    refused: Mapping[str, str]
    agreement: Tensor
    overlap: Tensor
    top: float
    stages: tuple[str, ...]
    classes: Tensor
    fills: tuple[str, str]
    subject: str = ""

    @property
    def images(self) -> int:
        """How many there were."""
        return len(self.classes)

    def ranks(self) -> dict[str, dict[str, float]]:
        """For each criterion the methods' places, 1 for the best; equal means share their mean place.

        By the means over images. A mean that is NaN is the last. Chance has no place: what knows nothing
        passes the sanity check perfectly.
        """
        names = [name for name in self.rows if name != CHANCE]
        found: dict[str, dict[str, float]] = {}
        for criterion, more_is_better in CRITERIA.items():
            means = [self.rows[name].mean(criterion).mean for name in names]
            costs = [math.inf if math.isnan(mean) else -mean if more_is_better else mean for mean in means]
            places = average_ranks(torch.tensor(costs, dtype=torch.float64)).tolist() if costs else []
            found[criterion] = dict(zip(names, places, strict=True))
        return found

    def order(self) -> dict[str, float]:
        """The methods from the best to the worst, with the mean of their places in all of ``CRITERIA``.

        Each criterion weighs the same, and time has no part in it. A place tells nothing of distances, and
        hangs on which methods were asked: read the means. Of equals the one asked for earlier is first.
        """
        ranks = self.ranks()
        places = {
            name: sum(ranks[criterion][name] for criterion in CRITERIA) / len(CRITERIA)
            for name in self.rows
            if name != CHANCE
        }
        return dict(sorted(places.items(), key=lambda pair: pair[1]))
