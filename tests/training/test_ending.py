"""How a training ends early: no progress, no time left, or a value that is not finite."""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from typing import Any

import pytest
import torch
from torch import Tensor

from cutaway.config import Experiment, load_experiment
from cutaway.training import (
    Checkpoint,
    CheckpointDue,
    Diverged,
    EpochDone,
    Event,
    Finished,
    Plateau,
    StepDone,
    Stopped,
    Task,
    prepare,
    train,
)


def _task(small: Experiment, **fields: Any) -> Task:
    values = {
        "data": {"train_images": 200, "validation": 100},
        "train": {"batch": 50, "epochs": 6, "lr": 0.05, **fields},
    }
    return prepare(load_experiment(small, values))


def _events(task: Task, checkpoint: Checkpoint | None = None) -> list[Event]:
    found: list[Event] = []
    train(task, [found.append], checkpoint=checkpoint)
    return found


def _of(events: Sequence[Event], kind: type[Any]) -> list[Any]:
    return [event for event in events if isinstance(event, kind)]


def test_a_plateau_ends_it_with_the_reason(small: Experiment) -> None:
    # Nothing is learnt: the first epoch stays the best.
    found = _events(_task(small, lr=0.0, patience=2))
    assert found[-1] == Plateau(3, "no better validation error for 2 epochs; the best was epoch 1")
    assert isinstance(found[-2], CheckpointDue)
    assert len(_of(found, EpochDone)) == 3
    # Whoever goes on all the same has as much patience again.
    again = _events(_task(small, lr=0.0, patience=2), _of(found, CheckpointDue)[-1].checkpoint)
    assert again[-1] == Plateau(5, "no better validation error for 2 epochs; the best was epoch 1")
    third = _events(_task(small, lr=0.0, patience=2), _of(again, CheckpointDue)[-1].checkpoint)
    assert third[-1] == Finished()


@pytest.mark.parametrize("fields", [{"patience": 0}, {"patience": 6}, {"patience": 2, "validation": 0}])
def test_patience_that_lasts(small: Experiment, fields: dict[str, Any]) -> None:
    data = {"train_images": 200, "validation": fields.pop("validation", 100)}
    values = {"data": data, "train": {"batch": 50, "epochs": 4, "lr": 0.0, **fields}}
    assert _events(prepare(load_experiment(small, values)))[-1] == Finished()


@pytest.mark.parametrize(("every", "patience", "ends"), [(3, 2, 6), (4, 2, 8), (2, 2, 4), (3, 5, 9)])
def test_patience_ends_only_where_something_was_scored(
    small: Experiment, every: int, patience: int, ends: int
) -> None:
    # Nothing is learnt: the first epoch that is scored stays the best.
    found = _events(_task(small, epochs=12, lr=0.0, patience=patience, score_every=every))
    reason = f"no better validation error for {patience} epochs; the best was epoch {every}"
    assert found[-1] == Plateau(ends, reason)


class _Clock:
    """A clock that goes on by a second each time it is asked."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        self.now += 1
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> _Clock:
    clock = _Clock()
    monkeypatch.setattr(time, "monotonic", clock)
    return clock


@pytest.mark.usefixtures("clock")
def test_the_time_limit_stops_it_at_a_step_and_it_can_be_continued(small: Experiment) -> None:
    whole = _of(_events(_task(small, checkpoint_minutes=0)), CheckpointDue)[-1].checkpoint
    found = _events(_task(small, minutes=0.1, checkpoint_minutes=0))
    assert isinstance(found[-1], Stopped)
    assert found[-1].reason == "the time limit of 0.1 minutes"
    assert 1 <= len(_of(found, StepDone)) < 24
    checkpoint = _of(found, CheckpointDue)[-1].checkpoint
    while not isinstance(found[-1], Finished):
        found = _events(_task(small, minutes=0.1, checkpoint_minutes=0), checkpoint)
        checkpoint = _of(found, CheckpointDue)[-1].checkpoint
    for name, value in whole.tensors.items():
        if name.startswith("model."):
            assert torch.equal(value, checkpoint.tensors[name]), name


@pytest.mark.usefixtures("clock")
def test_checkpoints_within_an_epoch_continue_alike(small: Experiment) -> None:
    kept: list[Checkpoint] = []

    def keep(event: Event) -> None:
        if isinstance(event, CheckpointDue):
            # The tensors are the training's own and change with its next step.
            tensors = {name: value.clone() for name, value in event.checkpoint.tensors.items()}
            kept.append(Checkpoint(tensors, event.checkpoint.position))

    task = _task(small, epochs=2, checkpoint_minutes=4 / 60)
    whole = train(task, [keep]).state_dict()
    within = [checkpoint for checkpoint in kept if checkpoint.position.step]
    assert [checkpoint.position.step for checkpoint in within][:1] == [2]
    for checkpoint in within:
        found = train(_task(small, epochs=2, checkpoint_minutes=0), checkpoint=checkpoint).state_dict()
        for name, value in whole.items():
            assert torch.equal(found[name], value), name


def test_an_epoch_that_was_interrupted_has_taken_the_time_of_all_its_parts(
    small: Experiment, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A second goes by in every step, and an hour between two parts."""
    now = 1000.0
    monkeypatch.setattr(time, "monotonic", lambda: now)
    checkpoint, parts = None, 0
    while True:
        found: list[Event] = []

        def watch(event: Event, found: list[Event] = found) -> None:
            nonlocal now
            now += isinstance(event, StepDone)
            found.append(event)

        def stop(found: list[Event] = found) -> bool:
            return bool(_of(found, StepDone))

        train(_task(small, epochs=1, checkpoint_minutes=0), [watch], stop, checkpoint)
        checkpoint, parts = _of(found, CheckpointDue)[-1].checkpoint, parts + 1
        if isinstance(found[-1], Finished):
            break
        now += 3600
    (done,) = _of(found, EpochDone)
    assert parts > 2
    assert done.seconds == 4
    assert done.images_per_second == 50


def test_dynamics_tell_gradients_as_they_were_before_they_are_shortened(small: Experiment) -> None:
    def norms(clip: float) -> list[float]:
        task = _task(small, epochs=1, batch=200, clip=clip, dynamics=1)
        (done,) = _of(_events(task), EpochDone)
        return [row.weight_gradient_norm for row in done.measured.steps[1].values()]

    assert norms(1e-3) == norms(0.0)


def test_a_long_gradient_is_shortened(small: Experiment) -> None:
    """One step of plain SGD moves the weights by lr · min(‖g‖, clip)."""

    def moved(clip: float) -> float:
        task = _task(small, epochs=1, batch=200, momentum=0.0, schedule="constant", lr=0.5, clip=clip)
        before: dict[str, Tensor] = dict(task.build().named_parameters())
        after = dict(train(task).named_parameters())
        moves = [float(((after[n].detach() - before[n].detach()) ** 2).sum()) for n in before]
        return math.sqrt(sum(moves))

    free = moved(0.0)
    assert moved(free / 0.5 / 10) == pytest.approx(free / 10, rel=1e-3)
    assert moved(100 * free) == pytest.approx(free, rel=1e-5)


def test_divergence_names_the_layer_the_rate_and_the_remedies(small: Experiment) -> None:
    net = "conv 4 5x5\nleakyrelu\nflatten\ndense 100\nleakyrelu\ndense 10"
    values = {"net": net, "data": {"train_images": 200, "validation": 100}}
    task = prepare(load_experiment(small, {**values, "train": {"batch": 50, "epochs": 6, "lr": 1000.0}}))
    found = _events(task)
    last = found[-1]
    assert isinstance(last, Diverged)
    assert "is not finite. The learning rate was" in last.reason
    assert "the largest" in last.reason
    for remedy in ("--train.lr", "--train.clip 1", "--train.warmup"):
        assert remedy in last.reason


def test_each_seed_has_its_own_matter(small: Experiment) -> None:
    def run(**seeds: int) -> tuple[Tensor, Tensor]:
        values = {
            "data": {"train_images": 200, "validation": 100},
            "train": {"batch": 50, "epochs": 1},
            **seeds,
        }
        task = prepare(load_experiment(small, values))
        return next(task.build().parameters()).detach(), next(train(task).parameters()).detach()

    first, learnt = run(seed=3)
    begun, other = run(seed=3, order_seed=4)
    assert torch.equal(first, begun)
    assert not torch.equal(learnt, other)
    assert not torch.equal(run(seed=3, weights_seed=4)[0], first)
    same = run(seed=5, weights_seed=3, order_seed=3)
    assert torch.equal(same[0], first)


def test_images_before_the_first_step_are_counted(small: Experiment) -> None:
    """A batch larger than the data is one step."""
    found = _events(_task(small, batch=5000, epochs=1))
    assert len(_of(found, StepDone)) == 1
