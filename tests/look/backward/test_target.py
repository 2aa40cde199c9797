"""Targets: what can be asked about, and what is answered to what can't."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from cutaway import Subject
from cutaway.errors import ConfigError, NotFoundError
from cutaway.look.backward import PREDICTED, Target, difference, each, guided, saliency
from cutaway.look.backward.target import Asked, as_targets

from .styles import IMAGES, SHAPE, Modules, Plain, close, subject_of


def gradient(model: nn.Module, value: Callable[[Tensor], Tensor]) -> Tensor:
    """∂ value / ∂ x for each image by itself, where value takes the batch to a number for each image."""
    inputs = IMAGES.clone().requires_grad_()
    (found,) = torch.autograd.grad(value(inputs).sum(), inputs)
    return found


@pytest.mark.parametrize("one", [2, "c", "2", np.int64(2), torch.tensor(2), np.array(2), Target({2: 1.0})])
def test_one_class_by_number_or_name(one: Any) -> None:
    model = Plain().eval()
    for asked in (one, [one], (one, one)):
        found = saliency(subject_of(model), IMAGES, asked)
        close(found.maps[-1], gradient(model, lambda x: model(x)[:, 2]))
        torch.testing.assert_close(found.values[-1], model(IMAGES)[:, 2].detach())


@pytest.mark.parametrize(
    "several", [[0, 2], range(0, 3, 2), torch.tensor([0, 2]), np.array([0, 2]), ["a", "c"]]
)
def test_several_classes(several: Any) -> None:
    found = saliency(subject_of(Plain()), IMAGES, several)
    assert found.targets == ("a", "c")
    for place, unit in enumerate((0, 2)):
        close(found.maps[place], saliency(subject_of(Plain()), IMAGES, unit).maps[0])


def test_the_predicted_class_labels_differences_and_mixtures() -> None:
    model, labels = Plain().eval(), [2, 0, 1, 1, 0]
    subject = subject_of(model)
    rows = torch.arange(5)
    wanted: list[tuple[Asked, str, Callable[[Tensor], Tensor]]] = [
        (PREDICTED, "predicted", lambda logits: logits.max(1).values),
        (each(labels), "label", lambda logits: logits[rows, labels]),
        (each(torch.tensor(labels)), "label", lambda logits: logits[rows, labels]),
        (difference(subject, "c", 0), "c − a", lambda logits: logits[:, 2] - logits[:, 0]),
        (Target({0: 0.5, 1: -2.0}), "0.5·0 − 2·1", lambda logits: 0.5 * logits[:, 0] - 2 * logits[:, 1]),
    ]
    found = saliency(subject, IMAGES, [asked for asked, _, _ in wanted])
    for place, (_, name, value) in enumerate(wanted):
        close(found.maps[place], gradient(model, lambda x, value=value: value(model(x))))  # type: ignore[misc]
        torch.testing.assert_close(found.values[place], value(model(IMAGES)).detach())
        assert found.targets[place] == name
    assert torch.equal(saliency(subject, IMAGES).maps[0], found.maps[0])


PLACES: dict[str, tuple[Target, Callable[[Tensor], Tensor]]] = {
    "max": (Target({3: 1.0}, "layers.3"), lambda maps: maps[:, 3].flatten(1).amax(1)),
    "sum": (Target({3: 1.0}, "layers.3", "sum"), lambda maps: maps[:, 3].sum((1, 2))),
    "row and column": (Target({3: 1.0}, "layers.3", (1, 0)), lambda maps: maps[:, 3, 1, 0]),
    "two units": (
        Target({3: 1.0, 0: -2.0}, "layers.3"),
        lambda maps: maps[:, 3].flatten(1).amax(1) - 2 * maps[:, 0].flatten(1).amax(1),
    ),
    "the largest unit": (Target(None, "layers.3"), lambda maps: maps.flatten(1).amax(1)),
    "the largest sum": (Target(None, "layers.3", "sum"), lambda maps: maps.sum((2, 3)).amax(1)),
    "labels": (
        Target(None, "layers.3", (0, 1), (4, 3, 2, 1, 0)),
        lambda maps: maps[torch.arange(5), [4, 3, 2, 1, 0], 0, 1],
    ),
    "what a layer is given": (Target({1: 1.0}, "layers.4:input"), lambda maps: maps[:, 1].flatten(1).amax(1)),
    "a call": (Target({1: 1.0}, "conv2d@2"), lambda maps: maps[:, 1].flatten(1).amax(1)),
}


@pytest.mark.parametrize("name", PLACES)
def test_units_of_a_layer_with_maps(name: str) -> None:
    model = Plain().eval()
    target, value = PLACES[name]
    found = saliency(subject_of(model), IMAGES, target)
    close(found.maps[0], gradient(model, lambda x: value(model.layers[:4](x))))
    torch.testing.assert_close(found.values[0], value(model.layers[:4](IMAGES)).detach())


@pytest.mark.parametrize("layer", ["layers.6", "linear@1"])
def test_units_of_a_dense_layer(layer: str) -> None:
    model = Plain().eval()
    found = saliency(subject_of(model), IMAGES, Target({5: 1.0}, layer))
    close(found.maps[0], gradient(model, lambda x: model.layers[:7](x)[:, 5]))
    assert str(Target({5: 1.0}, layer)) == f"{layer} unit 5"


@pytest.mark.parametrize("look", [saliency, guided])
def test_a_target_in_the_middle_ends_the_pass_there(look: Any) -> None:
    model = Modules().eval()
    calls: list[str] = []
    for name, module in model.named_modules():
        module.register_forward_hook(lambda *_, name=name: calls.append(name))
    look(subject_of(model), IMAGES, [Target({1: 1.0}, "norm"), Target({0: 1.0}, "relu@1", "sum")])
    assert calls == ["first", "norm"]
    look(subject_of(model), IMAGES, [Target({1: 1.0}, "norm"), 1])
    assert calls[-1] == ""


WRONG: dict[str, tuple[Any, type[Exception], str]] = {
    "a class too many": (3, NotFoundError, r"no class 3: they are numbered from 0 to 2\."),
    "a negative one": (-1, NotFoundError, r"no class -1: they are numbered from 0 to 2\."),
    "by weights": (Target({0: 1.0, 7: 1.0}), NotFoundError, r"no class 7: they are numbered from 0 to 2\."),
    "a name": ("d", NotFoundError, r'net has no class "d"\..*Known: a, b, c\.'),
    "half a class": (1.5, ConfigError, r"by its number or its name, not 1\.5"),
    "half a class of two": ([1, 1.5], ConfigError, r"by its number or its name, not 1\.5"),
    "nothing": ([], ConfigError, r"targets should be one or more classes or Targets; there are none\."),
    "too few labels": (each([1, 2]), ConfigError, r"There are 2 labels for 5 images; give one for each\."),
    "a label": (each([1, 2, 3, 0, 0]), NotFoundError, r"no class 3: they are numbered"),
    "a unit": (Target({5: 1.0}, "layers.3"), NotFoundError, r"no unit 5 in layers\.3: .* from 0 to 4\."),
    "a place": (
        Target({1: 1.0}, "layers.3", (0, 2)),
        NotFoundError,
        r"no place 0, 2 in layers\.3: its maps have 2×2\.",
    ),
    "a place of a dense layer": (
        Target({1: 1.0}, "layers.6", (0, 0)),
        NotFoundError,
        r"no place 0, 0 in layers\.6: its units have no maps\.",
    ),
    "a layer": (
        Target({1: 1.0}, "layer.3"),
        NotFoundError,
        r'no layer "layer\.3"\. Did you mean "layers\.\d"',
    ),
    "a call": (Target({1: 1.0}, "relu@4"), ConfigError, r"not reach relu@4: it applies relu only 3 times\."),
}


@pytest.mark.parametrize("name", WRONG)
def test_what_is_not_there_is_told(name: str) -> None:
    target, kind, told = WRONG[name]
    with pytest.raises(kind, match=told) as raised:
        saliency(subject_of(Plain()), IMAGES, target)
    assert len(str(raised.value)) < 220


def test_of_many_classes_the_nearest_is_told_and_not_all() -> None:
    model = nn.Sequential(nn.Flatten(), nn.Linear(128, 300))
    subject = Subject(model, SHAPE, tuple(f"class{number}" for number in range(300)), name="net")
    with pytest.raises(NotFoundError, match=r'no class "clas299"\. Did you mean "class299"\?$'):
        saliency(subject, IMAGES, "clas299")
    nameless = Subject(model, SHAPE, name="net")
    with pytest.raises(NotFoundError, match=r"It has none by name; give a number\."):
        saliency(nameless, IMAGES, "seven")
    with pytest.raises(NotFoundError, match=r"no class 300: they are numbered from 0 to 299\."):
        saliency(nameless, IMAGES, 300)
    assert saliency(nameless, IMAGES, "299").targets == ("299",)


@pytest.mark.parametrize(
    ("made", "told"),
    [
        (lambda: Target({}), "weights of one or more classes"),
        (lambda: Target({1: 1.0}, labels=(1, 2)), "or labels"),
        (
            lambda: Target({1: 1.0}, "conv", "mean"),  # type: ignore[arg-type]
            r"place should be max, sum or \(row, column\), not 'mean'",
        ),
        (lambda: Target({1: 1.0}, "conv", (1, 2, 3)), r"not \(1, 2, 3\)"),  # type: ignore[arg-type]
        (lambda: difference(subject_of(Plain()), "b", 1), "A difference is one of two classes; both are b"),
    ],
)
def test_targets_that_mean_nothing_are_refused(made: Callable[[], Target], told: str) -> None:
    with pytest.raises(ConfigError, match=told):
        made()


def test_a_layer_without_a_row_for_each_image_is_refused() -> None:
    class Patches(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.cut = nn.Unflatten(3, (2, 4))
            self.each = nn.Linear(4, 3)
            self.total = nn.Identity()

        def forward(self, x: Tensor) -> Tensor:
            rows = self.each(self.cut(x).flatten(0, 3))
            self.total(rows.sum())
            return rows.unflatten(0, (len(x), 32)).mean(1)  # type: ignore[no-any-return]

    subject = subject_of(Patches())
    with pytest.raises(ConfigError, match="each gives 160×3 for 5 images, not a row for each image"):
        saliency(subject, IMAGES, Target({1: 1.0}, "each"))
    with pytest.raises(ConfigError, match="total gives one number for 5 images"):
        saliency(subject, IMAGES, Target({1: 1.0}, "total"))
    with pytest.raises(ConfigError, match="not a row for each image"):
        guided(subject, IMAGES, Target({1: 1.0}, "each"))


def test_names() -> None:
    subject = Subject(Plain(), SHAPE)
    assert [str(target) for target in as_targets(subject, None)] == ["predicted"]
    assert str(Target({4: 1.0, 9: -1.0})) == "4 − 9"
    assert str(Target({9: -1.0})) == "−9"
    assert str(Target({2: 1.0}, "conv", (3, 4))) == "conv unit 2 at 3, 4"
    assert str(Target({2: 1.0}, "conv", name="eye")) == "eye"
