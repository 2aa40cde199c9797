"""Looking leaves no trace: one invariant over all looks, those that fail included."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from cutaway import Subject
from cutaway.data import Split
from cutaway.errors import ConfigError, DataError, NotFoundError
from cutaway.look import (
    activity,
    answers,
    capture,
    cell,
    deaths,
    exemplars,
    feature_maps,
    fitted,
    kernels,
    knockout,
    layers,
    orientation,
    probe,
    rank,
    retention,
    similarity,
    untrained,
)
from cutaway.look.backward import (
    Target,
    deconvnet,
    deeplift,
    gradcam,
    gradient_input,
    guided,
    guided_gradcam,
    integrated_gradients,
    lrp,
    saliency,
    smoothgrad,
)
from cutaway.look.optimising import (
    Recipe,
    caricature,
    compare_priors,
    decode,
    invert,
    maximize,
    train_decoders,
    train_generator,
    walk_images,
    walk_units,
)
from cutaway.look.optimising.priors import L2


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


def many(count: int = 24) -> Split:
    """Noise of three classes, enough to fit something on."""
    noise = torch.randint(256, (count, 1, 8, 8), generator=torch.Generator().manual_seed(4))
    return Split(noise.to(torch.uint8), torch.arange(count) % 3, torch.arange(count))


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


UNIT = Target({1: 1.0}, "norm")
"""Ends the pass in the middle."""

BACKWARD: dict[str, Callable[..., object]] = {
    "saliency": saliency,
    "gradient × input": gradient_input,
    "smoothgrad": lambda *args: smoothgrad(*args, samples=3),
    "integrated gradients": lambda *args: integrated_gradients(*args, steps=3),
    "guided": guided,
    "deconvnet": deconvnet,
    "deeplift": lambda *args: deeplift(*args, otherwise="gradient"),  # dropout is on
    "gradcam": gradcam,
    "guided gradcam": guided_gradcam,
    "lrp": lambda *args: lrp(*args, layers=["conv", "act"]),
}


def asking(subject: Subject, look: Callable[..., object]) -> object:
    """A look at images that ask for a gradient, inside somebody's own inference."""
    images = IMAGES.float().requires_grad_()
    with torch.inference_mode():
        found = look(subject, images, 1)
    assert images.grad is None
    assert images.requires_grad
    return found


def backward_cases() -> Iterator[tuple[str, Case]]:
    """Each backward look as it goes well, and each of the ways in which it ends early."""
    for name, look in BACKWARD.items():
        yield name, Case(lambda s, look=look: look(s, IMAGES, [0, "b", UNIT]))  # type: ignore[misc]
        yield f"{name} of a unit", Case(lambda s, look=look: look(s, IMAGES, UNIT))  # type: ignore[misc]
        yield f"{name}: asking", Case(lambda s, look=look: asking(s, look))  # type: ignore[misc]
        for what, target in (
            ("layer", Target({1: 1.0}, "conv7")),
            ("unit", Target({9: 1.0}, "norm")),
            ("class", 3),
        ):
            yield (
                f"{name}: no such {what}",
                Case(lambda s, look=look, target=target: look(s, IMAGES, target), NotFoundError),  # type: ignore[misc]
            )
        yield f"{name}: wrong shape", Case(lambda s, look=look: look(s, WRONG_SHAPE), ConfigError)  # type: ignore[misc]
        yield (
            f"{name}: model breaks",
            Case(lambda s, look=look: look(s, IMAGES), BrokenError, blown=True),  # type: ignore[misc]
        )
    yield "deeplift: no rule", Case(lambda s: deeplift(s, IMAGES), ConfigError)
    yield "gradcam: no maps", Case(lambda s: gradcam(s, IMAGES, 1, ["dense"]), ConfigError)
    yield "lrp: no such layer", Case(lambda s: lrp(s, IMAGES, 1, layers=["conv7"]), NotFoundError)


def optimising_cases() -> Iterator[tuple[str, Case]]:
    """Looks that optimise; each as it should be, with another layer, and where the model breaks."""
    short = Recipe(2, leak=0.3)
    unit = Target({1: 1.0}, "conv", "sum")
    looks: dict[str, Callable[[Subject, str], object]] = {
        "maximize": lambda s, layer: maximize(
            s, Target({1: 1.0}, layer, "sum"), short, dataset=split(IMAGES)
        ),
        "compare_priors": lambda s, layer: compare_priors(
            s, Target({1: 1.0}, layer, "sum"), {"l2": L2(0.1)}, short
        ),
        "invert": lambda s, layer: invert(s, IMAGES, [layer], short),
        "caricature": lambda s, layer: caricature(s, IMAGES, [layer], short),
        "walk_units": lambda s, layer: walk_units(
            s, Target({0: 1.0}, layer, "sum"), Target({1: 1.0}, layer, "sum"), short, images=2
        ),
        "walk_images": lambda s, layer: walk_images(s, IMAGES[:1], IMAGES[1:2], layer, short, images=2),
        "decode": lambda s, layer: decode(s, train_decoders(s, many(), [layer], steps=2), IMAGES),
    }
    for name, look in looks.items():
        yield name, Case(lambda s, look=look: look(s, "dense"))  # type: ignore[misc]
        yield f"{name}: unknown layer", Case(lambda s, look=look: look(s, "conv7"), NotFoundError)  # type: ignore[misc]
        yield f"{name}: model breaks", Case(lambda s, look=look: look(s, "dense"), BrokenError, blown=True)  # type: ignore[misc]

    def listening(_: object) -> bool:
        raise BrokenError

    yield (
        "maximize: who watches breaks",
        Case(lambda s: maximize(s, unit, short, watch=listening), BrokenError),
    )
    yield "invert: floats", Case(lambda s: invert(s, IMAGES.float(), ["conv"], short), ConfigError)
    yield "train_decoders: no images", Case(lambda s: train_decoders(s, many(0), ["conv"]), DataError)
    yield "train_generator", Case(lambda _: train_generator(many(), steps=2, code=3))
    yield "train_generator: no images", Case(lambda _: train_generator(many(0)), DataError)
    yield (
        "maximize with a generator",
        Case(lambda s: maximize(s, unit, short, generator=train_generator(many(), steps=2, code=3))),
    )


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
    "layers": Case(layers),
    "layers: model breaks": Case(layers, BrokenError, blown=True),
    "untrained": Case(untrained),
    "fitted": Case(lambda s: fitted(s, torch.zeros(2, 3, 5, 5, dtype=torch.uint8))),
    "cell": Case(lambda s: cell(s, IMAGES[:1], "conv", 1)),
    "cell of a dense layer": Case(lambda s: cell(s, IMAGES[:1], "dense", 1)),
    "cell: no sum": Case(lambda s: cell(s, IMAGES[:1], "norm", 1), ConfigError),
    "cell: no such unit": Case(lambda s: cell(s, IMAGES[:1], "conv", 4), NotFoundError),
    "cell: model breaks": Case(lambda s: cell(s, IMAGES[:1], "dense", 1), BrokenError, blown=True),
    "probe": Case(lambda s: probe(s, many(), many())),
    "probe: unknown layer": Case(lambda s: probe(s, many(), many(), ["conv7"]), NotFoundError),
    "probe: model breaks": Case(lambda s: probe(s, many(), many()), BrokenError, blown=True),
    "probe: wrong shape": Case(lambda s: probe(s, many(), split(WRONG_SHAPE)), ConfigError),
    "similarity": Case(lambda s: similarity(s, IMAGES)),
    "similarity with another": Case(lambda s: similarity(s, IMAGES, other=untrained(s))),
    "similarity: too few": Case(lambda s: similarity(s, IMAGES[:3]), DataError),
    "similarity: model breaks": Case(lambda s: similarity(s, IMAGES), BrokenError, blown=True),
    "rank": Case(lambda s: rank(s, IMAGES)),
    "rank: too few": Case(lambda s: rank(s, IMAGES[:1]), DataError),
    "rank: model breaks": Case(lambda s: rank(s, IMAGES), BrokenError, blown=True),
    "retention": Case(lambda s: retention(s, many(), many())),
    "retention: no images": Case(lambda s: retention(s, many(0), many()), DataError),
    "retention: model breaks": Case(lambda s: retention(s, many(), many()), BrokenError, blown=True),
    "orientation": Case(orientation),
    "orientation of a dense layer": Case(lambda s: orientation(s, ["dense"])),
    "orientation: unknown layer": Case(lambda s: orientation(s, ["conv7"]), NotFoundError),
    "orientation: model breaks": Case(lambda s: orientation(s, ["dense"]), BrokenError, blown=True),
    "knockout": Case(lambda s: knockout(s, split(IMAGES), ["conv", "dense"])),
    "knockout of a call, set to means": Case(lambda s: knockout(s, split(IMAGES), ["relu@1"], value="mean")),
    "knockout: unknown layer": Case(lambda s: knockout(s, split(IMAGES), ["conv7"]), NotFoundError),
    "knockout: no such unit": Case(lambda s: knockout(s, split(IMAGES), units=[4]), NotFoundError),
    "knockout: too many classes": Case(lambda s: knockout(s, split(IMAGES, 3)), DataError),
    "knockout: model breaks": Case(lambda s: knockout(s, split(IMAGES)), BrokenError, blown=True),
    "exemplars": Case(lambda s: exemplars(s, many())),
    "exemplars: unknown layer": Case(lambda s: exemplars(s, many(), ["conv7"]), NotFoundError),
    "exemplars: no images": Case(lambda s: exemplars(s, many(0)), DataError),
    "exemplars: wrong shape": Case(lambda s: exemplars(s, split(WRONG_SHAPE)), ConfigError),
    "exemplars: model breaks": Case(lambda s: exemplars(s, many()), BrokenError, blown=True),
    "activity": Case(lambda s: activity(s, many(), epochs={1: s})),
    "activity: unknown layer": Case(lambda s: activity(s, many(), ["conv7"]), NotFoundError),
    "activity: no images": Case(lambda s: activity(s, many(0)), DataError),
    "activity: model breaks": Case(lambda s: activity(s, many()), BrokenError, blown=True),
    "deaths": Case(lambda s: deaths({1: s, 2: s}, many(), ["act", "dense"])),
    "answers": Case(lambda s: answers(s, split(IMAGES))),
    "answers: wrong shape": Case(lambda s: answers(s, split(WRONG_SHAPE)), ConfigError),
    "answers: model breaks": Case(lambda s: answers(s, split(IMAGES)), BrokenError, blown=True),
    "answers: too many classes": Case(lambda s: answers(s, split(IMAGES, 3)), DataError),
    **dict(backward_cases()),
    **dict(optimising_cases()),
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
        "random": {
            "torch": torch.get_rng_state(),
            "numpy": str(np.random.get_state(legacy=False)),  # noqa: NPY002
            "python": random.getstate(),
        },
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
