"""Steps against the formulas by hand, and against PyTorch's optimisers."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from cutaway.errors import ConfigError, DataError
from cutaway.look import Target
from cutaway.look.optimising import L2, Blur, Clip, Prior, Recipe, Step, TotalVariation, maximize
from cutaway.look.optimising.priors import penalties
from cutaway.nets.subject import Subject

from .optimised_nets import small_subject

START = torch.rand(1, 1, 8, 8, generator=torch.Generator().manual_seed(4))


def upward(subject: Subject, image: Tensor, unit: int) -> Tensor:
    """The gradient of a class's logit by the pixels, divided by the root of its mean square."""
    leaf = image.clone().requires_grad_()
    logit = subject.model((leaf * 255 - 100) / 60)[0, unit]
    (gradient,) = torch.autograd.grad(logit, leaf)
    return gradient / gradient.square().mean().sqrt()


@pytest.mark.parametrize("stepper", ["gradient", "momentum"])
def test_plain_steps(stepper: Any) -> None:
    subject = small_subject()
    found = maximize(subject, 1, Recipe(3, 0.01, stepper), start=START)
    image, moved = START.clone(), torch.zeros_like(START)
    for _ in range(3):
        moved = (0.9 * moved if stepper == "momentum" else 0) + upward(subject, image, 1)
        image = (image + 0.01 * moved).clamp(0, 1)
    torch.testing.assert_close(found.images, image, atol=1e-5, rtol=1e-4)


def test_adam_steps_as_pytorch_does() -> None:
    subject = small_subject()
    found = maximize(subject, 2, Recipe(5, 0.02, "adam"), start=START)
    image = START.clone()
    theirs = torch.optim.Adam([image], 0.02, (0.9, 0.99), maximize=True)
    for _ in range(5):
        image.grad = upward(subject, image, 2)
        theirs.step()
        image.clamp_(0, 1)
    torch.testing.assert_close(found.images, image, atol=1e-5, rtol=1e-4)


def test_the_rate_falls_along_a_cosine() -> None:
    subject = small_subject()
    found = maximize(subject, 1, Recipe(2, 0.01, "gradient", "cosine"), start=START)
    image = START.clone()
    for rate in (0.01, 0.005):
        image = (image + rate * upward(subject, image, 1)).clamp(0, 1)
    torch.testing.assert_close(found.images, image, atol=1e-5, rtol=1e-4)


def test_penalties_are_taken_off_the_gradient() -> None:
    subject = small_subject()
    priors: list[Prior] = [L2(0.5), TotalVariation(0.2)]
    found = maximize(subject, 1, Recipe(1, 0.01, "gradient", priors=priors), start=START)
    leaf = START.clone().requires_grad_()
    (downward,) = torch.autograd.grad(penalties(priors, leaf).sum(), leaf)
    # Penalties are means over the 64 values; the gradient's root mean square is 1.
    image = (START + 0.01 * (upward(subject, START, 1) - 64 * downward)).clamp(0, 1)
    torch.testing.assert_close(found.images, image, atol=1e-5, rtol=1e-4)


def test_blur_and_clip_come_behind_a_step() -> None:
    subject, blur, clip = small_subject(), Blur(0.7, 1), Clip(0.2)
    found = maximize(subject, 1, Recipe(1, 0.01, "gradient", priors=[blur, clip]), start=START)
    gradient = upward(subject, START, 1)
    image = (START + 0.01 * gradient).clamp(0, 1)
    image = clip.changed(blur.changed(image, gradient, 1), gradient, 1)
    torch.testing.assert_close(found.images, image, atol=1e-5, rtol=1e-4)


def test_values_are_those_of_the_images_before_each_step_and_at_the_end() -> None:
    subject = small_subject()
    shown: list[Tensor] = []
    found = maximize(
        subject, 1, Recipe(4, 0.05), start=START, watch=lambda step: shown.append(step.images.clone())
    )
    logits = [subject.model((image * 255 - 100) / 60)[0, 1].item() for image in (START, *shown)]
    assert found.values[:, 0].tolist() == pytest.approx(logits, rel=1e-4)
    torch.testing.assert_close(found.images, shown[-1])


def test_who_listens_can_end_it_and_gets_what_there_is() -> None:
    seen: list[int] = []

    def watch(step: Step) -> bool:
        seen.append(step.number)
        return step.number == 3

    found = maximize(small_subject(), [0, 1], Recipe(50), watch=watch)
    assert seen == [1, 2, 3]
    assert found.stopped
    assert found.values.shape == (4, 2)


def test_the_same_seed_gives_the_same_images() -> None:
    recipe = Recipe(4, priors=[TotalVariation(0.1)], seed=9)
    first, again = (maximize(small_subject(), [0, 1], recipe) for _ in range(2))
    other = maximize(small_subject(), [0, 1], Recipe(4, priors=[TotalVariation(0.1)], seed=8))
    assert torch.equal(first.images, again.images)
    assert not torch.equal(first.images, other.images)


def test_values_that_are_not_finite_are_told_with_step_and_prior() -> None:
    subject = small_subject()
    with torch.no_grad():
        subject.model.get_submodule("dense").weight.fill_(3e38)  # type: ignore[operator]
    with pytest.raises(DataError, match=r"not finite at step 1 \(rate 0.05, L2\)"):
        maximize(subject, 1, Recipe(2, priors=[L2()]))


@pytest.mark.parametrize(
    ("wrong", "told"),
    [
        ({"steps": 0}, "steps should be 1 or more"),
        ({"rate": 0.0}, "rate above 0"),
        ({"stepper": "newton"}, "stepper should be"),
        ({"canvas": "oil"}, "canvas should be"),
        ({"canvas": "fourier", "priors": [Blur()]}, "do not go with the fourier canvas"),
    ],
)
def test_what_recipes_refuse(wrong: dict[str, Any], told: str) -> None:
    with pytest.raises(ConfigError, match=told):
        Recipe(**wrong)


def test_a_target_of_a_unit_stops_the_pass_there() -> None:
    subject = small_subject()
    calls: list[str] = []
    handle = subject.model.get_submodule("conv2").register_forward_hook(
        lambda module, args, output: calls.append("conv2")
    )
    maximize(subject, Target({1: 1.0}, "conv1", "sum"), Recipe(3))
    handle.remove()
    # Once, for what the net says of the finished image.
    assert calls == ["conv2"]
