"""``cutaway doctor``: what it checks, and that it notices."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from cutaway import __version__
from cutaway.store import Run

Command = Callable[..., tuple[int, str, str]]


@pytest.fixture
def store(trained: Run, tmp_path: Path) -> Path:
    folder = tmp_path / "runs"
    shutil.copytree(trained.ledger.path.parent, folder)
    return folder


def test_all_is_well(cutaway: Command, store: Path) -> None:
    code, out, err = cutaway("doctor", "--json", "--store", store)
    assert (code, err) == (0, "")
    facts = json.loads(out)
    assert facts["healthy"] is True
    assert facts["cutaway"] == __version__
    assert facts["torch"] == torch.__version__
    assert facts["embedded mnist"] == facts["ledger"] == "ok"
    assert facts["runs"].startswith("1,")
    assert facts["threads"] >= 1
    assert facts["store"] == str(store)


def test_the_table_says_the_same(cutaway: Command, store: Path) -> None:
    code, out, err = cutaway("doctor", "--store", store)
    assert (code, err) == (0, "")
    for text in (__version__, torch.__version__, str(store), "all checkpoints readable"):
        assert text in out
    assert "NOT OK" not in out


def test_a_store_that_is_not_there_yet_is_no_fault(cutaway: Command, tmp_path: Path) -> None:
    code, out, _ = cutaway("doctor", "--json", "--store", tmp_path / "none")
    assert code == 0
    assert json.loads(out)["ledger"] == "none yet"
    assert not (tmp_path / "none").exists()


@pytest.mark.parametrize("name", ["best.safetensors", "last.safetensors"])
def test_a_damaged_checkpoint_is_found(cutaway: Command, trained: Run, store: Path, name: str) -> None:
    path = store / trained.id / name
    path.write_bytes(path.read_bytes()[:-7])
    code, out, _ = cutaway("doctor", "--json", "--store", store)
    facts = json.loads(out)
    assert code == 4
    assert facts["healthy"] is False
    assert facts["runs"].startswith("NOT OK")
    assert str(path) in facts["runs"]
    assert facts["ledger"] == "ok"
    code, out, _ = cutaway("doctor", "--store", store)
    assert code == 4
    assert str(path) in out.replace("\n", "")


def test_a_missing_folder_is_found_with_a_way_out(cutaway: Command, trained: Run, store: Path) -> None:
    shutil.rmtree(store / trained.id)
    code, out, _ = cutaway("doctor", "--json", "--store", store)
    assert code == 4
    assert f"cutaway runs remove {trained.id}" in json.loads(out)["runs"]
    assert cutaway("runs", "remove", trained.id, "--store", store)[0] == 0
    assert cutaway("doctor", "--store", store)[0] == 0


def test_a_damaged_ledger_is_found(cutaway: Command, store: Path) -> None:
    for path in store.glob("ledger.sqlite*"):
        path.unlink()
    (store / "ledger.sqlite").write_bytes(b"no database" * 500)
    code, out, _ = cutaway("doctor", "--json", "--store", store)
    facts = json.loads(out)
    assert code == 4
    assert facts["ledger"].startswith("NOT OK")
    assert "damaged" in facts["ledger"]


def test_damaged_data_are_found(
    cutaway: Command, store: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from cutaway.data.sources import mnist

    folder = tmp_path / "mnist"
    shutil.copytree(mnist.FOLDER, folder)
    path = next(folder.glob("t10k-labels*"))
    path.write_bytes(path.read_bytes()[:-1] + b"x")
    monkeypatch.setattr(mnist, "FOLDER", folder)
    code, out, _ = cutaway("doctor", "--json", "--store", store)
    assert code == 4
    assert str(path) in json.loads(out)["embedded mnist"]
