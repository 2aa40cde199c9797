"""The ledger: whole transactions, many processes, clear errors."""

from __future__ import annotations

import sqlite3
import subprocess
import sys
import time
from pathlib import Path

import pytest

from cutaway.errors import StoreError
from cutaway.store import database as module
from cutaway.store.database import Database
from cutaway.store.ledger import EpochRow, Ledger
from cutaway.training import Score

SCORE = Score(0.5, 0.25, 0.125, 8)


@pytest.fixture
def ledger(tmp_path: Path) -> Ledger:
    found = Ledger(Database(tmp_path / "ledger.sqlite"))
    found.add_run("abc", "first", "versions", "seed = 1")
    return found


def row(epoch: int, objective: float = 0.5) -> EpochRow:
    scores = {"train": SCORE, "test": Score(objective, 0.2, 0.1, 4)}
    return EpochRow(epoch, 0.1, 2.0, 100.0, epoch == 2, scores)


def test_what_goes_in_comes_out(ledger: Ledger) -> None:
    ledger.set_machine("abc", "cpu", 2)
    ledger.add_epoch("abc", row(1))
    ledger.add_epoch("abc", row(2))
    ledger.set_status("abc", "finished", "because")
    (run,) = ledger.runs()
    assert (run.id, run.name, run.status, run.reason) == ("abc", "first", "finished", "because")
    assert (run.device, run.threads, run.seconds) == ("cpu", 2, 4.0)
    assert (run.versions, run.experiment) == ("versions", "seed = 1")
    assert ledger.epochs("abc") == [row(1), row(2)]
    assert ledger.check() == "ok"


def test_an_epoch_done_again_replaces_itself(ledger: Ledger) -> None:
    ledger.add_epoch("abc", row(1, 0.9))
    ledger.add_epoch("abc", row(1, 0.3))
    assert ledger.epochs("abc") == [row(1, 0.3)]
    assert ledger.runs()[0].seconds == 2.0


def test_removing_a_run_forgets_its_epochs(ledger: Ledger) -> None:
    ledger.add_run("xyz", "second", "", "")
    for run in ("abc", "xyz"):
        ledger.add_epoch(run, row(1))
    ledger.remove_run("abc")
    assert [run.id for run in ledger.runs()] == ["xyz"]
    with sqlite3.connect(ledger.path) as database:
        assert database.execute("SELECT DISTINCT run FROM score").fetchall() == [("xyz",)]
    database.close()


def test_the_newest_run_is_the_first(ledger: Ledger) -> None:
    for name in ("b", "c"):
        ledger.add_run(name, name, "", "")
    assert [run.id for run in ledger.runs()] == ["c", "b", "abc"]


def test_a_clock_that_jumps_back_changes_no_order(ledger: Ledger, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, now in (("b", 3000.0), ("c", 1000.0), ("d", 2000.0)):
        monkeypatch.setattr(time, "time", lambda now=now: now)
        ledger.add_run(name, name, "", "")
    assert [run.id for run in ledger.runs()] == ["d", "c", "b", "abc"]
    ledger.remove_run("d")
    ledger.add_run("e", "e", "", "")  # in the place of the one that was removed
    assert [run.id for run in ledger.runs()] == ["e", "c", "b", "abc"]


def test_an_epoch_that_fails_half_way_leaves_nothing(ledger: Ledger) -> None:
    broken = EpochRow(1, 0.1, 1.0, 1.0, True, {"train": SCORE, "test": Score(None, 0, 0, 0)})  # type: ignore[arg-type]
    with pytest.raises(StoreError):
        ledger.add_epoch("abc", broken)
    assert ledger.epochs("abc") == []


def test_no_ledger_is_no_runs(tmp_path: Path) -> None:
    assert Ledger(Database(tmp_path / "none.sqlite")).runs() == []
    assert not (tmp_path / "none.sqlite").exists()


def test_held_by_another_process(ledger: Ledger, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "WAIT_SECONDS", 0.05)
    other = sqlite3.connect(ledger.path, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    with pytest.raises(StoreError, match=r"held by another process. Wait for it or stop it"):
        ledger.set_status("abc", "finished")
    assert ledger.runs()[0].status == "running"  # reading does not wait for a writer
    other.execute("ROLLBACK")
    other.close()
    ledger.set_status("abc", "finished")
    assert ledger.runs()[0].status == "finished"


def test_a_full_disk_loses_nothing(ledger: Ledger, monkeypatch: pytest.MonkeyPatch) -> None:
    """SQLite's own limit on pages gives the error that a full disk gives."""
    connect = sqlite3.connect

    def limited(*args: object, **keywords: object) -> sqlite3.Connection:
        database = connect(*args, **keywords)  # type: ignore[call-overload]
        database.execute("PRAGMA max_page_count = 12")
        assert isinstance(database, sqlite3.Connection)
        return database

    monkeypatch.setattr(sqlite3, "connect", limited)
    with pytest.raises(StoreError, match=r"disk of .* is full. What was there is kept"):
        ledger.add_run("big", "big", "", "x" * 500_000)
    monkeypatch.undo()
    assert [run.id for run in ledger.runs()] == ["abc"]
    assert ledger.check() == "ok"


def test_a_damaged_ledger(tmp_path: Path) -> None:
    path = tmp_path / "ledger.sqlite"
    path.write_bytes(b"this is no database at all" * 100)
    with pytest.raises(StoreError, match="damaged"):
        Ledger(Database(path)).runs()
    assert path.read_bytes().startswith(b"this is no database")


def test_a_folder_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="--store DIR"):
        Ledger(Database(tmp_path / "gone" / "ledger.sqlite")).add_run("a", "a", "", "")


def test_a_ledger_of_a_newer_cutaway_is_left_alone(ledger: Ledger) -> None:
    with sqlite3.connect(ledger.path) as database:
        database.execute("PRAGMA user_version = 99")
    database.close()
    with pytest.raises(StoreError, match="newer Cutaway"):
        ledger.runs()
    with pytest.raises(StoreError, match="newer Cutaway"):
        ledger.set_status("abc", "finished")


ADD = """
import sys
from pathlib import Path
from cutaway.store.database import Database
from cutaway.store.ledger import EpochRow, Ledger
from cutaway.training import Score
ledger = Ledger(Database(Path(sys.argv[1])))
for epoch in range(20):
    ledger.add_epoch(sys.argv[2], EpochRow(epoch, 0.1, 1.0, 1.0, False, {"test": Score(1.0, 0.5, 0.5, 1)}))
"""


def test_two_processes_write_at_once(ledger: Ledger) -> None:
    ledger.add_run("xyz", "second", "", "")
    commands = [[sys.executable, "-c", ADD, ledger.path, run] for run in ("abc", "xyz")]
    processes = [subprocess.Popen(command) for command in commands]
    assert [process.wait() for process in processes] == [0, 0]
    for run in ("abc", "xyz"):
        assert [found.epoch for found in ledger.epochs(run)] == list(range(20))
    assert ledger.check() == "ok"


def test_what_it_does_not_take_is_no_damage(ledger: Ledger) -> None:
    """SQLite has no NaN: told to move the ledger aside, one would lose all runs."""
    with pytest.raises(StoreError, match=r"does not take this.*What was there is kept") as caught:
        ledger.add_epoch("abc", row(1, float("nan")))
    assert "Move it aside" not in str(caught.value)
    assert [run.id for run in ledger.runs()] == ["abc"]


def test_a_full_quota_is_no_damage(ledger: Ledger, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object, **__: object) -> None:
        raise sqlite3.OperationalError("disk I/O error")

    monkeypatch.setattr(sqlite3, "connect", fail)
    with pytest.raises(StoreError, match="your share of it is full"):
        ledger.runs()
