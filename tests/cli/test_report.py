"""``cutaway report``: where the file goes and what is said of it."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from cutaway.store import Run

Command = Callable[..., tuple[int, str, str]]


@pytest.fixture
def store(trained: Run, tmp_path: Path) -> Path:
    folder = tmp_path / "runs"
    shutil.copytree(trained.ledger.path.parent, folder)
    return folder


def test_it_goes_where_it_is_told_to(cutaway: Command, trained: Run, store: Path, tmp_path: Path) -> None:
    path = tmp_path / "new folder" / "my report.html"
    code, out, err = cutaway("report", "last", "-o", path, "--store", store)
    assert (code, err) == (0, "")
    # A terminal makes this a link; blanks are escaped as in any address.
    assert out == path.as_uri() + "\n"
    page = path.read_text(encoding="utf-8")
    assert page.startswith("<!doctype html>")
    assert page.rstrip().endswith("</html>")
    assert trained.id in page
    assert not (store / trained.id / "report.html").exists()


def test_without_a_place_it_goes_to_the_runs_folder(cutaway: Command, trained: Run, store: Path) -> None:
    code, out, _ = cutaway("report", trained.id[:5], "--json", "--store", store)
    assert code == 0
    path = store / trained.id / "report.html"
    assert json.loads(out) == {"run": trained.id, "report": str(path), "bytes": path.stat().st_size}


def test_a_path_from_here_is_answered_with_a_whole_address(
    cutaway: Command, store: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    code, out, _ = cutaway("report", "last", "-o", "here.html", "--store", store)
    assert code == 0
    assert out == (tmp_path / "here.html").as_uri() + "\n"


def test_an_earlier_report_is_replaced(cutaway: Command, store: Path, tmp_path: Path) -> None:
    path = tmp_path / "report.html"
    path.write_text("old", encoding="utf-8")
    assert cutaway("report", "last", "-o", path, "--store", store)[0] == 0
    assert path.read_text(encoding="utf-8").startswith("<!doctype html>")
    assert [p.name for p in tmp_path.iterdir() if "tmp" in p.name] == []


def test_a_run_without_weights_is_told_how_to_go_on(cutaway: Command, trained: Run, store: Path) -> None:
    for path in (store / trained.id).glob("*.safetensors"):
        path.unlink()
    code, out, err = cutaway("report", "last", "--store", store)
    assert (code, out) == (3, "")
    assert "no weights" in err


def test_a_damaged_checkpoint_is_told_by_name(cutaway: Command, trained: Run, store: Path) -> None:
    path = store / trained.id / "best.safetensors"
    path.write_bytes(path.read_bytes()[:100])
    code, out, err = cutaway("report", "last", "--store", store)
    assert (code, out) == (1, "")
    assert str(path) in err
    assert not (store / trained.id / "report.html").exists()


def test_an_unknown_run_ends_with_3(cutaway: Command, store: Path) -> None:
    assert cutaway("report", "zzzz", "--store", store)[0] == 3
