"""Textures of noise: clouds, marble, wood, labyrinths, speckle."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from cutaway.data.textures.canvas import Canvas
from cutaway.data.textures.registry import TEXTURES


@TEXTURES.add("clouds")
def _clouds(canvas: Canvas) -> Tensor:
    """Soft shapes of all sizes."""
    return canvas.clouds(2.0, 1.5)


@TEXTURES.add("marble")
def _marble(canvas: Canvas) -> Tensor:
    """Thin veins, disturbed by clouds.

    K. Perlin, "An image synthesizer", 1985.
    """
    plane = canvas.plane(22, 36)
    swirl = canvas.uniform(0.3, 0.5) * canvas.clouds(1.7, 1.0)
    vein = torch.sin(math.pi * (plane.u + swirl)).abs_()
    return vein.sqrt_() + 0.1 * canvas.clouds(1.5, 1.0)


@TEXTURES.add("wood")
def _wood(canvas: Canvas) -> Tensor:
    """Planed wood: yearly rings, light to dark and abruptly light again, along a wavering grain."""
    plane = canvas.plane(9, 18)
    bend = 0.5 * torch.sin(plane.v * canvas.uniform(0.25, 0.45) + canvas.uniform(0, 6.3))
    bend = bend + 0.22 * canvas.clouds(2.2, 3.0)
    ring = (plane.u + bend) % 1
    # The abrupt step takes a fifth of a ring.
    drawn = torch.where(ring < 0.8, (ring / 0.8) ** 2, (1 - ring) / 0.2)
    # Fibres are streaks along the grain: noise looked up far apart across it, hardly at all along.
    shades = canvas.shades()
    across, along = plane.u * 9, plane.v * 0.7
    return drawn + 0.35 * shades(across.floor(), (along + across.floor() * 0.37).floor())


@TEXTURES.add("labyrinth")
def _labyrinth(canvas: Canvas) -> Tensor:
    """Winding paths of one width, as on a zebra or a fingertip: noise of one frequency, cut at zero.

    The patterns are those of A. M. Turing, "The chemical basis of morphogenesis", 1952.
    """
    centre = 1 / canvas.uniform(7, 13)
    wave = canvas.noise(lambda fx, fy: torch.exp(-(((torch.hypot(fx, fy) / centre - 1) / 0.12) ** 2)))
    return torch.tanh(2.5 * wave)


@TEXTURES.add("speckle")
def _speckle(canvas: Canvas) -> Tensor:
    """Grain of a pixel or two, as laser light on a wall: the size of a complex noise.

    J. W. Goodman, "Some fundamental properties of speckle", 1976.
    """
    fine = canvas.uniform(1.5, 3.5)
    parts = [canvas.noise(lambda fx, fy: torch.exp(-(fx**2 + fy**2) * fine**2)) for _ in range(2)]
    return torch.hypot(parts[0], parts[1])
