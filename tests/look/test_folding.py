"""Batch norms folded for a pass: the same values, and the model's own way wherever that can't be."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from cutaway.look.capture import recording
from cutaway.look.folding import Folding, folded


def normed(channels: int, seed: int) -> nn.BatchNorm2d:
    torch.manual_seed(seed)
    norm = nn.BatchNorm2d(channels)
    for values in (norm.weight, norm.bias, norm.running_mean):
        nn.init.normal_(values)  # type: ignore[arg-type]
    nn.init.uniform_(norm.running_var, 0.5, 2)  # type: ignore[arg-type]
    return norm


def net() -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(2, 4, 3, padding=1, bias=False),
        normed(4, 1),
        nn.ReLU(),
        nn.Sequential(nn.Conv2d(4, 6, 3, stride=2), normed(6, 2), nn.ReLU(inplace=True)),
        nn.Flatten(),
        nn.Linear(6 * 9, 3),
    ).eval()


IMAGES = torch.randn(3, 2, 8, 8, generator=torch.Generator().manual_seed(5))


class Counted(torch.overrides.TorchFunctionMode):
    """Which functions are called."""

    def __init__(self) -> None:
        super().__init__()
        self.names: list[str] = []

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        self.names.append(getattr(func, "__name__", ""))
        return func(*args, **(kwargs or {}))


def passed(
    model: nn.Module, kept: tuple[str, ...] = (), last: bool = False
) -> tuple[Tensor, list[str], Folding]:
    """The logits of a folded pass, the functions that it called, and the folding."""
    folding = Folding(model, kept, last=last)
    with recording(model, kept) as record, Counted() as counted, torch.no_grad():
        found = folded(record, lambda: model(IMAGES.clone()), folding, to_end=True)
    return found.result, counted.names, folding


@pytest.mark.parametrize("last", [False, True])
def test_the_same_values_without_the_norms(last: bool) -> None:
    model = net()
    found, names, _ = passed(model, last=last)
    torch.testing.assert_close(found, model(IMAGES))
    assert "conv2d" in names
    assert "batch_norm" not in names


def test_the_same_gradient() -> None:
    model, leaf = net(), IMAGES.clone().requires_grad_()
    (wanted,) = torch.autograd.grad(model(leaf)[:, 1].sum(), leaf)
    with Folding(model, (), last=True):
        (found,) = torch.autograd.grad(model(leaf)[:, 1].sum(), leaf)
    torch.testing.assert_close(found, wanted)


def test_a_layer_whose_own_output_is_wanted_is_left_alone() -> None:
    model = net()
    folding = Folding(model, ("0",), last=False)
    with recording(model, ["0", "1"]) as record, torch.no_grad():
        found = folded(record, lambda: model(IMAGES.clone()), folding, to_end=False)
    torch.testing.assert_close(found.values["0"], model[0](IMAGES))
    torch.testing.assert_close(found.values["1"], model[1](model[0](IMAGES)))


def test_the_model_is_not_changed() -> None:
    model = net()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    passed(model, last=True)
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())


def test_weights_that_were_changed_meanwhile_are_folded_anew() -> None:
    model = net()
    passed(model)
    with torch.no_grad():
        model.get_parameter("1.bias").add_(1.0)
    torch.testing.assert_close(passed(model)[0], model(IMAGES))


class Peeking(nn.Sequential):
    """A Sequential with a way of its own: the sum is read twice."""

    def forward(self, x: Tensor) -> Tensor:
        y = self[0](x)
        return self[1](y) + y  # type: ignore[no-any-return]


def hooked() -> nn.Module:
    """Somebody reads the convolution's output by a hook, and changes it."""
    model = net()
    model[0].register_forward_hook(lambda module, args, output: output * 2)
    return model


def shared() -> nn.Module:
    """The same convolution stands alone, too."""
    conv = nn.Conv2d(2, 2, 3, padding=1)
    return nn.Sequential(nn.Sequential(conv, normed(2, 3)), nn.ReLU(), conv, nn.Flatten()).eval()


@pytest.mark.parametrize(
    "model",
    [
        nn.Sequential(Peeking(nn.Conv2d(2, 4, 3), normed(4, 4)), nn.Flatten()).eval(),
        hooked(),
        shared(),
        nn.Sequential(nn.Conv2d(2, 4, 3), nn.BatchNorm2d(4, track_running_stats=False), nn.Flatten()).eval(),
    ],
    ids=["read twice", "hooked", "shared", "own statistics"],
)
def test_what_can_not_be_folded_is_applied_as_it_is(model: nn.Module) -> None:
    found, _, folding = passed(model)
    torch.testing.assert_close(found, model(IMAGES))
    assert not folding.pairs


def test_a_pass_that_breaks_leaves_nothing_behind() -> None:
    model = net()
    model[2].register_forward_hook(lambda *_: (_ for _ in ()).throw(ValueError("broken")))
    folding = Folding(model, (), last=False)
    with recording(model, []) as record, pytest.raises(ValueError, match="broken"):
        folded(record, lambda: model(IMAGES), folding, to_end=True)
    assert folding.waiting == {}
