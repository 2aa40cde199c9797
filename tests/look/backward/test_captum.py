"""Captum as an oracle, in float64: on modules that are used once each, where it is right."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from cutaway.look.backward import (
    deconvnet,
    deeplift,
    gradcam,
    gradient_input,
    guided,
    guided_gradcam,
    integrated_gradients,
    saliency,
)

from .styles import IMAGES, Plain, close, subject_of

TARGETS = (0, 2)


@pytest.fixture(scope="module")
def captum() -> Iterator[Any]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import captum.attr

        yield captum.attr


def ours(look: Any, model: nn.Module, **options: Any) -> Tensor:
    found: Tensor = look(subject_of(model.double()), IMAGES, TARGETS, **options).maps
    return found


def theirs(oracle: Any, **options: Any) -> Tensor:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it sets hooks, and says so
        found = [oracle.attribute(IMAGES.double().requires_grad_(), target=t, **options) for t in TARGETS]
    return torch.stack(found).detach()


def test_gradients(captum: Any) -> None:
    model = Plain().eval()
    close(ours(saliency, model), theirs(captum.Saliency(model), abs=False), 1e-5)
    close(ours(gradient_input, model), theirs(captum.InputXGradient(model)), 1e-5)
    oracle = captum.IntegratedGradients(model)
    ground = IMAGES.flip(0).double() / 2
    wanted = theirs(oracle, baselines=ground, n_steps=20, method="gausslegendre")
    close(ours(integrated_gradients, model, baseline=ground, steps=20), wanted, 1e-5)


def test_rectifiers(captum: Any) -> None:
    model = Plain().eval()
    close(ours(guided, model), theirs(captum.GuidedBackprop(model)), 1e-5)
    close(ours(deconvnet, model), theirs(captum.Deconvolution(model)), 1e-5)


@pytest.mark.parametrize("act", [nn.ReLU, nn.Tanh, nn.Sigmoid, nn.ELU, nn.LeakyReLU])
def test_differences(captum: Any, act: type[nn.Module]) -> None:
    """Without max-pools: behind other layers, Captum's contributions through them do not add up."""
    model = Plain(act, nn.AvgPool2d).eval()
    ground = (IMAGES.flip(0) * 0.6 + 0.1).double()
    close(ours(deeplift, model, baseline=ground), theirs(captum.DeepLift(model), baselines=ground), 1e-5)


def test_differences_through_a_max_pool_that_sees_the_input(captum: Any) -> None:
    torch.manual_seed(3)
    model = nn.Sequential(
        nn.MaxPool2d(2), nn.Conv2d(2, 3, 3), nn.Tanh(), nn.Flatten(), nn.Linear(12, 3)
    ).eval()
    ground = IMAGES.roll(1, 0).double() * 0.7
    close(ours(deeplift, model, baseline=ground), theirs(captum.DeepLift(model), baselines=ground), 1e-5)


@pytest.mark.parametrize("number", [0, 1, 2, 3, 4])
def test_class_activation(captum: Any, number: int) -> None:
    model, name = Plain().eval().double(), f"layers.{number}"
    found = gradcam(subject_of(model), IMAGES, TARGETS, [name]).layers[name]
    wanted = theirs(captum.LayerGradCam(model, model.layers[number]), relu_attributions=True)
    close(found[:, :, None], wanted, 1e-5)
    enlarged = [F.interpolate(one, (8, 8), mode="bilinear") for one in wanted]
    lines = theirs(captum.GuidedBackprop(model))
    close(ours(guided_gradcam, model, layer=name), lines * torch.stack(enlarged), 1e-5)
