"""A worker goes on where a trial's checkpoint stands, and not before it."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import pytest
import torch
from tests.study.inline import few_images

from cutaway.config import dump_experiment, load_experiment
from cutaway.data import fingerprint
from cutaway.study.identity import program
from cutaway.study.trials.courier import Arrived, Courier, Parcel, Seen
from cutaway.study.trials.worker import MARK, Assignment, Report, carry_out
from cutaway.training import (
    Checkpoint,
    CheckpointDue,
    EpochDone,
    Position,
    Score,
    Started,
    Task,
    prepare,
    weights_only,
)

IMAGES, BATCH, EPOCHS = 300, 50, 2

EXPERIMENT = load_experiment(
    "digits",
    {
        "net": "conv 3 5x5 stride 2 | relu | maxpool 2 | flatten | dense 10",
        "data": {"train_images": IMAGES, "validation": 100},
        "train": {"epochs": EPOCHS, "batch": BATCH, "lr": 0.05, "threads": 1},
    },
)


class Trial:
    """One trial, carried out part by part as a study's own process would ask for it."""

    def __init__(self, folder: Path | None) -> None:
        self.folder = folder
        self.messages: list[Any] = []
        if folder:
            folder.mkdir()
            (folder / MARK).write_text("mine")

    def go(self, until: int, parcel: Parcel | None = None, **more: Any) -> Report:
        """Train until so many images were seen in all; the newest checkpoint gets its place."""
        assignment = Assignment(
            "study",
            dump_experiment(more.pop("experiment", EXPERIMENT)),
            "run",
            str(self.folder or "/nowhere"),
            "mine",
            "/nowhere/images",
            fingerprint(few_images(EXPERIMENT.data)),
            program(),
            until,
            parcel,
            **more,
        )
        self.messages = []
        report = carry_out(assignment, lambda message: self.messages.append(pickle.loads(message)))
        assert len(self.messages) == report.posted
        for message in self.messages:
            if isinstance(message, Arrived) and self.folder:
                (self.folder / f"{message.last}.safetensors").replace(self.folder / "last.safetensors")
        return report

    @property
    def seen(self) -> int:
        """Images that the last part was trained on."""
        return sum(message.images for message in self.messages if isinstance(message, Seen))


@pytest.fixture(params=["one disk", "none in common"])
def trial(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Trial:
    monkeypatch.setattr("cutaway.study.trials.worker.load_images", few_images)
    return Trial(tmp_path / "run" if request.param == "one disk" else None)


def test_each_part_trains_what_is_left_of_it(trial: Trial) -> None:
    reports = [trial.go(until=100)]
    assert (reports[0].end, trial.seen) == ("paused", 100)
    for until, seen in ((400, 300), (450, 50), (0, 150)):
        reports.append(trial.go(until, reports[-1].parcel))
        assert trial.seen == seen
    assert [report.end for report in reports] == ["paused", "paused", "paused", "finished"]
    epochs = [message.epoch for message in trial.messages if isinstance(message, EpochDone)]
    assert epochs == [2]
    (started,) = [message for message in trial.messages if isinstance(message, Started)]
    assert started.epoch == 1


def test_a_pause_that_is_reached_already_trains_nothing_more(trial: Trial) -> None:
    first = trial.go(until=300)
    again = trial.go(until=250, parcel=first.parcel)
    assert (again.end, trial.seen) == ("paused", 0)
    assert again.scores.keys() == {"validation", "test"}


def test_what_another_process_has_brought_to_its_end_is_scored(trial: Trial) -> None:
    """`cutaway resume` works on a trial's run: then nothing of it is left to train."""
    first = trial.go(until=0)
    again = trial.go(until=0, parcel=first.parcel)
    assert (again.end, trial.seen) == ("finished", 0)
    assert again.scores == {name: first.scores[name] for name in ("validation", "test")}


def test_seconds_of_an_epoch_that_is_not_at_its_end_are_told(trial: Trial) -> None:
    first = trial.go(until=400)
    (done,) = [message for message in trial.messages if isinstance(message, EpochDone)]
    assert first.seconds > 0
    second = trial.go(until=450, parcel=first.parcel)
    assert second.seconds > first.seconds  # with those before
    third = trial.go(until=0, parcel=second.parcel)
    assert third.seconds == 0
    (ended,) = [message for message in trial.messages if isinstance(message, EpochDone)]
    assert ended.seconds > second.seconds
    assert done.seconds > 0


@pytest.mark.parametrize(
    ("spent", "ends"), [({"epochs": (30.0,)}, "finished"), ({"epochs": (61.0,)}, "late"), ({}, "finished")]
)
def test_minutes_that_are_gone_count(trial: Trial, spent: dict[str, Any], ends: str) -> None:
    limited = load_experiment(EXPERIMENT, {"train": {"minutes": 1}})
    first = trial.go(until=400, experiment=limited)
    assert first.end == "paused"
    assert trial.go(until=0, parcel=first.parcel, experiment=limited, **spent).end == ends


def test_epochs_that_are_done_again_do_not_count(trial: Trial) -> None:
    """Where the checkpoint went with the process that had it, the ledger still has its epochs."""
    limited = load_experiment(EXPERIMENT, {"train": {"minutes": 1}})
    assert trial.go(until=0, experiment=limited, epochs=(61.0,), pretraining=(61.0,)).end == "finished"


def test_a_score_that_is_not_finite_is_a_divergence(trial: Trial, monkeypatch: pytest.MonkeyPatch) -> None:
    odd = Score(float("nan"), 0.9, 0.5, 100)
    monkeypatch.setattr("cutaway.study.trials.worker.evaluate", lambda *_, **__: odd)
    report = trial.go(until=200)
    assert (report.end, report.scores) == ("diverged", {})
    assert report.reason == "the objective of the validation split is not finite"


def test_a_damaged_checkpoint_gives_way_to_the_one_before(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("cutaway.study.trials.worker.load_images", few_images)
    trial = Trial(tmp_path / "run")
    trial.go(until=100)
    last = tmp_path / "run" / "last.safetensors"
    last.rename(last.with_name("previous.safetensors"))
    last.write_bytes(b"damaged")
    report = trial.go(until=300)
    assert (report.end, trial.seen) == ("paused", 200)


@pytest.fixture(scope="module")
def task() -> Task:
    return prepare(EXPERIMENT, few_images(EXPERIMENT.data))


def test_without_a_common_disk_the_best_weights_travel_with_the_newest(task: Task) -> None:
    courier = Courier("run", task, None, lambda message: None)
    for number, best in ((1, True), (2, True), (3, False)):
        tensors = {"model.a": torch.full((2,), float(number)), "optimiser.a": torch.zeros(2)}
        courier(CheckpointDue(Checkpoint(tensors, Position(number)), best))
        tensors["model.a"].zero_()  # the net learns on
    parcel = courier.parcel
    assert parcel is not None
    assert parcel.best is not None
    assert parcel.best_position is not None
    assert (parcel.position.epoch, parcel.best_position.epoch) == (3, 2)
    assert parcel.last["model.a"].tolist() == [3, 3]
    assert {name: value.tolist() for name, value in parcel.best.items()} == {
        name: [2, 2] for name in weights_only({"model.a": torch.zeros(2), "optimiser.a": torch.zeros(2)})
    }
