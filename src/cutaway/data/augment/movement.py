"""Shift and flips: every pixel is moved, none is changed."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from cutaway.config import AugmentConfig, Fill
from cutaway.data.augment.pixels import choose, gather


@dataclass(frozen=True)
class Movement:
    """Where each image of a batch is moved: first shifted, then mirrored about its middle.

    Args:
        down: ``(N,)`` int64, whole pixels.
        right: ``(N,)`` int64, whole pixels.
        upended: ``(N,)`` bool, mirrored top to bottom.
        mirrored: ``(N,)`` bool, mirrored left to right.
    """

    down: Tensor
    right: Tensor
    upended: Tensor
    mirrored: Tensor

    @classmethod
    def draw(cls, config: AugmentConfig, count: int, generator: torch.Generator) -> Movement:
        """Every shift within the bound is as likely as any other; a mirror image as likely as none."""
        device = generator.device
        far = config.shift
        # Drawn whether wanted or not, so that a flip does not depend on what else is asked for.
        down, right = torch.randint(-far, far + 1, (2, count), generator=generator, device=device)
        upended, mirrored = torch.rand(2, count, generator=generator, device=device) < 0.5
        return cls(down, right, upended & config.flip_vertical, mirrored & config.flip)


def move(pixels: Tensor, movement: Movement, fill: Fill, means: Tensor) -> Tensor:
    """The images moved, with copies of their own pixels or the means where they no longer reach.

    Args:
        pixels: ``(N, C, H, W)``, uint8.
        movement: where to.
        fill: what stands in the uncovered rows and columns: "reflect" is the image mirrored at its
            border, the outermost row twice, and again at the end of the mirror image.
        means: ``(C,)`` uint8, read for the fill "mean" alone.

    Returns:
        ``(N, C, H, W)``, uint8.
    """
    height, width = pixels.shape[2:]
    rows = _sources(height, movement.down, movement.upended)
    columns = _sources(width, movement.right, movement.mirrored)
    if fill is Fill.REFLECT:
        return gather(pixels, _reflect(rows, height), _reflect(columns, width))
    moved = gather(pixels, rows.clamp(0, height - 1), columns.clamp(0, width - 1))
    if fill is Fill.EDGE:
        return moved
    return choose(covered(rows, columns, height, width), moved, means.view(-1, 1, 1))


def covered(rows: Tensor, columns: Tensor, height: int, width: int) -> Tensor:
    """Which pixels have their source within the image: uint8 ``(N, 1, H, W)``.

    Args:
        rows: ``(N, H)``, the row that each row comes from.
        columns: ``(N, W)``, likewise.
        height: rows of the image.
        width: columns of the image.
    """
    down = ((rows >= 0) & (rows < height)).to(torch.uint8)
    across = ((columns >= 0) & (columns < width)).to(torch.uint8)
    return down[:, None, :, None] * across[:, None, None, :]


def _sources(side: int, shift: Tensor, mirrored: Tensor) -> Tensor:
    """Where each row (or column) of the result comes from, beyond the image too: ``(N, side)``."""
    places = torch.arange(side, device=shift.device)
    return torch.where(mirrored[:, None], places.flip(0), places) - shift[:, None]


def _reflect(places: Tensor, side: int) -> Tensor:
    """Places on a line folded at both ends of 0 … side − 1, with the outermost place twice."""
    lap = places.remainder(2 * side)
    return torch.minimum(lap, 2 * side - 1 - lap)
