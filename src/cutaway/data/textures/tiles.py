"""Textures of tiles: checks, dots, bricks, herringbone, hexagons, scales."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from cutaway.data.textures.canvas import Canvas, near
from cutaway.data.textures.registry import TEXTURES


@TEXTURES.add("checks")
def _checks(canvas: Canvas) -> Tensor:
    """A chessboard."""
    plane = canvas.plane(14, 34)
    columns, rows = (2 * plane.cover(0.25 - near(axis)) - 1 for axis in (plane.u, plane.v))
    return columns * rows


@TEXTURES.add("dots")
def _dots(canvas: Canvas) -> Tensor:
    """Discs of one size in rows and columns."""
    plane = canvas.plane(8, 18)
    return plane.cover(canvas.uniform(0.24, 0.36) - torch.hypot(near(plane.u), near(plane.v)))


@TEXTURES.add("bricks")
def _bricks(canvas: Canvas) -> Tensor:
    """Running bond: each course is half a brick aside; every brick has its own shade."""
    plane = canvas.plane(8, 15)
    course = plane.v.floor()
    along = plane.u / 2.2 + 0.5 * (course % 2)
    edge = torch.minimum(near(along) * 2.2, near(plane.v))
    shade = 0.6 + 0.4 * canvas.shades()(along.floor(), course)
    return plane.cover(edge - canvas.uniform(0.07, 0.12)) * shade


@TEXTURES.add("herringbone")
def _herringbone(canvas: Canvas) -> Tensor:
    """Blocks three times as long as wide, in turns across and along.

    With blocks n long, cell (i, j) belongs to a block across where (i − j) mod 2n < n, and to one
    along otherwise.
    """
    plane = canvas.plane(6, 11)
    long = 3
    column, row = plane.u.floor(), plane.v.floor()
    fu, fv = plane.u - column, plane.v - row
    step = (column - row) % (2 * long)
    across = step < long
    place = torch.where(across, step + fu, 2 * long - 1 - step + fv)
    side = torch.where(across, fv, fu)
    edge = torch.minimum(torch.minimum(place, long - place), torch.minimum(side, 1 - side))
    shades = canvas.shades()
    # A block is known by its first cell.
    shade = torch.where(across, shades(column - step, row), shades(column, row - (2 * long - 1 - step)))
    shade = 0.55 + 0.25 * shade + 0.2 * across
    return plane.cover(edge - canvas.uniform(0.06, 0.1)) * shade


@TEXTURES.add("hexagons")
def _hexagons(canvas: Canvas) -> Tensor:
    """A honeycomb: the centres are those of two rectangular grids of 1 by √3, one in the other's gaps."""
    plane = canvas.plane(11, 22)
    tall = math.sqrt(3)
    u, v = plane.u, plane.v / tall
    first = (u - u.round(), (v - v.round()) * tall)
    second = (u - u.floor() - 0.5, (v - v.floor() - 0.5) * tall)
    nearer = first[0] ** 2 + first[1] ** 2 < second[0] ** 2 + second[1] ** 2
    du, dv = (torch.where(nearer, a, b).abs_() for a, b in zip(first, second, strict=True))
    edge = 0.5 - torch.maximum(du, du / 2 + dv * tall / 2)
    return plane.cover(edge - canvas.uniform(0.05, 0.1)) * (0.75 + 0.5 * edge)


@TEXTURES.add("scales")
def _scales(canvas: Canvas) -> Tensor:
    """A fish's: rows of discs, each row half a disc aside and over the row before."""
    plane = canvas.plane(12, 24)
    radius = 0.52  # rows are ½ apart; from ½ on the discs leave no gap
    top = (2 * plane.v).floor()
    drawn = torch.zeros_like(plane.u)
    for behind in (2, 1, 0, -1):
        row = top + behind
        aside = plane.u + 0.5 * (row % 2)
        rim = radius - torch.hypot(near(aside), plane.v - row / 2)
        shade = ((rim - 0.09) / plane.pixel + 0.5).clamp_(0, 1) * (0.45 + 0.55 * rim / radius)
        drawn = torch.lerp(drawn, shade, plane.cover(rim))
    return drawn
