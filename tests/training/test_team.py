"""Several processes that train one net: as ``torchrun`` starts them, against one process."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import pytest
import torch

from cutaway.config import load_experiment
from cutaway.errors import ConfigError, LostProcessError
from cutaway.store import Store, resume, train
from cutaway.training import prepare
from cutaway.training.loop import train as train_task
from cutaway.training.team import ALONE, Team, last_words

# Smooth, with small steps: what rounds otherwise in two processes is not blown up by the training itself.
NET = (
    "conv 6 5x5 stride 2 | tanh | conv 8 3x3 | batchnorm | relu | maxpool 2 | "
    "dropout 0.25 | flatten | dense 10"
)


def together(store: Path, *arguments: str, code: int = 0) -> str:
    """Two processes of the command line; what they told."""
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    found = subprocess.run(  # noqa: PLW1510  the caller says which code it wants
        [*command, "-m", "cutaway", *arguments, "--store", str(store)],
        capture_output=True,
        text=True,
        timeout=300,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )
    assert (found.returncode != 0) == bool(code), found.stdout + found.stderr
    return found.stdout + found.stderr


def fields(**train_fields: Any) -> dict[str, Any]:
    return {
        "net": NET,
        "data": {"train_images": 800, "validation": 200, "test": 100, "augment": {"shift": 2}},
        "train": {
            "epochs": 2,
            "batch": 32,
            "lr": 0.01,
            "momentum": 0.5,
            "average": 0.5,
            "threads": 1,
            **train_fields,
        },
    }


def options(values: dict[str, Any], prefix: str = "--") -> list[str]:
    """The same fields on the command line."""
    found: list[str] = []
    for key, value in values.items():
        if isinstance(value, dict):
            found += options(value, f"{prefix}{key}.")
        else:
            found += [f"{prefix}{key}", str(value).lower() if isinstance(value, bool) else str(value)]
    return found


@pytest.mark.parametrize(
    "recipe",
    [
        {},
        {"microbatch": 10, "split_batchnorm": True, "freeze": "batchnorm*", "freeze_after.conv1": 1},
    ],
    ids=["batch norm over all", "micro-batches, frozen layers"],
)
def test_two_processes_give_the_weights_of_one(recipe: dict[str, Any], tmp_path: Path) -> None:
    """Fifty steps, with momentum, augmentation, dropout, batch norm and a mean of the weights."""
    plain = {key: value for key, value in recipe.items() if "." not in key}
    nested: dict[str, Any] = dict(plain)
    for key in recipe.keys() - plain.keys():
        nested.setdefault(key.split(".")[0], {})[key.split(".")[1]] = recipe[key]
    told = together(tmp_path / "two", "train", "digits", *options(fields(**recipe)))
    assert "2 processes share every batch" in told
    (two,) = Store(tmp_path / "two").runs()
    one = train("digits", fields(**nested), store=Store(tmp_path / "one"))
    found, expected = two.load("last")[0].tensors, one.load("last")[0].tensors
    assert found.keys() == expected.keys()
    for name, value in expected.items():
        if name != "dynamics":
            assert torch.allclose(found[name], value, atol=1e-5, rtol=1e-5), name
    for ours, theirs in zip(two.epochs(), one.epochs(), strict=True):
        assert ours.scores.keys() == theirs.scores.keys()
        for split, score in ours.scores.items():
            assert score.images == theirs.scores[split].images
            assert score.objective == pytest.approx(theirs.scores[split].objective, abs=1e-4)


def test_when_one_is_killed_the_other_says_so_and_the_run_resumes(tmp_path: Path) -> None:
    folder = tmp_path / "runs"
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    twelve = fields(epochs=12, score_every=12)
    arguments = options(twelve)
    with subprocess.Popen(
        [*command, "-m", "cutaway", "train", "digits", *arguments, "--store", str(folder)],
        stderr=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        text=True,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    ) as process:
        assert process.stderr is not None
        told = ""
        for line in process.stderr:
            told += line
            if "epoch 2/12" in line:
                os.kill(_child(process.pid, "1"), signal.SIGKILL)
                break
        told += process.stderr.read()
    assert process.returncode != 0
    assert "Another process of this training is gone" in told
    (run,) = Store(folder).runs()
    assert f"resume {run.id}" in told
    assert run.status in {"failed", "killed"}
    assert 1 <= run.load("last")[0].position.epoch < 12
    resume(run)
    whole = train("digits", twelve, store=Store(tmp_path / "one"))
    assert [row.epoch for row in run.epochs()] == list(range(1, 13))
    found, expected = run.load("last")[0].tensors, whole.load("last")[0].tensors
    for name, value in expected.items():
        if name.startswith("model."):
            assert torch.allclose(found[name], value, atol=1e-3), name


def _child(parent: int, rank: str) -> int:
    """The process of a rank among the children of another."""
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            status = (folder / "status").read_text()
            environment = (folder / "environ").read_bytes()
        except OSError:
            continue
        if f"PPid:\t{parent}\n" in status and f"\0RANK={rank}\0".encode() in b"\0" + environment:
            return int(folder.name)
    raise AssertionError(f"no process of rank {rank}")


def test_a_share_of_every_batch_for_everyone() -> None:
    shares = [Team(rank, 3).own(11) for rank in range(3)]
    assert [share.start for share in shares] == [0, 3, 7]
    assert [share.stop for share in shares] == [3, 7, 11]


def test_alone_nothing_is_exchanged() -> None:
    values = torch.tensor([1.0, 2.0])
    assert ALONE.total(values) is values
    assert ALONE.any(False, True) == [False, True]
    assert ALONE.share("x", 4) == "x"
    ALONE.wait()


def test_a_batch_with_fewer_images_than_processes_is_refused() -> None:
    images = {"data": {"train_images": 34, "validation": 0, "test": 10}, "train": {"batch": 32}}
    task = prepare(load_experiment("digits", images))
    with pytest.raises(ConfigError, match="last batch of an epoch has 2 images for 3 processes"):
        train_task(task, team=Team(0, 3))


@pytest.mark.parametrize(
    ("team", "error", "deaf"),
    [
        (Team(0, 2), LostProcessError("gone"), True),
        (Team(0, 2), ConfigError("wrong"), False),
        (Team(0, 2), None, False),
        (ALONE, LostProcessError("gone"), False),
    ],
)
def test_after_a_loss_nobody_is_ended_before_the_message(
    team: Team, error: Exception | None, deaf: bool
) -> None:
    before = signal.getsignal(signal.SIGTERM)
    try:
        with pytest.raises(type(error)) if error else nullcontext(), last_words(team):
            assert (signal.getsignal(signal.SIGTERM) == signal.SIG_IGN) == (team.size > 1)
            if error:
                raise error
        assert signal.getsignal(signal.SIGTERM) == (signal.SIG_IGN if deaf else before)
    finally:
        signal.signal(signal.SIGTERM, before)
