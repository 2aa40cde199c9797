"""Robustness against one image, one radius and one attack at a time."""

from __future__ import annotations

import importlib
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from cutaway import Subject
from cutaway.data import Split
from cutaway.errors import ConfigError, DataError
from cutaway.look import answers
from cutaway.look.adversarial import fgsm, pgd
from cutaway.look.interval import wilson
from cutaway.look.robustness import robustness
from cutaway.progress import Progress, listening

SHAPE = (1, 6, 6)
EPS = (0.0, 4.0, 16.0, 40.0)


@pytest.fixture(scope="module")
def split() -> Split:
    """Stripes across or along, in noise."""
    generator = torch.Generator().manual_seed(0)
    labels = torch.arange(24) % 2
    stripes = torch.arange(6)[:, None].expand(6, 6) % 2
    images = torch.stack([stripes if label else stripes.t() for label in labels])[:, None] * 60.0 + 90
    noisy = images + 40 * torch.randn(images.shape, generator=generator)
    return Split(noisy.clamp(0, 255).to(torch.uint8), labels, torch.arange(24))


@pytest.fixture(scope="module")
def subject(split: Split) -> Subject:
    """A net that has learnt a little of it."""
    torch.manual_seed(0)
    model = nn.Sequential(nn.Conv2d(1, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(64, 2))
    adam = torch.optim.Adam(model.parameters(), 0.01)
    for _ in range(15):
        adam.zero_grad()
        nn.functional.cross_entropy(model(split.pixels / 255), split.labels).backward()
        adam.step()
    return Subject(model, SHAPE, classes=("along", "across"))


@pytest.mark.parametrize("norm", ["linf", "l2"])
def test_every_image_equals_its_attack_alone(subject: Subject, split: Split, norm: Any) -> None:
    eps = EPS if norm == "linf" else tuple(5 * one for one in EPS)
    found = robustness(subject, split, eps, attacks=["fgsm", "pgd"], norm=norm, steps=4, seed=6)
    assert found.eps == eps
    assert (found.images, found.norm, found.steps) == (24, norm, 4)
    for number in range(0, 24, 3):
        image, label = split.pixels[number : number + 1], int(split.labels[number])
        beaten = False
        for row, radius in enumerate(eps):
            fast = fgsm(subject, image, radius, label, norm=norm)
            assert bool(found.curves["fgsm"].wrong[row, number]) == (int(fast.after.argmax()) != label)
            slow = pgd(subject, image, radius, label, norm=norm, steps=4, seed=6)
            beaten = beaten or int(slow.after.argmax()) != label
            assert bool(found.curves["pgd"].wrong[row, number]) == beaten
    errors = found.curves["pgd"].errors
    # It does learn, and it does break: otherwise nothing was compared.
    assert float(errors[0]) < 0.3
    assert float(errors[-1]) > 0.6


def test_at_eps_0_the_error_is_the_clean_one(subject: Subject, split: Split) -> None:
    some = split.take(torch.arange(24).flip(0))
    some = Split(some.store, torch.where(torch.arange(24) < 5, 1 - some.labels, some.labels), some.index)
    found = robustness(subject, some, [0.0], steps=1)
    clean = answers(subject, some).error()
    assert 0 < clean < 1
    for curve in found.curves.values():
        assert curve.errors.tolist() == [clean]
        assert curve.intervals.tolist() == [list(wilson(round(clean * 24), 24))]


def test_attacks_do_more_than_noise_and_pgd_never_falls(subject: Subject, split: Split) -> None:
    found = robustness(subject, split, (40.0, 0.0, 16.0, 4.0, 16.0), steps=4)
    assert found.eps == EPS
    assert list(found.curves) == ["noise", "fgsm", "pgd"]
    noise, strong = found.curves["noise"].errors, found.curves["pgd"].errors
    assert bool((strong.diff() >= 0).all())
    assert bool((strong[2:] > noise[2:]).all())
    for curve in found.curves.values():
        assert curve.wrong.shape == (4, 24)
        low, high = curve.intervals.unbind(1)
        assert bool((low <= curve.errors).all() and (curve.errors <= high).all())
    assert found.half("noise") is None or found.half("noise") in EPS
    reached = [radius for radius, error in zip(EPS, strong.tolist(), strict=True) if error >= 0.5]
    assert found.half("pgd") == reached[0]


def test_parts_give_the_same_as_one_pass(
    subject: Subject, split: Split, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = robustness(subject, split, EPS, steps=2)
    monkeypatch.setattr(importlib.import_module("cutaway.look.robustness"), "AT_ONCE", 7)
    told: list[Progress] = []
    with listening(told.append):
        parts = robustness(subject, split, EPS, steps=2)
    for attack, curve in whole.curves.items():
        assert torch.equal(parts.curves[attack].wrong, curve.wrong), attack
    assert (told[0].total, told[-1].done) == (24 * 4 * 3, 24 * 4 * 3)


def test_noise_is_as_large_as_it_says(split: Split) -> None:
    """A model that tells how far the values lie from grey is beaten by noise of just that much."""

    class Far(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            far = (x - 128 / 255).abs().flatten(1).amax(1)
            return torch.stack([10.5 / 255 - far, far * 0], 1)

    grey = Split(
        torch.full((3, *SHAPE), 128, dtype=torch.uint8), torch.zeros(3, dtype=torch.int64), torch.arange(3)
    )
    found = robustness(Subject(Far(), SHAPE), grey, (10.0, 11.0), attacks=["noise"])
    assert found.curves["noise"].wrong.tolist() == [[False] * 3, [True] * 3]


@pytest.mark.parametrize(
    ("wrong", "told"),
    [
        ({"eps": [-1.0]}, "eps should be 0 or more"),
        ({"eps": []}, "one or more"),
        ({"attacks": []}, "one or more"),
        ({"attacks": ["cw"]}, 'not "cw"'),
        ({"norm": "l1"}, "norm should be"),
        ({"steps": 0}, "steps"),
    ],
)
def test_bad_arguments_are_refused(subject: Subject, split: Split, wrong: dict[str, Any], told: str) -> None:
    with pytest.raises(ConfigError, match=told):
        robustness(subject, split, **wrong)


def test_bad_data_is_refused(subject: Subject, split: Split) -> None:
    with pytest.raises(DataError, match="no images"):
        robustness(subject, split.take(torch.arange(0)))
    more = Split(split.store, split.labels + 1, split.index)
    with pytest.raises(DataError, match="more classes than model knows"):
        robustness(subject, more, [0.0])
    missing = Split(split.store, torch.full((24,), -1), split.index)
    with pytest.raises(DataError, match="label"):
        robustness(subject, missing, [0.0])
    floats = Split(split.store / 255, split.labels, split.index)
    with pytest.raises(ConfigError, match="uint8"):
        robustness(subject, floats)
    fixed = Subject(subject.model, SHAPE, preprocess=lambda pixels: pixels.float().detach() / 255)
    with pytest.raises(ConfigError, match="preprocessing has no gradient"):
        robustness(fixed, split)


def test_no_trace_is_left(subject: Subject, split: Split) -> None:
    model, state = subject.model.train(), torch.get_rng_state()
    robustness(subject, split.take(torch.arange(4)), [0.0, 3.0], steps=1)
    assert torch.equal(torch.get_rng_state(), state)
    assert all(module.training for module in model.modules())
    assert all(one.requires_grad for one in model.parameters())
