"""Continuing a run: damaged checkpoints, edited experiments, and more epochs."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from cutaway.config import Experiment, load_experiment
from cutaway.errors import ConfigError, DataError, DivergedError, InterruptedRunError, StoreError
from cutaway.store import Run, Store, resume, train
from cutaway.store.saved import save_weights
from cutaway.training import EpochDone, Event, StepDone

Command = Callable[..., tuple[int, str, str]]


def _short(small: Experiment, net: str = "", **fields: Any) -> Experiment:
    values = {
        "net": net or small.net,
        "data": {"train_images": 200, "validation": 100},
        "train": {"batch": 50, "epochs": 3, "checkpoint_minutes": 0, **fields},
    }
    return load_experiment(small, values)


class _Interrupted(Exception):  # noqa: N818  it is no error
    pass


def _killed(small: Experiment, store: Store, steps: int) -> Run:
    """A run that broke off in the middle, as if killed, after so many steps."""
    seen = 0

    def watch(event: Event) -> None:
        nonlocal seen
        seen += isinstance(event, StepDone)
        if seen == steps:
            raise _Interrupted

    with pytest.raises(_Interrupted):
        train(_short(small), store=store, observers=[watch])
    return store.find("last")


def _tensors(run: Run) -> dict[str, torch.Tensor]:
    return dict(run.load("last")[0].tensors)


@pytest.fixture(scope="module")
def whole(small: Experiment, tmp_path_factory: pytest.TempPathFactory) -> dict[str, torch.Tensor]:
    """The tensors of an uninterrupted run."""
    return _tensors(train(_short(small), store=Store(tmp_path_factory.mktemp("whole"))))


def _assert_whole(run: Run, whole: dict[str, torch.Tensor]) -> None:
    found = _tensors(run)
    assert all(torch.equal(found[name], value) for name, value in whole.items() if name.startswith("model."))


def _flip(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[-100] ^= 16
    path.write_bytes(bytes(content))


def _cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-50])


@pytest.mark.parametrize("damage", [_flip, _cut])
def test_a_damaged_checkpoint_gives_way_to_the_one_before(
    small: Experiment, tmp_path: Path, whole: dict[str, torch.Tensor], damage: Callable[[Path], None]
) -> None:
    run = _killed(small, Store(tmp_path), 10)  # in the third epoch of four steps
    damage(run.folder / "last.safetensors")
    told: list[str] = []
    epochs: list[int] = []
    found = resume(
        run,
        say=told.append,
        observers=[lambda e: epochs.append(e.epoch) if isinstance(e, EpochDone) else None],
    )
    assert epochs == [2, 3]  # the second once more
    assert len(told) == 1
    assert "last.safetensors can't be read as a checkpoint" in told[0]
    assert told[0].endswith("The one before it is used: epoch 1, step 0.")
    _assert_whole(found, whole)


def test_two_damaged_checkpoints_are_an_error(small: Experiment, tmp_path: Path) -> None:
    run = _killed(small, Store(tmp_path), 10)
    for name in ("last", "previous"):
        _flip(run.folder / f"{name}.safetensors")
    with pytest.raises(StoreError) as caught:
        resume(run)
    assert "its checksum does not fit" in str(caught.value)


def test_a_missing_checkpoint_gives_way_too(
    small: Experiment, tmp_path: Path, whole: dict[str, torch.Tensor]
) -> None:
    run = _killed(small, Store(tmp_path), 10)
    (run.folder / "last.safetensors").unlink()
    told: list[str] = []
    _assert_whole(resume(run, say=told.append), whole)


def test_an_edited_experiment_is_refused_and_the_difference_shown(small: Experiment, tmp_path: Path) -> None:
    run = _killed(small, Store(tmp_path), 6)
    path = run.folder / "experiment.toml"
    text = path.read_text("utf-8")
    path.write_text(text.replace("batch = 50", "batch = 25").replace("epochs = 3", "epochs = 9"), "utf-8")
    with pytest.raises(ConfigError) as caught:
        resume(run)
    message = str(caught.value)
    assert "train.batch was 50 and is 25" in message
    assert "train.epochs was 3 and is 9" in message
    assert f"cutaway train {path}" in message
    path.write_text(text, "utf-8")
    assert resume(run).status == "finished"


def test_a_finished_run_is_trained_further(small: Experiment, tmp_path: Path) -> None:
    store = Store(tmp_path)
    run = train(_short(small, schedule="constant"), store=store)
    longer = train(_short(small, schedule="constant", epochs=5), store=store)
    assert resume(run, extend=2).status == "finished"
    assert len(run.epochs()) == 5
    assert run.experiment.train.epochs == 5
    assert load_experiment(run.folder / "experiment.toml").train.epochs == 5
    _assert_whole(run, _tensors(longer))
    with pytest.raises(ConfigError) as caught:
        resume(run)
    assert "--extend EPOCHS" in str(caught.value)


def test_from_the_command_line(small: Experiment, tmp_path: Path, cutaway: Command) -> None:
    store = Store(tmp_path)
    run = train(_short(small), store=store)
    code, out, err = cutaway("resume", run.id, "--extend", "1", "--store", tmp_path)
    assert code == 0, err
    assert run.id in out
    assert cutaway("resume", run.id, "--extend", "-1", "--store", tmp_path)[0] == 2
    code, out, err = cutaway(
        "runs", "show", run.id, "--layers", "--store", tmp_path, "-o", tmp_path / "l.png"
    )
    assert code == 0, err
    assert "learnt most: its weights went" in out
    assert "conv1" in out
    assert (tmp_path / "l.png").stat().st_size > 10_000
    assert cutaway("runs", "show", run.id, "-o", tmp_path / "l.png", "--store", tmp_path)[0] == 2


def test_a_plateau_is_recorded_and_can_be_continued(small: Experiment, tmp_path: Path) -> None:
    store = Store(tmp_path)
    run = train(_short(small, lr=0.0, patience=1, epochs=6), store=store)
    assert run.status == "plateau"
    assert run.row.reason == "no better validation error for 1 epochs; the best was epoch 1"
    assert len(run.epochs()) == 2
    resume(run)
    assert len(run.epochs()) == 3


def test_the_time_limit_is_told(small: Experiment, tmp_path: Path) -> None:
    store = Store(tmp_path)
    with pytest.raises(InterruptedRunError) as caught:
        train(_short(small, minutes=1e-9), store=store)
    assert "(the time limit of 1e-09 minutes). Continue with: cutaway resume" in str(caught.value)
    assert "the time limit" in store.find("last").row.reason


def test_a_run_that_measured_nothing_says_so(small: Experiment, tmp_path: Path, cutaway: Command) -> None:
    run = train(_short(small, dynamics=0), store=Store(tmp_path))
    assert run.measured() == {}
    code, out, err = cutaway("runs", "show", run.id, "--layers", "--store", tmp_path)
    assert (code, out) == (3, "")
    assert "train.dynamics is 0" in err


def test_a_table_and_a_stream_for_other_programs(tmp_path: Path, cutaway: Command) -> None:
    net = "conv 4 5x5 | maxpool 4 | relu | flatten | dense 10"
    fields = ("--data.train_images", "200", "--data.validation", "100", "--train.epochs", "2")
    arguments = ("train", "digits", "--net", net, *fields, "--train.batch", "100", "--store", tmp_path)
    code, out, err = cutaway(*arguments, "--log", "csv", "--events", "jsonl")
    assert code == 0, err
    lines = [json.loads(line) for line in out.splitlines()]
    kinds = [line["event"] for line in lines]
    assert kinds == ["started", "step", "step", "epoch", "step", "step", "epoch", "finished"]
    run = Store(tmp_path).find("last")
    rows = list(csv.DictReader((run.folder / "log.csv").read_text("utf-8").splitlines()))
    assert [int(row["epoch"]) for row in rows] == [1, 2]
    for row, line, kept in zip(
        rows, [li for li in lines if li["event"] == "epoch"], run.epochs(), strict=True
    ):
        found = float(row["validation_top1_error"])
        assert found == line["scores"]["validation"]["top1_error"] == kept.scores["validation"].top1_error
    assert cutaway(*arguments, "--log", "xml")[0] == 2


def test_a_checkpoint_of_another_run_of_the_same_net_is_refused(
    small: Experiment, tmp_path: Path, whole: dict[str, torch.Tensor]
) -> None:
    run, other = (_killed(small, Store(tmp_path / name), 10) for name in ("a", "b"))
    last = run.folder / "last.safetensors"
    last.write_bytes((other.folder / "last.safetensors").read_bytes())
    with pytest.raises(StoreError) as caught:
        resume(run)
    assert f"is of the run {other.id}, not of {run.id}" in str(caught.value)
    assert len(str(caught.value).splitlines()) <= 2
    last.unlink()  # as the message says
    _assert_whole(resume(run), whole)


def test_a_checkpoint_of_another_net_is_refused(small: Experiment, tmp_path: Path) -> None:
    run = _killed(small, Store(tmp_path), 10)
    checkpoint, card = run.load("last")
    # The same shapes: only the card tells that these weights were learnt with another activation.
    other = replace(card, net=card.net.replace("relu", "tanh"))
    assert other.net != card.net
    save_weights(run.folder / "last.safetensors", checkpoint.tensors, other)
    with pytest.raises(StoreError, match="is of another net than its experiment"):
        resume(run)


def test_a_checkpoint_of_other_shapes_is_refused(small: Experiment, tmp_path: Path) -> None:
    run = _killed(small, Store(tmp_path), 10)
    checkpoint, card = run.load("last")
    tensors = dict(checkpoint.tensors)
    tensors["model.conv1.weight"] = tensors["model.conv1.weight"][:, :, 1:]
    save_weights(run.folder / "last.safetensors", tensors, card)
    with pytest.raises(StoreError, match=r"of another net: conv1.weight does not fit"):
        resume(run)


def test_a_run_that_diverged_in_its_first_epoch_says_what_works(
    small: Experiment, tmp_path: Path, cutaway: Command
) -> None:
    store = Store(tmp_path)
    with pytest.raises(DivergedError) as caught:
        train(_short(small, net="flatten | dense 50 | dense 50 | dense 10", lr=1000, batch=10), store=store)
    assert "Training diverged in epoch 1, step " in str(caught.value)
    assert "are kept" not in str(caught.value)
    run = store.find("last")
    assert run.status == "diverged"
    with pytest.raises(ConfigError, match="has diverged and would again"):
        resume(run)
    code, out, err = cutaway("evaluate", run.id, "--store", tmp_path)
    assert (code, out) == (3, "")
    assert "diverged before it saved any weights (epoch 1, step " in err
    assert "resume" not in err
    told = f"cutaway train {run.folder / 'experiment.toml'}"
    assert told in err.replace("\n", " ")
    # What it says works.
    learnt = train(run.folder / "experiment.toml", {"train": {"lr": 0.001, "epochs": 1}}, store=store)
    assert learnt.status == "finished"


def _arrays(path: Path, images: int, seed: int = 0) -> None:
    numbers = np.random.default_rng(seed)
    pixels = numbers.integers(0, 256, (500, 10, 10), np.uint8)[:images]
    np.savez(path, x_train=pixels, y_train=np.arange(images) % 2)


def test_images_that_changed_since_are_refused_not_divided_anew(
    small: Experiment, tmp_path: Path, cutaway: Command
) -> None:
    """One image more and every split is drawn anew: what was learnt from would be tested on."""
    path, store = tmp_path / "images.npz", Store(tmp_path / "store")
    _arrays(path, 200)
    data = {"source": "npz", "path": str(path), "train_images": 0.0, "validation": 0.2, "test": 0.2}
    fields = {"net": "flatten | dense 2", "data": data, "train": {"epochs": 1, "batch": 50}}
    run = train(load_experiment(small, fields), store=store)
    assert len(run.images().split("test")) == 40
    _arrays(path, 210)
    command = ["evaluate", run.id, "--store", str(store.folder)]
    code, _, told = cutaway(*command)
    assert code != 0
    assert f"The images of run {run.id} have changed since it was begun" in told
    with pytest.raises(DataError, match="Put them back as they were, or train anew"):
        resume(run, extend=1)
    assert run.experiment.train.epochs == 1
    _arrays(path, 200, seed=1)  # as another decoder may give them: divided as they were
    assert len(run.images().split("test")) == 40
    _arrays(path, 200)
    assert cutaway(*command)[0] == 0
    assert resume(run, extend=1).status == "finished"
