"""Guided backpropagation and the deconvnet against a backward pass by hand."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from cutaway.errors import ConfigError
from cutaway.look.backward import Attribution, Target, deconvnet, guided, saliency

from .styles import IMAGES, Plain, close, subject_of

Method = Callable[..., Attribution]
BOTH = pytest.mark.parametrize("method", [guided, deconvnet])


def by_hand(model: Plain, image: Tensor, start: int, seed: Tensor, *, gated: bool) -> Tensor:
    """Down from the output of layer ``start``: transposed convolutions, unpooling by switches, ReLUs.

    A ReLU lets through what is positive; ``gated``, only where it was on.
    """
    layers = list(model.layers.double())
    values: list[Tensor] = [image.double()[None]]
    switches: dict[int, Tensor] = {}
    with torch.no_grad():
        for number, layer in enumerate(layers):
            if isinstance(layer, nn.MaxPool2d):
                value, switches[number] = F.max_pool2d(values[-1], 2, return_indices=True)
            else:
                value = layer(values[-1])
            values.append(value)
        back = seed.double()[None]
        for number in range(start, -1, -1):
            layer, given = layers[number], values[number]
            if isinstance(layer, nn.ReLU):
                back = torch.where(back > 0, back, 0.0)
                back = torch.where(given > 0, back, 0.0) if gated else back
            elif isinstance(layer, nn.MaxPool2d):
                back = F.max_unpool2d(back, switches[number], [2, 2])
            elif isinstance(layer, nn.Conv2d):
                back = F.conv_transpose2d(back, layer.weight, padding=layer.padding)  # type: ignore[arg-type]
            elif isinstance(layer, nn.Linear):
                back = back @ layer.weight
            else:
                back = back.view_as(given)
    return back[0]


@BOTH
def test_a_class_is_followed_down_as_by_hand(method: Method) -> None:
    found = method(subject_of(Plain()), IMAGES, [0, 2])
    for place, unit in enumerate((0, 2)):
        for number, image in enumerate(IMAGES):
            wanted = by_hand(Plain(), image, 8, F.one_hot(torch.tensor(unit), 3), gated=method is guided)
            torch.testing.assert_close(found.maps[place, number].double(), wanted, atol=1e-7, rtol=1e-4)
    assert all((one != 0).any() for one in found.maps)
    assert found.method in {"guided backpropagation", "deconvnet"}


@BOTH
@pytest.mark.parametrize(
    ("layer", "number"), [("layers.0", 0), ("layers.3", 3), ("layers.4", 4), ("relu@2", 4)]
)
def test_so_is_a_unit_of_any_layer_from_where_it_is_largest(method: Method, layer: str, number: int) -> None:
    model = Plain().eval()
    maps = model.layers[: number + 1](IMAGES).detach()
    found = method(subject_of(model), IMAGES, Target({1: 1.0}, layer))
    for place, image in enumerate(IMAGES):
        seed = torch.zeros(maps.shape[1:])
        seed[1].view(-1)[maps[place, 1].argmax()] = 1
        wanted = by_hand(Plain(), image, number, seed, gated=method is guided)
        torch.testing.assert_close(found.maps[0, place].double(), wanted, atol=1e-7, rtol=1e-4)
        assert found.values[0, place] == pytest.approx(float(maps[place, 1].max().detach()), abs=1e-6)
    assert (found.maps != 0).any()


def test_the_three_are_not_the_same() -> None:
    maps = [method(subject_of(Plain()), IMAGES, 1).maps for method in (saliency, guided, deconvnet)]
    for one, other in ((0, 1), (0, 2), (1, 2)):
        assert (maps[one] - maps[other]).abs().max() > 0.01 * maps[one].abs().max()


class Rectified(nn.Module):
    """A convolution, a rectifier and a sum over places with weights."""

    def __init__(self, act: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        torch.manual_seed(1)
        self.conv = nn.Conv2d(2, 4, 3)
        self.head = nn.Linear(144, 3)
        self.act = act

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.act(self.conv(x * 20)).flatten(1))  # type: ignore[no-any-return]


RECTIFIERS: dict[str, tuple[Callable[[Tensor], Tensor], float]] = {
    "ReLU6": (nn.ReLU6(), 6.0),
    "F.relu6": (F.relu6, 6.0),
    "hardtanh": (lambda x: F.hardtanh(x, 0.0, 4.0), 4.0),
    "clamp": (lambda x: x.clamp(0, 5), 5.0),
    "clip": (lambda x: torch.clip(x, min=0, max=5), 5.0),
    "clamp_": (lambda x: x.clamp_(min=0), torch.inf),
    "clamp_min": (lambda x: torch.clamp_min(x, 0.0), torch.inf),
    "threshold": (nn.Threshold(0.0, 0.0), torch.inf),
    "F.threshold": (lambda x: F.threshold(x, 0.0, 0.0, inplace=True), torch.inf),
    "aten": (torch.ops.aten.relu, torch.inf),
    "aten in place": (torch.ops.aten.relu_.default, torch.inf),
}


@pytest.mark.parametrize("name", RECTIFIERS)
def test_rectifiers_by_any_name(name: str) -> None:
    act, cap = RECTIFIERS[name]
    model = Rectified(act).eval()
    for method in (guided, deconvnet):
        found = method(subject_of(model), IMAGES, 1)
        with torch.no_grad():
            before = model.conv(IMAGES * 20)
            back = model.head.weight[1].view(1, 4, 6, 6).clamp_min(0).expand_as(before)
            if method is guided:
                back = back * ((before > 0) & (before < cap))
            close(found.maps[0], 20 * F.conv_transpose2d(back, model.conv.weight), 1e-5)
    assert (before > cap).any() or cap == torch.inf


REFUSED: dict[str, tuple[Callable[[Tensor], Tensor], str]] = {
    "leaky": (F.leaky_relu, "leaky_relu"),
    "sigmoid": (torch.sigmoid, "sigmoid"),
    "hardtanh": (F.hardtanh, "hardtanh"),
    "clamp": (lambda x: x.clamp(-1, 1), "clamp"),
    "threshold": (lambda x: F.threshold(x, 0.5, 0.0), "threshold"),
    "max": (lambda x: torch.max(x, torch.zeros(())), "max"),
    "maximum": (lambda x: torch.maximum(x, torch.zeros(())), "maximum"),
    "where": (lambda x: torch.where(x > 0, x, torch.zeros(())), "where by a value"),
    "times a mask": (lambda x: x * (x > 0), "mul by a value"),
    "times a mask made in place": (
        lambda x: x * torch.zeros(5, 4, 6, 6).add_((x > 0).float()),
        "mul by a value",
    ),
    "masked": (lambda x: x.masked_fill(x < 0, 0), "masked_fill by a value"),
    "detached": (lambda x: x * x.detach().sign(), "mul by a value"),
    "data": (lambda x: x + x.data.clamp(max=0), "add by a value"),
}


@BOTH
@pytest.mark.parametrize("name", REFUSED)
def test_what_has_no_rule_is_refused_by_name_or_passed_when_asked(method: Method, name: str) -> None:
    act, told = REFUSED[name]
    subject = subject_of(Rectified(act))
    with pytest.raises(
        ConfigError, match=rf"{method(subject_of(Plain()), IMAGES, 1).method} has no rule for {told}"
    ):
        method(subject, IMAGES, 1)
    # There is no rectifier left.
    close(method(subject, IMAGES, 1, otherwise="gradient").maps, saliency(subject, IMAGES, 1).maps)


def zeroed(x: Tensor) -> Tensor:
    x = x.clone()
    x[x < 0] = 0
    return x


def test_a_relu_written_into_a_value_is_refused_too() -> None:
    with pytest.raises(ConfigError, match="no rule for setitem by a value that the image decides"):
        guided(subject_of(Rectified(zeroed)), IMAGES, 1)


def test_places_that_the_image_decides_are_no_rectifier() -> None:
    """Values picked by sorted places have their plain gradient, as those of a max-pool."""

    def picked(x: Tensor) -> Tensor:
        flat = torch.relu(x).flatten(1)
        return flat.gather(1, flat.argsort(1))

    def moved(x: Tensor) -> Tensor:
        flat = torch.relu(x).flatten(1)
        order = flat.argsort(1)
        return torch.stack([row[places] for row, places in zip(flat, order, strict=True)])

    found = guided(subject_of(Rectified(picked)), IMAGES, 1)
    close(guided(subject_of(Rectified(moved)), IMAGES, 1).maps, found.maps)


class Secret(torch.autograd.Function):
    """A ReLU with a backward pass of its own."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        ctx.save_for_backward(x)
        return x.clamp_min(0)

    @staticmethod
    def backward(ctx: Any, *arriving: Tensor) -> Tensor:
        (x,) = ctx.saved_tensors
        return arriving[0] * (x > 0)  # type: ignore[no-any-return]


@BOTH
def test_functions_with_a_backward_pass_of_their_own_are_named(method: Method) -> None:
    subject = subject_of(Rectified(Secret.apply))
    with pytest.raises(ConfigError, match="no rule for Secret, a function with a backward pass of its own"):
        method(subject, IMAGES, 1)
    close(method(subject, IMAGES, 1, otherwise="gradient").maps, saliency(subject, IMAGES, 1).maps)


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
@BOTH
def test_scripts_and_compiled_modules_are_named(method: Method) -> None:
    traced, script = (
        torch.jit.trace(nn.Sequential(nn.ReLU()), torch.ones(1, 4, 6, 6)),
        torch.jit.script(nn.ReLU()),
    )
    for act in (traced, script):
        with pytest.raises(ConfigError, match="can't see the operations inside act, which is a script"):
            method(subject_of(Rectified(act)), IMAGES)
    compiled = torch.compile(nn.ReLU(), backend="eager")
    with pytest.raises(ConfigError, match="inside act, which is compiled"):
        method(subject_of(Rectified(compiled)), IMAGES)
    model = Rectified(nn.ReLU())
    model.compile(backend="eager")
    with pytest.raises(ConfigError, match="inside the model, which is compiled"):
        method(subject_of(model), IMAGES)


class Hidden:
    """Holds a script where nobody looks for modules."""

    def __init__(self, script: Callable[[Tensor], Tensor]) -> None:
        self.script = script

    def apply(self, x: Tensor) -> Tensor:
        return self.script(x)


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
@BOTH
def test_functions_that_run_as_a_script_are_found_though_no_module_is_one(method: Method) -> None:
    def rectified(x: Tensor) -> Tensor:
        return torch.relu(x) * 2

    script = torch.jit.trace(rectified, torch.ones(1, 4, 6, 6))
    subject = subject_of(Rectified(Hidden(script).apply))
    for _ in range(4):  # after a few calls PyTorch optimises it
        with pytest.raises(ConfigError, match=r"no rule for .*function that runs as a script"):
            method(subject, IMAGES, 1)
