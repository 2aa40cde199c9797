"""Precision: what is rounded, what is not, and what a device refuses."""

from __future__ import annotations

from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from cutaway.config import Experiment, PrecisionKind, derive, load_experiment
from cutaway.data import Varied
from cutaway.errors import ConfigError
from cutaway.nets.winograd import Winograd
from cutaway.training import CheckpointDue, Diverged, EpochDone, Event, StepDone, Task, prepare, train
from cutaway.training import synced as synced_module
from cutaway.training.gradient import Gradient
from cutaway.training.precision import Precision, full_products
from cutaway.training.room import find_room
from cutaway.training.synced import SyncedBatchNorm
from cutaway.training.team import ALONE

CPU, GPU = torch.device("cpu"), torch.device("cuda")

NET = """
conv 4 5x5 stride 2
batchnorm
relu
lrn
maxpool 2
residual 4
conv 6 3x3 same
tanh
inception 2 2-2 2-2 2
globalpool
dropout 0.1
flatten
dense 10
"""


def task_of(small: Experiment, net: str = NET, **fields: Any) -> Task:
    values = {
        "net": net,
        "data": {"train_images": 200, "validation": 100, "test": 100},
        "train": {"batch": 50, "epochs": 2, "lr": 0.02, "precision": "bf16", **fields},
    }
    return prepare(load_experiment(small, values))


def rounded(values: Tensor) -> Tensor:
    """To the nearest number with 7 bits behind the point."""
    return values.bfloat16().double()


@pytest.mark.parametrize("microbatch", [0, 7])
def test_products_are_of_rounded_factors(small: Experiment, microbatch: int) -> None:
    """A dense layer by hand, in float64, rounded where the layer's inputs and outputs are."""
    task = task_of(small, "flatten | dense 10", microbatch=microbatch)
    net = task.build()
    precision = Precision(PrecisionKind.BF16, CPU)
    train_split = task.images.splits["train"]
    batch = Varied(train_split.pixels[:40], train_split.labels[:40])
    room = find_room(task.experiment.train, task.plan, CPU)
    Gradient(net, task, room, precision, ALONE).descend(batch)
    weight, bias = net.get_parameter("dense1.weight"), net.get_parameter("dense1.bias")
    assert weight.grad is not None
    assert bias.grad is not None
    assert weight.dtype == weight.grad.dtype == torch.float32
    inputs = rounded(task.preprocess(batch.pixels).flatten(1))
    logits = rounded(inputs @ rounded(weight.detach()).t() + rounded(bias.detach()))
    error = rounded((logits.softmax(1) - F.one_hot(batch.labels, 10)) / 40)
    # Each part's gradient is rounded too, and the sum of them is not.
    parts = 6 if microbatch else 1
    cuts = [slice(at * 40 // parts, (at + 1) * 40 // parts) for at in range(parts)]
    expected = torch.stack([rounded(error[cut].t() @ inputs[cut]) for cut in cuts]).sum(0)
    # Another order of summing rounds a few of them to a neighbour.
    found = weight.grad.double()
    assert float(torch.isclose(found, expected, rtol=1e-6, atol=1e-9).double().mean()) > 0.9
    assert torch.allclose(found, expected, rtol=0, atol=float(expected.abs().max()) * 2**-7)
    assert torch.allclose(bias.grad.double(), error.sum(0), rtol=2**-6, atol=1e-4)
    # Not what float32 gives.
    net.zero_grad()
    Gradient(net, task, room, Precision(PrecisionKind.FLOAT32, CPU), ALONE).descend(batch)
    inputs = task.preprocess(batch.pixels).flatten(1).double()
    logits = inputs @ weight.detach().double().t() + bias.detach().double()
    exact = ((logits.softmax(1) - F.one_hot(batch.labels, 10)) / 40).t() @ inputs
    assert torch.allclose(weight.grad.double(), exact, rtol=1e-4, atol=1e-6)
    assert float(torch.isclose(exact, expected, rtol=1e-6, atol=1e-9).double().mean()) < 0.5


def test_weights_and_scores_keep_all_bits(small: Experiment) -> None:
    task = task_of(small)
    events: list[Event] = []
    net = train(task, [events.append])
    assert not torch.is_autocast_enabled("cpu")
    kept = [event.checkpoint for event in events if isinstance(event, CheckpointDue)][-1]
    assert {value.dtype for name, value in kept.tensors.items() if value.is_floating_point()} == {
        torch.float32,
        torch.float64,  # the tally's sums
    }
    for parameter in net.parameters():
        assert parameter.dtype == torch.float32
        # Some have bits that the rounded type has not.
        assert parameter.numel() < 5 or bool((parameter.bfloat16().float() != parameter).any())
    # Scored by float32 products: to its last bits, which is a thousand times closer than bf16 would be.
    validation = task.images.splits["validation"]
    with torch.no_grad():
        logits = net(task.preprocess(validation.pixels))
    score = [event for event in events if isinstance(event, EpochDone)][-1].scores["validation"]
    assert score.objective == pytest.approx(float(F.cross_entropy(logits, validation.labels)), rel=1e-5)


def test_scores_are_of_float32_products(small: Experiment) -> None:
    task = task_of(small)
    net = task.build().eval()
    with torch.no_grad():
        net.get_parameter("dense1.weight").mul_(30)
    room = find_room(task.experiment.train, task.plan, CPU)
    gradient = Gradient(net, task, room, Precision(PrecisionKind.BF16, CPU), ALONE)
    inputs = task.preprocess(task.images.splits["validation"].pixels)
    with torch.no_grad():
        expected = net(inputs)
        assert torch.allclose(gradient.logits(inputs), expected, rtol=1e-4, atol=1e-4)
        with torch.autocast("cpu", torch.bfloat16):
            assert not torch.allclose(net(inputs).float(), expected, rtol=1e-3, atol=1e-3)


def test_it_learns_what_float32_learns_nearly(small: Experiment) -> None:
    ways = {kind: train(task_of(small, precision=kind)) for kind in ("float32", "bf16")}
    begun = task_of(small).build()
    for name, parameter in ways["float32"].named_parameters():
        value, other = parameter.detach(), ways["bf16"].get_parameter(name).detach()
        first = begun.get_parameter(name).detach()
        assert not torch.equal(value, other), name
        if name.endswith("weight"):
            # Much nearer to each other than to where they began.
            assert float((value - other).norm()) < 0.3 * float((value - first).norm()), name


def test_stopped_and_continued_it_gives_the_same_weights(small: Experiment) -> None:
    task = task_of(small)
    whole = train(task).state_dict()
    for steps in (3, 4):
        events: list[Event] = []

        def stop(steps: int = steps, events: list[Event] = events) -> bool:
            return sum(isinstance(event, StepDone) for event in events) == steps

        train(task, [events.append], stop)
        kept = [event.checkpoint for event in events if isinstance(event, CheckpointDue)][-1]
        found = train(task, checkpoint=kept).state_dict()
        for name, value in whole.items():
            assert torch.equal(found[name], value), (steps, name)


def test_divergence_is_found_in_it_too(small: Experiment) -> None:
    task = task_of(small, "flatten | dense 50 | dense 50 | dense 10", lr=1000, batch=10)
    events: list[Event] = []
    train(task, [events.append])
    assert isinstance(events[-1], Diverged)
    assert "is not finite" in events[-1].reason
    assert not torch.is_autocast_enabled("cpu")


def test_wide_convolutions_are_computed_directly_in_it() -> None:
    generator = torch.Generator().manual_seed(derive(1, "wide"))
    maps = torch.randn(2, 8, 8, 8, generator=generator)
    conv = nn.Conv2d(8, 8, 3, padding=1)
    with torch.autocast("cpu", torch.bfloat16):
        found = Winograd(conv)(maps)
        assert torch.equal(found, conv(maps))
    assert found.dtype == torch.bfloat16
    found.float().sum().backward()
    assert conv.weight.grad is not None


def test_shared_batch_norm_keeps_its_statistics_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(synced_module, "_summed", lambda values: values)  # alone
    maps = (torch.randn(64, 3, 9, 9) * 3 + 50).bfloat16()
    ours, theirs = SyncedBatchNorm(nn.BatchNorm2d(3)), nn.BatchNorm2d(3)
    found, expected = ours(maps), theirs(maps.float())
    assert torch.allclose(found, expected, atol=1e-4)
    assert ours.running_mean is not None
    assert theirs.running_mean is not None
    assert torch.allclose(ours.running_mean, theirs.running_mean, rtol=1e-5)


@pytest.mark.parametrize("kind", ["float32", "bf16", "tf32"])
def test_what_a_cpu_can_do(small: Experiment, kind: str) -> None:
    if kind == "tf32":
        with pytest.raises(ConfigError) as caught:
            task_of(small, precision=kind)
        assert str(caught.value) == (
            "train.precision is tf32, but the device is cpu: only GPUs have it. Use float32 or bf16."
        )
    else:
        task_of(small, precision=kind)


@pytest.fixture
def card(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """A GPU that is only said to be there."""
    said: dict[str, Any] = {"capability": (8, 0)}
    monkeypatch.setattr(torch.version, "cuda", "12.8")
    monkeypatch.setattr(torch.version, "hip", None)
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device: said["capability"])
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda device: "Tesla V100")
    return said


@pytest.mark.parametrize("kind", [PrecisionKind.TF32, PrecisionKind.BF16])
def test_an_old_gpu_refuses(card: dict[str, Any], kind: PrecisionKind) -> None:
    Precision(kind, GPU)
    card["capability"] = (7, 5)
    Precision(PrecisionKind.FLOAT32, GPU)
    with pytest.raises(ConfigError, match=f"train.precision is {kind}, but Tesla V100 has none") as caught:
        Precision(kind, GPU)
    assert str(caught.value).endswith("Use float32." if kind == "bf16" else "Use float32 or bf16.")


def flags() -> tuple[bool, bool]:
    return torch.backends.cuda.matmul.allow_tf32, torch.backends.cudnn.allow_tf32


@pytest.mark.usefixtures("card")
def test_products_on_a_gpu_are_rounded_in_steps_alone_and_all_is_put_back() -> None:
    before = flags()
    assert before == (False, True)  # PyTorch's own
    for kind, inside in ((PrecisionKind.TF32, (True, True)), (PrecisionKind.FLOAT32, (False, False))):
        precision = Precision(kind, GPU)
        with pytest.raises(RuntimeError), full_products(GPU):
            assert flags() == (False, False)
            with precision.step():
                assert flags() == inside
            assert flags() == (False, False)
            with precision.step():
                raise RuntimeError
        assert flags() == before
    with full_products(CPU):
        assert flags() == before
