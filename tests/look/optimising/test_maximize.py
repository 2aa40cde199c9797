"""Activation maximisation: closed forms, one by one against many at once, dead units, diversity."""

from __future__ import annotations

import importlib

import pytest
import torch
from torch import nn

from cutaway import Subject
from cutaway.data import Split
from cutaway.errors import ConfigError, DataError, NotFoundError
from cutaway.look import PREDICTED, Target, each
from cutaway.look.optimising import Recipe, TotalVariation, Wobble, maximize

from .optimised_nets import SHAPE, digits, linear_subject, small_subject

CHANNELS = [Target({unit: 1.0}, "conv2", "sum") for unit in range(6)]


def test_a_sum_over_pixels_is_largest_where_its_weights_are_positive() -> None:
    weight = torch.rand(2, 64, generator=torch.Generator().manual_seed(2)) + 0.5
    weight[:, ::3] *= -1
    found = maximize(linear_subject(weight), [0, 1], Recipe(60, 0.1, "gradient"))
    for image, row, reached in zip(found.images, weight, found.reached, strict=True):
        assert torch.equal(image.flatten(), (row > 0).float())
        assert float(reached) == pytest.approx(float(row.clamp_min(0).sum()), rel=1e-5)


@pytest.mark.parametrize("recipe", [Recipe(8), Recipe(8, priors=[TotalVariation(0.2)], wobble=Wobble(1))])
def test_many_at_once_are_what_each_is_alone(recipe: Recipe) -> None:
    subject = small_subject()
    together = maximize(subject, CHANNELS, recipe)
    for place, target in enumerate(CHANNELS):
        alone = maximize(subject, target, recipe)
        torch.testing.assert_close(together.images[place], alone.images[0], atol=1e-5, rtol=1e-4)
        torch.testing.assert_close(together.values[:, place], alone.values[:, 0], atol=1e-4, rtol=1e-4)


def test_chunks_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    together = maximize(small_subject(), CHANNELS, Recipe(4))
    # The package has a function of the module's name.
    monkeypatch.setattr(importlib.import_module("cutaway.look.optimising.maximize"), "AT_ONCE", 4)
    apart = maximize(small_subject(), CHANNELS, Recipe(4))
    torch.testing.assert_close(together.images, apart.images, atol=1e-6, rtol=1e-5)


def test_targets_of_several_layers_stand_in_the_order_asked_for() -> None:
    subject = small_subject()
    wanted: list[int | Target] = [
        0,
        Target({2: 1.0}, "conv1", (3, 4)),
        1,
        Target({0: 1.0, 1: -2.0}, "conv2", "sum"),
    ]
    found = maximize(subject, wanted, Recipe(6))
    assert found.targets == ("a", str(wanted[1]), "b", str(wanted[3]))
    pixels = (found.images * 255 - 100) / 60
    with torch.no_grad():
        maps = {"conv1": subject.model[0](pixels)}  # type: ignore[index]
        maps["conv2"] = subject.model[:3](pixels)  # type: ignore[index]
        logits = subject.model(pixels)
    by_hand = [
        logits[0, 0],
        maps["conv1"][1, 2, 3, 4],
        logits[2, 1],
        maps["conv2"][3, 0].sum() - 2 * maps["conv2"][3, 1].sum(),
    ]
    torch.testing.assert_close(found.reached, torch.stack(by_hand), atol=1e-4, rtol=1e-4)
    assert bool((found.reached > found.values[0]).all())
    torch.testing.assert_close(found.probabilities, logits.softmax(1), atol=1e-5, rtol=1e-4)


def dead(subject: Subject, unit: int) -> None:
    with torch.no_grad():
        subject.model[0].weight[unit] = 0.0  # type: ignore[index]
        subject.model[0].bias[unit] = -1.0  # type: ignore[index]


def test_a_dead_unit_is_said_and_the_others_go_on() -> None:
    subject = small_subject()
    dead(subject, 2)
    found = maximize(subject, [Target({unit: 1.0}, "relu1", "sum") for unit in range(4)], Recipe(5))
    assert len(found.notes) == 1
    assert "relu1 unit 2: dead" in found.notes[0]
    assert float(found.reached[2]) == 0
    assert bool((found.reached[[0, 1, 3]] > found.values[0, [0, 1, 3]]).all())


def test_dead_units_alone_are_refused_before_the_ascent() -> None:
    subject, steps = small_subject(), []
    dead(subject, 2)
    with pytest.raises(DataError, match="relu1 unit 2: dead"):
        maximize(
            subject,
            Target({2: 1.0}, "relu1", "sum"),
            Recipe(512),
            watch=lambda step: steps.append(step.number),
        )
    assert steps == []


def test_a_unit_that_is_off_at_the_start_is_woken() -> None:
    """It answers white only; a grey start is in its dark, where it has no gradient."""
    model = nn.Sequential(nn.Conv2d(1, 1, 3), nn.ReLU(), nn.Flatten())
    with torch.no_grad():
        model[0].weight.fill_(1.0)  # type: ignore[operator]
        model[0].bias.fill_(-8.0)  # type: ignore[operator]
    subject = Subject(model, SHAPE)
    found = maximize(subject, Target({0: 1.0}, "1", (3, 3)), Recipe(20, 0.1, "gradient"), start="grey")
    assert found.notes == ()
    assert float(found.reached[0]) == pytest.approx(1.0, abs=1e-4)  # nine white pixels less eight


def test_the_largest_value_of_the_dataset_stands_beside() -> None:
    subject, images = small_subject(), digits(300)
    dataset = Split(images, torch.zeros(300, dtype=torch.int64), torch.arange(300))
    found = maximize(subject, [*CHANNELS[:2], 1], Recipe(2), dataset=dataset)
    values: list[list[float]] = [[], [], []]
    with torch.no_grad():
        for image in images:
            pixels = (image[None].float() - 100) / 60
            maps, logits = subject.model[:3](pixels), subject.model(pixels)  # type: ignore[index]
            for place, value in enumerate((maps[0, 0].sum(), maps[0, 1].sum(), logits[0, 1])):
                values[place].append(float(value))
    assert found.best_value is not None
    assert found.best_image is not None
    assert found.best_value.tolist() == pytest.approx([max(row) for row in values], rel=1e-4)
    # Some images are the same.
    reached = [row[at] for row, at in zip(values, found.best_image.tolist(), strict=True)]
    assert reached == pytest.approx([max(row) for row in values], rel=1e-4)


def test_several_images_of_one_unit_differ_more_when_likeness_costs() -> None:
    subject = small_subject()
    free, apart = (
        maximize(subject, CHANNELS[1], Recipe(30), diverse=3, difference=amount) for amount in (0.0, 1.0)
    )
    assert free.images.shape == apart.images.shape == (3, *SHAPE)
    assert apart.targets == (str(CHANNELS[1]),) * 3

    def spread(images: torch.Tensor) -> float:
        return float((images[:, None] - images[None]).abs().mean())

    assert spread(apart.images) > 1.5 * spread(free.images)


def test_priors_smooth_the_picture_and_cost_some_of_the_value() -> None:
    subject = small_subject()
    plain = maximize(subject, 1, Recipe(40))
    smooth = maximize(subject, 1, Recipe(40, priors=[TotalVariation(1.0)]))

    def roughness(images: torch.Tensor) -> float:
        return float((images[..., 1:] - images[..., :-1]).abs().mean())

    assert roughness(smooth.images) < 0.7 * roughness(plain.images)
    assert float(smooth.reached) < float(plain.reached)


def test_colour_and_another_size() -> None:
    torch.manual_seed(0)
    model = nn.Sequential(
        nn.Conv2d(3, 4, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 2)
    )
    subject = Subject(model, (3, 12, 17))
    found = maximize(subject, [0, 1], Recipe(10, canvas="fourier", wobble=Wobble(2, 0.1, 10.0)))
    assert found.images.shape == (2, 3, 12, 17)
    assert bool((found.reached > found.values[0]).all())


@pytest.mark.parametrize("target", [PREDICTED, each([1])])
def test_targets_of_an_image_are_refused(target: Target) -> None:
    with pytest.raises(ConfigError, match="classes or units"):
        maximize(small_subject(), target)


def test_unknown_things_are_refused() -> None:
    with pytest.raises(NotFoundError, match="conv7"):
        maximize(small_subject(), Target({0: 1.0}, "conv7"))
    with pytest.raises(NotFoundError, match="unit 6"):
        maximize(small_subject(), Target({6: 1.0}, "conv2"))
    with pytest.raises(ConfigError, match="diverse should be"):
        maximize(small_subject(), 0, diverse=0)


def test_the_subject_is_left_as_it_was() -> None:
    subject = small_subject()
    subject.model.train()
    before = {name: value.clone() for name, value in subject.model.state_dict().items()}
    state = torch.get_rng_state()
    maximize(subject, CHANNELS, Recipe(2, wobble=Wobble(1)))
    assert subject.model.training
    assert all(parameter.requires_grad and parameter.grad is None for parameter in subject.model.parameters())
    assert all(torch.equal(value, before[name]) for name, value in subject.model.state_dict().items())
    assert torch.equal(torch.get_rng_state(), state)
