"""Jitter: images moved within a cluttered background, so that filters learn no fixed position.

The clutter has the statistics of the images themselves: it is cut out of the batch's others. Where
an image ends, the net then finds neither a flat ground nor a mirror image to tell it.
"""

from __future__ import annotations

import torch
from torch import Tensor

from cutaway.data.augment.movement import covered
from cutaway.data.augment.pixels import choose, gather


def jitter(pixels: Tensor, most: int, side: int, generator: torch.Generator) -> Tensor:
    """Every image moved by whole pixels, on patches of the batch's other images.

    Args:
        pixels: ``(N, C, H, W)``, uint8.
        most: pixels that an image is moved by at most, up or down and left or right; each number is
            equally likely.
        side: of the patches, in pixels; at most the image's.
        generator: on the device of the pixels.

    Returns:
        ``(N, C, H, W)``, uint8.
    """
    count, _, height, width = pixels.shape
    device = pixels.device
    down, right = torch.randint(-most, most + 1, (2, count, 1), generator=generator, device=device)
    rows = torch.arange(height, device=device) - down
    columns = torch.arange(width, device=device) - right
    moved = gather(pixels, rows.clamp(0, height - 1), columns.clamp(0, width - 1))
    return choose(covered(rows, columns, height, width), moved, clutter(pixels, side, generator))


def clutter(pixels: Tensor, side: int, generator: torch.Generator) -> Tensor:
    """A ground for each image: a grid of patches of the others, each from a random place.

    The grid begins at a random place too. An image that is alone gets patches of itself.

    Args:
        pixels: ``(N, C, H, W)``, uint8.
        side: of the patches, in pixels; at most the image's.
        generator: on the device of the pixels.

    Returns:
        ``(N, C, H, W)``, uint8.
    """
    count, channels, height, width = pixels.shape
    tall, wide = min(side, height), min(side, width)
    # One patch more than fills the image: the grid begins up to a patch before it.
    grid = (count, -(-height // tall) + 1, -(-width // wide) + 1)

    def draw(low: int, high: int, *shape: int) -> Tensor:
        return torch.randint(low, high, shape, generator=generator, device=pixels.device)

    def steps(length: int, stride: int, *shape: int) -> Tensor:
        return torch.arange(length, device=pixels.device).view(shape) * stride

    image = steps(count, 1, -1, 1, 1) + (draw(1, count, *grid) if count > 1 else 0)
    corner = image.remainder(count) * channels * height * width
    corner = corner + draw(0, height - tall + 1, *grid) * width + draw(0, width - wide + 1, *grid)
    # Where each line of each patch begins: (N, C, rows of patches, lines of a patch, patches in a row).
    lines = corner[:, None, :, None] + steps(channels, height * width, -1, 1, 1, 1)
    lines = lines + steps(tall, width, -1, 1)
    # Lines are copied whole, out of a view of everything that begins at every pixel: a sixth of the
    # time of one index for each pixel.
    runs = pixels.reshape(-1).unfold(0, wide, 1)
    canvas = runs.index_select(0, lines.flatten())
    canvas = canvas.view(count, channels, grid[1] * tall, grid[2] * wide)
    rows = steps(height, 1, -1) + draw(0, tall, count, 1)
    columns = steps(width, 1, -1) + draw(0, wide, count, 1)
    return gather(canvas, rows, columns)
