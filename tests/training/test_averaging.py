"""The mean of weights: against a sum over all steps, scored, kept and resumed."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from cutaway.config import Experiment, load_experiment
from cutaway.errors import StoreError
from cutaway.look import answers
from cutaway.store import Store, record
from cutaway.training import Checkpoint, CheckpointDue, EpochDone, Event, Stopped, Task, prepare, train
from cutaway.training.averaging import Average


def _task(small: Experiment, **fields: Any) -> Task:
    values = {
        "data": {"train_images": 200, "validation": 100},
        "train": {"batch": 50, "epochs": 3, "lr": 0.05, **fields},
    }
    return prepare(load_experiment(small, values))


def _events(
    task: Task, stop: Callable[[], bool] = lambda: False, checkpoint: Checkpoint | None = None
) -> list[Event]:
    found: list[Event] = []

    def keep(event: Event) -> None:
        if isinstance(event, CheckpointDue):
            # Its tensors are the training's own and change with the next step.
            tensors = {name: value.clone() for name, value in event.checkpoint.tensors.items()}
            event = CheckpointDue(Checkpoint(tensors, event.checkpoint.position), event.best)
        found.append(event)

    train(task, [keep], stop, checkpoint)
    return found


def test_it_is_the_weighted_sum_of_all_steps() -> None:
    """Unrolled: each step's weights count by its own share times what the later ones leave of it."""
    steps, net = 5.0, nn.BatchNorm1d(3)
    average = Average(net, steps)
    history: list[Tensor] = []
    for done in range(40):
        with torch.no_grad():
            net.weight.uniform_(-1, 1)
            net.running_mean.uniform_(-1, 1)  # type: ignore[union-attr]
        history.append(net.weight.detach().clone().double())
        average.follow(done)
    shares = [max(1 / steps, 10 / (10 + done)) for done in range(40)]
    expected = torch.zeros(3, dtype=torch.float64)
    for number, weights in enumerate(history):
        left = 1.0
        for later in shares[number + 1 :]:
            left *= 1 - later
        expected += shares[number] * left * weights
    assert torch.allclose(average.tensors()["average.weight"].double(), expected, atol=1e-6)
    assert set(average.tensors()) == {
        "average.weight",
        "average.bias",
        "average.running_mean",
        "average.running_var",
    }


def test_it_stands_in_the_net_inside_and_the_weights_come_back() -> None:
    net = nn.Linear(2, 2)
    average = Average(net, 3)
    for done in range(5):
        with torch.no_grad():
            net.weight.add_(1)
        average.follow(done)
    own, mean = net.weight.detach().clone(), average.tensors()["average.weight"].clone()
    assert not torch.equal(own, mean)
    with pytest.raises(KeyError), average.applied():
        assert torch.equal(net.weight, mean)
        raise KeyError
    assert torch.equal(net.weight, own)
    assert torch.equal(average.tensors()["average.weight"], mean)


def test_without_it_nothing_is_kept() -> None:
    average = Average(nn.Linear(2, 2), 0)
    average.follow(0)
    assert average.tensors() == {}


def test_what_is_scored_is_what_is_kept(small: Experiment, tmp_path: Path) -> None:
    run = record(_task(small, average=0.5, mirror=True), Store(tmp_path))
    split = run.images().split("validation")
    best = next(row for row in run.epochs() if row.best and row.epoch == run.load("best")[0].position.epoch)
    found = answers(run.subject("best"), split)
    assert found.objective == pytest.approx(best.scores["validation"].objective, abs=1e-5)
    assert run.subject("best").mirror
    tensors = run.load("last")[0].tensors
    last = run.subject("last").model.state_dict()
    for name, value in last.items():
        if value.is_floating_point():
            assert torch.equal(value, tensors[f"average.{name}"])
            assert not torch.equal(value, tensors[f"model.{name}"]), name


def test_it_changes_no_step(small: Experiment) -> None:
    plain, averaged = (
        [e for e in _events(_task(small, average=share)) if isinstance(e, CheckpointDue)][
            -1
        ].checkpoint.tensors
        for share in (0.0, 0.5)
    )
    for name, value in plain.items():
        if name.startswith("model."):
            assert torch.equal(value, averaged[name])


def test_stopped_and_resumed_it_is_the_same(small: Experiment) -> None:
    task, seen = _task(small, average=0.5), 0
    whole = [e for e in _events(task) if isinstance(e, CheckpointDue)][-1].checkpoint.tensors

    def stop() -> bool:
        nonlocal seen
        seen += 1
        return seen == 7

    found = _events(task, stop)
    assert isinstance(found[-1], Stopped)
    kept = [e for e in found if isinstance(e, CheckpointDue)][-1].checkpoint
    again = _events(task, checkpoint=kept)
    resumed = [e for e in again if isinstance(e, CheckpointDue)][-1].checkpoint.tensors
    assert resumed.keys() == whole.keys()
    for name, value in whole.items():
        assert torch.equal(resumed[name], value), name
    with pytest.raises(StoreError, match=r"has no mean of conv1\.weight"):
        fewer = {name: t for name, t in kept.tensors.items() if not name.startswith("average.")}
        train(task, checkpoint=Checkpoint(fewer, kept.position))


@pytest.mark.parametrize(("every", "scored"), [(1, [1, 2, 3, 4, 5]), (2, [2, 4, 5]), (9, [5])])
def test_epochs_that_are_scored(small: Experiment, every: int, scored: list[int]) -> None:
    found = [e for e in _events(_task(small, epochs=5, score_every=every)) if isinstance(e, EpochDone)]
    assert [e.epoch for e in found if "validation" in e.scores] == scored
    assert [e.epoch for e in found if "test" in e.scores] == scored
    assert all("train" in e.scores for e in found)
    assert {e.epoch for e in found if e.best} <= set(scored)
    assert any(e.best for e in found)
