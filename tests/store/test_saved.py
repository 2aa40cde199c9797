"""Checkpoints on disk: what goes in comes out, and a damaged one is told from a good one."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import save_file

from cutaway.data import Framing, Preprocess
from cutaway.errors import NotFoundError, StoreError
from cutaway.store import Run
from cutaway.store.database import Database
from cutaway.store.ledger import Ledger
from cutaway.store.saved import Card, keep_previous, load_weights_file, read_card, save_weights
from cutaway.training import Position


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


def _little(path: Path) -> tuple[Path, Card]:
    """A file of a few bytes, and its card."""
    shape = (1, 4, 4)
    card = Card(
        "abc", "flatten | dense 2", shape, ("é", "b"), Preprocess((0.5,), (2.0,)), Framing(shape), Position(1)
    )
    tensors = {"model.a": torch.arange(6.0).view(2, 3), "tally": torch.ones(2, dtype=torch.float64)}
    save_weights(path, tensors, card)
    return path, card


def test_a_flipped_bit_is_found_anywhere(tmp_path: Path) -> None:
    """In the card, in the rest of the header and in the weights alike. All eight bits were tried once."""
    path, card = _little(tmp_path / "last.safetensors")
    assert load_weights_file(path)[1] == card
    content = path.read_bytes()
    taken = []
    for place in range(len(content)):
        for bit in {0, 5, place % 8}:
            damaged = bytearray(content)
            damaged[place] ^= 1 << bit
            path.write_bytes(damaged)
            try:
                load_weights_file(path)
            except StoreError:
                continue
            taken.append((place, bit))
    assert taken == []


def test_every_cut_is_found(tmp_path: Path) -> None:
    path, _ = _little(tmp_path / "last.safetensors")
    content = path.read_bytes()
    for size in range(len(content)):
        path.write_bytes(content[:size])
        with pytest.raises(StoreError, match="can't be read as a checkpoint"):
            load_weights_file(path)


def test_a_damaged_card_is_found_without_reading_the_weights(tmp_path: Path) -> None:
    path, card = _little(tmp_path / "last.safetensors")
    assert read_card(path) == card
    content = path.read_bytes()
    path.write_bytes(content.replace(b"dense 2", b"dense 3"))
    with pytest.raises(StoreError, match="the checksum of its card does not fit"):
        read_card(path)


@pytest.mark.parametrize("kept", [{"cutaway"}, {"cutaway", "crc32"}])
def test_a_file_of_an_earlier_version_is_still_read(tmp_path: Path, kept: set[str]) -> None:
    path, card = _little(tmp_path / "last.safetensors")
    with safe_open(path, framework="pt") as file:
        metadata = {name: text for name, text in file.metadata().items() if name in kept}
        tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118  not a dict
    assert metadata.keys() == kept
    save_file(tensors, path, metadata)
    checkpoint, found = load_weights_file(path)
    assert found == card
    assert checkpoint.tensors.keys() == tensors.keys()


def test_the_checkpoint_before_the_last_is_one_of_a_run_s_weights(trained: Run, tmp_path: Path) -> None:
    assert trained.weights_path("previous") == trained.folder / "previous.safetensors"
    assert trained.load("previous")[1].position.epoch == 1
    run = Run("abc", tmp_path, Ledger(Database(tmp_path / "ledger.sqlite")))
    with pytest.raises(NotFoundError, match="no checkpoint before its last"):
        run.load("previous")


def test_a_run_that_saved_nothing(tmp_path: Path) -> None:
    run = Run("abc", tmp_path, Ledger(Database(tmp_path / "ledger.sqlite")))
    with pytest.raises(NotFoundError, match="cutaway resume abc"):
        run.subject()


def test_a_second_name_given_twice_leaves_no_third(tmp_path: Path) -> None:
    """As after a kill between the second name and the file that takes the first one's place."""
    path = tmp_path / "last.safetensors"
    path.write_bytes(b"weights")
    for _ in range(2):
        keep_previous(path)
    assert sorted(found.name for found in tmp_path.iterdir()) == [path.name, "previous.safetensors"]
