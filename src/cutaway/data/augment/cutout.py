"""Cutout: a square of each image covered.

T. DeVries, G. W. Taylor, "Improved regularization of convolutional neural networks with cutout",
2017.
"""

from __future__ import annotations

import torch
from torch import Tensor

from cutaway.data.augment.movement import covered
from cutaway.data.augment.pixels import choose


def cut_out(pixels: Tensor, side: int, means: Tensor, generator: torch.Generator) -> Tensor:
    """Every image with a square set to the means.

    The square's middle is any pixel with equal chance, so that part of it may lie beyond the image;
    as in the paper, some images thus lose less, which it found to matter.

    Args:
        pixels: ``(N, C, H, W)``, uint8.
        side: of the square, in pixels; an even one reaches a pixel farther up and left.
        means: ``(C,)``, uint8.
        generator: on the device of the pixels.

    Returns:
        ``(N, C, H, W)``, uint8.
    """
    count, _, height, width = pixels.shape
    device = pixels.device

    def places(length: int) -> Tensor:
        """Each row (or column) counted from the square's first."""
        middle = torch.randint(length, (count, 1), generator=generator, device=device)
        return torch.arange(length, device=device) - middle + side // 2

    square = covered(places(height), places(width), side, side)
    return choose(square, means.view(-1, 1, 1), pixels)
