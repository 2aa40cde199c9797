"""Runs that are stopped, killed, or run out of disk, and what is left of them."""

from __future__ import annotations

import errno
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from torch import Tensor

from cutaway.config import Experiment, dump_experiment, load_experiment
from cutaway.disk import locked
from cutaway.errors import ConfigError, DivergedError, InterruptedRunError, StoreError
from cutaway.store import Run, Store, resume, train
from cutaway.training import EpochDone, Event, StepDone

TRAIN = """
import sys
from cutaway.store import Store, train
from cutaway.training import StepDone

def told(event):
    # One line for each step lets the test choose its moment without a clock.
    if isinstance(event, StepDone):
        print(event.epoch, event.step, flush=True)

try:
    train(sys.argv[1], store=Store(sys.argv[2]), observers=[told])
except Exception as error:
    print(error, file=sys.stderr)
    sys.exit(getattr(error, "exit_code", 99))
"""


@pytest.fixture(scope="module")
def short(small: Experiment) -> Experiment:
    """Three epochs of five steps, with dropout and momentum to get wrong."""
    return load_experiment(
        small, {"data": {"train_images": 500, "validation": 200}, "train": {"batch": 100, "epochs": 3}}
    )


@pytest.fixture(scope="module")
def expected(short: Experiment, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Tensor]:
    """The tensors of the last checkpoint of the run that nothing happened to."""
    return dict(train(short, store=Store(tmp_path_factory.mktemp("whole"))).load("last")[0].tensors)


def assert_as_expected(run: Run, expected: dict[str, Tensor]) -> None:
    found = run.load("last")[0].tensors
    assert found.keys() == expected.keys()
    for name, value in expected.items():
        assert torch.equal(found[name], value), name
    assert run.status == "finished"
    assert [row.epoch for row in run.epochs()] == [1, 2, 3]


def test_a_finished_run(trained: Run) -> None:
    assert trained.status == "finished"
    assert [row.epoch for row in trained.epochs()] == [1, 2]
    assert trained.row.threads == 2
    with pytest.raises(ConfigError, match="is finished"):
        resume(trained)


def start(short: Experiment, folder: Path) -> subprocess.Popen[str]:
    experiment = folder / "short.toml"
    experiment.write_text(dump_experiment(short), encoding="utf-8")
    command = [sys.executable, "-c", TRAIN, str(experiment), str(folder / "runs")]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


@pytest.mark.parametrize("lines", [1, 5, 6, 12])
def test_killed_and_resumed_it_gives_the_same_weights(
    short: Experiment, expected: dict[str, Tensor], tmp_path: Path, lines: int
) -> None:
    """SIGKILL behind a step: in the first epoch, at an epoch's end while it is scored or saved, later."""
    with start(short, tmp_path) as process:
        assert process.stdout is not None
        for _ in range(lines):
            process.stdout.readline()
        process.kill()
    run = Store(tmp_path / "runs").find("last")
    assert run.status == "killed"
    assert run.ledger.check() == "ok"
    assert_as_expected(resume(run), expected)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_interrupted_it_saves_the_step_and_says_how_to_go_on(
    short: Experiment, expected: dict[str, Tensor], tmp_path: Path, number: signal.Signals
) -> None:
    with start(short, tmp_path) as process:
        assert process.stdout is not None
        for _ in range(7):
            process.stdout.readline()
        process.send_signal(number)
        _, told = process.communicate()
    run = Store(tmp_path / "runs").find("last")
    assert process.returncode == 130
    assert f"Continue with: cutaway resume {run.id}" in told
    assert run.status == "stopped"
    assert run.load("last")[1].position.epoch >= 1
    assert_as_expected(resume(run), expected)


def test_killed_while_writing_a_checkpoint(
    short: Experiment, expected: dict[str, Tensor], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The process dies between the ledger's epoch and the checkpoint's renaming."""

    class Killed(BaseException):
        pass

    renamed = 0
    replace = Path.replace

    def dying(self: Path, target: Path) -> Path:
        nonlocal renamed
        renamed += target.name == "last.safetensors"
        if renamed == 2:
            raise Killed
        return replace(self, target)

    monkeypatch.setattr(Path, "replace", dying)
    with pytest.raises(Killed):
        train(short, store=Store(tmp_path))
    monkeypatch.undo()
    run = Store(tmp_path).find("last")
    assert [row.epoch for row in run.epochs()] == [1, 2]
    assert run.load("last")[1].position.epoch == 1
    assert list(run.folder.glob(".*.tmp"))
    assert_as_expected(resume(run), expected)
    assert not list(run.folder.glob(".*.tmp"))


def test_a_disk_that_fills_up_keeps_the_last_checkpoint(
    short: Experiment, expected: dict[str, Tensor], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    synced = 0
    fsync = os.fsync

    def full(handle: int) -> None:
        nonlocal synced
        synced += 1
        if synced > 15:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        fsync(handle)

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(StoreError, match=r"is full\. What was there is kept"):
        train(short, store=Store(tmp_path))
    monkeypatch.undo()
    run = Store(tmp_path).find("last")
    assert run.status == "failed"
    assert run.load("last")[1].position.epoch >= 1
    assert_as_expected(resume(run), expected)


def test_a_second_process_is_kept_out(short: Experiment, tmp_path: Path) -> None:
    store = Store(tmp_path)

    class Stopping:
        """An observer that fails in the third step, which leaves a run to be resumed."""

        def __call__(self, event: Event) -> None:
            if isinstance(event, StepDone) and event.step == 3:
                raise RuntimeError("the observer broke")

    with pytest.raises(RuntimeError, match="observer broke"):
        train(short, store=store, observers=[Stopping()])
    run = store.find("last")
    assert (run.status, run.row.reason) == ("failed", "the observer broke")
    with locked(run.folder), pytest.raises(StoreError, match="held by another process"):
        resume(run)


def test_a_run_that_diverges_says_where_and_keeps_what_was_good(small: Experiment, tmp_path: Path) -> None:
    fields = {"net": "flatten\ndense 50\ndense 50\ndense 10", "train": {"lr": 1000}}
    with pytest.raises(DivergedError, match=r"not finite.*--train.lr"):
        train(small, fields, store=Store(tmp_path))
    run = Store(tmp_path).find("last")
    assert run.status == "diverged"
    assert "not finite" in run.row.reason
    with pytest.raises(ConfigError, match="would again"):
        resume(run)


def test_an_interrupt_in_this_process(short: Experiment, expected: dict[str, Tensor], tmp_path: Path) -> None:
    """The handler is a real one: the signal arrives in the middle of a step."""

    def interrupt(event: Event) -> None:
        if isinstance(event, EpochDone) and event.epoch == 1:
            os.kill(os.getpid(), signal.SIGINT)

    with pytest.raises(
        InterruptedRunError, match=r"Stopped in epoch 2, after step 0. Continue with: cutaway resume"
    ):
        train(short, store=Store(tmp_path), observers=[interrupt])
    assert_as_expected(resume(Store(tmp_path).find("last")), expected)


def test_a_wrong_experiment_makes_no_run(short: Experiment, tmp_path: Path) -> None:
    with pytest.raises(ConfigError):
        train(short, {"net": "conv 3 99x99\nflatten\ndense 10"}, store=Store(tmp_path / "runs"))
    assert not (tmp_path / "runs").exists()
