"""Looking leaves no trace: one invariant over all looks, those that fail included."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from cutaway import Subject
from cutaway.data import Split
from cutaway.errors import ConfigError, DataError, NotFoundError
from cutaway.look import answers, capture, feature_maps, kernels


class BrokenError(Exception):
    """What the model raises in the middle of its forward pass."""


class Fuse(nn.Module):
    """Raises when ``blown``."""

    def __init__(self) -> None:
        super().__init__()
        self.blown = False

    def forward(self, x: Tensor) -> Tensor:
        if self.blown:
            raise BrokenError
        return x


class Restless(nn.Module):
    """Whatever a look could disturb: statistics, counters, random draws, in-place operations."""

    calls: Tensor
    seen: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(1, 4, 3)
        self.norm = nn.BatchNorm2d(4)
        self.act = nn.ReLU(inplace=True)
        self.drop = nn.Dropout(0.5)
        self.fuse = Fuse()
        self.dense = nn.Linear(4 * 36, 3)
        # One buffer is written in place, the other is replaced: models of others do both.
        self.register_buffer("calls", torch.zeros(()))
        self.register_buffer("seen", torch.zeros(1))

    def forward(self, x: Tensor) -> Tensor:
        self.calls += 1
        self.seen = x.amax().view(1)
        x = self.drop(self.act(self.norm(self.conv(x))))
        x = F.dropout(x, 0.1)  # on in evaluation mode too: it draws from the global generator
        return self.dense(self.fuse(x).flatten(1))  # type: ignore[no-any-return]


IMAGES = (torch.arange(5 * 64).view(5, 1, 8, 8) * 7 % 256).to(torch.uint8)
WRONG_SHAPE = torch.zeros(5, 1, 9, 9, dtype=torch.uint8)


def split(images: Tensor, label: int = 2) -> Split:
    return Split(images, torch.full((len(images),), label), torch.arange(len(images)))


def captured(subject: Subject, layers: list[str]) -> None:
    with capture(subject.model, layers) as outputs:
        outputs(subject.inputs(IMAGES))
        outputs(subject.inputs(IMAGES))


def broken_body(subject: Subject) -> None:
    with capture(subject.model, ["conv"]) as outputs:
        outputs(subject.inputs(IMAGES))
        torch.rand(3)
        raise BrokenError


@dataclass(frozen=True)
class Case:
    """A look, and the error that it ends with."""

    look: Callable[[Subject], object]
    error: type[Exception] | None = None
    blown: bool = False


CASES = {
    "capture": Case(lambda s: captured(s, ["conv", "norm", "act", "dense"])),
    "capture stopping early": Case(lambda s: captured(s, ["norm"])),
    "capture of nothing": Case(lambda s: captured(s, [])),
    "capture: unknown layer": Case(lambda s: captured(s, ["conv", "cnov"]), NotFoundError),
    "capture: model breaks": Case(lambda s: captured(s, ["conv", "dense"]), BrokenError, blown=True),
    "capture: caller breaks": Case(broken_body, BrokenError),
    "feature_maps": Case(lambda s: feature_maps(s, IMAGES)),
    "feature_maps of one layer": Case(lambda s: feature_maps(s, IMAGES, ["conv"])),
    "feature_maps: wrong shape": Case(lambda s: feature_maps(s, WRONG_SHAPE), ConfigError),
    "feature_maps: unknown layer": Case(lambda s: feature_maps(s, IMAGES, ["conv7"]), NotFoundError),
    "feature_maps: model breaks": Case(lambda s: feature_maps(s, IMAGES), BrokenError, blown=True),
    "kernels": Case(kernels),
    "kernels: unknown layer": Case(lambda s: kernels(s, ["conv", "conv7"]), NotFoundError),
    "kernels: no kernels": Case(lambda s: kernels(s, ["conv", "norm"]), ConfigError),
    "answers": Case(lambda s: answers(s, split(IMAGES))),
    "answers: wrong shape": Case(lambda s: answers(s, split(WRONG_SHAPE)), ConfigError),
    "answers: model breaks": Case(lambda s: answers(s, split(IMAGES)), BrokenError, blown=True),
    "answers: too many classes": Case(lambda s: answers(s, split(IMAGES, 3)), DataError),
}


def make_subject() -> Subject:
    """A model in the middle of somebody's work: modes mixed, a layer frozen, gradients waiting."""
    torch.manual_seed(11)
    model = Restless()
    model.train()
    model.norm.eval()
    model.dense.weight.requires_grad_(False)
    for number, parameter in enumerate(model.parameters()):
        if parameter.requires_grad:
            parameter.grad = torch.full_like(parameter, number + 0.5)
    model.conv.register_forward_hook(lambda module, args, output: None)
    return Subject(model, (1, 8, 8), ("a", "b", "c"))


def state(model: nn.Module) -> dict[str, Any]:
    """All that a look must leave alone; tensors are copied."""
    kinds = [
        "_forward_hooks",
        "_forward_pre_hooks",
        "_backward_hooks",
        "_backward_pre_hooks",
        "_forward_hooks_with_kwargs",
        "_forward_hooks_always_called",
    ]
    modules = dict(model.named_modules())
    return {
        "hooks": {
            (name, kind): list(getattr(m, kind).items()) for name, m in modules.items() for kind in kinds
        },
        "modes": {name: module.training for name, module in modules.items()},
        "attributes": {name: sorted(vars(module)) for name, module in modules.items()},
        "buffers": {name: buffer.clone() for name, buffer in model.named_buffers()},
        "buffer identities": {name: id(buffer) for name, buffer in model.named_buffers()},
        "parameters": {name: p.detach().clone() for name, p in model.named_parameters()},
        "gradients": {
            name: None if p.grad is None else p.grad.clone() for name, p in model.named_parameters()
        },
        "requires_grad": {name: p.requires_grad for name, p in model.named_parameters()},
        "random": {"torch": torch.get_rng_state()},
        "switches": {"grad": torch.is_grad_enabled(), "inference": torch.is_inference_mode_enabled()},
    }


@pytest.mark.parametrize("name", CASES)
def test_a_look_leaves_everything_as_it_was(name: str) -> None:
    case, subject = CASES[name], make_subject()
    model = subject.model
    assert isinstance(model, Restless)
    model.fuse.blown = case.blown
    before = state(model)
    if case.error is None:
        case.look(subject)
    else:
        with pytest.raises(case.error):
            case.look(subject)
    after = state(model)
    for what, values in before.items():
        assert values.keys() == after[what].keys(), what
        for key, value in values.items():
            same = (
                torch.equal(value, after[what][key])
                if isinstance(value, Tensor)
                else value == after[what][key]
            )
            assert same, f"{name} changed {what}: {key}"


def test_the_model_of_this_file_does_leave_traces_when_applied_plainly() -> None:
    """Otherwise the test above could not fail."""
    subject = make_subject()
    before = state(subject.model)
    subject.model(subject.inputs(IMAGES))
    subject.model.eval()
    after = state(subject.model)
    assert not torch.equal(before["random"]["torch"], after["random"]["torch"])
    assert before["modes"] != after["modes"]
    for name in ("calls", "seen"):
        assert not torch.equal(before["buffers"][name], after["buffers"][name])
