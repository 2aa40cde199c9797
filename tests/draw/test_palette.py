"""The palette: a neutral zero, signs that mirror each other, one scale for all."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from matplotlib import colormaps

from cutaway.draw.palette import SIGNED, signed_colours, signed_indices


def luminance(colour: np.ndarray[tuple[int, ...], np.dtype[np.uint8]]) -> float:
    """Relative luminance from 0 to 1, as the WCAG defines it."""
    c = colour / 255
    linear = np.where(c <= 0.04045, c / 12.92, ((c + 0.055) / 1.055) ** 2.4)
    return float(linear @ (0.2126, 0.7152, 0.0722))


def colour_of(value: float, limit: float) -> np.ndarray[tuple[int, ...], np.dtype[np.uint8]]:
    index = int(signed_indices(np.array([value], np.float32), limit)[0])
    colour: np.ndarray[tuple[int, ...], np.dtype[np.uint8]] = signed_colours()[index]
    return colour


def test_there_are_256_colours_and_they_are_those_of_the_figures() -> None:
    colours = signed_colours()
    assert colours.shape == (256, 3)
    assert colours.dtype == np.uint8
    wanted = colormaps[SIGNED](np.linspace(0, 1, 256), bytes=True)[:, :3]
    assert np.abs(colours.astype(int) - wanted.astype(int)).max() <= 1


@pytest.mark.parametrize("limit", [1e-6, 1.0, 300.0])
def test_zero_is_neutral_and_nearly_white(limit: float) -> None:
    colour = colour_of(0.0, limit).astype(int)
    assert colour.min() >= 240
    assert colour.max() - colour.min() <= 6


def test_red_is_above_zero_and_blue_below() -> None:
    red, _, blue = colour_of(0.7, 1).astype(int)
    assert red > blue + 80
    red, _, blue = colour_of(-0.7, 1).astype(int)
    assert blue > red + 80


def test_signs_mirror_each_other() -> None:
    values = np.linspace(0, 1, 1001, dtype=np.float32)
    above, below = signed_indices(values, 1).astype(int), signed_indices(-values, 1).astype(int)
    # Two places share the middle, and a half is rounded to the even one.
    assert np.abs(above + below - 255).max() <= 1
    for value in (0.25, 0.5, 1.0):
        assert luminance(colour_of(value, 1)) == pytest.approx(luminance(colour_of(-value, 1)), abs=0.1)


def test_colours_darken_away_from_zero() -> None:
    lights = [luminance(colour) for colour in signed_colours()]
    assert all(a <= b + 0.01 for a, b in itertools.pairwise(lights[:128]))
    assert all(a + 0.01 >= b for a, b in itertools.pairwise(lights[128:]))


def test_the_limit_is_the_end_of_the_scale_on_both_sides() -> None:
    values = np.array([-4, -2, -1, 0, 1, 2, 4], np.float32)
    places = signed_indices(values, 2.0).astype(int)
    assert places[[0, 1]].tolist() == [0, 0]
    assert places[[5, 6]].tolist() == [255, 255]
    assert abs(places[4] - 191) <= 1
    assert abs(places[2] - 64) <= 1


def test_the_same_value_has_the_same_colour_in_every_picture_of_a_scale() -> None:
    first = signed_indices(np.array([[0.5, 3.0]], np.float32), 3.0)
    second = signed_indices(np.array([[0.5], [-0.1]], np.float32), 3.0)
    assert first[0, 0] == second[0, 0]


def test_nothing_but_zeros_is_neutral() -> None:
    places = signed_indices(np.zeros((2, 2), np.float32), 0.0)
    assert ((places == 127) | (places == 128)).all()
