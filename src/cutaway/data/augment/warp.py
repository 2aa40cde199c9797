"""Crop, rotation, slant and scaling, with shift and flips among them: one bilinear interpolation for all."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from cutaway.config import AugmentConfig, Fill
from cutaway.data.augment.movement import Movement
from cutaway.data.augment.pixels import to_bytes

_WIDEST = math.log(4 / 3)
"""The most that a window's proportions differ from the image's, either way, as a logarithm."""

_PADDING = {Fill.REFLECT: "reflection", Fill.EDGE: "border", Fill.MEAN: "zeros"}


@dataclass(frozen=True)
class Warp:
    """How each image of a batch is cropped, turned and scaled.

    Args:
        tall: ``(N,)`` float32, the window's height as a share of the image's.
        wide: ``(N,)`` float32, its width likewise.
        top: ``(N,)`` float32, where it lies: 0 at the image's top, 1 at its bottom.
        left: ``(N,)`` float32, likewise.
        angle: ``(N,)`` float32, clockwise, in radians.
        factor: ``(N,)`` float32, above 1 enlarged.
        slant: ``(N,)`` float32, pixels to the right for each pixel upwards, before the image is turned.
    """

    tall: Tensor
    wide: Tensor
    top: Tensor
    left: Tensor
    angle: Tensor
    factor: Tensor
    slant: Tensor

    @classmethod
    def draw(cls, config: AugmentConfig, count: int, generator: torch.Generator) -> Warp:
        """Area, place, angles and factor uniformly, the window's proportions so by their logarithm."""
        # Drawn whether wanted or not, so that an angle does not depend on what else is asked for.
        chance = torch.rand(7, count, generator=generator, device=generator.device)
        area = 1 - (1 - config.crop) * chance[0]
        # A window that is nearly as large as the image can't differ much from its proportions.
        most = (-area.log()).clamp(max=_WIDEST)
        ratio = (most * (2 * chance[1] - 1)).exp()
        return cls(
            tall=(area / ratio).sqrt().clamp(max=1),
            wide=(area * ratio).sqrt().clamp(max=1),
            top=chance[2],
            left=chance[3],
            angle=math.radians(config.rotate) * (2 * chance[4] - 1),
            factor=1 + config.scale * (2 * chance[5] - 1),
            slant=(math.radians(config.shear) * (2 * chance[6] - 1)).tan(),
        )


def warp(pixels: Tensor, drawn: Warp, movement: Movement, fill: Fill, means: Tensor) -> Tensor:
    """The images cropped, slanted, turned and scaled about their middle, shifted and mirrored, in this order.

    Each pixel of the result is looked up where all of it together takes it from, so that what stood
    beyond a window comes into sight where the image is turned, and only what is beyond the image is
    filled. Sampling is PyTorch's: kornia's ``warp_affine`` gives the same and took 2 to 3 times as
    long (0.9, one thread of a CPU), most of it for the grid.

    Args:
        pixels: ``(N, C, H, W)``, uint8.
        drawn: how to crop, slant, turn and scale.
        movement: how to shift and mirror.
        fill: what stands beyond the image.
        means: ``(C,)`` uint8, read for the fill "mean" alone.

    Returns:
        ``(N, C, H, W)``, uint8, rounded.
    """
    count, _, height, width = pixels.shape
    # From a pixel of the result back to the image. Coordinates are pixels, 0 in the middle.
    y = _back(height, movement.down, movement.upended)
    x = _back(width, movement.right, movement.mirrored)
    sine, cosine = drawn.angle.sin() / drawn.factor, drawn.angle.cos() / drawn.factor
    # F.grid_sample counts from −1 to 1 between the outer edges of the first and the last pixel.
    unit_y, unit_x = drawn.tall * 2 / height, drawn.wide * 2 / width
    middle_y = (1 - drawn.tall) * (2 * drawn.top - 1)
    middle_x = (1 - drawn.wide) * (2 * drawn.left - 1)
    grid = torch.empty(count, height, width, 2, device=pixels.device)
    right, below = cosine - drawn.slant * sine, sine + drawn.slant * cosine
    across, down = _times(unit_x * right, x), _times(unit_x * below, y) + middle_x[:, None]
    torch.add(across[:, None, :], down[:, :, None], out=grid[..., 0])
    across, down = _times(-unit_y * sine, x), _times(unit_y * cosine, y) + middle_y[:, None]
    torch.add(across[:, None, :], down[:, :, None], out=grid[..., 1])
    values = pixels.float()
    if fill is Fill.MEAN:
        # Zeros are beyond the image then, and borders are blended with the mean.
        values -= means.view(-1, 1, 1)
    values = F.grid_sample(values, grid, padding_mode=_PADDING[fill], align_corners=False)
    if fill is Fill.MEAN:
        values += means.view(-1, 1, 1)
    return to_bytes(values)


def _back(side: int, shift: Tensor, mirrored: Tensor) -> Tensor:
    """Rows (or columns) before shift and mirror, from the middle: ``(N, side)`` float32."""
    places = torch.arange(side, device=shift.device) - (side - 1) / 2
    return torch.where(mirrored[:, None], -places, places) - shift[:, None]


def _times(factors: Tensor, places: Tensor) -> Tensor:
    """A factor for each image: ``(N,)`` times ``(N, side)``."""
    return factors[:, None] * places
