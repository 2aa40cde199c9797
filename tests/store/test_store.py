"""Runs are found, made and removed; a store that can't be written says so."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from cutaway.config import Experiment
from cutaway.disk import locked
from cutaway.errors import NotFoundError, StoreError
from cutaway.store import Store
from cutaway.training import Task, prepare


@pytest.fixture(scope="module")
def task(small: Experiment) -> Task:
    return prepare(small)


def test_a_new_run_is_complete(task: Task, tmp_path: Path) -> None:
    run = Store(tmp_path / "deep" / "store").create(task.experiment)
    assert re.fullmatch(r"[a-z][a-z2-9]{7}", run.id)
    assert run.experiment == task.experiment
    assert (run.folder / "experiment.toml").read_text(encoding="utf-8") == run.row.experiment
    assert run.status == "killed"  # nobody trains it


def test_finding(task: Task, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = Store(tmp_path)
    with pytest.raises(NotFoundError, match="There are no runs"):
        store.find("last")
    for name in ("abcdefgh", "abxyzuvw", "qrstuvwx"):
        monkeypatch.setattr("cutaway.store.store.new_id", lambda name=name: name)
        store.create(task.experiment)
    assert store.find("last").id == "qrstuvwx"
    assert store.find("abx").id == "abxyzuvw"
    assert store.find("abcdefgh").id == "abcdefgh"
    with pytest.raises(NotFoundError, match=r'"ab" could be abcdefgh, abxyzuvw\. Type one letter more'):
        store.find("ab")
    for unknown in ("zzz", "", "abcdefghi"):
        with pytest.raises(NotFoundError, match="There is no run"):
            store.find(unknown)
    assert [run.id for run in store.runs()] == ["qrstuvwx", "abxyzuvw", "abcdefgh"]


def test_removing(task: Task, tmp_path: Path) -> None:
    store = Store(tmp_path)
    kept, gone = store.create(task.experiment), store.create(task.experiment)
    store.remove(gone)
    assert [run.id for run in store.runs()] == [kept.id]
    assert {path.name for path in tmp_path.iterdir() if path.is_dir()} == {kept.id}


def test_a_run_in_training_is_not_removed(task: Task, tmp_path: Path) -> None:
    store = Store(tmp_path)
    run = store.create(task.experiment)
    with locked(run.folder), pytest.raises(StoreError, match="held by another process"):
        store.remove(run)
    assert store.find(run.id).folder.is_dir()


def test_a_run_whose_row_cannot_be_removed_keeps_its_folder(
    task: Task, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = Store(tmp_path)
    run = store.create(task.experiment)

    def fail(self: object, run: str) -> None:
        raise StoreError("held")

    monkeypatch.setattr("cutaway.store.ledger.Ledger.remove_run", fail)
    with pytest.raises(StoreError):
        store.remove(run)
    assert (run.folder / "experiment.toml").is_file()


def test_a_run_without_its_folder_can_be_removed(task: Task, tmp_path: Path) -> None:
    store = Store(tmp_path)
    run = store.create(task.experiment)
    for path in run.folder.iterdir():
        path.unlink()
    run.folder.rmdir()
    store.remove(run)
    assert store.runs() == []


def test_a_store_that_cannot_be_made(task: Task, tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"mine")
    with pytest.raises(StoreError, match="Choose another folder; for a store with --store DIR"):
        Store(tmp_path / "file" / "runs").create(task.experiment)
    assert (tmp_path / "file").read_bytes() == b"mine"


def test_a_run_that_the_ledger_refuses_leaves_no_folder(
    task: Task, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(self: object, *_: str) -> None:
        raise StoreError("held")

    monkeypatch.setattr("cutaway.store.ledger.Ledger.add_run", fail)
    with pytest.raises(StoreError, match="held"):
        Store(tmp_path).create(task.experiment)
    assert list(tmp_path.iterdir()) == []


def test_the_folder_comes_from_the_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CUTAWAY_STORE", str(tmp_path))
    assert Store().folder == tmp_path
    monkeypatch.delenv("CUTAWAY_STORE")
    assert Store().folder == Path("runs")
    assert Store("elsewhere").folder == Path("elsewhere")
