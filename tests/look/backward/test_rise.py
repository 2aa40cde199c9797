"""RISE against masks that are enlarged, cut out and summed by loops."""

from __future__ import annotations

import importlib
from math import ceil, floor
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from cutaway import Subject
from cutaway.errors import ConfigError, DataError, NotFoundError
from cutaway.look.backward import Target, difference, each
from cutaway.look.backward.rise import random_masks, rise
from cutaway.progress import Progress, listening


@pytest.fixture(scope="module")
def subject() -> Subject:
    torch.manual_seed(3)
    model = nn.Sequential(
        nn.Conv2d(2, 4, 3, padding=1),
        nn.ReLU(inplace=True),
        nn.Flatten(),
        nn.Dropout(0.5),
        nn.Linear(4 * 7 * 9, 3),
    )
    return Subject(model, (2, 7, 9), classes=("a", "b", "c"))


@pytest.fixture(scope="module")
def images() -> Tensor:
    return torch.randint(256, (3, 2, 7, 9), generator=torch.Generator().manual_seed(5)).to(torch.uint8)


def slow_masks(image: tuple[int, int], samples: int, grid: int, shown: float, seed: int) -> Tensor:
    """The same draws, enlarged bilinearly place by place: pixel centres at (i + ½) · cells / rows − ½."""
    generator = torch.Generator().manual_seed(seed)
    cell = [ceil(side / grid) for side in image]
    masks = torch.zeros(samples, *image, dtype=torch.float64)
    for number in range(samples):
        cells = (torch.rand(1, 1, grid, grid, generator=generator) < shown)[0, 0].double()
        top = int(torch.randint(cell[0], (), generator=generator))
        left = int(torch.randint(cell[1], (), generator=generator))
        for row in range(image[0]):
            for column in range(image[1]):
                value = 0.0
                for i, wi in _neighbours(row + top, grid, cell[0] * (grid + 1)):
                    for j, wj in _neighbours(column + left, grid, cell[1] * (grid + 1)):
                        value += wi * wj * float(cells[i, j])
                masks[number, row, column] = value
    return masks


def _neighbours(place: int, cells: int, places: int) -> list[tuple[int, float]]:
    """The two cells beside a place along one axis, and their weights; at the edge the last cell counts."""
    at = max((place + 0.5) * cells / places - 0.5, 0.0)
    first = floor(at)
    return [(min(first, cells - 1), 1 - (at - first)), (min(first + 1, cells - 1), at - first)]


def slowly(
    subject: Subject, inputs: Tensor, masks: Tensor, weights: Tensor, ground: float, *, of: str
) -> Tensor:
    """Mask by mask: what the model says, times the mask."""
    mixed = ground + masks[:, None].float() * (inputs - ground)
    with torch.no_grad():
        logits = subject.model.eval()(mixed).double()
    scores = (logits.softmax(1) if of == "probability" else logits) @ weights
    total = torch.zeros(inputs.shape[1:], dtype=torch.float64)
    for score, mask in zip(scores, masks, strict=True):
        total += float(score) * mask
    return total


@pytest.mark.parametrize(
    ("grid", "shown", "of", "ground"),
    [(3, 0.5, "probability", 0.0), (2, 0.3, "logit", 0.4), (7, 0.8, "logit", 0.0)],
)
def test_every_place_equals_the_slow_reference(
    subject: Subject, images: Tensor, *, grid: int, shown: float, of: Any, ground: float
) -> None:
    found = rise(
        subject,
        images,
        [difference(subject, "a", "c"), "b"],
        samples=40,
        grid=grid,
        shown=shown,
        of=of,
        baseline=torch.full((1, 2, 7, 9), ground),
        seed=11,
    )
    assert found.maps.shape == (2, 3, 1, 7, 9)
    assert found.maps.dtype == torch.float32
    masks = slow_masks((7, 9), 40, grid, shown, 11)
    inputs = subject.inputs(images)
    for row, weights in enumerate([[1.0, 0.0, -1.0], [0.0, 1.0, 0.0]]):
        chosen = torch.tensor(weights, dtype=torch.float64)
        with torch.no_grad():
            clean = subject.model.eval()(inputs).double()
        clean = (clean.softmax(1) if of == "probability" else clean) @ chosen
        torch.testing.assert_close(found.values[row].double(), clean, atol=1e-6, rtol=1e-5)
        for number in range(3):
            wanted = slowly(subject, inputs[number], masks, chosen, ground, of=of) / (40 * shown)
            torch.testing.assert_close(found.maps[row, number, 0].double(), wanted, atol=1e-6, rtol=1e-4)


def test_masks_show_their_share_everywhere() -> None:
    masks = torch.stack(list(random_masks((7, 9), 4000, 3, 0.3, 0)))
    assert masks.shape == (4000, 7, 9)
    assert float(masks.min()) >= 0
    assert float(masks.max()) <= 1
    # One cell has a standard deviation of 0.46; the mean of 4,000 masks is within five standard errors.
    assert float((masks.mean(0) - 0.3).abs().max()) < 5 * 0.46 / 4000**0.5


def test_the_one_pixel_that_matters_stands_out() -> None:
    dense = nn.Linear(144, 2)
    nn.init.zeros_(dense.weight)
    nn.init.zeros_(dense.bias)
    with torch.no_grad():
        dense.weight[0, 5 * 12 + 8] = 1.0
    model = nn.Sequential(nn.Flatten(), dense)
    found = rise(Subject(model, (1, 12, 12)), torch.ones(1, 1, 12, 12), 0, samples=3000, of="logit").summed[
        0, 0
    ]
    assert divmod(int(found.argmax()), 12) == (5, 8)
    # Of a linear model the map tends to Σ w E[M M_p] / shown: where masks are independent, w times shown.
    assert float(found[0, 0]) == pytest.approx(0.5, abs=0.05)


def test_batches_give_what_single_images_give(
    subject: Subject, images: Tensor, monkeypatch: pytest.MonkeyPatch
) -> None:
    targets = [each([0, 2, 1]), Target({1: 1.0}, "0", "sum")]
    whole = rise(subject, images, targets, samples=20, grid=3, baseline="mean")
    for number in range(3):
        alone = rise(
            subject,
            images[number : number + 1],
            [target.part(number, 1) for target in targets],
            samples=20,
            grid=3,
            baseline="mean",
        )
        torch.testing.assert_close(alone.maps[:, 0], whole.maps[:, number], atol=1e-6, rtol=1e-5)
    monkeypatch.setattr(importlib.import_module("cutaway.look.backward.rise"), "AT_ONCE", 7)
    again = rise(subject, images, targets, samples=20, grid=3, baseline="mean")
    torch.testing.assert_close(again.maps, whole.maps, atol=1e-6, rtol=1e-5)


def test_the_seed_decides(subject: Subject, images: Tensor) -> None:
    one, same, other = (rise(subject, images, 0, samples=10, grid=3, seed=seed).maps for seed in (1, 1, 2))
    assert torch.equal(one, same)
    assert not torch.allclose(one, other)


def test_progress_counts_masks(subject: Subject, images: Tensor) -> None:
    told: list[Progress] = []
    with listening(told.append):
        rise(subject, images, 0, samples=40, grid=3)
    assert (told[0].total, told[-1].done, told[-1].unit) == (120, 120, "masks")


@pytest.mark.parametrize(
    "wrong", [{"samples": 0}, {"grid": 0}, {"grid": 8}, {"shown": 0.0}, {"shown": 1.0}, {"of": "odds"}]
)
def test_bad_arguments_are_refused(subject: Subject, images: Tensor, wrong: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match="should be"):
        rise(subject, images, 0, **wrong)


def test_bad_images_and_targets_are_refused(subject: Subject, images: Tensor) -> None:
    with pytest.raises(DataError, match="no images"):
        rise(subject, images[:0], 0)
    with pytest.raises(NotFoundError, match="no class 3"):
        rise(subject, images, 3)
    with pytest.raises(DataError, match="NaN"):
        rise(subject, torch.full((1, 2, 7, 9), torch.nan), 0)


def test_no_trace_is_left(subject: Subject, images: Tensor) -> None:
    subject.model.train()
    state = torch.get_rng_state()
    rise(subject, images, [0, Target({0: 1.0}, "1")], samples=5, grid=3)
    assert torch.equal(torch.get_rng_state(), state)
    assert all(module.training for module in subject.model.modules())
    assert not any(module._forward_hooks or module._forward_pre_hooks for module in subject.model.modules())
