"""Knockouts against whole passes with a hook that overwrites a unit, image by image."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from cutaway import Subject
from cutaway.data import Split
from cutaway.errors import ConfigError, DataError, NotFoundError
from cutaway.look import Knockout, knockout
from cutaway.look.knockout import Value, main_layers
from cutaway.store import Run

SHAPE = (1, 8, 8)
CLASSES = 4


def split(labels: Sequence[int], seed: int = 3) -> Split:
    generator = torch.Generator().manual_seed(seed)
    noise = torch.randint(0, 60, (len(labels), *SHAPE), generator=generator)
    # Noise alone is all alike to a net: quarters of each image differ in brightness.
    quarters = torch.randint(0, 196, (len(labels), 1, 2, 2), generator=generator)
    images = (noise + quarters.repeat_interleave(4, 2).repeat_interleave(4, 3)).to(torch.uint8)
    return Split(images, torch.tensor(labels), torch.arange(len(labels)))


# Not in turn, and none of class 2.
LABELS = [0, 1, 3, 0, 0, 1, 3, 3, 1, 0, 3, 1, 0, 0, 0, 3, 1]


def model(seed: int = 1) -> nn.Sequential:
    torch.manual_seed(seed)
    found = nn.Sequential(
        nn.Conv2d(1, 5, 3),
        nn.BatchNorm2d(5),
        nn.ReLU(),
        nn.Conv2d(5, 4, 3),
        nn.Tanh(),
        nn.Flatten(),
        nn.Linear(64, 6),
        nn.ReLU(),
        nn.Linear(6, CLASSES),
    )
    with torch.no_grad():
        for name, parameter in found.named_parameters():
            # Large enough for units to change answers.
            parameter.mul_(4 if name.endswith("weight") else 0)
    norm = found[1]
    assert isinstance(norm, nn.BatchNorm2d)
    assert norm.running_mean is not None
    norm.running_mean.normal_(0, 0.3)
    return found


def subject(**options: object) -> Subject:
    return Subject(model(), SHAPE, tuple("abcd"), **options)  # type: ignore[arg-type]


Measures = tuple[float, list[float], float]
"""Accuracy, accuracy by class, objective."""


def slowly(one: Subject, images: Split, layer: str | None, units: Sequence[int], values: Tensor) -> Measures:
    """Image by image, with a hook that overwrites some units of a layer."""

    def hook(module: nn.Module, args: object, output: Tensor) -> Tensor:
        changed = output.clone()
        for unit in units:
            changed[0, unit] = values[unit]
        return changed

    handle = one.model.get_submodule(layer).register_forward_hook(hook) if layer else None
    one.model.eval()
    right: dict[int, list[bool]] = {label: [] for label in range(CLASSES)}
    nats = 0.0
    with torch.no_grad():
        for pixels, label in zip(images.pixels, images.labels.tolist(), strict=True):
            logits = one.model(pixels[None].float() / 255)[0].double().tolist()
            right[label].append(max(range(CLASSES), key=lambda k: (logits[k], -k)) == label)
            nats += math.log(sum(math.exp(z) for z in logits)) - logits[label]
    if handle:
        handle.remove()
    count = len(images)
    by_class = [sum(row) / len(row) if row else math.nan for row in right.values()]
    return sum(map(sum, right.values())) / count, by_class, nats / count


def slow_means(one: Subject, images: Split, layer: str, count: int) -> Tensor:
    sums = torch.zeros(count, dtype=torch.float64)
    numbers = 0

    def hook(module: nn.Module, args: object, output: Tensor) -> None:
        nonlocal numbers
        for unit in range(count):
            sums[unit] += float(output[0, unit].double().sum())
        numbers += output[0, 0].numel()

    handle = one.model.get_submodule(layer).register_forward_hook(hook)
    one.model.eval()
    with torch.no_grad():
        for pixels in images.pixels:
            one.model(pixels[None].float() / 255)
    handle.remove()
    return (sums / numbers).float()


def equal(found: tuple[object, object, object], wanted: Measures) -> None:
    accuracy, by_class, objective = found
    assert float(accuracy) == pytest.approx(wanted[0])  # type: ignore[arg-type]
    assert isinstance(by_class, Tensor)
    assert by_class.tolist() == pytest.approx(wanted[1], nan_ok=True)
    assert float(objective) == pytest.approx(wanted[2], abs=1e-5)  # type: ignore[arg-type]


UNITS = {"0": 5, "1": 5, "3": 4, "4": 4, "6": 6}


@pytest.mark.parametrize("value", Value)
@pytest.mark.parametrize("batch", [4, 16, 100])
def test_every_number_is_that_of_whole_passes(value: Value, batch: int) -> None:
    one, images = subject(), split(LABELS)
    found = knockout(one, images, list(UNITS), value=value, batch=batch)
    equal(
        (found.accuracy, found.class_accuracy, found.objective), slowly(one, images, None, [], torch.empty(0))
    )
    assert list(found.layers) == list(UNITS)
    changes = 0
    for layer, count in UNITS.items():
        row = found.layers[layer]
        values = torch.zeros(count) if value is Value.ZERO else slow_means(one, images, layer, count)
        torch.testing.assert_close(row.values, values)
        assert (row.method, row.reason) == ("suffix", "")
        assert row.units.tolist() == list(range(count))
        for unit in range(count):
            wanted = slowly(one, images, layer, [unit], values)
            equal((row.accuracy[unit], row.class_accuracy[unit], row.objective[unit]), wanted)
            changes += wanted[0] != found.accuracy
        wanted = slowly(one, images, layer, range(count), values)
        equal((row.whole_accuracy, row.whole_class_accuracy, row.whole_objective), wanted)
    assert changes > 5, "no knockout changed an answer, so nothing was tested"


def test_losses_are_what_is_missing() -> None:
    found = knockout(subject(), split(LABELS), ["0"])
    row = found.layers["0"]
    assert found.lost("0").tolist() == [found.accuracy - own for own in row.accuracy.tolist()]
    assert found.whole_lost("0") == found.accuracy - row.whole_accuracy
    lost = found.class_lost("0")
    assert lost.shape == (5, CLASSES)
    assert lost[:, 2].isnan().all()
    for unit in range(5):
        for label in (0, 1, 3):
            own = float(row.class_accuracy[unit, label])
            assert float(lost[unit, label]) == float(found.class_accuracy[label]) - own
    # Weighed by how many images a class has, the classes' losses are the loss in all.
    shares = torch.tensor([LABELS.count(label) / len(LABELS) for label in range(CLASSES)])
    torch.testing.assert_close((lost.nan_to_num() * shares).sum(1), found.lost("0"))


def test_a_unit_that_nobody_hears_costs_nothing_and_the_only_one_costs_its_class() -> None:
    """By hand: class 0 where the left half is brighter, class 1 else, by a unit for each half."""
    net = nn.Sequential(nn.Conv2d(1, 3, 8), nn.Flatten(), nn.ReLU(), nn.Linear(3, 2))
    conv, dense = net[0], net[3]
    assert isinstance(conv, nn.Conv2d)
    assert isinstance(dense, nn.Linear)
    with torch.no_grad():
        conv.weight.zero_()
        conv.weight[0, 0, :, :4], conv.weight[1, 0, :, 4:], conv.weight[2] = 1, 1, 1
        conv.bias.zero_()  # type: ignore[union-attr]
        dense.weight.copy_(torch.tensor([[1.0, 0, 0], [0, 1, 0]]))
        dense.bias.zero_()
    pixels = torch.full((6, 1, 8, 8), 50, dtype=torch.uint8)
    labels = torch.tensor([0, 1, 1, 0, 1, 1])
    for image, label in zip(pixels, labels.tolist(), strict=True):
        image[0, :, 4 * label : 4 * label + 4] = 200
    found = knockout(Subject(net, SHAPE), Split(pixels, labels, torch.arange(6)), ["0"])
    assert found.accuracy == 1
    assert found.classes == ("0", "1")
    assert found.lost("0").tolist() == pytest.approx([2 / 6, 4 / 6, 0])
    assert found.class_lost("0").tolist() == [[1, 0], [0, 1], [0, 0]]
    # Without any, both logits are 0, and the first class is guessed.
    assert found.whole_lost("0") == pytest.approx(4 / 6)
    assert found.layers["0"].whole_objective == pytest.approx(math.log(2))


def test_only_the_units_asked_for_in_their_order() -> None:
    everything = knockout(subject(), split(LABELS), ["0", "6"])
    found = knockout(subject(), split(LABELS), ["0", "6", "0"], units=[4, 1])
    assert list(found.layers) == ["0", "6"]
    for layer, row in found.layers.items():
        assert row.units.tolist() == [4, 1]
        for name in ("accuracy", "class_accuracy", "objective"):
            wanted = getattr(everything.layers[layer], name)[[4, 1]]
            torch.testing.assert_close(getattr(row, name), wanted, equal_nan=True)
        assert row.whole_accuracy == everything.layers[layer].whole_accuracy
        assert len(row.values) == UNITS[layer]


def test_no_units_leave_the_whole_layer() -> None:
    found = knockout(subject(), split(LABELS), ["3"], units=[])
    assert found.layers["3"].accuracy.shape == (0,)
    assert found.layers["3"].class_accuracy.shape == (0, CLASSES)
    wanted = knockout(subject(), split(LABELS), ["3"])
    assert found.layers["3"].whole_accuracy == wanted.layers["3"].whole_accuracy


class Leaving(nn.Module):
    """Decides by a value, so that its operations can't be applied again."""

    def __init__(self) -> None:
        super().__init__()
        self.inner = model()

    def forward(self, x: Tensor) -> Tensor:
        logits = self.inner(x)
        return logits * 1.0 if logits[0, 0] > 100 else logits  # type: ignore[no-any-return]


def test_whole_passes_give_the_same_and_say_why_they_were_needed() -> None:
    found = knockout(Subject(Leaving(), SHAPE), split(LABELS), ["inner.3"])
    row, wanted = found.layers["inner.3"], knockout(subject(), split(LABELS), ["3"]).layers["3"]
    assert row.method == "whole pass"
    assert "__bool__" in row.reason
    torch.testing.assert_close(row.objective, wanted.objective)
    assert row.accuracy.tolist() == wanted.accuracy.tolist()
    assert row.whole_class_accuracy.tolist() == pytest.approx(
        wanted.whole_class_accuracy.tolist(), nan_ok=True
    )


def test_a_model_of_a_fixed_batch_gives_the_same() -> None:
    found = knockout(subject(batch=7), split(LABELS), ["3"], value="mean")
    wanted = knockout(subject(), split(LABELS), ["3"], value="mean")
    torch.testing.assert_close(found.layers["3"].objective, wanted.layers["3"].objective)
    torch.testing.assert_close(found.layers["3"].values, wanted.layers["3"].values)


def test_a_run_is_known_by_its_own_scores(trained: Run) -> None:
    test = trained.images().split("test")
    chosen = test.take(torch.arange(200))
    found = knockout(trained.subject(), chosen)
    assert list(found.layers) == ["conv1", "conv2"]
    guesses = trained.subject().predict(chosen.pixels).argmax(1)
    assert found.accuracy == pytest.approx(float((guesses == chosen.labels).double().mean()))
    assert found.images == 200
    assert trained.id in found.subject


class Foreign(nn.Module):
    """Convolutions and dense layers as modules, applied twice, and as functions."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(1, 1, 3, padding=1)
        self.norm = nn.BatchNorm2d(1)
        self.weight = nn.Parameter(torch.ones(2, 1, 3, 3))
        self.head = nn.Linear(2, 3)

    def forward(self, x: Tensor) -> Tensor:
        x = self.norm(self.conv(self.conv(x))).relu()
        x = F.conv2d(x, self.weight).amax((2, 3))
        return self.head(F.linear(x, torch.eye(2)))  # type: ignore[no-any-return]


def test_the_main_layers_are_all_with_weights_but_the_last() -> None:
    assert main_layers(subject()) == ["0", "3", "6"]
    foreign = Subject(Foreign(), SHAPE)
    # Modules call functions too: the function's first call of its own is the third.
    assert main_layers(foreign) == ["conv", "conv@2", "conv2d@3", "linear@1"]
    assert list(knockout(foreign, split([0, 1, 2])).layers) == main_layers(foreign)


def poisoned(name: str, value: float = math.nan) -> Subject:
    one = subject(name="mine")
    with torch.no_grad():
        one.model.get_parameter(name).view(-1)[0] = value
    return one


def dividing() -> Subject:
    """A dense layer whose ones are divided by: without a unit its logit is infinite."""

    class Inverse(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.dense = nn.Linear(64, 3)
            with torch.no_grad():
                self.dense.weight.zero_()
                self.dense.bias.fill_(1)

        def forward(self, x: Tensor) -> Tensor:
            return 1 / self.dense(x.flatten(1))  # type: ignore[no-any-return]

    return Subject(Inverse(), SHAPE, name="mine")


Failing = Callable[[], Knockout]
ERRORS: dict[str, tuple[Failing, type[Exception], str]] = {
    "unknown layer": (lambda: knockout(subject(), split([0]), ["6", "66"]), NotFoundError, 'no layer "66"'),
    "unit too large": (
        lambda: knockout(subject(), split([0]), ["6", "0"], units=[5]),
        NotFoundError,
        "0 has no unit 5; its units are numbered from 0 to 4",
    ),
    "unit below zero": (lambda: knockout(subject(), split([0]), units=[-1]), NotFoundError, "no unit -1"),
    "no images": (lambda: knockout(subject(), split([])), DataError, "no images"),
    "no layers": (lambda: knockout(subject(), split([0]), []), ConfigError, "no layers"),
    "no such value": (lambda: knockout(subject(), split([0]), value="median"), ConfigError, '"median"'),
    "batch of nothing": (lambda: knockout(subject(), split([0]), batch=0), ConfigError, "not 0"),
    "too many classes": (lambda: knockout(subject(), split([0, 4])), DataError, r"more classes .*\(4\)"),
    "NaN before the layer": (lambda: knockout(poisoned("0.weight"), split([0])), DataError, "mine: 0.weight"),
    "NaN behind the layer": (
        lambda: knockout(poisoned("8.bias"), split([0])),
        DataError,
        "mine: 8.bias has 1 value that is NaN",
    ),
    "infinite": (
        lambda: knockout(poisoned("6.weight", math.inf), split([0])),
        DataError,
        "mine: 6.weight",
    ),
    "NaN input": (
        lambda: knockout(subject(preprocess=lambda pixels: pixels / 0.0 * 0), split([0])),
        DataError,
        "Image 0 has NaN",
    ),
    "infinite without a unit": (lambda: knockout(dividing(), split([0]), ["dense"]), DataError, '"mean"'),
    "no layers with weights": (
        lambda: knockout(Subject(nn.Sequential(nn.Flatten(), nn.Linear(64, 3)), SHAPE), split([0])),
        ConfigError,
        "name a layer",
    ),
    "another shape": (
        lambda: knockout(
            subject(), Split(torch.zeros(1, 1, 9, 9).byte(), torch.tensor([0]), torch.tensor([0]))
        ),
        ConfigError,
        "should be N×1×8×8, not 1×1×9×9",
    ),
}


@pytest.mark.parametrize("name", ERRORS)
def test_what_can_not_be_knocked_out_is_told(name: str) -> None:
    look, error, told = ERRORS[name]
    with pytest.raises(error, match=told):
        look()


def test_a_value_that_keeps_the_logits_finite_is_taken() -> None:
    assert knockout(dividing(), split([0]), ["dense"], value="mean").layers["dense"].whole_accuracy == 1
