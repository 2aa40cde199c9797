"""Mixup: pairs of images blended, and their classes with them.

H. Zhang, M. Cisse, Y. N. Dauphin, D. Lopez-Paz, "mixup: Beyond empirical risk minimization", 2018.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from cutaway.data.augment.pixels import to_bytes


def mix(
    pixels: Tensor, labels: Tensor, alpha: float, generator: torch.Generator
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Every image blended with a partner of the same batch: λ · own + (1 − λ) · partner.

    λ is drawn for each image from Beta(α, α). Where it falls below a half, 1 − λ is taken: pairs are
    symmetric, so the same blends come with the same chances, and an image's own label is that of what
    is mostly seen. Partners are the batch in a random order, so an image may meet itself.

    Args:
        pixels: ``(N, C, H, W)``, uint8.
        labels: ``(N,)``.
        alpha: above 0; 0.2 leaves most images nearly alone, 1 takes every share alike.
        generator: on the device of the pixels.

    Returns:
        the blends ``(N, C, H, W)`` uint8, rounded; the labels as they came; the partners' labels
        ``(N,)``; λ as ``(N,)`` float32, 0.5 to 1.
    """
    count = len(pixels)
    partner = torch.randperm(count, generator=generator, device=pixels.device)
    share = beta(alpha, count, generator)
    share = torch.maximum(share, 1 - share).float()
    others = pixels.index_select(0, partner).float()
    blends = others.lerp_(pixels.float(), share.view(-1, 1, 1, 1))
    return to_bytes(blends), labels, labels[partner], share


def beta(alpha: float, count: int, generator: torch.Generator) -> Tensor:
    """Numbers from Beta(α, α), ``(count,)`` float64.

    With U and V uniform, t = √(U^(−1/α) − 1) · cos 2πV has Student's distribution with 2α degrees of
    freedom, up to its scale, and (1 + t / √(1 + t²)) / 2 has Beta(α, α): no loop and nothing refused.
    PyTorch's own Beta draws from the global random state.

    R. W. Bailey, "Polar generation of random variates with the t-distribution", 1994; L. Devroye,
    "Non-uniform random variate generation", 1986.
    """
    uniform = torch.rand(2, count, dtype=torch.float64, generator=generator, device=generator.device)
    first, second = uniform.unbind()
    # U^(−1/α) overflows for small α; its inverse only becomes 0, and the share then 0 or 1.
    near = first.pow(1 / alpha)
    cosine = (2 * math.pi * second).cos()
    return (1 + cosine * (1 - near).sqrt() / (near + cosine.square() * (1 - near)).sqrt()) / 2
