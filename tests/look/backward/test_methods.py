"""The registry of methods."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from cutaway import Subject
from cutaway.errors import ConfigError, NotFoundError
from cutaway.look import (
    deconvnet,
    deeplift,
    gradcam,
    gradient_input,
    guided,
    guided_gradcam,
    integrated_gradients,
    lrp,
    saliency,
    smoothgrad,
)
from cutaway.look.backward.methods import METHODS, last_maps
from cutaway.look.backward.occlusion import occlusion

SHAPE = (2, 8, 8)
IMAGES = torch.randint(256, (2, *SHAPE), generator=torch.Generator().manual_seed(0)).to(torch.uint8)


@pytest.fixture(scope="module")
def subject() -> Subject:
    with torch.random.fork_rng():
        torch.manual_seed(1)
        model = nn.Sequential(
            nn.Conv2d(2, 4, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 3)
        )
    return Subject(model, SHAPE)


def test_maps_are_those_of_the_functions_read_as_one_number_a_pixel(subject: Subject) -> None:
    gradients: dict[str, Tensor] = {
        "saliency": saliency(subject, IMAGES, 1).maps,
        "smoothgrad": smoothgrad(subject, IMAGES, 1).maps,
        "guided": guided(subject, IMAGES, 1).maps,
        "deconvnet": deconvnet(subject, IMAGES, 1).maps,
        "guided-gradcam": guided_gradcam(subject, IMAGES, 1, "1").maps,
    }
    sums: dict[str, Tensor] = {
        "gradient-input": gradient_input(subject, IMAGES, 1).maps,
        "integrated-gradients": integrated_gradients(subject, IMAGES, 1).maps,
        "deeplift": deeplift(subject, IMAGES, 1).maps,
        "lrp": lrp(subject, IMAGES, 1).maps,
        "gradcam": gradcam(subject, IMAGES, 1, ["1"]).enlarged("1")[:, :, None],
        "occlusion": occlusion(subject, IMAGES, 1).maps,
    }
    assert {*METHODS} == {*gradients, *sums, "rise"}
    assert [name for name in METHODS if METHODS[name].costly] == ["rise"]
    for name, maps in gradients.items():
        found = METHODS[name].heat(METHODS[name].explain(subject, IMAGES, 1))
        torch.testing.assert_close(found, torch.maximum(maps[:, :, 0].abs(), maps[:, :, -1].abs()))
    for name, maps in sums.items():
        found = METHODS[name].heat(METHODS[name].explain(subject, IMAGES, 1))
        torch.testing.assert_close(found, maps[:, :, 0] + (maps[:, :, 1] if maps.shape[2] > 1 else 0))
        assert found.shape == (1, 2, 8, 8)


def test_rise_is_there_for_those_who_ask(subject: Subject) -> None:
    found = METHODS["rise"].explain(subject, IMAGES[:1], 1)
    assert METHODS["rise"].heat(found).shape == (1, 1, 8, 8)


def test_gradcam_looks_at_the_last_maps_of_more_than_one_place(subject: Subject) -> None:
    assert last_maps(subject) == "1"
    with pytest.raises(ConfigError, match="no layer with maps of more than one place"):
        last_maps(Subject(nn.Sequential(nn.Flatten(), nn.Linear(128, 3)), SHAPE))


def test_an_unknown_name_is_answered_with_the_nearest() -> None:
    with pytest.raises(NotFoundError, match=r'no method "gradcan"\. Did you mean "gradcam"'):
        METHODS["gradcan"]
