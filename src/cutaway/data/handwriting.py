"""Glyphs turned, scaled, slanted, moved, blurred and exposed at random: no two alike."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

_TURN = 15.0  # degrees, both ways
_SCALE = (0.75, 1.1)  # of the size that fits
_SLANT = 0.2  # columns a row, both ways
_FIT = 20 / 28  # of the frame's shorter side, as in MNIST
_MARGIN = 2.0  # pixels at each edge that stay free
_MOVE = 1 / 8  # of the frame's side, both ways, where there is room
_FINER = 2  # each pixel is the mean of so many by so many, else thin strokes would break up
_AT_ONCE = 500


def write(glyphs: Tensor, count: int, sides: tuple[int, int], seed: int) -> Tensor:
    """Images of one character.

    Each is turned by up to 15°, scaled to 0.75 to 1.1 of the size that fits, slanted by up to a
    fifth, and moved so that it stays within the frame; a glyph that would not stay is made smaller.

    Args:
        glyphs: ``(fonts, S, S)`` from 0 to 1; each image takes one at random.
        count: how many images.
        sides: ``(H, W)``.
        seed: the same seed gives the same images.

    Returns:
        ``(N, 1, H, W)`` uint8, light ink on black.
    """
    generator = torch.Generator().manual_seed(seed)
    ink = [_extent(glyph) for glyph in glyphs]
    parts = [torch.empty(0, 1, *sides, dtype=torch.uint8)]
    for start in range(0, count, _AT_ONCE):
        font = torch.randint(len(glyphs), (min(_AT_ONCE, count - start),), generator=generator)
        boxes = torch.tensor([ink[number] for number in font.tolist()])
        placed = _place(glyphs[font], boxes, sides, generator)
        parts.append(_expose(placed, generator))
    return torch.cat(parts)


def _extent(glyph: Tensor) -> tuple[float, float, float, float]:
    """Left, top, right and bottom of a glyph's ink ``(S, S)``, from −1 to 1 over the square."""
    side = len(glyph)
    rows, columns = glyph.any(1).nonzero().flatten(), glyph.any(0).nonzero().flatten()
    edges = (columns[0], rows[0], columns[-1] + 1, rows[-1] + 1)
    left, top, right, bottom = (float(edge) / side * 2 - 1 for edge in edges)
    return left, top, right, bottom


def _place(glyphs: Tensor, boxes: Tensor, sides: tuple[int, int], generator: torch.Generator) -> Tensor:
    """Glyphs ``(N, S, S)`` in their frames, ``(N, 1, H, W)`` from 0 to 1.

    Args:
        glyphs: one for each image.
        boxes: ``(N, 4)``, the edges of their ink from −1 to 1.
        sides: ``(H, W)``.
        generator: for everything at random.
    """
    count = len(glyphs)

    def uniform(low: float, high: float) -> Tensor:
        return torch.rand(count, generator=generator) * (high - low) + low

    turn, slant = uniform(-_TURN, _TURN).deg2rad(), uniform(-_SLANT, _SLANT)
    # From the glyph's square to the frame, both with their origin in the middle; (N, 2, 2).
    size = uniform(*_SCALE) * _FIT * min(sides) / 2
    cos, sin = turn.cos(), turn.sin()
    rows = (torch.stack((cos, cos * slant - sin), 1), torch.stack((sin, sin * slant + cos), 1))
    forward = torch.stack(rows, 1) * size.view(-1, 1, 1)
    left, top, right, bottom = boxes.unbind(1)
    corners = torch.stack((left, right, left, right, top, top, bottom, bottom), 1).view(count, 2, 4)
    reach = forward @ corners  # (N, 2, 4), pixels from the middle of the frame
    low, high = reach.amin(2), reach.amax(2)
    room = torch.tensor([sides[1], sides[0]]) - 2 * _MARGIN  # x before y, as grid_sample has it
    smaller = (room / (high - low)).amin(1).clamp(max=1)
    forward, low, high = forward * smaller.view(-1, 1, 1), low * smaller[:, None], high * smaller[:, None]
    most = torch.tensor([sides[1], sides[0]]) * _MOVE
    wanted = torch.stack((uniform(-1, 1), uniform(-1, 1)), 1) * most
    moved = torch.maximum(torch.minimum(wanted, room / 2 - high), -room / 2 - low)
    return _sample(glyphs, forward, moved, sides)


def _sample(glyphs: Tensor, forward: Tensor, moved: Tensor, sides: tuple[int, int]) -> Tensor:
    """Look up where each pixel of a frame lies on its glyph's square."""
    backward = torch.linalg.inv(forward)
    half = torch.tensor([sides[1], sides[0]]) / 2  # affine_grid's frame is from −1 to 1
    shift = -(backward @ moved[:, :, None])
    matrix = torch.cat((backward * half, shift), 2)  # (N, 2, 3)
    fine = (len(glyphs), 1, sides[0] * _FINER, sides[1] * _FINER)
    grid = F.affine_grid(matrix, list(fine), align_corners=False)
    return F.avg_pool2d(F.grid_sample(glyphs[:, None], grid, align_corners=False), _FINER)


def _expose(placed: Tensor, generator: torch.Generator) -> Tensor:
    """Ink from 0 to 1 as bytes: blurred or not, bold or faint, a little noisy."""
    count = len(placed)

    def uniform(low: float, high: float) -> Tensor:
        return torch.rand(count, 1, 1, 1, generator=generator) * (high - low) + low

    row = torch.tensor([1.0, 2.0, 1.0]) / 4
    blurred = F.conv2d(placed, (row[:, None] * row).view(1, 1, 3, 3), padding=1)
    soft = torch.lerp(placed, blurred, uniform(0, 1))
    # Thin strokes are pale once they are scaled down; a pen's are not.
    pen = (soft * uniform(1.2, 1.8)).clamp_(max=1)
    noise = torch.randn(placed.shape, generator=generator)
    # The ground's noise stays within 8 grey levels, which is what counts as one ground.
    ground, grain = uniform(0, 2), uniform(0, 12)
    levels = pen * uniform(170, 255) + noise * (ground + grain * pen)
    return levels.round_().clamp_(0, 255).to(torch.uint8)
