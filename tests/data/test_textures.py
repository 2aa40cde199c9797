"""The source of textures: reproducible, of any size, and no single-pixel statistic tells the class."""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np
import pytest
import torch
from torch import Tensor

from cutaway.config import DataConfig
from cutaway.data import Images, load_images, load_source
from cutaway.data.made import deal
from cutaway.data.textures import SMALLEST, TEXTURES, paint
from cutaway.data.textures.canvas import Canvas, level
from cutaway.errors import ConfigError, NotFoundError


@pytest.fixture(autouse=True)
def _one_thread() -> Iterator[None]:
    """The arrays are small: a second thread costs more than it gives."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def _canvas(count: int, sides: tuple[int, int] = (64, 64), seed: int = 0) -> Canvas:
    return Canvas(count, sides, torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("sides", [(64, 64), (128, 160)])
def test_a_plane_is_turned_and_scaled_but_not_bent(sides: tuple[int, int]) -> None:
    """Steps to the right and down are at a right angle and have the length of a pixel everywhere."""
    plane = _canvas(400, sides).plane(6, 20)
    right = torch.stack((plane.u[:, 3, 5] - plane.u[:, 3, 4], plane.v[:, 3, 5] - plane.v[:, 3, 4]), 1)
    down = torch.stack((plane.u[:, 3, 4] - plane.u[:, 2, 4], plane.v[:, 3, 4] - plane.v[:, 2, 4]), 1)
    pixel = plane.pixel.flatten()
    for step in (right, down):
        np.testing.assert_allclose(step.norm(dim=1), pixel, atol=2e-5)
    np.testing.assert_allclose((right * down).sum(1), torch.zeros(400), atol=1e-5)
    far = plane.u[:, -1, -1] - plane.u[:, 0, 0]
    steps = right[:, 0] * (sides[1] - 1) + down[:, 0] * (sides[0] - 1)
    np.testing.assert_allclose(far, steps, atol=3e-3)
    # Periods from 6 to 20 reference pixels, half of them below √120, and turns all around.
    period = 1 / pixel / (min(sides) / 64)
    assert 6 <= period.min() < 6.2
    assert 19.5 < period.max() <= 20
    assert 0.4 < (period < math.sqrt(120)).float().mean() < 0.6
    quarters = (torch.atan2(right[:, 1], right[:, 0]) / (math.pi / 2)).floor()
    assert quarters.unique(return_counts=True)[1].min() > 70
    assert plane.u.frac().mean((1, 2)).std() > 0


def test_noise_has_the_spectrum_that_is_asked_for() -> None:
    """Only frequencies from 0.1 to 0.2 cycles a pixel: the transform of the noise has no others."""
    noise = _canvas(30, (40, 48)).noise(
        lambda fx, fy: ((torch.hypot(fx, fy) > 0.1) & (torch.hypot(fx, fy) < 0.2)).float()
    )
    np.testing.assert_allclose(noise.mean((1, 2)), np.zeros(30), atol=1e-5)
    np.testing.assert_allclose(noise.std((1, 2), correction=0), np.ones(30), atol=1e-5)
    power = np.abs(np.fft.fft2(noise.double().numpy())) ** 2
    unit = 40 / 64
    fy, fx = np.meshgrid(np.fft.fftfreq(40) * unit, np.fft.fftfreq(48) * unit, indexing="ij")
    inside = (np.hypot(fx, fy) > 0.1) & (np.hypot(fx, fy) < 0.2)
    assert power[:, ~inside].max() < 1e-6 * power[:, inside].mean()


def test_clouds_fall_off_as_their_slope_says() -> None:
    """Twice the frequency has a quarter of the amplitude at slope 2: a sixteenth of the power."""
    power = np.abs(np.fft.fft2(_canvas(400).clouds(2.0, 0.0).numpy())) ** 2
    at = [power[:, 0, k].mean() + power[:, k, 0].mean() for k in (4, 8, 16)]
    assert at[0] / at[1] == pytest.approx(16, rel=0.25)
    assert at[1] / at[2] == pytest.approx(16, rel=0.25)


def test_speckle_is_the_size_of_a_complex_noise() -> None:
    """Rayleigh's distribution: mean over deviation is √(π / (4 − π)) = 1.913."""
    found = TEXTURES["speckle"](_canvas(50))
    assert (found.mean() / found.std()).item() == pytest.approx(math.sqrt(math.pi / (4 - math.pi)), rel=0.02)
    # With power exp(−2 f² a²), neighbours' intensities have a correlation of exp(−π² / a²).
    coarsest = _canvas(50)
    coarsest.uniform = lambda low, high: torch.full((50, 1, 1), high)  # type: ignore[method-assign]
    intensity = TEXTURES["speckle"](coarsest).numpy() ** 2
    correlation = np.corrcoef(intensity[:, :, 1:].flatten(), intensity[:, :, :-1].flatten())[0, 1]
    assert correlation == pytest.approx(math.exp(-((math.pi / 3.5) ** 2)), abs=0.03)


def test_fabric_is_drawn_out_along_two_directions_at_a_right_angle() -> None:
    """Untilted, its power lies on the two axes of the spectrum, and none of it in the middle."""
    canvas = _canvas(40)
    canvas.uniform = lambda low, high: torch.full((40, 1, 1), 0.0 if low == 0 else low)  # type: ignore[method-assign]
    power = (np.abs(np.fft.fft2(TEXTURES["fabric"](canvas).numpy())) ** 2).sum(0)
    f = np.abs(np.fft.fftfreq(64))
    on_x, on_y = (f < 0.11)[:, None] & (f > 0.05)[None], (f > 0.05)[:, None] & (f < 0.11)[None]
    assert power[on_x | on_y].sum() > 0.75 * power.sum()
    assert power[on_x].sum() / power[on_y].sum() == pytest.approx(1, abs=0.1)
    assert power[(f > 0.15)[:, None] & (f > 0.15)[None]].sum() < 0.02 * power.sum()


def test_levelling_gives_mean_0_and_deviation_1_and_leaves_a_blank_image_blank() -> None:
    images = torch.randn(3, 5, 6, generator=torch.Generator().manual_seed(0)) * 40 + 100
    images[2] = 7
    wanted = [(image - image.mean()) / image.std() for image in images[:2].double().numpy()]
    found = level(images)
    np.testing.assert_allclose(found[:2], wanted, atol=1e-5)
    assert (found[2] == 0).all()


@pytest.fixture(scope="module")
def images() -> Images:
    return load_source(DataConfig(source="textures", per_class=60, size="32x32"))


def test_there_are_25_classes_in_two_splits(images: Images) -> None:
    assert len(images.classes) == len(TEXTURES) == 25
    assert list(images.classes) == sorted(TEXTURES)
    assert list(images.splits) == ["train", "test"]
    assert images.shape == (1, 32, 32)
    for name, each in (("train", 60), ("test", 12)):
        split = images.split(name)
        assert split.labels.tolist() == [label for label in range(25) for _ in range(each)]
        assert split.pixels.dtype == torch.uint8


def test_200_images_of_each_class_unless_it_is_said_otherwise(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []

    def note(name: str, count: int, sides: tuple[int, int], seed: int) -> Tensor:
        asked.append((name, count, sides, seed))
        return torch.zeros(count, 1, 1, 1, dtype=torch.uint8)

    monkeypatch.setattr("cutaway.data.sources.textures.paint", note)
    load_source(DataConfig(source="textures"))
    assert [count for _, count, _, _ in asked] == [200] * 25 + [40] * 25
    assert {sides for _, _, sides, _ in asked} == {(64, 64)}
    assert len({seed for *_, seed in asked}) == 50


@pytest.mark.parametrize(
    ("wanted", "counts"),
    [(0, [0, 0, 0]), (0.2, [2, 2, 2]), (0.25, [2, 2, 2]), (0.001, [1, 1, 1]), (1, [1, 0, 0]), (8, [3, 3, 2])],
)
def test_test_images_are_a_share_of_each_class_or_a_number_over_all(wanted: float, counts: list[int]) -> None:
    assert deal(wanted, 10, 3) == counts
    found = load_source(DataConfig(source="drawn", characters="abc", per_class=10, test=wanted))
    assert found.split("train").labels.bincount().tolist() == [10, 10, 10]
    if wanted:
        assert found.split("test").labels.bincount(minlength=3).tolist() == counts
    else:
        assert list(found.splits) == ["train"]


def test_the_same_seed_makes_the_same_bytes_and_another_seed_others() -> None:
    config = DataConfig(source="textures", per_class=3, test=25, size=32)
    first = load_source(config)
    torch.manual_seed(99)
    random = torch.random.get_rng_state()
    torch.set_num_threads(2)
    second = load_source(config)
    assert torch.equal(torch.random.get_rng_state(), random)
    other = load_source(config.model_copy(update={"split_seed": 1}))
    for name in ("train", "test"):
        assert torch.equal(first.split(name).pixels, second.split(name).pixels)
        same = (first.split(name).pixels == other.split(name).pixels).flatten(1).all(1)
        assert not same.any()


def test_no_image_is_made_twice(images: Images) -> None:
    pixels = torch.cat([split.pixels for split in images.splits.values()])
    assert len({image.numpy().tobytes() for image in pixels}) == len(pixels) == 25 * 72


def test_more_images_than_are_worked_on_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("cutaway.data.textures.exposure._AT_ONCE", 4 * 16 * 16)
    pixels = paint("dots", 11, (16, 16), 0)
    assert pixels.shape == (11, 1, 16, 16)
    assert len({image.numpy().tobytes() for image in pixels}) == 11
    assert (pixels.float().std((1, 2, 3)) > 10).all()


def test_mean_and_deviation_do_not_tell_the_class(images: Images) -> None:
    """One in 25 would be guessed; the nearest class centre gets hardly more right."""
    features = {
        name: torch.stack((split.pixels.float().mean((1, 2, 3)), split.pixels.float().std((1, 2, 3))), 1)
        for name, split in images.splits.items()
    }
    labels = images.split("train").labels
    centres = torch.stack([features["train"][labels == label].mean(0) for label in range(25)])
    found = torch.cdist(features["test"], centres).argmin(1)
    right = (found == images.split("test").labels).float().mean()
    assert right < 0.1  # 300 images at 4 %: more than 8 % are five standard deviations off
    for column in (0, 1):
        values = torch.stack([features["train"][labels == label][:, column] for label in range(25)])
        error = values.std() / 60**0.5
        assert (values.mean(1) - values.mean()).abs().max() < 4 * error
        # The spread is every class's own, too.
        assert values.std(1).min() > 0.7 * values.std()


def test_a_histogram_tells_a_linear_classifier_little(images: Images) -> None:
    """16 bins, the nearest of 25 mean histograms: near chance, for half the images are inverted."""
    histograms = {}
    for name, split in images.splits.items():
        bins = (split.pixels // 16).flatten(1).long()
        histograms[name] = torch.stack([row.bincount(minlength=16) for row in bins]).float()
    labels = images.split("train").labels
    centres = torch.stack([histograms["train"][labels == label].mean(0) for label in range(25)])
    found = torch.cdist(histograms["test"], centres).argmin(1)
    assert (found == images.split("test").labels).float().mean() < 0.2


def test_brightness_and_contrast_stay_where_nothing_is_cut_off(images: Images) -> None:
    pixels = images.split("train").pixels.float()
    deviations = pixels.std((1, 2, 3))
    assert 22 < deviations.min() < 26
    assert 48 < deviations.max() < 51
    ends = ((pixels == 0) | (pixels == 255)).float().mean((1, 2, 3))
    assert ends.max() < 0.25  # no image is washed out
    assert ends.mean() < 0.002
    means = pixels.mean((1, 2, 3))
    assert (means - 127.5).abs().max() < 127.5 - 2.1 * 24
    assert means.std() > 15


def test_every_image_has_a_tone_curve_of_its_own() -> None:
    """A sine is as often light as dark: its skewness is 0 but for a period that is cut off (σ = 0.03)."""
    pixels = paint("grating", 200, (64, 64), 3).double().flatten(1)
    centred = pixels - pixels.mean(1, keepdim=True)
    skew = (centred**3).mean(1) / (centred**2).mean(1) ** 1.5
    assert skew.std() > 0.08
    assert skew.mean().abs() < 0.05  # bent up as often as down


def test_about_half_the_images_are_inverted() -> None:
    """Dots cover less than half: they are the lighter part in some images, the darker in others."""
    pixels = paint("dots", 200, (32, 32), 3).float().flatten(1)
    lighter = (pixels.median(1).values < pixels.mean(1)).float().mean()
    assert 0.35 < lighter < 0.65


@pytest.mark.parametrize("name", sorted(TEXTURES))
@pytest.mark.parametrize("sides", [(SMALLEST, SMALLEST), (30, 53), (96, 64)])
def test_every_texture_has_contrast_at_any_size(name: str, sides: tuple[int, int]) -> None:
    pixels = paint(name, 3, sides, 0)
    assert pixels.shape == (3, 1, *sides)
    assert (pixels.float().std((1, 2, 3)) > 20).all()


def test_a_larger_frame_shows_the_same_finer() -> None:
    """Half as many pixels a side, the same number of dots: its mean edge count stays alike."""
    crossings = []
    for side in (24, 48, 96):
        pixels = paint("stripes", 60, (side, side), 0).float()[:, 0]
        light = pixels > (pixels.amin((1, 2), keepdim=True) + pixels.amax((1, 2), keepdim=True)) / 2
        crossings.append((light[:, :, 1:] != light[:, :, :-1]).sum(2).float().mean().item())
    assert crossings[0] == pytest.approx(crossings[1], rel=0.15)
    assert crossings[2] == pytest.approx(crossings[1], rel=0.15)


def test_another_size_and_colour(images: Images) -> None:
    config = DataConfig(source="textures", per_class=2, size="20x32", channels=3, validation=25)
    found = load_images(config)
    assert found.shape == (3, 20, 32)
    assert [len(split) for split in found.splits.values()] == [25, 25, 25]


@pytest.mark.parametrize(
    ("config", "message"),
    [
        (
            DataConfig(source="textures", path="x"),
            'The source "textures" makes its images and reads nothing: leave data.path empty.',
        ),
        (
            DataConfig(source="textures", size="64x15"),
            "Textures of 64x15 pixels can't be told apart: set data.size to 16x16 or more.",
        ),
    ],
)
def test_what_can_t_be_made_is_refused(config: DataConfig, message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        load_source(config)
    assert str(caught.value) == message


def test_an_unknown_texture_is_answered_with_the_known_ones() -> None:
    with pytest.raises(NotFoundError, match=r'There is no texture "brick"\. Did you mean "bricks"\?'):
        paint("brick", 1, (16, 16), 0)
