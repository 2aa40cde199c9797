"""How alike two maps look: structural similarity."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

WINDOW, SIGMA = 11, 1.5
"""Of the Gaussian that weighs a window's pixels, as in the paper; smaller images have a smaller window."""

K1, K2 = 0.01, 0.03


def ssim(one: Tensor, other: Tensor) -> Tensor:
    """The mean structural similarity of maps, each divided by its largest amount first: ``(N,)`` float64.

    ``(2 μ_x μ_y + c1)(2 σ_xy + c2) / ((μ_x² + μ_y² + c1)(σ_x² + σ_y² + c2))``, averaged over all windows that
    lie inside; c1 = (0.01 L)² and c2 = (0.03 L)², where L = 2 is the range from −1 to 1. Both factors turn
    their sign with that of a map, so a map and its negative are alike too.

    Args:
        one: ``(N, H, W)``.
        other: likewise.

    Source: Wang, Bovik, Sheikh, Simoncelli, "Image quality assessment: from error visibility to structural
    similarity", 2004.
    """
    x, y = (_scaled(values.double())[:, None] for values in (one, other))
    window = _window(min(WINDOW, *one.shape[1:])).to(x)

    def mean(values: Tensor) -> Tensor:
        return F.conv2d(values, window)

    mean_x, mean_y = mean(x), mean(y)
    spread_x, spread_y = mean(x * x) - mean_x**2, mean(y * y) - mean_y**2
    shared = mean(x * y) - mean_x * mean_y
    c1, c2 = (2 * K1) ** 2, (2 * K2) ** 2
    found = (2 * mean_x * mean_y + c1) * (2 * shared + c2)
    found = found / ((mean_x**2 + mean_y**2 + c1) * (spread_x + spread_y + c2))
    return found.mean((1, 2, 3))


def _scaled(maps: Tensor) -> Tensor:
    largest = maps.abs().amax((1, 2), keepdim=True)
    return maps / torch.where(largest > 0, largest, 1.0)


def _window(size: int) -> Tensor:
    """Weights that sum to 1, ``(1, 1, size, size)``; of an even size the middle lies between pixels."""
    places = torch.arange(size).double() - (size - 1) / 2
    line = (-(places**2) / (2 * SIGMA**2)).exp()
    window = line[:, None] * line
    return (window / window.sum())[None, None]
