"""Checkpoints on disk: what goes in comes out, and a damaged one is told from a good one."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from cutaway.errors import NotFoundError, StoreError
from cutaway.store import Run
from cutaway.store.ledger import Ledger
from cutaway.store.saved import load_weights_file


def test_a_run_keeps_its_best_and_its_last_weights(trained: Run) -> None:
    last, card = trained.load("last")
    best, _ = trained.load("best")
    assert {name.split(".")[0] for name in last.tensors} == {"model", "optimiser", "tally", "dynamics"}
    assert {name.split(".")[0] for name in best.tensors} == {"model"}
    assert card.run == trained.id
    assert card.classes == tuple("0123456789")
    assert card.position.epoch == 2
    copy = json.loads((trained.folder / "last.json").read_text(encoding="utf-8"))
    assert copy == json.loads(card.to_json())


def test_the_subject_scores_what_the_ledger_says(trained: Run) -> None:
    best = next(row for row in reversed(trained.epochs()) if row.best)
    test = trained.images().split("test")
    subject = trained.subject()
    wrong = (subject.predict(test.pixels).argmax(1) != test.labels).double().mean()
    assert float(wrong) == pytest.approx(best.scores["test"].top1_error)
    assert subject.preprocess(test.pixels[:1]).mean() != 0
    assert subject.classes == tuple("0123456789")


@pytest.mark.parametrize("damage", ["cut", "empty", "text", "no card"])
def test_a_damaged_file(trained: Run, tmp_path: Path, damage: str) -> None:
    path = tmp_path / "last.safetensors"
    content = (trained.folder / "last.safetensors").read_bytes()
    if damage == "no card":
        from safetensors.torch import save

        content = save({"a": torch.zeros(1)})
    path.write_bytes({"cut": content[:-100], "empty": b"", "text": b"hello", "no card": content}[damage])
    with pytest.raises(StoreError, match="can't be read as a checkpoint"):
        load_weights_file(path)


def test_a_run_that_saved_nothing(tmp_path: Path) -> None:
    run = Run("abc", tmp_path, Ledger(tmp_path / "ledger.sqlite"))
    with pytest.raises(NotFoundError, match="cutaway resume abc"):
        run.subject()
