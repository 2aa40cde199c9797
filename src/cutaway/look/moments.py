"""Running sums over images from which means, extremes, shares and correlations are read."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from cutaway.look.responses import Responses


@dataclass
class Moments:
    """Of every unit, over the images so far: sums in float64, counts in int64.

    Two of them over different images, merged, are that over all of them.

    Args:
        images: how many of each class, ``(K,)``.
        class_sums: the sum of the maps' means over the images of each class, ``(K, U)``.
        maxima: the largest value, ``(U,)`` float32.
        minima: the smallest value, ``(U,)`` float32.
        fired: images with a value above zero, ``(U,)``.
        blank: images whose map is the same everywhere; zero, where there is one place, ``(U,)``.
    """

    images: Tensor
    class_sums: Tensor
    maxima: Tensor
    minima: Tensor
    fired: Tensor
    blank: Tensor

    @classmethod
    def empty(cls, units: int, classes: int) -> Moments:
        """The sums over no images."""
        none = torch.zeros(units, dtype=torch.int64)
        return cls(
            torch.zeros(classes, dtype=torch.int64),
            torch.zeros(classes, units, dtype=torch.float64),
            torch.full((units,), -torch.inf),
            torch.full((units,), torch.inf),
            none,
            none.clone(),
        )

    def see(self, found: Responses) -> None:
        """Add a few images."""
        member = torch.nn.functional.one_hot(found.labels, len(self.images))
        self.images += member.sum(0)
        self.class_sums += member.T.double() @ found.means.double()
        self.maxima = torch.maximum(self.maxima, found.maxima.amax(0))
        self.minima = torch.minimum(self.minima, found.minima.amin(0))
        self.fired += (found.maxima > 0).sum(0)
        self.blank += found.blank.sum(0)

    def merge(self, other: Moments) -> None:
        """Add other images."""
        self.images += other.images
        self.class_sums += other.class_sums
        self.maxima = torch.maximum(self.maxima, other.maxima)
        self.minima = torch.minimum(self.minima, other.minima)
        self.fired += other.fired
        self.blank += other.blank

    @property
    def mean(self) -> Tensor:
        """Over all values, ``(U,)`` float64."""
        return self.class_sums.sum(0) / self.images.sum()

    @property
    def constant(self) -> Tensor:
        """Which units always gave the same value, ``(U,)`` bool."""
        return self.maxima == self.minima

    @property
    def class_means(self) -> Tensor:
        """The mean over the images of each class, ``(K, U)`` float64; NaN for a class without any."""
        return self.class_sums / self.images[:, None]


@dataclass
class Covariance:
    """How the units of a layer go together, from sums in float64.

    Args:
        count: value tuples so far: one for every place of every image.
        sums: of each unit's values, ``(U,)``.
        products: of two units' values, ``(U, U)``.
    """

    count: int
    sums: Tensor
    products: Tensor

    @classmethod
    def empty(cls, units: int) -> Covariance:
        """The sums over no values."""
        return cls(
            0,
            torch.zeros(units, dtype=torch.float64),
            torch.zeros(units, units, dtype=torch.float64),
        )

    def see(self, values: Tensor) -> None:
        """Add maps ``(N, U, P)``."""
        rows = values.detach().transpose(1, 2).reshape(-1, values.shape[1]).double().cpu()
        self.count += len(rows)
        self.sums += rows.sum(0)
        self.products.addmm_(rows.T, rows)

    def merge(self, other: Covariance) -> None:
        """Add other values."""
        self.count += other.count
        self.sums += other.sums
        self.products += other.products

    def correlation(self) -> Tensor:
        """Pearson's r of each pair of units, ``(U, U)`` float32; NaN where one of them is constant."""
        means = self.sums / self.count
        covariance = self.products / self.count - torch.outer(means, means)
        variance = covariance.diagonal()
        # Less than rounding of the squares leaves is no variation.
        moved = variance > 1e-12 * self.products.diagonal() / self.count
        deviation = variance.sqrt().where(moved, torch.nan)
        return (covariance / torch.outer(deviation, deviation)).clamp(-1, 1).float()
