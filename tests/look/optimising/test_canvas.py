"""Canvases: what they start from, and what a change of their values does."""

from __future__ import annotations

import pytest
import torch

from cutaway import Subject
from cutaway.errors import ConfigError
from cutaway.look.optimising.canvas import FourierCanvas, PixelCanvas, started
from cutaway.look.optimising.pixels import PixelSpace
from cutaway.look.optimising.wobble import Wobble


@pytest.mark.parametrize("shape", [(1, 8, 8), (3, 7, 10)])
def test_a_fourier_canvas_begins_at_its_start(shape: tuple[int, int, int]) -> None:
    start = 0.1 + 0.8 * torch.rand(2, *shape, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(FourierCanvas(start).images(), start, atol=1e-4, rtol=1e-3)


def test_a_wave_of_the_fourier_canvas_is_a_wave() -> None:
    canvas = FourierCanvas(torch.full((1, 1, 8, 8), 0.5))
    canvas.values[0, 0, 0, 1, 0] = 1.0
    row = canvas.images()[0, 0].logit()
    torch.testing.assert_close(row, row[:1].expand(8, 8))  # no change from row to row
    turns = torch.cos(2 * torch.pi * torch.arange(8) / 8)
    torch.testing.assert_close(row[0] / row[0, 0], turns, atol=1e-5, rtol=1e-4)


def test_long_waves_change_more_than_short_ones() -> None:
    canvas = FourierCanvas(torch.full((1, 1, 8, 8), 0.5))
    amounts = []
    for wave in (1, 4):
        canvas.values.zero_()
        canvas.values[0, 0, 0, wave, 0] = 1.0
        amounts.append(float(canvas.images().logit().abs().max()))
    # Frequencies 1/8 and 4/8; of a wave with frequency 1/2 there is no second half that adds to it.
    assert amounts[0] / amounts[1] == pytest.approx(8.0, rel=1e-3)


def test_pixels_stay_within_black_and_white() -> None:
    canvas = PixelCanvas(torch.full((1, 1, 2, 2), 0.5))
    canvas.values += torch.tensor([[-1.0, 0.1], [0.2, 3.0]])
    canvas.settle()
    torch.testing.assert_close(canvas.images()[0, 0], torch.tensor([[0.0, 0.6], [0.7, 1.0]]))


def test_starts() -> None:
    grey, noise = started("grey", (1, 4, 4), 2, 0), started("noise", (1, 4, 4), 2, 0)
    assert bool((grey == 0.5).all())
    assert 0 < float((noise - 0.5).abs().max()) < 0.3
    assert torch.equal(noise[0], noise[1])  # one alone begins as it would among others
    assert not torch.equal(noise, started("noise", (1, 4, 4), 2, 1))
    own = torch.full((1, 1, 4, 4), 51, dtype=torch.uint8)
    torch.testing.assert_close(started(own, (1, 4, 4), 3, 0), torch.full((3, 1, 4, 4), 0.2))


@pytest.mark.parametrize("start", [torch.zeros(1, 1, 5, 4), torch.zeros(2, 1, 4, 4), "white"])
def test_a_start_that_does_not_fit_is_refused(start: torch.Tensor) -> None:
    with pytest.raises(ConfigError, match="start should be"):
        started(start, (1, 4, 4), 3, 0)


def test_pixels_become_inputs_as_preprocessing_makes_them() -> None:
    scale = torch.tensor([2.0, 3.0, 4.0]).view(1, 3, 1, 1)
    model = torch.nn.Conv2d(3, 2, 1)
    subject = Subject(model, (3, 2, 2), preprocess=lambda pixels: (pixels.float() - 20) / scale)
    images = torch.rand(4, 3, 2, 2)
    torch.testing.assert_close(PixelSpace.of(subject).inputs(images), (images * 255 - 20) / scale)


def test_preprocessing_that_is_more_than_scale_and_shift_is_refused() -> None:
    subject = Subject(
        torch.nn.Conv2d(1, 2, 1), (1, 2, 2), preprocess=lambda pixels: (pixels.float() / 255) ** 2
    )
    with pytest.raises(ConfigError, match="more than a scale and a shift"):
        PixelSpace.of(subject)


def test_a_shift_moves_all_images_alike_by_whole_pixels() -> None:
    image = torch.arange(36.0).view(1, 1, 6, 6).expand(2, 1, 6, 6)
    found = {
        tuple(Wobble(1)(image, torch.Generator().manual_seed(seed))[1, 0, 2, 2:4].tolist())
        for seed in range(300)
    }
    middles = {
        (float(6 * row + column), float(6 * row + column + 1)) for row in (1, 2, 3) for column in (1, 2, 3)
    }
    assert found == middles
    moved = Wobble(1)(image, torch.Generator().manual_seed(5))
    assert torch.equal(moved[0], moved[1])


def test_turning_and_scaling_keep_the_middle() -> None:
    image = torch.zeros(1, 1, 9, 9)
    image[0, 0, 4] = 1.0
    for seed in range(5):
        found = Wobble(0, 0.2, 30.0)(image, torch.Generator().manual_seed(seed))
        assert float(found[0, 0, 4, 4]) == pytest.approx(1.0, abs=1e-4)
        assert not torch.equal(found, image)


def test_no_wobble_changes_nothing() -> None:
    image = torch.rand(1, 1, 4, 4)
    assert Wobble()(image, torch.Generator()) is image


@pytest.mark.parametrize("wrong", [{"shift": -1}, {"scale": -0.1}, {"rotate": -5.0}, {"scale": 1.0}])
def test_a_negative_wobble_is_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(ConfigError, match="should be 0 or more"):
        Wobble(**wrong)  # type: ignore[arg-type]
