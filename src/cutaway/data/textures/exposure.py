"""From a texture's name to its images, in which no statistic of single pixels tells the class."""

from __future__ import annotations

import torch
from torch import Tensor

from cutaway.data.textures.canvas import Canvas, level
from cutaway.data.textures.registry import TEXTURES

SMALLEST = 16
"""Frames with a shorter side than this show less than a period of some textures."""

_REACH = 2.2
"""No pixel is further from its image's mean than so many of its deviations."""

_BEND = 0.8
"""Tone curves are powers from e to the minus this to e to the plus this."""

_AT_ONCE = 1 << 18
"""Pixels worked on together: a few such arrays fit a core's cache, which made it twice as fast."""


def paint(name: str, count: int, sides: tuple[int, int], seed: int) -> Tensor:
    """Images of one texture.

    Every image is brought to mean 0 and deviation 1, inverted or not at random, and then given a
    brightness and a contrast that are drawn alike for all textures.

    Args:
        name: one of :data:`TEXTURES`.
        count: how many images.
        sides: ``(H, W)``.
        seed: the same seed gives the same images.

    Returns:
        ``(N, 1, H, W)`` uint8.

    Raises:
        NotFoundError: there is no such texture.
    """
    texture = TEXTURES[name]
    generator = torch.Generator().manual_seed(seed)
    images = torch.empty(count, 1, *sides, dtype=torch.uint8)
    size = max(1, _AT_ONCE // (sides[0] * sides[1]))
    for start in range(0, count, size):
        part = images[start : start + size]
        canvas = Canvas(len(part), sides, generator)
        part[:, 0] = _expose(texture(canvas), canvas)
    return images


def _expose(drawn: Tensor, canvas: Canvas) -> Tensor:
    """Any values ``(N, H, W)`` as bytes of a random brightness and contrast."""
    # A little grain, so that flat tiles have no telltale single value.
    grain = torch.randn(drawn.shape, generator=canvas.generator) * canvas.uniform(0.02, 0.2)
    images = level(drawn).add_(grain)
    images = level(images) * torch.where(canvas.uniform(0, 1) < 0.5, -1.0, 1.0)
    # A tone curve of its own for each image, so that histograms tell less: with it the nearest of
    # 5 000 histograms names the texture of two in five images, without it of one in two.
    images = (images / 7 + 0.5).clamp_(0, 1) ** canvas.uniform(-_BEND, _BEND).exp()
    # Cutting off the tails moves mean and deviation, so both are set again; the later cuts are small.
    for _ in range(3):
        images = level(images).clamp_(-_REACH, _REACH)
    deviation = canvas.uniform(24, 50)
    # Any brightness at which nothing is cut off.
    room = 127.5 - _REACH * deviation
    mean = 127.5 + canvas.uniform(-1, 1) * room
    return (images * deviation + mean).round_().clamp_(0, 255).to(torch.uint8)
