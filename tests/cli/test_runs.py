"""``cutaway runs list | show | remove``."""

from __future__ import annotations

import json
import shutil
import sqlite3
from collections.abc import Callable
from pathlib import Path

import pytest

from cutaway.config import Experiment, load_experiment
from cutaway.store import Run, Store, train

Command = Callable[..., tuple[int, str, str]]


@pytest.fixture
def store(trained: Run, tmp_path: Path) -> Path:
    """Three runs: copies of the trained one, under ids of which two begin alike."""
    folder = tmp_path / "runs"
    shutil.copytree(trained.ledger.path.parent, folder)
    database = sqlite3.connect(folder / "ledger.sqlite")
    for number, name in enumerate(("abcd2345", "abxy6789"), 1):
        shutil.copytree(folder / trained.id, folder / name)
        database.execute(
            "INSERT INTO run SELECT ?, name || ?, status, reason, created + ?, seconds, device, threads, "
            "versions, experiment, images FROM run WHERE id = ?",
            (name, number, number, trained.id),
        )
        for table, columns in (
            ("epoch", "epoch, lr, seconds, images_per_second, best"),
            ("score", "epoch, split, objective, top1_error, top5_error, images"),
        ):
            database.execute(
                f"INSERT INTO {table} SELECT ?, {columns} FROM {table} WHERE run = ?", (name, trained.id)
            )
    database.commit()
    database.close()
    return folder


def test_an_empty_store_is_told_and_not_made(cutaway: Command, tmp_path: Path) -> None:
    code, out, err = cutaway("runs", "list", "--store", tmp_path / "none")
    assert (code, err) == (0, "")
    assert "No runs yet" in out
    assert "cutaway demo" in out
    assert json.loads(cutaway("runs", "list", "--json", "--store", tmp_path / "none")[1]) == {"runs": []}
    assert not (tmp_path / "none").exists()


@pytest.mark.parametrize("line", [("show",), ("remove",)])
@pytest.mark.parametrize("name", ["last", "abc"])
def test_in_an_empty_store_no_run_is_found(
    cutaway: Command, tmp_path: Path, line: tuple[str, ...], name: str
) -> None:
    code, out, err = cutaway("runs", *line, name, "--store", tmp_path / "none")
    assert (code, out) == (3, "")
    assert "no runs in" in err


def test_the_list_has_every_run_with_the_newest_first(cutaway: Command, store: Path, trained: Run) -> None:
    code, out, err = cutaway("runs", "list", "--store", store)
    assert (code, err) == (0, "")
    head, *rows = [line.split() for line in out.splitlines()]
    assert head == ["run", "name", "status", "created", "epochs", "validation", "test"]
    assert [row[0] for row in rows] == ["abxy6789", "abcd2345", trained.id]
    best = [epoch for epoch in trained.epochs() if epoch.best][-1].scores
    for row in rows:
        assert row[2] == "finished"
        assert row[-3:] == ["2", f"{best['validation'].top1_error:.2%}", f"{best['test'].top1_error:.2%}"]


def test_the_list_as_json(cutaway: Command, store: Path, trained: Run) -> None:
    runs = json.loads(cutaway("runs", "list", "--json", "--store", store)[1])["runs"]
    assert [run["name"] for run in runs] == ["small2", "small1", "small"]
    assert runs[-1]["id"] == trained.id
    assert runs[-1]["epochs"] == 2
    assert runs[-1]["versions"] == trained.row.versions


def test_one_run_is_shown_with_its_epochs_and_its_experiment(
    cutaway: Command, store: Path, trained: Run
) -> None:
    code, out, err = cutaway("runs", "show", trained.id, "--store", store)
    assert (code, err) == (0, "")
    assert out.startswith(f"{trained.id}  small  finished")
    rows = [line.split() for line in out.splitlines() if line.strip() and line.split()[0] in {"1", "2"}]
    best = [epoch for epoch in trained.epochs() if epoch.best][-1].epoch
    for row, epoch in zip(rows, trained.epochs(), strict=True):
        cells = [cell for cell in row if cell != "★"]
        assert ("★" in row) == (epoch.epoch == best)
        assert cells[1:7] == [
            *(f"{score.top1_error:.2%}" for score in epoch.scores.values()),
            *(f"{score.objective:.4f}" for score in epoch.scores.values()),
        ]
    assert trained.row.experiment.strip() in out


def test_one_run_as_json(cutaway: Command, store: Path, trained: Run) -> None:
    facts = json.loads(cutaway("runs", "show", trained.id, "--json", "--store", store)[1])
    assert Experiment.model_validate(facts["experiment"]) == trained.experiment
    assert [row["epoch"] for row in facts["history"]] == [1, 2]
    for row, epoch in zip(facts["history"], trained.epochs(), strict=True):
        assert row["scores"]["test"]["top1_error"] == epoch.scores["test"].top1_error
        assert row["lr"] == epoch.lr


def shown(cutaway: Command, store: Path, name: str) -> str:
    code, out, err = cutaway("runs", "show", name, "--json", "--store", store)
    assert code == 0, err
    return str(json.loads(out)["id"])


def test_a_run_is_found_by_id_by_unique_prefix_and_as_the_last(cutaway: Command, store: Path) -> None:
    assert shown(cutaway, store, "abcd2345") == "abcd2345"
    assert shown(cutaway, store, "abc") == "abcd2345"
    assert shown(cutaway, store, "last") == "abxy6789"


def test_an_ambiguous_prefix_names_the_candidates(cutaway: Command, store: Path) -> None:
    code, out, err = cutaway("runs", "show", "ab", "--store", store)
    assert (code, out) == (3, "")
    assert "abcd2345, abxy6789" in err
    assert err.count("\n") == 1


@pytest.mark.parametrize("command", ["show", "remove"])
def test_an_unknown_run_ends_with_3(cutaway: Command, store: Path, command: str) -> None:
    code, out, err = cutaway("runs", command, "zzzz", "--store", store)
    assert (code, out) == (3, "")
    assert 'no run "zzzz"' in err
    assert "cutaway runs list" in err
    assert len(Store(store).runs()) == 3


def test_a_removed_run_is_gone_and_the_others_are_whole(cutaway: Command, store: Path) -> None:
    code, out, err = cutaway("runs", "remove", "abc", "--store", store)
    assert (code, err) == (0, "")
    assert out == "Removed abcd2345.\n"
    assert not (store / "abcd2345").exists()
    assert "abcd2345" not in [run.id for run in Store(store).runs()]
    assert not [path for path in store.iterdir() if path.name.startswith(".")]
    database = sqlite3.connect(store / "ledger.sqlite")
    for table in ("epoch", "score"):
        left = database.execute(f"SELECT DISTINCT run FROM {table}").fetchall()
        assert len(left) == 2
        assert ("abcd2345",) not in left
    database.close()
    for run in Store(store).runs():
        run.load("best")
        run.load("last")


def test_removing_as_json(cutaway: Command, store: Path) -> None:
    assert json.loads(cutaway("runs", "remove", "last", "--json", "--store", store)[1]) == {
        "removed": "abxy6789"
    }
    assert shown(cutaway, store, "last") == "abcd2345"


def test_epochs_that_were_not_scored_have_blanks_under_the_right_heads(
    cutaway: Command, small: Experiment, tmp_path: Path
) -> None:
    fields = {"data": {"train_images": 200, "validation": 100}, "train": {"epochs": 3, "score_every": 2}}
    run = train(load_experiment(small, fields), store=Store(tmp_path))
    code, out, _ = cutaway("runs", "show", run.id, "--store", tmp_path)
    assert code == 0
    lines = out.splitlines()
    head = next(line for line in lines if line.startswith("epoch"))
    names = ["train error", "validation error", "test error", "train objective"]
    ends = [head.index(name) + len(name) for name in names]
    first, second = (next(line for line in lines if line.split()[:1] == [epoch]) for epoch in ("1", "2"))
    scores = run.epochs()[1].scores
    for end, name in zip(ends, ("train", "validation", "test"), strict=False):
        assert second[:end].endswith(f"{scores[name].top1_error:.2%}")
    assert first[: ends[0]].strip().endswith("%")
    assert not first[ends[0] : ends[2]].strip()
