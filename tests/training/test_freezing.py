"""Freezing: what is named stays bit for bit, until its epoch, and all else learns."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from cutaway.config import Experiment, load_experiment
from cutaway.errors import ConfigError
from cutaway.training import CheckpointDue, Event, StepDone, Task, prepare, train

NET = "conv 3 5x5\nmaxpool 2\nbatchnorm\nrelu\nresidual 4\nglobalpool\nflatten\ndense 10"


def _task(small: Experiment, **fields: Any) -> Task:
    values = {
        "net": NET,
        "data": {"train_images": 200, "validation": 100},
        "train": {"batch": 50, "epochs": 3, "lr": 0.05, **fields},
    }
    return prepare(load_experiment(small, values))


def _weights(task: Task) -> list[dict[str, Tensor]]:
    """The net's state in the beginning and after every epoch."""
    states = [{name: value.clone() for name, value in task.build().state_dict().items()}]

    def keep(event: Event) -> None:
        if isinstance(event, CheckpointDue):
            tensors = event.checkpoint.tensors
            states.append(
                {n.removeprefix("model."): t.clone() for n, t in tensors.items() if n.startswith("model.")}
            )

    train(task, [keep])
    return states


def _learnt(before: dict[str, Tensor], after: dict[str, Tensor]) -> set[str]:
    """The layers of which anything changed, means and variances of batch norm too."""
    return {name.rsplit(".", 1)[0] for name, value in before.items() if not torch.equal(value, after[name])}


def _all(task: Task) -> set[str]:
    return {name.rsplit(".", 1)[0] for name in task.build().state_dict()}


@pytest.mark.parametrize(
    ("fields", "stays"),
    [
        ({"freeze": ["conv1"]}, {"conv1"}),
        ({"freeze": "conv1"}, {"conv1"}),
        ({"freeze": ["conv1", "batchnorm1"]}, {"conv1", "batchnorm1"}),
        ({"freeze": ["residual1"]}, {"residual1"}),
        ({"freeze": ["*norm*"]}, {"batchnorm1", "norm"}),
        ({"train_only": ["dense1"]}, {"conv1", "batchnorm1", "residual1"}),
        ({"train_only": ["dense1", "residual1"], "freeze": ["residual1.conv1"]}, {"conv1", "batchnorm1"}),
    ],
)
def test_what_is_frozen_stays_and_all_else_learns(
    small: Experiment, fields: dict[str, Any], stays: set[str]
) -> None:
    task = _task(small, **fields)
    states = _weights(task)
    learnt = _learnt(states[0], states[-1])
    frozen = _all(task) - learnt
    assert all(any(part in name for part in stays) or name == "residual1.conv1" for name in frozen)
    assert stays & {"conv1", "batchnorm1"} <= frozen
    assert learnt


def test_a_layer_learns_for_some_epochs_and_then_stays(small: Experiment) -> None:
    task = _task(small, freeze_after={"conv1": 1, "batch*": 2})
    first, one, two, three = _weights(task)
    assert {"conv1", "batchnorm1"} <= _learnt(first, one)
    assert "conv1" not in _learnt(one, two)
    assert "batchnorm1" in _learnt(one, two)
    assert not {"conv1", "batchnorm1"} & _learnt(two, three)
    assert "dense1" in _learnt(two, three)


@pytest.mark.parametrize("optimiser", ["sgd", "adamw"])
def test_resumed_it_is_the_same(small: Experiment, optimiser: str) -> None:
    fields = {"freeze_after": {"conv1": 1}, "weight_decay": 0.01, "optimiser": optimiser, "lr": 0.01}
    task = _task(small, **fields)
    whole = _weights(task)[-1]
    for steps in (3, 4, 6):
        events: list[Event] = []

        def stop(steps: int = steps, events: list[Event] = events) -> bool:
            return sum(isinstance(event, StepDone) for event in events) == steps

        train(task, [events.append], stop)
        kept = [event.checkpoint for event in events if isinstance(event, CheckpointDue)][-1]
        found = train(task, checkpoint=kept).state_dict()
        for name, value in whole.items():
            assert torch.equal(found[name], value), (steps, name)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"freeze": ["*"]}, "leave no layer to learn"),
        ({"freeze": ["conv1"], "train_only": ["conv1"]}, "leave no layer to learn"),
        ({"freeze_after": {"*": 1}}, "leave no layer to learn from epoch 2 on"),
        ({"freeze_after": {"*": 2, "conv1": 1}}, "leave no layer to learn from epoch 3 on"),
        (
            {"freeze": ["conv1", "batchnorm1", "residual1"], "freeze_after": {"dense1": 1}},
            "leave no layer to learn from epoch 2 on",
        ),
        (
            {"train_only": ["dense1"], "freeze_after": {"dense*": 2}},
            "Free one, or set train.epochs to 2.",
        ),
        ({"freeze": ["conv9"]}, 'train.freeze: no layer with parameters is called "conv9".'),
        ({"freeze": ["relu1"]}, 'train.freeze: no layer with parameters is called "relu1".'),
        ({"freeze_after": {"dense7": 2}}, 'train.freeze_after: no layer with parameters is called "dense7".'),
        ({"train_only": ["x"]}, 'train.train_only: no layer with parameters is called "x".'),
        ({"freeze_after": {"conv1": 0}}, "should have epochs of 1 or more"),
    ],
)
def test_what_can_not_be(small: Experiment, fields: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        _task(small, **fields)
    assert message in str(caught.value)
    assert len(str(caught.value).splitlines()) <= 2


@pytest.mark.parametrize(
    "fields",
    [
        {"freeze_after": {"*": 3}},  # after the last epoch
        {"freeze_after": {"*": 1, "dense1": 9}, "epochs": 1},
        {"freeze": ["*"], "epochs": 0},
    ],
)
def test_all_may_be_frozen_behind_the_end(small: Experiment, fields: dict[str, Any]) -> None:
    _task(small, **fields)
