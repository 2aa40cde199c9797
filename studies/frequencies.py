"""How much of images lies in high frequencies, and how rough they are."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from matplotlib.figure import Figure
from torch import Tensor

from cutaway.look.optimising.priors import total_variation

FINE = 0.25
"""Waves a pixel, half of what a picture can hold: waves above it are called high frequencies."""


def high_share(images: Tensor) -> Tensor:
    """The share of an image's variance in waves above a quarter a pixel, ``(B,)`` from 0 to 1.

    ``Σ |F(k)|² over |k| > 1/4, by Σ |F(k)|² over k ≠ 0``, over all channels; 0.80 for white noise, which has
    all waves alike; 0 for an image without any.

    Args:
        images: ``(B, C, H, W)``.
    """
    power = torch.fft.fft2(images.double()).abs().square().sum(1)
    rows = torch.fft.fftfreq(images.shape[2], dtype=torch.float64)[:, None]
    columns = torch.fft.fftfreq(images.shape[3], dtype=torch.float64)[None]
    length = (rows.square() + columns.square()).sqrt()
    whole = (power * (length > 0)).flatten(1).sum(1)
    fine = (power * (length > FINE)).flatten(1).sum(1)
    found: Tensor = fine / whole.clamp_min(1e-12)
    return found


def variation(images: Tensor) -> Tensor:
    """How much neighbouring pixels differ, ``(B,)``; pixels are from 0 to 1."""
    return total_variation(images.double())


def picture(groups: Mapping[str, Tensor]) -> Figure:
    """A dot for each image: how much of its variance is in high frequencies."""
    figure = Figure(figsize=(6.4, 0.3 * len(groups) + 0.8), layout="constrained")
    axes = figure.subplots()
    for at, images in enumerate(groups.values()):
        values = (100 * high_share(images)).tolist()
        axes.plot(values, [at] * len(values), ".", color="#8a8a8a", markersize=5)
        axes.plot([sum(values) / len(values)], [at], "|", color="#b2182b", markersize=14, markeredgewidth=2)
    axes.axvline(100 * (1 - torch.pi / 16), color="#8a8a8a", linewidth=0.8, linestyle=":")
    axes.set_yticks(range(len(groups)), list(groups), size=8)
    axes.invert_yaxis()
    axes.set_xlim(0, 100)
    axes.set_xlabel("% of the variance in waves above a quarter a pixel; dotted: white noise", size=8)
    axes.tick_params(labelsize=8)
    axes.spines[["top", "right"]].set_visible(False)
    return figure
