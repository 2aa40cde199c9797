"""Sensitivity against a linear model worked out by hand."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor, nn

from cutaway import Subject
from cutaway.errors import ConfigError
from cutaway.look import gradient_input, saliency
from cutaway.look.backward.target import each
from cutaway.look.judging import max_sensitivity
from cutaway.look.judging.sensitivity import Heat, with_noise

SHAPE = (2, 3, 4)
IMAGES = torch.randint(256, (3, *SHAPE), generator=torch.Generator().manual_seed(1)).to(torch.uint8)
LABELS = torch.tensor([1, 0, 1])


def subject() -> Subject:
    dense = nn.Linear(24, 2, bias=False)
    dense.weight.data = torch.randn(2, 24, generator=torch.Generator().manual_seed(2))
    return Subject(nn.Sequential(nn.Flatten(), dense), SHAPE)


def products(one: Subject, images: Tensor) -> Tensor:
    return gradient_input(one, images, each(LABELS)).summed[0]


def draws(samples: int, seed: int) -> list[Tensor]:
    generator = torch.Generator().manual_seed(seed)
    return [torch.rand(SHAPE, generator=generator, dtype=torch.float64) * 2 - 1 for _ in range(samples)]


def test_it_is_the_largest_change_of_the_map_as_a_share_of_the_map() -> None:
    one = subject()
    weights = one.model[1].weight.detach().double().view(2, *SHAPE)  # type: ignore[index]
    wanted = []
    for image, label in zip(IMAGES.double() / 255, LABELS, strict=True):
        spread = float(image.max() - image.min())
        norm = math.sqrt(sum(float(x) ** 2 for x in (weights[label] * image).sum(0).flatten()))
        changes = [
            math.sqrt(sum(float(x) ** 2 for x in (weights[label] * 0.1 * spread * draw).sum(0).flatten()))
            for draw in draws(4, 5)
        ]
        wanted.append(max(changes) / norm)
    found = max_sensitivity(products, one, IMAGES, samples=4, radius=0.1, seed=5)
    assert found.tolist() == pytest.approx(wanted, rel=1e-5)
    floats = max_sensitivity(products, one, IMAGES.float() / 255, samples=4, radius=0.1, seed=5)
    assert floats.tolist() == pytest.approx(wanted, rel=1e-5), "inputs in place of pixels"


def test_the_gradient_of_a_linear_model_does_not_change() -> None:
    def heat(one: Subject, images: Tensor) -> Tensor:
        return saliency(one, images, each(LABELS)).strength[0]

    assert max_sensitivity(heat, subject(), IMAGES).tolist() == [0, 0, 0]


def test_more_draws_only_find_more() -> None:
    few, many = (max_sensitivity(products, subject(), IMAGES, samples=count) for count in (1, 6))
    assert bool((many >= few).all())
    assert bool((many > few).any())


def test_images_alone_give_what_they_give_together() -> None:
    together = max_sensitivity(lambda s, x: gradient_input(s, x, 1).summed[0], subject(), IMAGES)
    for at in range(3):
        alone = max_sensitivity(lambda s, x: gradient_input(s, x, 1).summed[0], subject(), IMAGES[at, None])
        assert float(alone) == pytest.approx(float(together[at]), rel=1e-6)


def test_a_map_of_zeros_has_no_sensitivity() -> None:
    def heat(one: Subject, images: Tensor) -> Tensor:
        return products(one, images) * torch.tensor([0.0, 1, 0])[:, None, None]

    found = max_sensitivity(heat, subject(), IMAGES)
    assert found.isnan().tolist() == [True, False, True]


def test_noise_is_added_behind_preprocessing_and_not_to_constant_images() -> None:
    noise = torch.full(SHAPE, 0.1)
    noise[0, 0, 0] = -0.2
    one = Subject(nn.Flatten(), SHAPE, preprocess=lambda x: (x.float() / 255).movedim(1, 3))
    other, images = with_noise(one, IMAGES, noise)
    inputs = IMAGES.float() / 255
    spread = inputs.amax((1, 2, 3), keepdim=True) - inputs.amin((1, 2, 3), keepdim=True)
    torch.testing.assert_close(other.inputs(images), (inputs + spread * noise).movedim(1, 3))
    black = torch.zeros(1, *SHAPE, dtype=torch.uint8)
    assert torch.equal(other.inputs(black), one.inputs(black))
    assert images is IMAGES
    assert torch.equal(one.inputs(IMAGES), inputs.movedim(1, 3)), "the subject given is as it was"


@pytest.mark.parametrize(("samples", "radius"), [(0, 0.1), (3, 0.0), (3, -1.0), (3, math.nan)])
def test_there_must_be_draws_and_a_radius(samples: int, radius: float) -> None:
    heat: Heat = products
    with pytest.raises(ConfigError, match="samples should be 1 or more and radius above 0"):
        max_sensitivity(heat, subject(), IMAGES, samples=samples, radius=radius)
