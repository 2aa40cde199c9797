"""Retention: what was kept is rebuilt, what was destroyed is not, and ridge by hand agrees."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from cutaway import Subject
from cutaway.data import Split
from cutaway.errors import ConfigError, DataError, NotFoundError
from cutaway.look import capture, retention
from cutaway.look.interval import ratio
from cutaway.look.retention import STRENGTHS, shrunk
from cutaway.store import Run


class Fading(nn.Module):
    """Keeps the image, turns it, keeps its left half, and forgets it."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(1)
        self.same = nn.Identity()
        self.turned = nn.Linear(64, 64)
        self.part = nn.Linear(64, 32)
        self.gone = nn.Linear(32, 5)
        rotation, _ = torch.linalg.qr(torch.randn(64, 64))
        with torch.no_grad():
            self.turned.weight.copy_(rotation)
            self.part.weight.copy_(rotation.T[torch.arange(64) % 8 < 4])
            self.part.bias.zero_()
            self.turned.bias.zero_()
            self.gone.weight.zero_()

    def forward(self, x: Tensor) -> Tensor:
        return self.gone(self.part(self.turned(self.same(x).flatten(1))))  # type: ignore[no-any-return]


def some_split(count: int, seed: int = 0, shape: tuple[int, int, int] = (1, 8, 8)) -> Split:
    """Noise, independent from pixel to pixel: no half of it tells of the other."""
    noise = torch.randint(256, (count, *shape), generator=torch.Generator().manual_seed(seed))
    return Split(noise.to(torch.uint8), torch.arange(count) % 3, torch.arange(count))


@pytest.fixture
def subject() -> Subject:
    return Subject(Fading().train(), (1, 8, 8), name="fading")


LAYERS = ["same", "turned", "part", "gone"]


def test_what_is_kept_or_turned_is_rebuilt_half_is_half_and_nothing_is_1(subject: Subject) -> None:
    found = retention(subject, some_split(1500), some_split(300, 1), LAYERS)
    assert found.pixels.error < 1e-8
    assert found.layers["same"].error < 1e-8
    assert found.layers["turned"].error < 1e-8
    # The half that is lost costs its variance, and a little for guessing it from noise.
    assert found.layers["part"].error == pytest.approx(0.5, abs=0.03)
    assert found.layers["gone"].error == pytest.approx(1, abs=1e-12)
    low, high = found.layers["part"].interval
    assert low < found.layers["part"].error < high < low + 0.03
    assert (found.train_images, found.test_images, found.subject) == (1500, 300, "fading")


def test_reconstructions_are_of_the_first_test_images(subject: Subject) -> None:
    test = some_split(50, 1)
    found = retention(subject, some_split(600), test, LAYERS, examples=3)
    torch.testing.assert_close(found.originals, test.pixels[:3].float() / 255)
    assert {name: tuple(v.shape) for name, v in found.reconstructions.items()} == dict.fromkeys(
        LAYERS, (3, 1, 8, 8)
    )
    torch.testing.assert_close(found.reconstructions["turned"], found.originals, atol=1e-4, rtol=0)
    part = found.reconstructions["part"]
    mean = some_split(600).pixels.float().mean(0) / 255
    # The strength that spares the lost half from noise costs the known one a little.
    wrong, spread = (part - found.originals).square(), (found.originals - mean).square()
    assert float(wrong[..., :4].sum() / spread[..., :4].sum()) < 0.02
    assert float(wrong[..., 4:].sum() / spread[..., 4:].sum()) > 0.9
    torch.testing.assert_close(found.reconstructions["gone"], mean.expand(3, 1, 8, 8), atol=1e-5, rtol=0)


def test_the_error_is_that_of_ridge_by_hand() -> None:
    """Correlated images, a layer with a nonlinearity, least squares on the augmented system."""
    torch.manual_seed(2)
    model = nn.Sequential(nn.Conv2d(1, 3, 3, stride=2), nn.ReLU(), nn.Flatten(), nn.Linear(27, 4))
    model.get_parameter("0.bias").data += 0.3  # or nothing passes the ReLU
    subject = Subject(model, (1, 8, 8))

    def smooth(count: int, seed: int) -> Split:
        coarse = some_split(count, seed, (1, 6, 6)).pixels.float()
        pixels = F.interpolate(coarse, (8, 8), mode="bilinear", align_corners=False)
        return Split(pixels.to(torch.uint8), torch.arange(count) % 2, torch.arange(count))

    train, test = smooth(200, 3), smooth(80, 4)
    found = retention(subject, train, test, ["1"])
    with capture(model, ["1"]) as read:
        x, y = (
            read(subject.inputs(split.pixels))["1"].flatten(1).double().numpy() for split in (train, test)
        )
    wanted, hidden = (split.pixels.flatten(1).double().numpy() / 255 for split in (train, test))
    scale = np.sqrt(x.var(0).mean())
    rows = np.hstack([(x - x.mean(0)) / scale, np.ones((200, 1))])
    size, strength = x.shape[1], found.layers["1"].strength
    assert strength in STRENGTHS
    penalty = np.hstack([np.sqrt(strength * 200) * np.eye(size), np.zeros((size, 1))])
    weights, *_ = np.linalg.lstsq(
        np.vstack([rows, penalty]), np.vstack([wanted, np.zeros((size, 64))]), rcond=None
    )
    rebuilt = np.hstack([(y - x.mean(0)) / scale, np.ones((80, 1))]) @ weights
    errors = ((rebuilt - hidden) ** 2).sum(1)
    spread = ((hidden - wanted.mean(0)) ** 2).sum(1)
    error, interval = ratio(torch.tensor(errors), torch.tensor(spread))
    assert 0.01 < error < 0.9
    assert found.layers["1"].error == pytest.approx(error, rel=1e-5)
    assert found.layers["1"].interval == pytest.approx(interval, rel=1e-4)
    np.testing.assert_allclose(found.reconstructions["1"].flatten(1), rebuilt[:8], atol=1e-5)


def test_the_strength_grows_where_features_are_noise() -> None:
    """More features than images that say nothing of the pixels: only the mean is worth anything."""

    class Noise(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            # Digits that have nothing to do with the image for any linear map.
            return ((x.flatten(1) * 255).round() * 7919 % 101).repeat(1, 3).sin() / 1.0

    subject = Subject(nn.Sequential(Noise()), (1, 8, 8))
    kept = retention(subject, some_split(60), some_split(60, 1), ["0"]).layers["0"]
    assert kept.strength == max(STRENGTHS)
    assert kept.error < 1.2


def test_large_images_are_shrunk_by_averaging() -> None:
    pixels = some_split(3, 5, (3, 64, 32)).pixels
    found = shrunk(pixels)
    assert found.shape == (3, 3, 32, 16)
    torch.testing.assert_close(found, pixels.view(3, 3, 32, 2, 16, 2).float().mean((3, 5)) / 255)
    assert torch.equal(shrunk(torch.full((2, 1, 4, 4), -3.0)), torch.full((2, 1, 4, 4), -3.0))


def test_a_wide_layer_is_projected_and_its_positions_are_not_forgotten() -> None:
    """48 maps of the whole image, 3 072 values: a projection to 300 rebuilds 64 pixels."""
    torch.manual_seed(6)
    model = nn.Sequential(nn.Conv2d(1, 48, 3, padding=1), nn.Flatten(), nn.Linear(3072, 2))
    found = retention(Subject(model, (1, 8, 8)), some_split(800), some_split(100, 1), ["0"], features=300)
    assert found.layers["0"].features == 300
    assert found.layers["0"].error < 0.01


def test_random_weights_stand_beside(subject: Subject) -> None:
    train, test = some_split(300), some_split(100, 1)
    found = retention(subject, train, test, LAYERS)
    assert list(found.random) == LAYERS
    assert 0.85 < found.random["gone"].error < 0.99
    given = retention(subject, train, test, LAYERS, random=subject)
    assert given.random == given.layers


def test_deeper_layers_keep_less_of_digits(trained: Run) -> None:
    data = trained.images()
    found = retention(
        trained.subject(),
        data.split("train"),
        data.split("test"),
        ["conv1", "conv2", "dense1"],
        images=300,
        test_images=100,
    )
    errors = [found.layers[name].error for name in ("conv1", "conv2", "dense1")]
    assert errors == sorted(errors)
    assert errors[0] < 0.3 < errors[2] < 1


def test_bad_input_is_told(subject: Subject) -> None:
    train, test = some_split(20), some_split(20, 1)
    with pytest.raises(DataError, match=r"0 training and 20 test images are too few; give 5 and 1"):
        retention(subject, train.take(torch.arange(0)), test)
    with pytest.raises(DataError, match=r"20 training and 0 test"):
        retention(subject, train, test.take(torch.arange(0)))
    same = Split(torch.full((20, 1, 8, 8), 9, dtype=torch.uint8), train.labels, train.index)
    with pytest.raises(DataError, match="all the same"):
        retention(subject, same, same)
    with pytest.raises(NotFoundError, match=r'no layer "gonne".*Did you mean "gone"'):
        retention(subject, train, test, ["gonne"])
    with pytest.raises(ConfigError, match="N×1×8×8"):
        retention(subject, some_split(20, 0, (1, 9, 9)), test)
    model = subject.model
    assert isinstance(model, Fading)
    model.part.bias.data[0] = torch.inf
    with pytest.raises(DataError, match=r"part\.bias"):
        retention(subject, train, test)
