"""Proposals: an experiment that loads and trains as it stands, chosen from what the data are."""

from __future__ import annotations

import pytest
import torch

from cutaway.config import DataConfig, Experiment, load_experiment
from cutaway.data import Images, load_images
from cutaway.data.images import make_split
from cutaway.nets import find_net, plan
from cutaway.training import Proposal, proposal, propose

SPEED = 100.0


@pytest.fixture
def _no_trial(monkeypatch: pytest.MonkeyPatch) -> None:
    """As if every machine trained a hundred images a second."""
    monkeypatch.setattr(proposal, "_trial", lambda chosen, images: SPEED)


def _noise(shape: tuple[int, int, int], count: int = 300, classes: int = 3) -> Images:
    """Images without any ground, 10 of them for validation and for testing."""
    generator = torch.Generator().manual_seed(0)
    pixels = torch.randint(0, 256, (count, *shape), generator=generator, dtype=torch.uint8)
    labels = torch.arange(count) % classes
    names = ("train", "validation", "test")
    sizes = (count - 20, 10, 10)
    parts = zip(names, pixels.split(sizes), labels.split(sizes), strict=True)
    return Images(
        tuple("abcdefghij"[:classes]), {name: make_split(p, lab, classes, name) for name, p, lab in parts}
    )


def _proposed(images: Images, minutes: float = 10) -> Proposal:
    return propose({"name": "x", "data.source": "folder"}, {"name": "because"}, images, minutes)


@pytest.mark.usefixtures("_no_trial")
@pytest.mark.parametrize("shape", [(1, 28, 28), (3, 32, 32), (3, 33, 47), (1, 5, 5), (3, 3, 9), (1, 1, 1)])
def test_the_net_fits_any_size(shape: tuple[int, int, int]) -> None:
    found = _proposed(_noise(shape))
    planned = plan(find_net(found.experiment.net), shape)
    assert planned.output_shape == (3,)


@pytest.mark.usefixtures("_no_trial")
def test_maps_end_at_about_four_pixels_a_side() -> None:
    for side, last in ((32, 4), (64, 4), (28, 3), (48, 3), (224, 3)):
        found = _proposed(_noise((3, side, side), 40))
        planned = plan(find_net(found.experiment.net), (3, side, side))
        pooled = [
            row.output_shape for row in planned.rows if row.name.startswith("maxpool") or "pool" in row.name
        ]
        assert pooled[-2][1:] == (last, last)


@pytest.mark.usefixtures("_no_trial")
def test_every_value_has_a_reason_and_is_the_experiment_s() -> None:
    found = _proposed(_noise((3, 32, 32)))

    def flat(values: object, prefix: str = "") -> dict[str, object]:
        if not isinstance(values, dict):
            return {prefix.removesuffix("."): values}
        return {k: v for name, below in values.items() for k, v in flat(below, f"{prefix}{name}.").items()}

    chosen = flat(dict(found.values))
    assert set(chosen) == set(found.reasons)
    written = flat(found.experiment.model_dump(mode="json"))
    assert {name: written[name] for name in chosen} == {
        name: value.strip() if isinstance(value, str) else value for name, value in chosen.items()
    }
    assert load_experiment(Experiment(), found.values) == found.experiment


@pytest.mark.usefixtures("_no_trial")
def test_pictures_are_mirrored_and_digits_are_not() -> None:
    pictures = _proposed(_noise((3, 32, 32))).experiment.data.augment
    assert (pictures.flip, pictures.flip_vertical, pictures.shift, pictures.rotate) == (True, False, 4, 0)
    grey = _proposed(_noise((1, 32, 32))).experiment.data.augment
    assert (grey.flip, grey.flip_vertical) == (True, True)
    digits = load_images(DataConfig(train_images=400, validation=100))
    small = Images(digits.classes, {name: digits.splits[name] for name in ("train", "validation")})
    augment = _proposed(small).experiment.data.augment
    assert (augment.flip, augment.flip_vertical, augment.shift, augment.fill) == (False, False, 2, "edge")


@pytest.mark.usefixtures("_no_trial")
def test_few_images_get_small_batches_and_many_epochs() -> None:
    few, more = _proposed(_noise((1, 8, 8), 120)), _proposed(_noise((1, 8, 8), 6000))
    assert few.experiment.train.batch == 16
    assert more.experiment.train.batch == 128
    assert few.experiment.train.epochs == 60
    assert few.experiment.data.augment.scale > 0
    assert more.experiment.data.augment.scale == 0


@pytest.mark.usefixtures("_no_trial")
def test_little_time_means_few_epochs() -> None:
    images = _noise((3, 32, 32))
    short = _proposed(images, minutes=1e-9)
    assert short.experiment.train.epochs == 1
    assert "minutes here" in short.reasons["train.epochs"]
    # 280 images trained and 20 scored, at a third of a step's cost each.
    assert short.seconds == pytest.approx((280 + 20 / 3) / SPEED)
    fitting = _proposed(images, minutes=10 * short.seconds / 60)
    assert fitting.experiment.train.epochs == 10


def test_the_trial_trains_and_leaves_the_random_state_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(proposal, "_TRIAL_SECONDS", 0.0)
    before = torch.get_rng_state()
    found = _proposed(_noise((1, 8, 8), 60))
    assert found.images_per_second > 0
    assert torch.equal(torch.get_rng_state(), before)
