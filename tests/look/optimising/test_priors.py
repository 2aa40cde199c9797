"""Priors against loops over pixels, and what they refuse."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from cutaway.errors import ConfigError
from cutaway.look.optimising.priors import L2, Blur, Clip, PNorm, Prior, TotalVariation, penalties

IMAGES = torch.rand(2, 2, 4, 5, generator=torch.Generator().manual_seed(1), dtype=torch.float64)


def every_pixel(image: Tensor) -> list[float]:
    return [float(value) for value in image.flatten()]


def test_l2_is_the_mean_square_distance_from_grey() -> None:
    wanted = [sum((v - 0.5) ** 2 for v in every_pixel(image)) / 40 for image in IMAGES]
    assert L2().penalty(IMAGES).tolist() == pytest.approx(wanted)


@pytest.mark.parametrize("p", [1.0, 2.0, 6.0])
def test_p_norm(p: float) -> None:
    wanted = [(sum(abs(v - 0.5) ** p for v in every_pixel(image)) / 40) ** (1 / p) for image in IMAGES]
    assert PNorm(1.0, p).penalty(IMAGES).tolist() == pytest.approx(wanted)


@pytest.mark.parametrize("beta", [1.0, 2.0])
def test_total_variation(beta: float) -> None:
    wanted = []
    for image in IMAGES:
        total = 0.0
        for channel in image.tolist():
            for row in range(4):
                for column in range(5):
                    down = channel[row + 1][column] - channel[row][column] if row < 3 else 0.0
                    right = channel[row][column + 1] - channel[row][column] if column < 4 else 0.0
                    total += (down**2 + right**2) ** (beta / 2)
        wanted.append(total / 40)
    assert TotalVariation(1.0, beta).penalty(IMAGES).tolist() == pytest.approx(wanted, rel=1e-3)


def test_penalties_add_up_with_their_weights() -> None:
    priors: list[Prior] = [L2(0.3), Blur(), TotalVariation(2.0), PNorm(0.0)]
    wanted = 0.3 * L2().penalty(IMAGES) + 2 * TotalVariation().penalty(IMAGES)
    torch.testing.assert_close(penalties(priors, IMAGES), wanted)


def test_blur_comes_every_few_steps_and_keeps_the_mean() -> None:
    blur, image = Blur(1.0, every=3), torch.zeros(1, 1, 15, 15)
    image[0, 0, 7, 7] = 1.0
    assert blur.changed(image, image, 2) is image
    blurred = blur.changed(image, image, 3)
    assert float(blurred.sum()) == pytest.approx(1.0, rel=1e-4)
    # A Gaussian: one pixel away e^(−1/2) of the middle.
    assert float(blurred[0, 0, 7, 8] / blurred[0, 0, 7, 7]) == pytest.approx(0.6065, rel=1e-3)


@pytest.mark.parametrize(
    ("by", "amount"),
    [
        ("norm", lambda away, slope: (away**2).sum() ** 0.5),
        ("gradient", lambda away, slope: (slope**2).sum() ** 0.5),
        ("contribution", lambda away, slope: abs((away * slope).sum())),
    ],
)
def test_clip_makes_the_pixels_that_matter_least_grey(
    by: str, amount: Callable[[Tensor, Tensor], Tensor]
) -> None:
    gradient = torch.randn(IMAGES.shape, generator=torch.Generator().manual_seed(2), dtype=torch.float64)
    found = Clip(0.25, by).changed(IMAGES, gradient, 1)  # type: ignore[arg-type]
    for image, slope, clipped in zip(IMAGES, gradient, found, strict=True):
        amounts = {
            (row, column): float(amount(image[:, row, column] - 0.5, slope[:, row, column]))
            for row in range(4)
            for column in range(5)
        }
        least = sorted(amounts, key=amounts.__getitem__)[:5]
        for row, column in amounts:
            wanted = torch.full((2,), 0.5) if (row, column) in least else image[:, row, column]
            torch.testing.assert_close(clipped[:, row, column], wanted.double())


def test_clip_comes_every_few_steps() -> None:
    assert Clip(0.5, every=2).changed(IMAGES, IMAGES, 1) is IMAGES


@pytest.mark.parametrize(
    "wrong",
    [
        lambda: L2(-0.1),
        lambda: PNorm(-1.0),
        lambda: PNorm(1.0, 0.5),
        lambda: TotalVariation(-1.0),
        lambda: TotalVariation(float("nan")),
        lambda: Blur(0.0),
        lambda: Blur(1.0, 0),
        lambda: Clip(1.0),
        lambda: Clip(-0.1),
        lambda: Clip(0.1, "luck"),  # type: ignore[arg-type]
    ],
)
def test_what_priors_refuse(wrong: Callable[[], object]) -> None:
    with pytest.raises(ConfigError, match="should be"):
        wrong()
