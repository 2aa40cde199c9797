"""Gratings and edges, pixel by pixel from their formulas."""

from __future__ import annotations

import math
from itertools import pairwise

import pytest
import torch
from torch import Tensor

from cutaway.errors import ConfigError
from cutaway.look.stimuli import EDGE, Stimuli

SHAPE = (3, 9, 12)


def distance(row: int, column: int, angle: float) -> float:
    """How far a pixel lies from the line through the middle of the image."""
    _, height, width = SHAPE
    x, y = column - (width - 1) / 2, row - (height - 1) / 2
    return x * math.sin(math.radians(angle)) + y * math.cos(math.radians(angle))


@pytest.mark.parametrize("angle", [0.0, 30.0, 45.0, 90.0, 165.0])
@pytest.mark.parametrize("wavelength", [2.0, 5.5])
def test_gratings_are_cosines_of_the_distance(angle: float, wavelength: float) -> None:
    found = Stimuli(SHAPE, phases=5).gratings(angle, wavelength)
    assert found.shape == (5, 9, 12)
    for phase in range(5):
        for row in range(9):
            for column in range(12):
                turn = 2 * math.pi * (distance(row, column, angle) / wavelength + phase / 5)
                assert float(found[phase, row, column]) == pytest.approx(math.cos(turn), abs=1e-5)


@pytest.mark.parametrize("angle", [0.0, 45.0, 90.0, 120.0])
def test_edges_are_two_sides_with_a_pixel_of_slope_between(angle: float) -> None:
    found = Stimuli(SHAPE).edges(angle)
    # The middle, and a pixel beside it on either side: an eighth of nine pixels is no more.
    places = [-1.0, 0.0, 1.0]
    assert found.shape == (6, 9, 12)
    for number, place in enumerate([*places, *places]):
        sign = 1 if number < 3 else -1
        for row in range(9):
            for column in range(12):
                side = 2 * (distance(row, column, angle) - place)
                wanted = sign * max(-1.0, min(1.0, side))
                assert float(found[number, row, column]) == pytest.approx(wanted, abs=1e-5)


def test_edges_reach_an_eighth_of_the_image_each_next_one_twice_as_far() -> None:
    found = Stimuli((1, 64, 80)).edges(90)
    # A vertical edge at a place: so many columns of a row are bright.
    bright = [int((edge[0] > 0).sum()) for edge in found]
    assert bright[:9] == [48, 44, 42, 41, 40, 39, 38, 36, 32]


def test_an_angle_is_that_of_the_lines_counter_clockwise() -> None:
    """Along the lines nothing changes: "/" at 45°, "\\" at 135°."""
    stimuli = Stimuli((1, 20, 20))
    for wavelength in (4.0, EDGE):
        for angle, (down, right) in {0: (0, 1), 45: (-1, 1), 90: (1, 0), 135: (1, 1)}.items():
            wave = stimuli.edges(angle) if wavelength == EDGE else stimuli.gratings(angle, wavelength)
            inner = slice(1, 19)
            here = wave[:, inner, inner]
            along = wave[:, 1 + down : 19 + down, 1 + right : 19 + right]
            torch.testing.assert_close(along, here, atol=1e-4, rtol=0)
            across = wave[:, 1 - right : 19 - right, 1 + down : 19 + down]
            assert (across - here).abs().max() > 0.5


def test_pixels_go_from_black_to_white_around_the_middle_grey() -> None:
    stimuli = Stimuli((1, 16, 16), wavelengths=(4.0, EDGE))
    for batch in stimuli.batches():
        wave = (
            stimuli.edges(stimuli.angles[batch.angle])
            if stimuli.wavelengths[batch.scale] == EDGE
            else stimuli.gratings(stimuli.angles[batch.angle], 4.0)
        )
        assert batch.pixels.dtype == torch.uint8
        assert (batch.pixels[:, 0].float() - (127.5 + 127.5 * wave)).abs().max() <= 0.5001


def test_colours_are_all_channels_then_each_alone() -> None:
    stimuli = Stimuli(SHAPE, wavelengths=(4.0,))
    assert stimuli.colours == ("all channels", "channel 0", "channel 1", "channel 2")
    for batch in stimuli.batches():
        varied = [bool(batch.pixels[:, channel].float().std() > 1) for channel in range(3)]
        on = [True] * 3 if batch.colour == 0 else [channel == batch.colour - 1 for channel in range(3)]
        assert varied == on
        for channel in range(3):
            if not on[channel]:
                assert (batch.pixels[:, channel] == 128).all()


@pytest.mark.parametrize(("channels", "colours"), [(1, 1), (2, 3), (8, 9), (9, 1)])
def test_one_channel_and_many_have_one_colour(channels: int, colours: int) -> None:
    assert len(Stimuli((channels, 8, 8)).colours) == colours


def test_every_stimulus_comes_once_and_is_counted() -> None:
    stimuli = Stimuli(SHAPE, (0, 40, 90, 130), (3.0, EDGE), 6)
    batches = list(stimuli.batches())
    places = [(batch.colour, batch.angle, batch.scale) for batch in batches]
    assert sorted(places) == [(c, a, s) for c in range(4) for a in range(4) for s in range(2)]
    assert stimuli.count == sum(len(batch.pixels) for batch in batches) == 4 * 4 * (6 + 6)


def test_even_images_are_grey_then_dark_and_bright_in_each_colour() -> None:
    def pixel(image: Tensor) -> list[int]:
        assert image.flatten(1).unique(dim=1).shape[1] == 1, "not the same everywhere"
        return image[:, 0, 0].tolist()

    assert [pixel(image) for image in Stimuli((2, 8, 8)).even()] == [
        [128, 128],
        [0, 0],
        [255, 255],
        [0, 128],
        [255, 128],
        [128, 0],
        [128, 255],
    ]


@pytest.mark.parametrize("side", [6, 28, 224])
def test_wavelengths_go_evenly_from_three_pixels_to_half_of_the_image(side: int) -> None:
    *waves, last = Stimuli((1, side + 5, side)).wavelengths
    assert last == math.inf
    assert waves[0] == pytest.approx(3)
    assert waves[-1] == pytest.approx(max(3, side / 2))
    ratios = [after / before for before, after in pairwise(waves)]
    assert ratios == pytest.approx([ratios[0]] * len(ratios) if ratios else [])
    assert len(waves) == (1 if side == 6 else 6)


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"angles": (0, 60, 120)}, "four or more"),
        ({"angles": (0, 45, 90, 180)}, "below 180"),
        ({"angles": (-1, 45, 90, 135)}, "from 0"),
        ({"angles": (0, 90, 45, 135)}, "grow"),
        ({"angles": (0, 45, 45, 90)}, "once"),
        ({"angles": (0, 45, math.nan, 135)}, "below 180"),
        ({"wavelengths": (4.0, 1.9)}, "2 pixels or more"),
        ({"wavelengths": (math.nan,)}, "2 pixels or more"),
        ({"phases": 1}, "not 1"),
    ],
)
def test_stimuli_that_make_no_sense_are_refused(options: dict[str, object], told: str) -> None:
    with pytest.raises(ConfigError, match=told):
        Stimuli((1, 8, 8), **options)  # type: ignore[arg-type]
