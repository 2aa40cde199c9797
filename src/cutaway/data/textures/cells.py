"""Textures of irregular pieces: cells and cracks after Voronoi, scattered discs."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from cutaway.data.textures.canvas import Canvas, Plane
from cutaway.data.textures.registry import TEXTURES


@dataclass(frozen=True)
class _Pieces:
    """A Voronoi diagram: what lies nearest to each of many scattered points.

    Args:
        edge: ``(N, H, W)``, half of how much nearer the nearest point is than the next, in periods:
            on the line between two points, the distance to the border.
        own: a shade from 0 to 1 of the piece.
        other: the shade of the next point's piece.
    """

    edge: Tensor
    own: Tensor
    other: Tensor


def _pieces(canvas: Canvas, plane: Plane) -> _Pieces:
    """Pieces about one period wide: one point somewhere in every square of a grid.

    S. Worley, "A cellular texture basis function", 1996.
    """
    column, row = plane.u.floor(), plane.v.floor()
    fu, fv = plane.u - column, plane.v - row
    right, down, shades = (canvas.shades() for _ in range(3))
    best, second = torch.full_like(fu, 1e3), torch.full_like(fu, 1e3)
    own, other = (torch.zeros(fu.shape, dtype=torch.int64) for _ in range(2))
    for dy in (-1, 0, 1):
        for dx in (-1, 0, 1):
            place = shades.place(column + dx, row + dy)
            # Kept off the squares' edges: then the nearest two are among these nine, but for rare
            # corners.
            u = 0.8 * right.at(place) - (fu - (dx + 0.1))
            v = 0.8 * down.at(place) - (fv - (dy + 0.1))
            square = u.square_().add_(v.square_())
            nearest = square < best
            other = torch.where(nearest, own, torch.where(square < second, place, other))
            second = torch.minimum(second, torch.maximum(best, square))
            own = torch.where(nearest, place, own)
            best = torch.minimum(best, square)
    return _Pieces((second.sqrt() - best.sqrt()) / 2, shades.at(own), shades.at(other))


@TEXTURES.add("cells")
def _cells(canvas: Canvas) -> Tensor:
    """Flat pieces of many shades, as a mosaic."""
    plane = canvas.plane(9, 18)
    pieces = _pieces(canvas, plane)
    # On the border both shades count half.
    return torch.lerp(pieces.other, pieces.own, plane.cover(pieces.edge))


@TEXTURES.add("cracks")
def _cracks(canvas: Canvas) -> Tensor:
    """Dried mud: thin ragged borders between pieces of nearly one shade."""
    plane = canvas.plane(13, 24)
    ragged = [0.05 * canvas.clouds(1.2, 1.5) for _ in range(2)]
    pieces = _pieces(canvas, plane.moved(ragged[0], ragged[1]))
    ground = 0.8 + 0.2 * torch.lerp(pieces.other, pieces.own, plane.cover(pieces.edge))
    return ground * plane.cover(pieces.edge - canvas.uniform(0.05, 0.08))


@TEXTURES.add("discs")
def _discs(canvas: Canvas) -> Tensor:
    """Discs of many sizes and shades, fallen onto each other.

    A. B. Lee, D. Mumford, J. Huang, "Occlusion models for natural images", 2001.
    """
    height, width = canvas.sides
    y = torch.arange(height, dtype=torch.float32).view(1, -1, 1)
    x = torch.arange(width, dtype=torch.float32).view(1, 1, -1)
    drawn = canvas.uniform(0, 1).expand(-1, height, width)
    size = canvas.uniform(0.7, 1.2) * canvas.unit
    for _ in range(40):
        radius = canvas.uniform(3.5, 9) * size
        away = torch.hypot(x - canvas.uniform(0, width), y - canvas.uniform(0, height))
        drawn = torch.lerp(drawn, canvas.uniform(0, 1), (radius - away + 0.5).clamp_(0, 1))
    return drawn
