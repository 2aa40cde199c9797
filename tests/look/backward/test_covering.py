"""Covered images by patches against whole passes, window by window."""

from __future__ import annotations

import importlib
import itertools
from collections.abc import Callable
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from cutaway import Subject
from cutaway.look.backward import Target, covering, occlusion
from cutaway.look.backward.covering import Covering, Window
from cutaway.look.backward.occlusion import windows

SIDE = 24

IMAGES = torch.rand(2, 2, SIDE, SIDE, generator=torch.Generator().manual_seed(1)) - 0.3

GROUNDS = torch.rand(2, 2, SIDE, SIDE, generator=torch.Generator().manual_seed(2))


def with_norms(model: nn.Module) -> nn.Module:
    """Evaluation mode, with statistics that are not zero and one."""
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            assert module.running_mean is not None
            assert module.running_var is not None
            module.running_mean.normal_()
            module.running_var.uniform_(0.5, 2)
    return model.eval()


def sequential(*layers: nn.Module, places: int) -> nn.Module:
    """Layers, then a dense layer; ``places`` values go into it."""
    return with_norms(nn.Sequential(*layers, nn.Flatten(), nn.Linear(places, 3)))


class Functions(nn.Module):
    """The image standardised, functions in place, a branch that is added, maps joined, and a mean."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = nn.Conv2d(2, 4, 3, padding="same"), nn.Conv2d(4, 4, 3, padding=1)
        self.third, self.dense = nn.Conv2d(8, 16, 3), nn.Linear(16, 3)

    def forward(self, x: Tensor) -> Tensor:
        x = F.relu(self.first((x - 0.5) / torch.tensor([0.2, 0.3]).view(2, 1, 1)), inplace=True)
        x = F.max_pool2d(x, 2)
        y = torch.relu_(self.second(x))
        y += x
        y = torch.relu(self.third(torch.cat([y, x], 1)))
        return self.dense(y.mean((2, 3)))  # type: ignore[no-any-return]


MODELS: dict[str, Callable[[], nn.Module]] = {
    "same and pools of two": lambda: sequential(
        nn.Conv2d(2, 4, 3, padding=1),
        nn.BatchNorm2d(4),
        nn.ReLU(),
        nn.Conv2d(4, 4, 3, padding=1, bias=False),
        nn.BatchNorm2d(4, affine=False),
        nn.ReLU(inplace=True),
        nn.MaxPool2d(2),
        nn.Conv2d(4, 8, 3, padding=1),
        nn.Tanh(),
        places=8 * 12 * 12,
    ),
    "stride and padded pools": lambda: sequential(
        nn.Conv2d(2, 6, 5, stride=2, padding=2),
        nn.Tanh(),  # so that padding by zeros would be seen
        nn.MaxPool2d(3, 2, padding=1),
        nn.Conv2d(6, 8, 3, padding=1),
        places=8 * 6 * 6,
    ),
    "valid, groups, uneven": lambda: sequential(
        nn.Conv2d(2, 4, (3, 2), padding=(0, 1), groups=2),
        nn.Sigmoid(),
        nn.MaxPool2d((3, 2), (2, 3)),
        nn.Conv2d(4, 4, (1, 3), dilation=(1, 2)),
        places=4 * 10 * 4,
    ),
    "padding by letter": lambda: sequential(
        nn.Conv2d(2, 4, (3, 5), padding="same"), nn.Conv2d(4, 4, 3, padding="valid"), places=4 * 22 * 22
    ),
    "a stride that leaves places out": lambda: sequential(
        nn.Conv2d(2, 4, 3), nn.ReLU(), nn.Conv2d(4, 4, 2, stride=3), places=4 * 7 * 7
    ),
    "an average pool": lambda: sequential(
        nn.Conv2d(2, 4, 3), nn.GELU(), nn.Dropout(), nn.AvgPool2d(2), places=4 * 11 * 11
    ),
    "functions": lambda: with_norms(Functions()),
}


def subject_of(model: nn.Module) -> Subject:
    return Subject(model, (2, SIDE, SIDE))


def built(model: nn.Module, places: list[Window]) -> Covering | None:
    with torch.no_grad():
        return covering.covering(subject_of(model), IMAGES, GROUNDS, places)


def slowly(model: nn.Module, places: list[Window]) -> Tensor:
    """Whole passes over all images with all windows covered, value by value."""
    covered = IMAGES.repeat_interleave(len(places), 0)
    for at, (number, (rows, columns)) in enumerate(itertools.product(range(len(IMAGES)), places)):
        for row in range(rows.start, rows.stop):
            for column in range(columns.start, columns.stop):
                covered[at, :, row, column] = GROUNDS[number, :, row, column]
    with torch.no_grad():
        found: Tensor = model(covered)
    return found


def by_patches(model: nn.Module, places: list[Window]) -> Tensor:
    found = built(model, places)
    assert found is not None
    told: list[int] = []
    with torch.no_grad():
        logits = found.all(IMAGES, GROUNDS, told.append, lambda logits, _: logits.T)
        numbers = found.all(IMAGES, GROUNDS, lambda _: None, lambda _, images: images[None])
    assert logits is not None
    assert sum(told) == len(IMAGES) * len(places)
    assert numbers is not None
    assert torch.equal(numbers[0], torch.arange(len(IMAGES)).repeat_interleave(len(places)))
    return logits.T


@pytest.mark.parametrize("name", MODELS)
@pytest.mark.parametrize(("size", "stride"), [((4, 4), (4, 4)), ((5, 3), (3, 3)), ((1, 7), (1, 7))])
def test_patches_give_what_whole_passes_give(
    name: str, size: tuple[int, int], stride: tuple[int, int]
) -> None:
    torch.manual_seed(4)
    model = MODELS[name]()
    places = windows((SIDE, SIDE), size, stride)
    wanted = slowly(model, places)
    assert float((wanted - wanted.mean(0)).abs().max()) > 1e-3
    torch.testing.assert_close(by_patches(model, places), wanted, atol=2e-6, rtol=1e-5)


def test_few_at_once_give_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    torch.manual_seed(4)
    model, places = MODELS["functions"](), windows((SIDE, SIDE), 4)
    wanted = by_patches(model, places)
    monkeypatch.setattr(covering, "_ROOM", 1)  # an image and eight windows
    torch.testing.assert_close(by_patches(model, places), wanted, atol=1e-6, rtol=1e-5)


def test_most_multiplications_are_left_out() -> None:
    """The largest convolution is given patches: a window of 4×4 moves 6×6, then 8×8 of 24×24 places."""
    torch.manual_seed(4)
    model = MODELS["same and pools of two"]()
    found = built(model, windows((SIDE, SIDE), 4))
    assert found is not None
    sizes = [step.region.size if step.region else None for step in found._steps]
    # Batch norms are folded, pools come before activations.
    assert sizes == [(6, 6), (6, 6), (8, 8), (4, 4), (4, 4), (6, 6), (6, 6), None, None, None]


def test_occlusion_goes_by_patches_and_gives_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    torch.manual_seed(4)
    model = MODELS["same and pools of two"]()
    sizes: list[int] = []
    model.register_forward_pre_hook(lambda _, args: sizes.append(len(args[0])))
    found = occlusion(subject_of(model), IMAGES, [0, 2], size=4, baseline=GROUNDS)
    assert sizes == [2, 1]  # the images, and one that is traced
    monkeypatch.setattr(
        importlib.import_module("cutaway.look.backward.occlusion"), "covering", lambda *_: None
    )
    wanted = occlusion(subject_of(model), IMAGES, [0, 2], size=4, baseline=GROUNDS)
    assert sum(sizes[2:]) == 2 + 2 * 36
    assert float(wanted.maps.abs().max()) > 1e-3
    torch.testing.assert_close(found.maps, wanted.maps, atol=1e-6, rtol=1e-5)
    torch.testing.assert_close(found.values, wanted.values)


class Odd(nn.Module):
    """A convolution, and then something that can't be known from one pass."""

    def __init__(self, what: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.conv, self.dense, self.what = nn.Conv2d(2, 4, 3, padding=1), nn.Linear(4 * SIDE * SIDE, 3), what

    def forward(self, x: Tensor) -> Tensor:
        return self.dense(self.what(self.conv(x)).flatten(1))  # type: ignore[no-any-return]


@pytest.mark.parametrize(
    "what",
    [
        lambda maps: maps if float(maps.sum()) > 0 else -maps,
        lambda maps: maps - maps.detach().numpy().mean(),
        lambda maps: maps.cumsum(2),
        lambda maps: maps + torch.rand(1),
    ],
    ids=["a decision", "NumPy", "an unknown function", "random numbers"],
)
def test_other_models_take_whole_passes(what: Callable[[Tensor], Tensor]) -> None:
    torch.manual_seed(4)
    places = windows((SIDE, SIDE), 4)
    found = built(Odd(what).eval(), places)
    told: list[int] = []
    with torch.no_grad():
        assert found is None or found.all(IMAGES, GROUNDS, told.append, lambda logits, _: logits.T) is None
    assert not told


@pytest.mark.parametrize(
    ("size", "change"),
    [
        (SIDE, {}),
        (4, {"batch": 2}),
        (4, {"input_shape": (SIDE, SIDE, 2)}),
    ],
    ids=["windows as large as the image", "a fixed batch", "channels last"],
)
def test_where_patches_do_not_pay_there_are_none(size: int, change: dict[str, Any]) -> None:
    torch.manual_seed(4)
    model = MODELS["same and pools of two"]()
    subject = Subject(model, **{"input_shape": (2, SIDE, SIDE), **change})
    with torch.no_grad():
        assert covering.covering(subject, IMAGES, GROUNDS, windows((SIDE, SIDE), size)) is None


def test_a_target_inside_the_net_takes_whole_passes(monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(*_: Any) -> None:
        raise AssertionError

    monkeypatch.setattr(importlib.import_module("cutaway.look.backward.occlusion"), "covering", refused)
    torch.manual_seed(4)
    model = MODELS["same and pools of two"]()
    occlusion(subject_of(model), IMAGES, [0, Target({1: 1.0}, "0")], size=8)
