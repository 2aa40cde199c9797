"""The pyramid: the paper's sum, pixel by pixel, and sizes that end at four pixels."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from cutaway.data import gaussian_pyramid

WEIGHTS = (0.0625, 0.25, 0.375, 0.25, 0.0625)
"""The paper's w with a = 3/8: a in the middle, 1/4 beside it, 1/4 − a/2 outside."""


def _reduce(image: NDArray[Any]) -> NDArray[Any]:
    """The paper's REDUCE of ``(C, H, W)``: a weighted mean of 25 pixels around every second one."""
    channels, height, width = image.shape
    result = np.zeros((channels, (height + 1) // 2, (width + 1) // 2))
    for i, j in itertools.product(range(result.shape[1]), range(result.shape[2])):
        for m, n in itertools.product(range(-2, 3), range(-2, 3)):
            y, x = abs(2 * i + m), abs(2 * j + n)
            y, x = min(y, 2 * (height - 1) - y), min(x, 2 * (width - 1) - x)
            result[:, i, j] += WEIGHTS[m + 2] * WEIGHTS[n + 2] * image[:, y, x]
    return result


@pytest.mark.parametrize("shape", [(1, 16, 16), (3, 19, 30), (1, 7, 8), (2, 13, 9)])
def test_every_level_is_the_paper_s_sum(shape: tuple[int, int, int]) -> None:
    pixels = torch.randint(0, 256, shape, generator=torch.Generator().manual_seed(0)).to(torch.uint8)
    levels = gaussian_pyramid(pixels)
    assert levels[0] is pixels
    wanted = pixels.numpy().astype(float)
    assert len(levels) > 1
    for level in levels[1:]:
        wanted = _reduce(wanted)
        assert level.dtype == torch.uint8
        assert level.shape == wanted.shape
        assert np.abs(level.numpy() - wanted).max() <= 0.5 + 1e-3


@pytest.mark.parametrize(
    ("side", "sides"),
    [
        (64, [64, 32, 16, 8, 4]),
        (28, [28, 14, 7, 4]),
        (9, [9, 5]),
        (8, [8, 4]),
        (7, [7, 4]),
        (6, [6]),
        (1, [1]),
    ],
)
def test_no_level_is_smaller_than_four_pixels(side: int, sides: list[int]) -> None:
    for shape in ((1, side, side), (1, side, 64), (3, 64, side)):
        levels = gaussian_pyramid(torch.zeros(shape, dtype=torch.uint8))
        assert [min(level.shape[1:]) for level in levels] == sides


def test_so_many_levels_as_are_asked_for() -> None:
    pixels = torch.zeros(1, 64, 64, dtype=torch.uint8)
    assert [len(gaussian_pyramid(pixels, count)) for count in (1, 2, 5, 9)] == [1, 2, 5, 5]


def test_a_ground_of_one_grey_stays_so_at_its_border_too() -> None:
    for level in gaussian_pyramid(torch.full((3, 33, 20), 255, dtype=torch.uint8)):
        assert (level == 255).all()
