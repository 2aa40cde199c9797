"""Crop, rotation and scaling: against a walk back pixel by pixel, and found again in coordinates."""

from __future__ import annotations

import itertools
import math
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from cutaway.config import AugmentConfig, Fill
from cutaway.data.augment import Augment
from cutaway.data.augment.movement import Movement
from cutaway.data.augment.warp import Warp, warp

Array = NDArray[Any]

SIDE = 41
"""Of the images of coordinates: six grey levels to a pixel, so that rounding hides little."""


def _at(image: Array, y: int, x: int, fill: Fill, means: Array) -> Array:
    """The pixel ``(C,)`` at any place, beyond the image too."""
    places = []
    for wanted, length in ((y, image.shape[1]), (x, image.shape[2])):
        place = wanted
        if fill is Fill.MEAN and not 0 <= place < length:
            return means
        if fill is Fill.EDGE:
            place = min(max(place, 0), length - 1)
        while not 0 <= place < length:
            # Mirrored at the outer edge: −1 is 0, and the length is the last.
            place = -1 - place if place < 0 else 2 * length - 1 - place
        places.append(place)
    pixel: Array = image[:, places[0], places[1]].astype(float)
    return pixel


def _walk(image: Array, n: int, drawn: Warp, movement: Movement, *, fill: Fill, means: Array) -> Array:
    """Image number n warped by undoing step after step for every pixel, with bilinear interpolation."""
    _, height, width = image.shape
    result = np.zeros(image.shape)
    angle, factor = float(drawn.angle[n]), float(drawn.factor[n])
    tall, wide = float(drawn.tall[n]) * height, float(drawn.wide[n]) * width
    top, left = float(drawn.top[n]) * (height - tall), float(drawn.left[n]) * (width - wide)
    for row, column in itertools.product(range(height), range(width)):
        y: float = height - 1 - row if movement.upended[n] else row
        x: float = width - 1 - column if movement.mirrored[n] else column
        y, x = y - int(movement.down[n]), x - int(movement.right[n])
        y, x = (y - (height - 1) / 2) / factor, (x - (width - 1) / 2) / factor
        # Clockwise, with y downwards: (1, 0) went to (cos, sin).
        back = complex(x, y) * complex(math.cos(angle), -math.sin(angle))
        # What stands above the middle (y below 0) had been pushed to the right.
        y, x = back.imag, back.real + float(drawn.slant[n]) * back.imag
        y, x = y + height / 2, x + width / 2  # from the outer edge
        y, x = top + y * tall / height - 0.5, left + x * wide / width - 0.5
        for dy, dx in itertools.product((0, 1), (0, 1)):
            weight = (1 - abs(y - math.floor(y) - dy)) * (1 - abs(x - math.floor(x) - dx))
            result[:, row, column] += weight * _at(image, math.floor(y) + dy, math.floor(x) + dx, fill, means)
    return result


@pytest.mark.parametrize("fill", Fill)
@pytest.mark.parametrize("shape", [(1, 9, 9), (3, 6, 11), (1, 1, 4), (1, 1, 1)])
@pytest.mark.parametrize(
    "fields",
    [
        {"rotate": 180},
        {"scale": 0.6},
        {"crop": 0.2},
        {"shear": 40},
        {
            "rotate": 30,
            "scale": 0.3,
            "shear": 20,
            "crop": 0.5,
            "shift": 7,
            "flip": True,
            "flip_vertical": True,
        },
    ],
)
def test_every_pixel_is_the_one_that_a_walk_back_finds(
    fields: dict[str, Any], shape: tuple[int, int, int], fill: Fill
) -> None:
    config = AugmentConfig.model_validate(fields)
    pixels = torch.randint(0, 256, (8, *shape), generator=torch.Generator().manual_seed(0)).to(torch.uint8)
    means = torch.tensor((60, 130, 200)[: shape[0]], dtype=torch.uint8)
    drawn = Warp.draw(config, 8, torch.Generator().manual_seed(1))
    movement = Movement.draw(config, 8, torch.Generator().manual_seed(2))
    found = warp(pixels, drawn, movement, fill, means).numpy()
    for n, image in enumerate(pixels.numpy()):
        wanted = _walk(image, n, drawn, movement, fill=fill, means=means.numpy().astype(float))
        assert np.abs(found[n] - wanted).max() < 0.5 + 0.02


def _coordinates(count: int) -> torch.Tensor:
    """Images whose channels say column, row and nothing: ``(N, 3, 41, 41)``."""
    places = torch.arange(SIDE) * 6
    image = torch.stack(
        (places.expand(SIDE, SIDE), places[:, None].expand(SIDE, SIDE), torch.zeros(SIDE, SIDE))
    )
    return image.to(torch.uint8).expand(count, -1, -1, -1)


def _maps(count: int, margin: float, **fields: Any) -> Array:
    """For each image the map ``(2, 3)`` from a pixel of the result to the image's, by least squares.

    Coordinates are counted from the middle, x before y; pixels that may be beyond the image are left
    out, by their distance from the middle.
    """
    augment = Augment(AugmentConfig.model_validate({"fill": "edge", **fields}))
    found = augment(_coordinates(count), torch.zeros(count), 3).pixels.numpy().astype(float)
    middle = (SIDE - 1) / 2
    y, x = np.mgrid[:SIDE, :SIDE] - middle
    near = np.maximum(abs(x), abs(y)) < margin
    known = np.stack((x[near], y[near], np.ones(near.sum())), 1)
    results = [np.linalg.lstsq(known, image[:2, near].T / 6 - middle)[0].T for image in found]
    return np.array(results)


def _uniform(values: Array, low: float, high: float) -> None:
    """By the test of Kolmogorov and Smirnov (p = 0.001), and within the bounds but for rounding."""
    slack = (high - low) * 0.01
    assert values.min() >= low - slack
    assert values.max() <= high + slack
    values = np.sort(values)
    steps = (np.arange(len(values)) + 0.5) / len(values)
    assert np.abs((values - low) / (high - low) - steps).max() < 1.95 / len(values) ** 0.5


def test_angles_are_uniform_both_ways() -> None:
    maps = _maps(400, 13, rotate=40)
    linear = maps[:, :, :2]
    np.testing.assert_allclose(linear @ linear.transpose(0, 2, 1), np.eye(2)[None].repeat(400, 0), atol=0.01)
    assert np.linalg.det(linear).min() > 0  # turned, not mirrored
    np.testing.assert_allclose(maps[:, :, 2], 0, atol=0.05)
    _uniform(np.degrees(np.arctan2(maps[:, 1, 0], maps[:, 0, 0])), -40, 40)


def test_factors_are_uniform_both_ways() -> None:
    maps = _maps(400, 13, scale=0.3)
    factors = 1 / maps[:, 0, 0]
    np.testing.assert_allclose(maps[:, 0, 0], maps[:, 1, 1], atol=0.01)
    np.testing.assert_allclose(maps[:, [0, 1], [1, 0]], 0, atol=0.01)
    np.testing.assert_allclose(maps[:, :, 2], 0, atol=0.05)
    _uniform(factors, 0.7, 1.3)


@pytest.mark.parametrize("least", [0.25, 0.6, 0.9])
def test_windows_have_their_area_their_sides_and_lie_anywhere(least: float) -> None:
    maps = _maps(600, SIDE / 2 - 1, crop=least)
    np.testing.assert_allclose(maps[:, [0, 1], [1, 0]], 0, atol=0.01)
    wide, tall = maps[:, 0, 0], maps[:, 1, 1]
    _uniform(wide * tall, least, 1)
    assert max(wide.max(), tall.max()) < 1.005
    # Sides 3:4 to 4:3, or as far as the image has room for a window of this area.
    most = np.minimum(np.log(4 / 3), -np.log((wide * tall).clip(max=1)))
    ratio = np.log(wide / tall)
    assert (abs(ratio) <= most + 0.01).all()
    room = most > 0.05
    _uniform((ratio / most.clip(1e-9))[room], -1, 1)
    for share, middle in ((wide, maps[:, 0, 2]), (tall, maps[:, 1, 2])):
        free = SIDE * (1 - share) / 2
        assert (abs(middle) <= free + 0.1).all()
        loose = free > 1.5
        _uniform((middle / free.clip(1e-9))[loose], -1, 1) if loose.sum() > 100 else None


def test_a_window_at_the_border_is_not_blended_with_the_mean() -> None:
    pixels = torch.full((50, 1, 8, 8), 200, dtype=torch.uint8)
    augment = Augment(AugmentConfig(crop=0.3, fill=Fill.MEAN), (0,))
    assert torch.equal(augment(pixels, torch.zeros(50), 0).pixels, pixels)


def test_numbers_are_drawn_apart() -> None:
    """No two of them go together: correlations of 4000 are within five standard deviations of 0."""
    config = AugmentConfig(crop=0.3, rotate=20, scale=0.5)
    drawn = Warp.draw(config, 4000, torch.Generator().manual_seed(0))
    area, ratio = drawn.tall * drawn.wide, (drawn.wide / drawn.tall).log()
    numbers = torch.stack((area, ratio, drawn.top, drawn.left, drawn.angle, drawn.factor))
    assert (numbers.corrcoef() - torch.eye(6)).abs().max() < 5 / 4000**0.5


def test_an_angle_is_the_same_with_other_variations_besides() -> None:
    alone, together = (
        Warp.draw(AugmentConfig.model_validate(fields), 5, torch.Generator().manual_seed(0))
        for fields in ({"rotate": 20}, {"rotate": 20, "crop": 0.5, "scale": 0.5})
    )
    assert torch.equal(alone.angle, together.angle)
    assert (alone.tall == 1).all()
    assert (alone.factor == 1).all()
