"""``cutaway train`` and ``cutaway resume``."""

from __future__ import annotations

import json
import signal
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from cutaway.config import parse_experiment
from cutaway.errors import InterruptedRunError
from cutaway.store import Run, Store
from cutaway.store import train as train_experiment
from cutaway.training import Event, StepDone

Command = Callable[..., tuple[int, str, str]]

TOML = """
name = "from a file"
net = "conv 3 5x5 stride 2 | maxpool 4 | relu | flatten | dense 10"

[data]
train_images = 200
validation = 100

[train]
epochs = 1
batch = 50
lr = 0.05
"""


@pytest.fixture
def toml(tmp_path: Path) -> Path:
    path = tmp_path / "mine.toml"
    path.write_text(TOML, encoding="utf-8")
    return path


@pytest.fixture
def store(tmp_path: Path) -> Path:
    return tmp_path / "runs"


def test_a_file_is_trained_and_recorded(cutaway: Command, toml: Path, store: Path) -> None:
    code, out, err = cutaway("train", toml, "--store", store)
    assert code == 0
    run = Store(store).find("last")
    assert run.status == "finished"
    assert run.row.name == "from a file"
    assert run.experiment.net.splitlines() == [
        "conv 3 5x5 stride 2",
        "maxpool 4",
        "relu",
        "flatten",
        "dense 10",
    ]
    assert run.experiment.train.lr == 0.05
    # The result is one line on stdout; how it went is on stderr.
    best = run.epochs()[0]
    assert out.count("\n") == 1
    assert out.startswith(f"{run.id}  best epoch 1: error ")
    for split, score in best.scores.items():
        assert f"{split} {score.top1_error:.2%}" in out
    assert "epoch 1/1" in err
    assert f"run {run.id}: from a file" in err
    assert "200 train, 100 validation, 10,000 test" in err


def test_every_kind_of_field_can_be_replaced(cutaway: Command, toml: Path, store: Path) -> None:
    line = (
        "--name other --seed 7 --train.epochs 0 --train.lr 0.25 --train.optimiser adam "
        "--train.nesterov false --train.schedule cosine --data.validation 0.01 "
        "--data.train_images 150 --data.preprocess unit"
    )
    code, _, err = cutaway("train", toml, *line.split(), "--net", "flatten | dense 10", "--store", store)
    assert code == 0, err
    experiment = Store(store).find("last").experiment
    changed = {
        "name": "other",
        "seed": 7,
        "net": "flatten\ndense 10",
        "data": {"validation": 0.01, "train_images": 150, "preprocess": "unit"},
        "train": {"epochs": 0, "lr": 0.25, "optimiser": "adam", "nesterov": False, "schedule": "cosine"},
    }
    found = experiment.model_dump(mode="json")
    for section in ("data", "train"):
        for name, value in changed[section].items():  # type: ignore[attr-defined]
            assert found[section][name] == value, name
    for name in ("name", "seed", "net"):
        assert found[name] == changed[name]
    # What was not named stays as the file has it.
    assert found["train"]["batch"] == 50


def test_fields_lie_as_deep_as_their_names_say(cutaway: Command, toml: Path, store: Path) -> None:
    code, _, errors = cutaway(
        "train", str(toml), "--store", str(store), "--train.epochs", "0", "--data.augment.shift", "2"
    )
    assert code == 0, errors
    (run,) = Store(store).runs()
    assert run.experiment.data.augment.shift == 2


def test_json_is_one_object_on_stdout_and_progress_goes_to_stderr(
    cutaway: Command, toml: Path, store: Path
) -> None:
    code, out, err = cutaway("train", toml, "--json", "--store", store)
    assert code == 0
    facts = json.loads(out)
    run = Store(store).find("last")
    assert facts["id"] == run.id
    assert facts["status"] == "finished"
    assert facts["folder"] == str(run.folder)
    best = run.epochs()[0]
    assert facts["best"]["epoch"] == 1
    assert facts["best"]["scores"]["test"]["top1_error"] == best.scores["test"].top1_error
    assert facts["best"]["scores"]["train"]["images"] == 200
    assert "epoch 1/1" in err
    assert "epoch 1/1" not in out


def test_no_epochs_keep_the_random_weights(cutaway: Command, toml: Path, store: Path) -> None:
    code, out, _ = cutaway("train", toml, "--train.epochs", "0", "--store", store)
    assert code == 0
    run = Store(store).find("last")
    assert [epoch.epoch for epoch in run.epochs()] == [0]
    assert "best epoch 0" in out
    assert run.status == "finished"
    again, _ = run.load("best")
    cutaway("train", toml, "--train.epochs", "0", "--store", store)
    for name, tensor in Store(store).find("last").load("best")[0].tensors.items():
        assert torch.equal(tensor, again.tensors[name])


@pytest.mark.parametrize(
    ("options", "told"),
    [
        (["--train.lrr", "1"], ['"train.lrr"', 'Did you mean "lr"']),
        (["--data.sorce", "mnist"], ['"data.sorce"', 'Did you mean "source"']),
        (["--train.lr", "-1"], ["train.lr", "greater than or equal to 0"]),
        (["--train.lr", "fast"], ["train.lr", "fast"]),
        (["--train.epochs", "1.5"], ["train.epochs"]),
        (["--train.optimiser", "sdg"], ["train.optimiser", "sdg"]),
        (["--net", "conv 3 5x5 | flatten | dense 7"], ["dense1 gives", "10 classes", "dense 10"]),
        (["--net", "conv 3 50x50 | flatten | dense 10"], ["line 1: conv1 has a 50×50 kernel", "28×28"]),
        (["--net", "conv 3 5x5 | rleu"], ['no word "rleu"', 'Did you mean "relu"']),
        (["--data.validation", "60000"], ["data.validation"]),
    ],
)
def test_a_wrong_experiment_is_told_with_a_way_out(
    cutaway: Command, toml: Path, store: Path, options: list[str], told: list[str]
) -> None:
    code, out, err = cutaway("train", toml, *options, "--store", store)
    assert (code, out) == (2, "")
    for part in told:
        assert part in err
    assert err.count("\n") <= 4  # a mistake in the notation also shows its line, marked
    assert Store(store).runs() == []


@pytest.mark.parametrize(
    ("options", "told"),
    [
        (["digts"], 'Did you mean "digits"'),
        (["missing.toml"], '"missing.toml"'),
        (["digits", "--net", "lenet-teano"], 'Did you mean "lenet-theano"'),
        (["digits", "--data.source", "mnits"], 'Did you mean "mnist"'),
        (["digits", "--data.source", "idx", "--data.path", "/nowhere/at/all"], "/nowhere/at/all"),
    ],
)
def test_what_is_not_there_ends_with_3(cutaway: Command, store: Path, options: list[str], told: str) -> None:
    code, out, err = cutaway("train", *options, "--store", store)
    assert (code, out) == (3, "")
    assert told in err
    assert 1 <= err.count("\n") <= 2
    assert Store(store).runs() == []


def test_a_file_that_is_no_toml_is_told_with_its_line(cutaway: Command, toml: Path, store: Path) -> None:
    toml.write_text('name = "a"\nlr = = 3\n', encoding="utf-8")
    code, _, err = cutaway("train", toml, "--store", store)
    assert code == 2
    assert str(toml) in err
    assert "line 2" in err


def test_a_rate_that_is_far_too_high_names_the_layer(cutaway: Command, toml: Path, store: Path) -> None:
    options = ["--train.lr", "1000", "--train.schedule", "constant", "--train.epochs", "5"]
    code, out, err = cutaway("train", toml, *options, "--net", "conv 3 5x5 | flatten | dense 20 | dense 10",
                             "--train.momentum", "0.99", "--store", store)  # fmt: skip
    assert (code, out) == (1, "")
    last = err.splitlines()[-1]
    assert "diverged in epoch" in last
    assert any(name in last for name in ("conv1", "dense1", "dense2"))
    assert "is not finite" in last
    assert "--train.lr" in last
    assert Store(store).find("last").status == "diverged"


def test_a_stopped_run_is_continued_to_the_same_weights(cutaway: Command, toml: Path, store: Path) -> None:
    plain = train_experiment(toml, {"train": {"epochs": 2}}, store=Store(store))

    def stop_in_the_middle(event: Event) -> None:
        if isinstance(event, StepDone) and (event.epoch, event.step) == (2, 1):
            signal.raise_signal(signal.SIGINT)

    with pytest.raises(InterruptedRunError, match="cutaway resume"):
        train_experiment(toml, {"train": {"epochs": 2}}, store=Store(store), observers=[stop_in_the_middle])
    stopped = Store(store).find("last")
    assert stopped.status == "stopped"
    code, out, err = cutaway("resume", "last", "--json", "--store", store)
    assert code == 0, err
    assert json.loads(out)["id"] == stopped.id
    wanted = plain.load("last")[0].tensors
    for name, tensor in stopped.load("last")[0].tensors.items():
        assert torch.equal(tensor, wanted[name]), name


def test_a_finished_run_is_not_resumed(cutaway: Command, trained: Run) -> None:
    code, out, err = cutaway("resume", trained.id, "--store", trained.ledger.path.parent)
    assert (code, out) == (2, "")
    assert "is finished" in err


def test_the_experiment_in_the_runs_folder_is_complete(cutaway: Command, toml: Path, store: Path) -> None:
    assert cutaway("train", toml, "--train.epochs", "0", "--store", store)[0] == 0
    run = Store(store).find("last")
    text = (run.folder / "experiment.toml").read_text(encoding="utf-8")
    assert parse_experiment(text) == run.experiment
    assert "momentum = 0.9" in text


def test_fields_that_lie_in_no_section_are_replaced_too(cutaway: Command, tmp_path: Path) -> None:
    few = ("--data.train_images", "50", "--data.validation", "50", "--train.epochs", "0", "--store", tmp_path)
    code, _, err = cutaway("train", "digits", "--weights_seed", "5", "--init", "he", *few)
    assert (code, err.count("Error")) == (0, 0)
    experiment = Store(tmp_path).find("last").experiment
    assert experiment.weights_seed == 5
    assert set(map(str, experiment.init.values())) == {"he"}
    code, _, err = cutaway("train", "digits", "--wieghts_seed", "5", *few)
    assert (code, len(err.splitlines())) == (2, 1)
    assert "Did you mean --weights_seed?" in err
