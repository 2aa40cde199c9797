"""Dynamics: every measure against its definition, taken from a plain loop beside the real one."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from cutaway.config import Experiment, load_experiment
from cutaway.data import Split
from cutaway.nets import parse_net, plan
from cutaway.nets.builder import Net, build
from cutaway.nets.walk import walk
from cutaway.training import CheckpointDue, EpochDone, Event, Measured, StepDone, prepare, train
from cutaway.training.dynamics import Dynamics, sample_size, watch_units
from cutaway.training.learning import learning, sentences

NET = "conv 3 3x3\nmaxpool 2\ntanh\nresidual 4\nflatten\ndense 5\nrelu\ndense 10"


def _net(seed: int = 0) -> Net:
    return build(plan(parse_net(NET), (1, 10, 10)), seed)


def _stepped(net: Net, lr: float = 0.1) -> dict[str, Tensor]:
    """Gradients of some objective in the net; the weights as they were before."""
    net.zero_grad()
    inputs = torch.randn(6, 1, 10, 10, generator=torch.Generator().manual_seed(1))
    net(inputs).square().sum().backward()
    return {name: parameter.detach().clone() for name, parameter in net.named_parameters()}


def test_every_measure_is_that_of_its_definition() -> None:
    net, start = _net(), _net()
    dynamics = Dynamics(net, start, steps=4, measured=2)
    optimiser = torch.optim.SGD(net.parameters(), lr=0.01)
    wanted: dict[int, dict[str, dict[str, float]]] = {}
    for step in range(4):
        before = _stepped(net)
        gradients = {name: p.grad.clone() for name, p in net.named_parameters() if p.grad is not None}
        dynamics.before(step)
        optimiser.step()
        dynamics.after()
        found = wanted.setdefault(step + 1, {})
        for name, module in net.named_modules():
            if not isinstance(getattr(module, "weight", None), nn.Parameter):
                continue
            weight, gradient = before[f"{name}.weight"].double(), gradients[f"{name}.weight"].double()
            now = net.get_parameter(f"{name}.weight").detach().double()
            first = start.get_parameter(f"{name}.weight").detach().double()
            measures = {
                "weight_gradient": float(gradient.abs().mean()),
                "weight_gradient_norm": math.sqrt(float((gradient**2).sum())),
                "weight_norm": math.sqrt(float((weight**2).sum())),
                "update": math.sqrt(float(((now - weight) ** 2).sum()) / float((weight**2).sum())),
                "distance": math.sqrt(float(((now - first) ** 2).sum()) / float((first**2).sum())),
            }
            if f"{name}.bias" in gradients:
                bias = gradients[f"{name}.bias"].double()
                measures["bias_gradient"] = float(bias.abs().mean())
                measures["bias_gradient_norm"] = math.sqrt(float((bias**2).sum()))
            found[name] = measures
    split = Split(torch.zeros(3, 1, 10, 10, dtype=torch.uint8), torch.zeros(3).long(), torch.arange(3))
    measured = dynamics.epoch(split, lambda pixels: pixels.float(), 2)
    assert list(measured.steps) == [1, 3]  # two of four, evenly
    for step, layers in measured.steps.items():
        assert list(layers) == list(wanted[step])
        for name, row in layers.items():
            for measure in ("weight_gradient", "weight_gradient_norm", "weight_norm", "update", "distance"):
                assert getattr(row, measure) == pytest.approx(wanted[step][name][measure], rel=1e-4), measure
            for measure in ("bias_gradient", "bias_gradient_norm"):
                value = getattr(row, measure)
                if measure in wanted[step][name]:
                    assert value == pytest.approx(wanted[step][name][measure], rel=1e-4)
                else:
                    assert math.isnan(value)
    # A new epoch begins empty.
    assert dynamics.epoch(split, lambda pixels: pixels.float(), 2).steps == {}


def test_without_the_start_nothing_is_compared() -> None:
    net = _net()
    dynamics = Dynamics(net, None, 1, 5)
    _stepped(net)
    dynamics.before(0)
    dynamics.after()
    assert bool(dynamics.tensor[..., 5:].isnan().all())
    assert not bool(dynamics.tensor[..., 4].isnan().any())


def test_walking_shows_every_layer_and_gives_the_net_s_output() -> None:
    net = _net().eval()
    seen: list[str] = []
    inputs = torch.randn(2, 1, 10, 10)
    found = walk(net, inputs, lambda name, module, value: seen.append(name))
    torch.testing.assert_close(found, net(inputs))
    leaves = [n for n, m in net.named_modules() if n and not list(m.children())]
    blocks = [n for n, m in net.named_modules() if n and list(m.children())]
    assert sorted(seen) == sorted([*leaves, *blocks])


class _Given(nn.Module):
    """Gives what it was made with, whatever it is asked."""

    def __init__(self, values: Tensor) -> None:
        super().__init__()
        self.values = values

    def forward(self, inputs: Tensor) -> Tensor:
        return self.values[: len(inputs)]


def _watched(values: Tensor, activation: str) -> Any:
    """An activation's units when it is given ``values`` ``(N, …)``."""
    shape = (1, 1, 1)
    net = build(plan(parse_net(f"conv 1 1x1\n{activation}\nflatten\ndense 2"), shape), 0).eval()
    net._modules["conv1"] = _Given(values)
    net._modules["flatten"] = nn.Flatten()
    net._modules["dense1"] = nn.Identity()
    name = next(n for n in net._modules if n.startswith(activation))
    split = Split(
        torch.zeros(len(values), *shape, dtype=torch.uint8),
        torch.zeros(len(values)),
        torch.arange(len(values)),
    )
    return watch_units(net, split, lambda pixels: pixels.float(), len(values))[name]


@pytest.mark.parametrize(
    ("images", "wanted"),
    [(1, 1), (99, 99), (100, 100), (2999, 100), (3030, 101), (4500, 150), (15_000, 500), (60_000, 500)],
)
def test_units_are_watched_on_a_thirtieth_of_an_epoch(images: int, wanted: int) -> None:
    assert sample_size(images) == wanted
    seen: list[Tensor] = []

    def preprocess(pixels: Tensor) -> Tensor:
        seen.append(pixels[:, 0, 0, 0])
        return pixels.float()

    net = build(plan(parse_net("conv 1 1x1 | relu | flatten | dense 2"), (1, 1, 1)), 0).eval()
    # Each image's pixel is its place, rounded down to a 256th of them all.
    pixels = (torch.arange(images) * 256 // images).to(torch.uint8)[:, None, None, None]
    split = Split(pixels, torch.zeros(images).long(), torch.arange(images))
    watch_units(net, split, preprocess, 64)
    found = torch.cat(seen).int()
    assert len(found) == wanted
    assert (int(found[0]), int(found[-1])) == (int(pixels[0]), int(pixels[-1]))
    # Evenly: no step is larger than the even one, but for rounding.
    assert all(0 <= step <= 256 / (wanted - 1) + 2 for step in found.diff().tolist())


def test_dead_and_rare_units(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("cutaway.training.dynamics.LEAST", 200)
    values = torch.full((200, 4, 2, 2), -1.0)
    values[0, 1, 1, 1] = 1  # once in 200 images: rare
    values[:2, 2, 0, 1] = 1  # one in a hundred: just no longer
    values[:, 3] = 1
    found = _watched(values, "relu")
    assert (found.units, found.dead, found.rare, found.saturated) == (4, 1, 1, 0)


@pytest.mark.parametrize(("activation", "at"), [("tanh", 1.9), ("sigmoid", 3.8)])
def test_saturated_units(activation: str, at: float) -> None:
    """tanh 1.83 = 0.95, and 2σ(x) − 1 = tanh(x/2)."""
    values = torch.zeros(10, 3, 1, 2)
    values[:, 0] = at
    values[:, 1] = -at
    values[:5, 2] = at  # half the time is not most of it
    found = _watched(values, activation)
    assert (found.units, found.saturated) == (3, 2)


def _measured(small: Experiment, stop_after: int = -1, **fields: Any) -> tuple[list[Measured], Any]:
    values = {
        "data": {"train_images": 400, "validation": 200},
        "train": {"batch": 100, "epochs": 2, "dynamics": 3, **fields},
    }
    task = prepare(load_experiment(small, values))
    events: list[Event] = []

    def stop() -> bool:
        return sum(isinstance(event, StepDone) for event in events) == stop_after

    train(task, [events.append], stop)
    found = [event.measured for event in events if isinstance(event, EpochDone)]
    kept = [event.checkpoint for event in events if isinstance(event, CheckpointDue)]
    return found, (task, kept)


def test_a_run_that_was_stopped_measures_the_same(small: Experiment) -> None:
    whole, _ = _measured(small)
    assert [list(found.steps) for found in whole] == [[1, 2, 3], [1, 2, 3]]
    for steps in (1, 3, 6):
        first, (task, kept) = _measured(small, steps)
        events: list[Event] = []
        train(task, [events.append], checkpoint=kept[-1])
        later = [event.measured for event in events if isinstance(event, EpochDone)]
        assert repr([*first, *later]) == repr(whole)  # NaN is not equal to itself, its text is


def test_measuring_changes_no_weight(small: Experiment) -> None:
    _, (_, measured) = _measured(small)
    _, (_, plain) = _measured(small, dynamics=0)
    for name, value in plain[-1].tensors.items():
        if name.startswith("model."):
            assert torch.equal(value, measured[-1].tensors[name]), name


def test_nothing_is_measured_when_nobody_wants_it(small: Experiment) -> None:
    found, _ = _measured(small, dynamics=0)
    assert found == [Measured({}, {})] * 2


def _told(distances: dict[str, float], updates: dict[str, list[float]]) -> dict[int, Measured]:
    from cutaway.training import LayerStep

    nan = math.nan
    epochs = len(next(iter(updates.values())))
    return {
        epoch: Measured(
            {1: {n: LayerStep(1, 1, nan, nan, 1, updates[n][epoch - 1], distances[n]) for n in distances}}, {}
        )
        for epoch in range(1, epochs + 1)
    }


def test_what_is_said_of_the_layers() -> None:
    epochs = _told(
        {"conv1": 0.02, "conv2": 1.5, "dense1": 0.8},
        {"conv1": [1.0, 0.05, 0.2, 0.1], "conv2": [1.0, 0.05, 0.04, 0.1], "dense1": [1.0, 1.0, 1.0, 1.0]},
    )
    found = {one.layer: one for one in learning(epochs)}
    # A tenth or less from there on, to the end.
    assert {name: one.settled for name, one in found.items()} == {"conv1": 4, "conv2": 2, "dense1": 0}
    said = sentences(epochs)
    assert said == [
        "conv2 learnt most: its weights went 1.5 of their length from the start.",
        "Hardly: conv1 (0.02).",
        "From epoch 2 on, steps were a tenth of the largest ones or less: conv2.",
        "From epoch 4 on, steps were a tenth of the largest ones or less: conv1.",
    ]
    assert sentences({}) == []
