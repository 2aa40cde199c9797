"""Balls around images: how far changes may go, in the largest value (L∞) or in length (L2)."""

from __future__ import annotations

from dataclasses import dataclass
from math import isfinite
from typing import Literal

import torch
from torch import Tensor

from cutaway.errors import ConfigError

Norm = Literal["linf", "l2"]
"""``linf``: the largest change of any value. ``l2``: the root of the sum of all squared changes."""


@dataclass(frozen=True)
class Ball:
    """All changes δ of an image with ``‖δ‖ ≤ eps``.

    Args:
        eps: its radius, 0 or more, in the unit of the values.
        norm: which.

    Raises:
        ConfigError: eps is below 0 or not finite, or there is no such norm.
    """

    eps: float
    norm: Norm = "linf"

    def __post_init__(self) -> None:
        if not (self.eps >= 0 and isfinite(self.eps)):
            raise ConfigError(f"eps should be 0 or more, not {self.eps}.")
        if self.norm not in ("linf", "l2"):
            raise ConfigError(f'norm should be linf or l2, not "{self.norm}".')

    def steepest(self, gradient: Tensor) -> Tensor:
        """The change of norm 1 along which a function grows fastest; zeros where its gradient is zero.

        ``sign(g)`` for L∞, ``g / ‖g‖`` for L2.

        Args:
            gradient: g, ``(n, C, H, W)``.
        """
        if self.norm == "linf":
            return gradient.sign()
        # The largest value is taken out first: squares of tiny gradients would be zero.
        scaled = gradient / _positive(gradient.abs().flatten(1).amax(1))
        found: Tensor = scaled / _positive(l2(scaled)).to(scaled)
        return found

    def inside(self, change: Tensor) -> Tensor:
        """The nearest change that lies in the ball, ``(n, C, H, W)``."""
        if self.norm == "linf":
            return change.clamp(-self.eps, self.eps)
        length = _positive(l2(change)).to(change.dtype)
        return change * (self.eps / length).clamp_max(1)

    def random(self, shape: torch.Size, generator: torch.Generator) -> Tensor:
        """Changes drawn evenly from the whole ball, ``(n, C, H, W)`` float32."""
        if self.norm == "linf":
            return self.eps * (2 * torch.rand(shape, generator=generator) - 1)
        drawn = torch.randn(shape, generator=generator)
        values = drawn[0].numel()
        reach = torch.rand(len(drawn), 1, 1, 1, generator=generator) ** (1 / values)
        return self.eps * reach * drawn / _positive(l2(drawn)).float()

    def noise(self, shape: torch.Size, generator: torch.Generator) -> Tensor:
        """Changes of norm eps in a random direction: for L∞ every value by ±eps."""
        return self.eps * self.steepest(torch.randn(shape, generator=generator))


def linf(change: Tensor) -> Tensor:
    """The largest amount of each image, ``(n,)`` float64."""
    return change.double().abs().flatten(1).amax(1)


def l2(change: Tensor) -> Tensor:
    """The length of each image, ``(n,)`` float64."""
    return change.double().square().flatten(1).sum(1).sqrt()


def _positive(amounts: Tensor) -> Tensor:
    """Amounts to divide by, ``(n, 1, 1, 1)``; 1 for those that are zero."""
    positive = torch.where(amounts == 0, torch.ones_like(amounts), amounts)
    return positive[:, None, None, None]
