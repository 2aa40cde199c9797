"""Inversion: what can be had back, and the distances by loops."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from torch import Tensor

from cutaway.errors import ConfigError, NotFoundError
from cutaway.look.optimising import Recipe, TotalVariation, invert

from .optimised_nets import digits, linear_subject, small_subject

IMAGES = digits(3, seed=5)


def test_all_of_an_image_comes_back_from_a_layer_that_loses_nothing() -> None:
    mixing = torch.linalg.qr(torch.randn(64, 64, generator=torch.Generator().manual_seed(1)))[0]
    found = invert(linear_subject(mixing), IMAGES, ["1"], Recipe(300, 0.1, schedule="cosine"))
    torch.testing.assert_close(found.layers["1"], IMAGES.float() / 255, atol=2e-3, rtol=0)
    assert float(found.feature_error["1"].max()) < 2e-3


def test_early_layers_of_a_net_keep_more_of_the_image_than_late_ones() -> None:
    found = invert(small_subject(), IMAGES, ["conv1", "relu2", "dense"], Recipe(200, 0.1, schedule="cosine"))
    errors = [float(found.pixel_error[layer].mean()) for layer in ("conv1", "relu2", "dense")]
    assert errors == sorted(errors)
    assert float(found.feature_error["conv1"].max()) < 1e-2
    assert float(found.feature_error["dense"].max()) < 1e-2


def test_errors_are_those_of_the_images_found() -> None:
    subject = small_subject()
    found = invert(subject, IMAGES, ["conv2"], Recipe(3))
    with torch.no_grad():
        features = [subject.model[:3]((x * 255 - 100) / 60) for x in (found.layers["conv2"], IMAGES / 255)]  # type: ignore[index]
    for place in range(3):
        pairs = list(
            zip(features[0][place].flatten().tolist(), features[1][place].flatten().tolist(), strict=True)
        )
        wanted = math.sqrt(sum((a - b) ** 2 for a, b in pairs) / sum(b**2 for _, b in pairs))
        assert float(found.feature_error["conv2"][place]) == pytest.approx(wanted, rel=1e-4)
        pixels = zip(
            found.layers["conv2"][place].flatten().tolist(),
            (IMAGES[place] / 255).flatten().tolist(),
            strict=True,
        )
        square = [(a - b) ** 2 for a, b in pixels]
        assert float(found.pixel_error["conv2"][place]) == pytest.approx(
            math.sqrt(sum(square) / 64), rel=1e-4
        )
    assert found.losses["conv2"].shape == (4, 3)
    torch.testing.assert_close(
        found.losses["conv2"][-1], found.feature_error["conv2"] ** 2, rtol=1e-4, atol=1e-6
    )


def distance_by_hand(name: str, found: Tensor, wanted: Tensor) -> float:
    a, b = found.flatten().double(), wanted.flatten().double()
    if name == "l1":
        return float(sum(abs(x - y) for x, y in zip(a, b, strict=True)) / sum(abs(y) for y in b))
    if name == "cosine":
        return 1 - float(a @ b / math.sqrt(float(a @ a)) / math.sqrt(float(b @ b)))
    grams = []
    for maps in (found.double(), wanted.double()):
        gram = torch.zeros(6, 6, dtype=torch.float64)
        for i in range(6):
            for j in range(6):
                gram[i, j] = (maps[i] * maps[j]).sum() / maps[0].numel()
        grams.append(gram)
    return float(((grams[0] - grams[1]) ** 2).sum() / (grams[1] ** 2).sum())


@pytest.mark.parametrize("distance", ["l1", "cosine", "gram"])
def test_other_distances(distance: Any) -> None:
    subject = small_subject()
    found = invert(subject, IMAGES, ["conv2"], Recipe(150, 0.1, schedule="cosine"), distance=distance)
    with torch.no_grad():
        wanted = subject.model[:3]((IMAGES.float() - 100) / 60)  # type: ignore[index]
        ended = subject.model[:3]((found.layers["conv2"] * 255 - 100) / 60)  # type: ignore[index]
    by_hand = [distance_by_hand(distance, a, b) for a, b in zip(ended, wanted, strict=True)]
    assert found.losses["conv2"][-1].tolist() == pytest.approx(by_hand, rel=1e-3, abs=1e-6)
    assert bool((found.losses["conv2"][-1] < 0.5 * found.losses["conv2"][0]).all())


def test_images_together_are_what_each_is_alone() -> None:
    subject, recipe = small_subject(), Recipe(6, priors=[TotalVariation(0.01)])
    together = invert(subject, IMAGES, ["relu1"], recipe)
    for place in range(3):
        alone = invert(subject, IMAGES[place : place + 1], ["relu1"], recipe)
        torch.testing.assert_close(
            together.layers["relu1"][place], alone.layers["relu1"][0], atol=1e-5, rtol=1e-4
        )


def test_who_listens_can_end_it() -> None:
    found = invert(
        small_subject(), IMAGES, ["conv1", "conv2"], Recipe(9), watch=lambda step: step.number == 2
    )
    assert found.stopped
    assert list(found.layers) == ["conv1"]


def test_what_is_refused() -> None:
    subject = small_subject()
    with pytest.raises(ConfigError, match="uint8"):
        invert(subject, IMAGES.float(), ["conv1"])
    with pytest.raises(ConfigError, match="N×1×8×8"):
        invert(subject, IMAGES[:, :, :7], ["conv1"])
    with pytest.raises(ConfigError, match="distance should be"):
        invert(subject, IMAGES, ["conv1"], distance="taxi")  # type: ignore[arg-type]
    with pytest.raises(NotFoundError, match="conv7"):
        invert(subject, IMAGES, ["conv7"])
