"""Wobbles: a picture is shifted, scaled and turned a little before each step, so that it holds near by."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from cutaway.errors import ConfigError


@dataclass(frozen=True)
class Wobble:
    """How far a picture is moved at random, at most.

    Args:
        shift: pixels.
        scale: share of its size.
        rotate: degrees.

    Raises:
        ConfigError: one of them is negative.

    Source: Olah, Mordvintsev, Schubert, "Feature visualization", 2017.
    """

    shift: int = 0
    scale: float = 0.0
    rotate: float = 0.0

    def __post_init__(self) -> None:
        if min(self.shift, self.scale, self.rotate) < 0 or self.scale >= 1:
            raise ConfigError("Wobble: shift, scale and rotate should be 0 or more, and scale below 1.")

    @property
    def still(self) -> bool:
        """Whether nothing moves."""
        return not (self.shift or self.scale or self.rotate)

    def __call__(self, images: Tensor, generator: torch.Generator) -> Tensor:
        """All images moved alike, ``(B, C, H, W)``; what comes in from outside is the border's value."""
        if self.still:
            return images
        down, right, scale, turn = (2 * torch.rand(4, generator=generator) - 1).tolist()
        height, width = images.shape[2:]
        if not (self.scale or self.rotate):
            return _rolled(images, round(self.shift * down), round(self.shift * right))
        angle, size = math.radians(self.rotate * turn), 1 + self.scale * scale
        cosine, sine = math.cos(angle) / size, math.sin(angle) / size
        moves = [
            [cosine, -sine * height / width, 2 * self.shift * right / width],
            [sine * width / height, cosine, 2 * self.shift * down / height],
        ]
        matrix = torch.tensor([moves], device=images.device, dtype=images.dtype)
        grid = F.affine_grid(matrix, [1, 1, height, width], align_corners=False)
        grid = grid.expand(len(images), -1, -1, -1)
        return F.grid_sample(images, grid, mode="bilinear", padding_mode="border", align_corners=False)


def _rolled(images: Tensor, down: int, right: int) -> Tensor:
    """Shifted by whole pixels."""
    height, width = images.shape[2:]
    rows = (torch.arange(height, device=images.device) - down).clamp(0, height - 1)
    columns = (torch.arange(width, device=images.device) - right).clamp(0, width - 1)
    return images[:, :, rows][:, :, :, columns]
