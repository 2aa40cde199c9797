"""Deletion and insertion against one pass for each point, with pixels replaced one by one."""

from __future__ import annotations

from collections.abc import Callable
from itertools import permutations

import pytest
import torch
from torch import Tensor, nn

from cutaway import Subject
from cutaway.errors import ConfigError, DataError
from cutaway.look.backward.baseline import BaselineName, baselines
from cutaway.look.judging import Curves, deletion, insertion
from cutaway.look.judging.curves import AT_ONCE, cuts

SHAPE = (2, 6, 5)


def net(seed: int = 0) -> nn.Sequential:
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return nn.Sequential(nn.Conv2d(2, 4, 3), nn.Tanh(), nn.Flatten(), nn.Linear(48, 3))


def pixels(count: int = 4, shape: tuple[int, int, int] = SHAPE) -> Tensor:
    generator = torch.Generator().manual_seed(1)
    return torch.randint(256, (count, *shape), generator=generator).to(torch.uint8)


def some_heats(count: int = 4) -> Tensor:
    return torch.randn(count, *SHAPE[1:], generator=torch.Generator().manual_seed(2))


SUBJECT = Subject(net(), SHAPE)


def slow(model: nn.Module, heat: Tensor, label: int, start: Tensor, end: Tensor) -> list[float]:
    """The probability after every single pixel, the hottest first: from the input ``start`` to ``end``."""
    shown = start.clone()
    order = sorted(range(heat.numel()), key=lambda pixel: -float(heat.flatten()[pixel]))
    found = [float(model(shown[None]).softmax(1)[0, label])]
    for pixel in order:
        row, column = divmod(pixel, heat.shape[1])
        shown[:, row, column] = end[:, row, column]
        found.append(float(model(shown[None]).softmax(1)[0, label]))
    return found


@pytest.mark.parametrize("fill", ["black", "mean", "blur", "random"])
@pytest.mark.parametrize("curve", [deletion, insertion])
def test_curves_are_those_of_replacing_pixel_after_pixel(
    curve: Callable[..., Curves], *, fill: BaselineName
) -> None:
    images, heats, labels = pixels(), some_heats(), torch.tensor([2, 0, 1, 2])
    found = curve(SUBJECT, images, heats, labels, fill=fill, steps=30)
    inputs, grounds = images.float() / 255, baselines(SUBJECT, images, fill).expand(4, *SHAPE)
    starts, ends = (inputs, grounds) if curve is deletion else (grounds, inputs)
    with torch.no_grad():
        for at in range(4):
            wanted = slow(SUBJECT.model, heats[at], int(labels[at]), starts[at], ends[at])
            assert found.values[at].tolist() == pytest.approx(wanted, abs=1e-6)
    assert found.shares.tolist() == pytest.approx([at / 30 for at in range(31)])
    assert found.values.numel() > AT_ONCE, "in several passes"


def test_the_area_is_that_of_trapezoids() -> None:
    shares = torch.tensor([0, 0.25, 1]).double()
    curves = Curves(shares, torch.tensor([[1.0, 0.5, 0.0], [0.2, 0.2, 0.2]]).double())
    assert curves.areas.tolist() == pytest.approx([0.25 * 0.75 + 0.75 * 0.25, 0.2])


def test_few_steps_are_points_of_the_whole_curve() -> None:
    images, heats = pixels(), some_heats()
    whole = deletion(SUBJECT, images, heats, steps=30).values
    found = deletion(SUBJECT, images, heats, steps=7)
    at = [0, 4, 9, 13, 17, 21, 26, 30]
    assert cuts(30, 7).tolist() == at
    torch.testing.assert_close(found.values, whole[:, at], atol=1e-6, rtol=0)
    assert cuts(5, 100).tolist() == [0, 1, 2, 3, 4, 5]


def test_the_class_is_that_which_the_image_is_taken_for() -> None:
    images, heats = pixels(), some_heats()
    labels = SUBJECT.predict(images).argmax(1)
    torch.testing.assert_close(
        deletion(SUBJECT, images, heats).values, deletion(SUBJECT, images, heats, labels).values
    )


def test_images_alone_give_what_they_give_together() -> None:
    images, heats = pixels(), torch.zeros(4, *SHAPE[1:])
    together = insertion(SUBJECT, images, heats, fill="random", seed=3).values
    for at in range(4):
        alone = insertion(SUBJECT, images[at, None], heats[at, None], fill="random", seed=3).values
        torch.testing.assert_close(alone[0], together[at], atol=1e-6, rtol=0)


def test_of_a_linear_model_gradient_times_input_is_the_best_order_of_all() -> None:
    """With p = σ(w · x), taking the pixel with the largest w x to black lowers p fastest at every point."""
    weights = torch.tensor([[1.5, -2.0, 0.3], [0.7, 2.5, -0.4]])
    dense = nn.Linear(6, 2, bias=False)
    dense.weight.data = torch.stack([weights.flatten(), torch.zeros(6)])
    subject = Subject(nn.Sequential(nn.Flatten(), dense), (1, 2, 3))
    image = torch.tensor([[[[0.9, 0.2, 0.5], [1.0, 0.3, 0.8]]]])
    best = (weights * image[0, 0])[None]
    heats = torch.tensor(list(permutations(range(6)))).view(-1, 2, 3).float()
    count = len(heats)
    labels = torch.zeros(count, dtype=torch.int64)
    for curve, sign in ((deletion, 1), (insertion, -1)):
        areas = curve(subject, image.expand(count, -1, -1, -1), heats, labels, fill="black", steps=6).areas
        found = curve(subject, image, best, labels[:1], fill="black", steps=6).areas
        # Probabilities are float32, and one image's are rounded otherwise than those of 720.
        assert float(found) == pytest.approx(sign * float((sign * areas).min()), abs=1e-7)
        assert float(areas.max() - areas.min()) > 0.1


def test_a_random_order_is_near_that_of_all_orders() -> None:
    """The mean over the permutations of a linear model's six pixels, and over as many random maps."""
    dense = nn.Linear(6, 2, bias=False)
    dense.weight.data = torch.tensor([[1.5, -2.0, 0.3, 0.7, 2.5, -0.4], [0.0] * 6])
    subject = Subject(nn.Sequential(nn.Flatten(), dense), (1, 2, 3))
    image = torch.tensor([[[[0.9, 0.2, 0.5], [1.0, 0.3, 0.8]]]]).expand(720, -1, -1, -1)
    labels = torch.zeros(720, dtype=torch.int64)
    all_orders = torch.tensor(list(permutations(range(6)))).view(-1, 2, 3).float()
    drawn = torch.randn(720, 2, 3, generator=torch.Generator().manual_seed(0))
    one, other = (deletion(subject, image, heats, labels, steps=6).areas for heats in (all_orders, drawn))
    assert abs(float(one.mean() - other.mean())) < 4 * float(other.std()) / 720**0.5


class ChannelsLast(nn.Module):
    """Takes ``(N, H, W, C)``."""

    def __init__(self, inner: nn.Module) -> None:
        super().__init__()
        self.inner = inner

    def forward(self, x: Tensor) -> Tensor:
        return self.inner(x.movedim(3, 1))  # type: ignore[no-any-return]


@pytest.mark.parametrize("fill", ["black", "mean", "blur"])
def test_channels_may_be_last(fill: BaselineName) -> None:
    last = Subject(ChannelsLast(net()), SHAPE, preprocess=lambda x: (x.float() / 255).movedim(1, 3))
    images, heats = pixels(), some_heats()
    torch.testing.assert_close(
        deletion(last, images, heats, fill=fill).values, deletion(SUBJECT, images, heats, fill=fill).values
    )


def test_a_model_of_a_fixed_batch() -> None:
    fixed = Subject(net(), SHAPE, batch=7)
    images, heats = pixels(), some_heats()
    torch.testing.assert_close(
        insertion(fixed, images, heats).values, insertion(SUBJECT, images, heats).values, atol=1e-6, rtol=0
    )


HEATS, LABELS = some_heats(), torch.tensor([0, 1, 2, 0])


@pytest.mark.parametrize(
    ("call", "error", "told"),
    [
        (lambda: deletion(SUBJECT, pixels(), HEATS, steps=0), ConfigError, "1 or more, not 0"),
        (lambda: deletion(SUBJECT, pixels(), HEATS[:3]), ConfigError, "4×6×5, not 3×6×5"),
        (lambda: deletion(SUBJECT, pixels(), HEATS[:, None]), ConfigError, "not 4×1×6×5"),
        (lambda: deletion(SUBJECT, pixels(), HEATS, LABELS[:3]), ConfigError, "3 classes for 4 images"),
        (lambda: deletion(SUBJECT, pixels(), HEATS, LABELS + 1), ConfigError, "from 0 to 2"),
        (lambda: deletion(SUBJECT, pixels(), HEATS / 0), DataError, "can't be put in order"),
        (lambda: deletion(SUBJECT, pixels(0), HEATS[:0]), DataError, "no images"),
        (lambda: deletion(SUBJECT, pixels(0), HEATS[:0], LABELS[:0]), DataError, "no images"),
        (lambda: deletion(SUBJECT, pixels(shape=(1, 6, 5)), HEATS), ConfigError, "N×2×6×5"),
        (lambda: insertion(SUBJECT, pixels().float() / 0, HEATS), DataError, "NaN or infinite inputs"),
    ],
)
def test_what_does_not_fit_is_told(call: Callable[[], object], error: type[Exception], *, told: str) -> None:
    with pytest.raises(error, match=told):
        call()
