"""Textures of threads: plaid, weave, twill, fabric."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from cutaway.data.textures.canvas import Canvas, Plane, near
from cutaway.data.textures.registry import TEXTURES


@TEXTURES.add("plaid")
def _plaid(canvas: Canvas) -> Tensor:
    """A tartan: broad and narrow bands in one order along and across, added up."""
    plane = canvas.plane(26, 46)
    broad, narrow = canvas.uniform(0.13, 0.2), canvas.uniform(0.03, 0.05)
    drawn = torch.zeros_like(plane.u)
    for axis in (plane.u, plane.v):
        drawn += plane.cover(broad - near(axis))
        drawn += 0.8 * plane.cover(narrow - near(axis + 0.5))
        drawn -= 0.6 * plane.cover(narrow - near(axis))
    return drawn


@TEXTURES.add("weave")
def _weave(canvas: Canvas) -> Tensor:
    """Basket weave: threads two by two, in turns over and under two others."""
    plane = canvas.plane(5, 10)
    over = ((plane.u / 2).floor() + (plane.v / 2).floor()) % 2 < 0.5
    dives = 2 * near(plane.u / 2), 2 * near(plane.v / 2)
    return _threads(plane, over, dives, (1.0, 0.7), canvas.uniform(0.1, 0.16))


@TEXTURES.add("twill")
def _twill(canvas: Canvas) -> Tensor:
    """Two over, two under, each row one thread further: ribs run aslant."""
    plane = canvas.plane(4, 8)
    column, row = plane.u.floor(), plane.v.floor()
    over = (column - row) % 4 < 1.5
    dives = 2 * near((plane.u - row) / 2), 2 * near((plane.v - column - 1) / 2)
    return _threads(plane, over, dives, (1.0, 0.35), canvas.uniform(0.06, 0.1))


def _threads(
    plane: Plane, over: Tensor, dives: tuple[Tensor, Tensor], shades: tuple[float, float], gap: Tensor
) -> Tensor:
    """Round threads, one along u in each row and one along v in each column.

    Args:
        plane: its unit is a thread with the gaps on both sides.
        over: where the thread along u lies on the other one.
        dives: for the threads along u, and along v: 0 where they change between over and under, 1
            midway.
        shades: likewise.
        gap: from a thread's edge to the middle of the gap.
    """
    threads = []
    for across, dive, shade in zip((plane.v, plane.u), dives, shades, strict=True):
        height = 2 * near(across)  # 0 midway between two threads, 1 on the middle of one
        lit = shade * (1 - 0.5 * (1 - height) ** 2) * (0.6 + 0.4 * dive)
        threads.append((lit, plane.cover(height / 2 - gap)))
    (first, covers), (second, hides) = threads
    # What lies below is seen in the gaps of what lies on top.
    return torch.where(
        over, torch.lerp(second * hides, first, covers), torch.lerp(first * covers, second, hides)
    )


@TEXTURES.add("fabric")
def _fabric(canvas: Canvas) -> Tensor:
    """Raw linen: uneven threads along and across, as noise that is drawn out two ways."""
    turn = canvas.uniform(0, math.pi)
    cos, sin = turn.cos(), turn.sin()
    fine, length = canvas.uniform(1.2, 2.4), canvas.uniform(12, 20)

    def drawn_out(first: Tensor, second: Tensor) -> Tensor:
        # Broad below: without the slow unevenness, which would look like clouds.
        band = torch.exp(-((first * fine) ** 2)) * (1 - torch.exp(-((first * 5 * fine) ** 2)))
        return band * torch.exp(-((second * length) ** 2))

    warp = canvas.noise(lambda fx, fy: drawn_out(cos * fx + sin * fy, cos * fy - sin * fx))
    weft = canvas.noise(lambda fx, fy: drawn_out(cos * fy - sin * fx, cos * fx + sin * fy))
    return warp + weft
