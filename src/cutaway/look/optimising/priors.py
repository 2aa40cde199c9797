"""Priors: what a picture should be like, whatever a unit prefers. They combine freely.

Some are penalties R(x), added with a weight; others change the picture between steps.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from kornia.filters import gaussian_blur2d
from torch import Tensor

from cutaway.errors import ConfigError

GREY = 0.5


def _refuse_negative(prior: object, **values: float) -> None:
    for name, value in values.items():
        if not value >= 0:
            raise ConfigError(f"{type(prior).__name__}: {name} should be 0 or more, not {value}.")


@dataclass(frozen=True)
class PNorm:
    """``R = (mean |x − grey|^p)^(1/p)``: pixels stay near grey; a large p holds back the extremes.

    Args:
        weight: λ, 0 or more.
        p: 1 or more.

    Raises:
        ConfigError: the weight is negative, or p is below 1.
    """

    weight: float = 1.0
    p: float = 6.0

    def __post_init__(self) -> None:
        _refuse_negative(self, weight=self.weight)
        if self.p < 1:
            raise ConfigError(f"PNorm: p should be 1 or more, not {self.p}.")

    def penalty(self, images: Tensor) -> Tensor:
        """R of each image, ``(B,)``."""
        amounts = (images - GREY).abs().clamp_min(1e-6).flatten(1)
        return (amounts**self.p).mean(1) ** (1 / self.p)


@dataclass(frozen=True)
class L2:
    """``R = mean (x − grey)²``: weight decay of the picture.

    Args:
        weight: λ, 0 or more.

    Raises:
        ConfigError: the weight is negative.

    Source: Simonyan, Vedaldi, Zisserman, "Deep inside convolutional networks", 2013.
    """

    weight: float = 1.0

    def __post_init__(self) -> None:
        _refuse_negative(self, weight=self.weight)

    def penalty(self, images: Tensor) -> Tensor:
        """R of each image, ``(B,)``."""
        return ((images - GREY) ** 2).flatten(1).mean(1)


@dataclass(frozen=True)
class TotalVariation:
    """``R = mean (Δ_x² + Δ_y²)^(β/2)``: neighbours are alike.

    Args:
        weight: λ, 0 or more.
        beta: 1 keeps edges sharp, 2 smooths them.

    Raises:
        ConfigError: the weight is negative.

    Source: Mahendran, Vedaldi, "Understanding deep image representations by inverting them", 2014.
    """

    weight: float = 1.0
    beta: float = 1.0

    def __post_init__(self) -> None:
        _refuse_negative(self, weight=self.weight, beta=self.beta)

    def penalty(self, images: Tensor) -> Tensor:
        """R of each image, ``(B,)``."""
        return total_variation(images, self.beta)


def total_variation(images: Tensor, beta: float = 1.0) -> Tensor:
    """How much neighbours differ: ``(B,)``."""
    down = torch.zeros_like(images)
    right = torch.zeros_like(images)
    down[..., :-1, :] = images[..., 1:, :] - images[..., :-1, :]
    right[..., :-1] = images[..., 1:] - images[..., :-1]
    # Without the small number the root has no slope where neighbours are equal.
    amount: Tensor = (down**2 + right**2 + 1e-8) ** (beta / 2)
    return amount.flatten(1).mean(1)


@dataclass(frozen=True)
class Blur:
    """A Gaussian blur of the picture every few steps.

    Args:
        sigma: of the blur, in pixels, above 0.
        every: steps from one to the next.

    Raises:
        ConfigError: sigma is not above 0, or ``every`` is below 1.

    Source: Yosinski, Clune, Nguyen, Fuchs, Lipson, "Understanding neural networks through deep
    visualization", 2015.
    """

    sigma: float = 0.5
    every: int = 4

    def __post_init__(self) -> None:
        if self.sigma <= 0 or self.every < 1:
            raise ConfigError(
                f"Blur: sigma should be above 0 and every 1 or more, not {self.sigma} and {self.every}."
            )

    def changed(self, images: Tensor, gradient: Tensor, step: int) -> Tensor:
        """The images behind a step, counted from 1."""
        del gradient
        if step % self.every:
            return images
        reach = max(1, round(3 * self.sigma))
        sides = [2 * min(reach, side - 1) + 1 for side in images.shape[2:]]
        return gaussian_blur2d(images, (sides[0], sides[1]), (self.sigma, self.sigma))


@dataclass(frozen=True)
class Clip:
    """Pixels that matter least become grey.

    Args:
        share: of the pixels, 0 up to but not 1.
        by: ``norm``, how far a pixel is from grey; ``gradient``, how much the target changes with it;
            ``contribution``, their product: what it would cost to make it grey, to first order.
        every: steps from one to the next.

    Raises:
        ConfigError: the share is outside 0 to 1, or ``every`` is below 1.

    Source: as of :class:`Blur`.
    """

    share: float = 0.1
    by: Literal["norm", "gradient", "contribution"] = "norm"
    every: int = 1

    def __post_init__(self) -> None:
        if not 0 <= self.share < 1 or self.every < 1:
            raise ConfigError(
                f"Clip: share should be 0 to below 1 and every 1 or more, not {self.share} and {self.every}."
            )
        if self.by not in {"norm", "gradient", "contribution"}:
            raise ConfigError(f'Clip: by should be norm, gradient or contribution, not "{self.by}".')

    def changed(self, images: Tensor, gradient: Tensor, step: int) -> Tensor:
        """The images behind a step, counted from 1."""
        count = int(self.share * images.shape[2] * images.shape[3])
        if step % self.every or not count:
            return images
        away = images - GREY
        amounts = {
            "norm": away.norm(dim=1),
            "gradient": gradient.norm(dim=1),
            "contribution": (away * gradient).sum(1).abs(),
        }[self.by]  # (B, H, W)
        least = amounts.flatten(1).argsort(1)[:, :count]
        kept = torch.ones_like(amounts).flatten(1).scatter_(1, least, 0.0).view_as(amounts)[:, None]
        return GREY + away * kept


Penalty = L2 | PNorm | TotalVariation
Change = Blur | Clip
Prior = Penalty | Change

STRONG: Sequence[Prior] = (TotalVariation(0.3), L2(0.3), Blur(0.5, 8))
"""A mixture that gives readable pictures of most units."""


def penalties(priors: Sequence[Prior], images: Tensor) -> Tensor:
    """``Σ λ R`` of each image, ``(B,)``."""
    total = images.new_zeros(len(images))
    for prior in priors:
        if isinstance(prior, L2 | PNorm | TotalVariation):
            total = total + prior.weight * prior.penalty(images)
    return total
