"""Integrated gradients against a fine sum, the baselines, and completeness."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor, nn

from cutaway import Subject
from cutaway.errors import ConfigError
from cutaway.look.backward import PREDICTED, Target, integrated_gradients
from cutaway.look.backward.baseline import Baseline, baselines
from cutaway.look.backward.integrated import quadrature

from .styles import IMAGES, PIXELS, SHAPE, Plain, close, subject_of


def by_steps(model: nn.Module, image: Tensor, ground: Tensor, unit: int, steps: int = 1500) -> Tensor:
    """``(x − x') · Σ gradient / steps`` in the middle of each step."""
    amounts = ((torch.arange(steps) + 0.5) / steps).view(-1, 1, 1, 1).to(image)
    points = (ground + amounts * (image - ground)).requires_grad_()
    (found,) = torch.autograd.grad(model(points)[:, unit].sum(), points)
    return (image - ground) * found.mean(0)


@pytest.mark.parametrize("act", [nn.Tanh, nn.Softplus])
def test_a_map_is_the_integral(act: type[nn.Module]) -> None:
    model = Plain(act, nn.AvgPool2d).eval()
    ground = IMAGES[3:4] / 2
    found = integrated_gradients(subject_of(model), IMAGES[:2], [0, 2], baseline=ground)
    for place, unit in enumerate((0, 2)):
        for number in range(2):
            close(found.maps[place, number], by_steps(model, IMAGES[number], ground[0], unit), 1e-5)


def test_a_map_adds_up_to_the_difference_and_says_what_it_lacks() -> None:
    model = Plain().eval()
    rough, fine = (
        integrated_gradients(subject_of(model), IMAGES, [0, PREDICTED], steps=steps) for steps in (3, 400)
    )
    with torch.no_grad():
        logits, ground = model(IMAGES), model(torch.zeros(1, *SHAPE))
    classes = logits.argmax(1)
    wanted = torch.stack(
        [logits[:, 0] - ground[:, 0], logits.gather(1, classes[:, None])[:, 0] - ground[0, classes]]
    )
    for found in (rough, fine):
        assert found.gap is not None
        torch.testing.assert_close(wanted - found.maps.flatten(2).sum(2), found.gap, atol=1e-6, rtol=1e-5)
    assert rough.gap is not None
    assert fine.gap is not None
    assert rough.gap.abs().max() > 10 * fine.gap.abs().max()
    assert fine.gap.abs().max() < 1e-2 * wanted.abs().max()


def test_the_class_stays_that_of_the_image_all_the_way() -> None:
    model = Plain().eval()
    classes = model(IMAGES).argmax(1)
    found = integrated_gradients(subject_of(model), IMAGES, baseline="random", steps=5)
    for number, unit in enumerate(classes.tolist()):
        alone = integrated_gradients(
            subject_of(model), IMAGES[number : number + 1], unit, baseline="random", steps=5
        )
        close(found.maps[0, number], alone.maps[0, 0])


def test_so_does_the_place_of_a_unit() -> None:
    """The largest place is that of the image, also where it is another one on the way."""
    model = Plain(nn.Tanh).eval()
    at = model.layers[0](IMAGES)[:, 2].flatten(1).argmax(1)
    found = integrated_gradients(subject_of(model), IMAGES, Target({2: 1.0}, "layers.0"))
    for number, place in enumerate(at.tolist()):
        row, column = divmod(place, 8)
        fixed = Target({2: 1.0}, "layers.0", (row, column))
        alone = integrated_gradients(subject_of(model), IMAGES[number : number + 1], fixed)
        close(found.maps[0, number], alone.maps[0, 0])


def test_points_and_weights_integrate_polynomials() -> None:
    points, weights = quadrature(4)
    for power in range(8):
        assert float((weights * points**power).sum()) == pytest.approx(1 / (power + 1))


def test_no_steps_are_refused() -> None:
    with pytest.raises(ConfigError, match="steps should be 1 or more, not 0"):
        integrated_gradients(subject_of(Plain()), IMAGES, steps=0)


def shifted(pixels: Tensor) -> Tensor:
    return pixels.float() / 100 - 1


def blurred(image: Tensor, sigma: float) -> Tensor:
    """A Gaussian's weights over three deviations, mirrored at the border; by loops."""
    channels, height, width = image.shape
    found = torch.zeros_like(image, dtype=torch.float64)
    for channel in range(channels):
        for row in range(height):
            for column in range(width):
                total, value = 0.0, 0.0
                for down in range(-3, 4):
                    for right in range(-3, 4):
                        weight = math.exp(-(down**2 + right**2) / (2 * sigma**2))
                        r, c = abs(row + down), abs(column + right)
                        r, c = min(r, 2 * (height - 1) - r), min(c, 2 * (width - 1) - c)
                        total += weight
                        value += weight * float(image[channel, r, c])
                found[channel, row, column] = value / total
    return found


def test_baselines_are_what_their_names_say() -> None:
    subject = Subject(Plain(), SHAPE, preprocess=shifted)
    inputs = shifted(PIXELS)
    assert torch.equal(baselines(subject, PIXELS, "black"), torch.full((1, *SHAPE), -1.0))
    mean = baselines(subject, PIXELS, "mean")
    for number in range(5):
        for channel in range(2):
            wanted = torch.full((8, 8), float(inputs[number, channel].mean()))
            torch.testing.assert_close(mean[number, channel], wanted)
    noise = baselines(subject, PIXELS, "random", 4)
    assert torch.equal(noise, baselines(subject, PIXELS[:1], "random", 4))
    assert not torch.equal(noise, baselines(subject, PIXELS, "random", 5))
    assert noise.shape == (1, *SHAPE)
    assert -1 <= noise.min() < noise.mean() - 1 < noise.max() <= 1.55
    close(baselines(subject, PIXELS, "blur")[2], blurred(inputs[2], 1.0), 1e-6)
    own = torch.randn(1, *SHAPE)
    assert torch.equal(baselines(subject, PIXELS, own), own)
    assert torch.equal(baselines(subject, PIXELS, PIXELS.flip(0)), inputs.flip(0))


def test_baselines_of_channels_that_come_last() -> None:
    last = Subject(Plain(), SHAPE, preprocess=lambda pixels: shifted(pixels).permute(0, 2, 3, 1))
    first = Subject(Plain(), SHAPE, preprocess=shifted)
    for name in ("black", "mean", "blur", "random"):
        found = baselines(last, PIXELS, name)
        close(found.permute(0, 3, 1, 2), baselines(first, PIXELS, name))


@pytest.mark.parametrize(
    ("baseline", "told"),
    [
        ("white", 'baseline should be black, mean, blur, random or inputs, not "white"'),
        (torch.zeros(2, *SHAPE), r"like one image or like all of them \(5×2×8×8\), not 2×2×8×8"),
        (torch.zeros(1, 1, 8, 8), r"not 1×1×8×8"),
    ],
)
def test_other_baselines_are_refused(baseline: Baseline, told: str) -> None:
    with pytest.raises(ConfigError, match=told):
        integrated_gradients(subject_of(Plain()), IMAGES, baseline=baseline)


def test_a_baseline_for_each_image() -> None:
    subject = subject_of(Plain(nn.Tanh))
    many = IMAGES.repeat(7, 1, 1, 1)  # more than stand in a pass
    grounds = many.flip(0) / 3
    found = integrated_gradients(subject, many, 1, baseline=grounds, steps=4)
    for number in (0, 31, 32, 34):
        alone = integrated_gradients(
            subject, many[number : number + 1], 1, baseline=grounds[number : number + 1], steps=4
        )
        close(found.maps[0, number], alone.maps[0, 0])
