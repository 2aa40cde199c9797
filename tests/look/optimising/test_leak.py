"""Leaks: forwards nothing, backwards a share; adam's memory and eased steps; what they do to inversion."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from cutaway import Subject
from cutaway.errors import ConfigError
from cutaway.look.backward.graph import INPUT, graphs
from cutaway.look.backward.target import Target
from cutaway.look.optimising import Recipe, invert
from cutaway.look.optimising.leak import Leak
from cutaway.store import Run

from .optimised_nets import SHAPE, digits, small_subject

IMAGES = digits(2, seed=5)


def arriving(subject: Subject, layer: str, leak: Leak, images: Tensor) -> tuple[Tensor, Tensor]:
    """A layer's values, and the gradient of their sum by the input."""
    target = Target({0: 1.0}, layer, "sum")
    with graphs(subject, [layer], leak.rules, to_end=False) as forward:
        graph = forward(images)
        values = graph.root(target).clone()
        (gradient,) = graph.back(target, torch.ones_like(values), [INPUT])
    return values, gradient


@pytest.mark.parametrize("place", [False, True])
def test_only_the_gradient_of_units_that_are_off_is_another(place: bool) -> None:
    weight = torch.tensor([[1.0, -2.0], [-1.0, 0.5], [2.0, 1.0]])
    dense = nn.Linear(2, 3, bias=False)
    with torch.no_grad():
        dense.weight.copy_(weight)
    model = nn.Sequential(nn.Flatten(), dense, nn.ReLU(inplace=place))
    subject = Subject(model.eval(), (1, 1, 2))
    leak = Leak(subject, 0.3)
    pixels = torch.tensor([[[[1.0, 2.0]]]])  # sums of -3, 0 and 4: the last unit alone is on
    values, gradient = arriving(subject, "2", leak, pixels)
    assert values.tolist() == [[0.0, 0.0, 4.0]]
    wanted = 0.3 * weight[0] + 0.3 * weight[1] + weight[2]
    torch.testing.assert_close(gradient.flatten(), wanted)


def test_the_share_falls_to_nothing_at_nine_tenths() -> None:
    leak = Leak(small_subject(), 0.4)
    shares = []
    for done in (0.0, 0.45, 0.9, 0.99):
        leak.begin(done)
        shares.append(leak.share)
    assert shares == pytest.approx([0.4, 0.2, 0.0, 0.0])


def test_without_a_share_the_gradient_is_the_nets_own() -> None:
    subject, pixels = small_subject(), torch.rand(2, *SHAPE, generator=torch.Generator().manual_seed(3))
    none, ended = Leak(subject, 0.0), Leak(subject, 0.3)
    ended.begin(1.0)
    assert none.rules is None
    leaf = pixels.clone().requires_grad_()
    (wanted,) = torch.autograd.grad(subject.model[:4](leaf).sum(), leaf)  # type: ignore[index]
    for leak in (none, ended):
        torch.testing.assert_close(arriving(subject, "relu2", leak, pixels)[1], wanted)


@pytest.mark.filterwarnings("ignore:.*torch.jit:DeprecationWarning")
def test_a_script_has_no_leak() -> None:
    traced = torch.jit.trace(small_subject().model, torch.rand(1, *SHAPE))
    assert Leak(Subject(nn.Sequential(traced), SHAPE), 0.3).rules is None


def by_hand(images: Tensor, layers: nn.Sequential, steps: int, recipe: Recipe) -> Tensor:
    """One image at a time: adam with its memory, the distance's root under its gradient, a cosine."""
    found = []
    for image in images.float() / 255:
        x = torch.full((1, *SHAPE), 0.5)
        with torch.no_grad():
            wanted = layers((image[None] * 255 - 100) / 60)
        mean, square, product = torch.zeros_like(x), torch.zeros_like(x), 1.0
        for step in range(steps):
            x.requires_grad_()
            loss = ((layers((x * 255 - 100) / 60) - wanted) ** 2).sum() / (wanted**2).sum()
            (gradient,) = torch.autograd.grad(loss, x)
            x = x.detach()
            gradient = gradient / loss.detach().sqrt()
            early, late = recipe.memory
            kept = early + (late - early) * min(1, step / steps / 0.7)
            product *= kept
            mean = kept * mean + (1 - kept) * gradient
            square = 0.99 * square + 0.01 * gradient**2
            rate = recipe.rate * (1 + math.cos(math.pi * step / steps)) / 2
            x = x - rate * (mean / (1 - product)) / ((square / (1 - 0.99 ** (step + 1))).sqrt() + 1e-8)
            x = x.clamp(0, 1)
        found.append(x)
    return torch.cat(found)


def test_steps_are_those_of_the_formulas() -> None:
    subject, recipe = small_subject(), Recipe(4, 0.02, schedule="cosine", memory=(0.3, 0.8))
    found = invert(subject, IMAGES, ["conv2"], recipe, start="grey")
    wanted = by_hand(IMAGES, subject.model[:3], 4, recipe)  # type: ignore[index]
    torch.testing.assert_close(found.layers["conv2"], wanted, atol=1e-5, rtol=1e-4)


def test_a_rectified_layer_is_inverted_to_a_hundredth() -> None:
    found = invert(small_subject(), digits(3, seed=5), ["relu2"])
    for layer, error in found.feature_error.items():
        assert len(found.losses[layer]) == 501
        assert float(error.max()) < 1e-2


def test_a_start_that_switches_all_units_off_is_left(trained: Run) -> None:
    subject, pixels = trained.subject(), trained.images().splits["test"].batch(torch.arange(2))
    stuck = invert(subject, pixels, ["relu2"], Recipe(40, 0.1))
    assert float(stuck.feature_error["relu2"].min()) > 0.9  # grey: nothing has a gradient
    found = invert(subject, pixels, ["relu2"])
    assert float(found.feature_error["relu2"].max()) < 0.05


def test_images_together_are_what_each_is_alone_with_a_leak() -> None:
    subject, recipe = small_subject(), Recipe(5, 0.05, memory=(0.5, 0.9), leak=0.3)
    together = invert(subject, IMAGES, ["relu2"], recipe)
    for place in range(2):
        alone = invert(subject, IMAGES[place : place + 1], ["relu2"], recipe)
        torch.testing.assert_close(
            together.layers["relu2"][place], alone.layers["relu2"][0], atol=1e-5, rtol=1e-4
        )


@pytest.mark.parametrize("wrong", [{"memory": (1.0, 0.9)}, {"memory": (0.5, -0.1)}, {"leak": 1.5}])
def test_what_is_out_of_range_is_refused(wrong: Any) -> None:
    with pytest.raises(ConfigError, match="memory should be 0 to below 1 and leak 0 to 1"):
        Recipe(**wrong)
