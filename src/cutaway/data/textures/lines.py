"""Textures of lines: gratings, stripes, waves, zigzags, rings, lattices, scratches."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from cutaway.data.textures.canvas import Canvas, near
from cutaway.data.textures.registry import TEXTURES


@TEXTURES.add("grating")
def _grating(canvas: Canvas) -> Tensor:
    """A sine."""
    return torch.cos(2 * math.pi * canvas.plane(6, 20).u)


@TEXTURES.add("stripes")
def _stripes(canvas: Canvas) -> Tensor:
    """Hard-edged, light and dark of unequal width."""
    plane = canvas.plane(9, 26)
    return plane.cover(canvas.uniform(0.15, 0.35) - near(plane.u))


@TEXTURES.add("waves")
def _waves(canvas: Canvas) -> Tensor:
    """Soft lines that swing from side to side."""
    plane = canvas.plane(7, 13)
    swing = canvas.uniform(0.25, 0.45) * torch.sin(2 * math.pi * plane.v / canvas.uniform(2.2, 3.2))
    return torch.cos(2 * math.pi * (plane.u + swing))


@TEXTURES.add("zigzag")
def _zigzag(canvas: Canvas) -> Tensor:
    """Hard-edged stripes that turn at a right angle again and again."""
    plane = canvas.plane(9, 16)
    length = canvas.uniform(1.2, 2.2)
    across = (plane.u + 2 * length * near(plane.v / (2 * length))) / math.sqrt(2)
    return plane.cover(canvas.uniform(0.17, 0.3) - near(across))


@TEXTURES.add("rings")
def _rings(canvas: Canvas) -> Tensor:
    """Circles within circles around a point in the frame."""
    plane = canvas.plane(7, 16)
    height, width = canvas.sides
    row = (canvas.uniform(0.15, 0.85) * height).long().expand(-1, 1, width)
    column = (canvas.uniform(0.15, 0.85) * width).long()
    u, v = (axis.gather(1, row).gather(2, column) for axis in (plane.u, plane.v))
    return torch.cos(2 * math.pi * torch.hypot(plane.u - u, plane.v - v))


@TEXTURES.add("lattice")
def _lattice(canvas: Canvas) -> Tensor:
    """Thin lines that cross at right angles, as wire mesh."""
    plane = canvas.plane(9, 20)
    return plane.cover(canvas.uniform(0.07, 0.13) - torch.minimum(near(plane.u), near(plane.v)))


@TEXTURES.add("scratches")
def _scratches(canvas: Canvas) -> Tensor:
    """Straight thin strokes in all directions."""
    height, width = canvas.sides
    y = torch.arange(height, dtype=torch.float32).view(1, -1, 1)
    x = torch.arange(width, dtype=torch.float32).view(1, 1, -1)
    drawn = torch.zeros(canvas.count, height, width)
    for _ in range(24):
        turn = canvas.uniform(0, math.pi)
        cos, sin = turn.cos(), turn.sin()
        dx, dy = x - canvas.uniform(0, width), y - canvas.uniform(0, height)
        half = canvas.uniform(8, 26) * canvas.unit
        thick = canvas.uniform(0.5, 1.1) * canvas.unit
        beyond = ((cos * dx + sin * dy).abs_() - half).clamp_(min=0)
        aside = (cos * dy - sin * dx).abs_()
        stroke = (thick + 0.5 - torch.maximum(aside, beyond)).clamp_(0, 1) * canvas.uniform(0.5, 1)
        drawn = torch.maximum(drawn, stroke)
    return drawn
