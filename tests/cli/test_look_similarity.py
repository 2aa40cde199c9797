"""``cutaway look similarity``."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from cutaway.look import similarity
from cutaway.look.features import sample
from cutaway.store import Run, Store
from cutaway.store.saved import save_weights

Command = Callable[..., tuple[int, str, str]]


def pixels(run: Run) -> torch.Tensor:
    return sample(run.images().split("test"), 20, 0).pixels


@pytest.fixture
def store(trained: Run, tmp_path: Path) -> Store:
    """A run that kept an epoch whose first layer gives the same for all images."""
    store = Store(tmp_path / "runs")
    shutil.copytree(trained.ledger.path.parent, store.folder)
    run = store.find(trained.id)
    checkpoint, card = run.load("1")
    zeros = {name: torch.zeros_like(t) if "weight" in name else t for name, t in checkpoint.tensors.items()}
    save_weights(run.folder / "epoch-1.safetensors", zeros, card)
    return store


def asked(cutaway: Command, store: Store, *options: str | Path) -> dict[str, Any]:
    line = ("look", "similarity", "last", "--images", "20", *options, "--json", "--store", store.folder)
    code, out, err = cutaway(*line)
    assert (code, err) == (0, "")
    found: dict[str, Any] = json.loads(out)
    return found


def test_layers_are_compared_with_each_other(
    cutaway: Command, trained: Run, store: Store, tmp_path: Path
) -> None:
    path = tmp_path / "a.npz"
    facts = asked(cutaway, store, "-o", path)
    wanted = similarity(trained.subject(), pixels(trained))
    assert facts["with"] is None
    assert facts["rows"] == facts["columns"] == list(wanted.rows)
    assert (facts["images"], facts["batch"]) == (20, wanted.batch)
    np.testing.assert_allclose(facts["values"], wanted.values, atol=1e-9)
    with np.load(path) as found:
        for name, values in zip(wanted.rows, wanted.values, strict=True):
            np.testing.assert_allclose(found[f"layer.{name}"], values, atol=1e-9)


@pytest.mark.parametrize("other", ["random", "last", "RUN", "RUN:random"])
def test_other_weights_and_other_runs_are_compared_with(
    cutaway: Command, trained: Run, store: Store, tmp_path: Path, other: str
) -> None:
    facts = asked(
        cutaway,
        store,
        "--with",
        other.replace("RUN", trained.id),
        "--layer",
        "conv2",
        "-o",
        tmp_path / "a.png",
    )
    weights = {"RUN": "best", "RUN:random": "random"}.get(other, other)
    wanted = similarity(trained.subject(), pixels(trained), ["conv2"], other=trained.subject(weights))
    np.testing.assert_allclose(facts["values"], wanted.values, atol=1e-9)
    assert facts["columns"] == list(wanted.columns)


def test_a_kept_epoch_is_compared_with_and_what_is_nothing_is_null(
    cutaway: Command, store: Store, tmp_path: Path
) -> None:
    facts = asked(cutaway, store, "--with", "1", "-o", tmp_path / "a.svg")
    assert facts["with"] == "1"
    assert all(value is None for row in facts["values"] for value in row)
    # Every weights' name stands at its axis, once.
    told = (tmp_path / "a.svg").read_text("utf-8")
    assert told.count("epoch 1") == 1


def test_the_file_in_the_looks_is_named_by_what_was_asked_for(
    cutaway: Command, trained: Run, store: Store
) -> None:
    found = [
        Path(asked(cutaway, store, "--layer", "conv1", *other)["file"]).name
        for other in ((), ("--with", "random"), ("--with", f"{trained.id}:random"))
    ]
    assert found == [
        "similarity-conv1.png",
        "similarity-conv1-with-random.png",
        f"similarity-conv1-with-{trained.id}_random.png",
    ]
