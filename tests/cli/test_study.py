"""``cutaway study`` and the report of a study."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from tests.study.inline import InlineClient, conducted, few_images

from cutaway.study.trials.worker import Assignment

Command = Callable[..., tuple[int, str, str]]

STUDY = """
name = "tiny"
base = "digits"
seeds = 2

[experiment]
net = "conv 3 5x5 stride 2 | relu | maxpool 2 | flatten | dense 10"
data = { train_images = 200, validation = 100 }
train = { epochs = 1, batch = 50, lr = 0.05 }

[[variant]]
edits = "-relu1"

[[variant]]
name = "too large"
edits = "conv1.kernel=40"
"""


@pytest.fixture
def study(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr("cutaway.study.images.load_images", few_images)
    path = tmp_path / "two.toml"
    path.write_text(STUDY)
    return path


def test_run_show_list_and_report(
    cutaway: Command, study: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = ("--store", tmp_path / "runs")
    with conducted(monkeypatch, InlineClient()) as client:
        code, out, err = cutaway("study", "run", study, *store)
        assert (code, len(client.assignments)) == (0, 4)
        assert "1 variant and its base; 1 can't be trained" in err
        assert "-relu1" in out
        assert "its input is" in out  # of the variant that can't be trained
        (study.parent / "mine.toml").write_text('base = "other.toml"\nvariant = [{ edits = "-relu1" }]')
        (study.parent / "other.toml").write_text("sed = 1")
        assert "unknown field" in cutaway("study", "run", study.parent / "mine.toml", *store)[2]
        (study.parent / "mine.toml").unlink()
        (study.parent / "other.toml").unlink()
        code, again, _ = cutaway("study", "run", study.parent, *store)
        assert (code, again, len(client.assignments)) == (0, out, 4)
    code, shown, _ = cutaway("study", "show", "tiny", *store)
    assert (code, shown) == (0, out)
    code, trials, _ = cutaway("study", "show", "last", "--trials", *store)
    assert trials.count("finished") == 4
    code, told, _ = cutaway("study", "show", "last", "--json", *store)
    facts = json.loads(told)
    code, listed, _ = cutaway("study", "list", "--json", *store)
    (row,) = json.loads(listed)["studies"]
    assert row["trials"] == {"finished": 4}
    assert facts["id"] == row["id"]
    code, table, _ = cutaway("study", "list", *store)
    assert "4 finished" in table
    for name in ("a.png", "a.json"):
        assert cutaway("study", "show", "last", "-o", tmp_path / name, *store)[0] == 0
    assert (tmp_path / "a.png").read_bytes().startswith(b"\x89PNG")
    assert json.loads((tmp_path / "a.json").read_text()) == facts
    code, out, _ = cutaway("report", "tiny", *store)
    assert code == 0
    page = tmp_path / "runs" / "studies" / row["id"] / "report.html"
    assert out.strip() == page.as_uri()
    assert "too large" in page.read_text()


def test_a_dry_run_trains_nothing(cutaway: Command, study: Path, tmp_path: Path) -> None:
    store = ("--store", tmp_path / "runs")
    code, out, _ = cutaway("study", "run", study, "--dry-run", "--workers", "2", *store)
    assert code == 0
    assert "4 trials, about" in out
    assert "too large can't be trained" in out
    code, out, _ = cutaway("study", "run", study, "--dry-run", "--json", *store)
    facts = json.loads(out)
    assert [variant["trials"] for variant in facts["variants"]] == [2, 2, 0]
    assert facts["seconds"] > 0
    assert not (tmp_path / "runs" / "ledger.sqlite").exists()


@pytest.mark.parametrize(
    ("words", "code", "told"),
    [
        (("study", "run", "nothing.toml"), 3, "no study file"),
        (("study", "show", "last"), 3, "no studies in"),
        (("report", "last"), 3, "no runs in"),
    ],
)
def test_what_is_not_there(
    cutaway: Command, tmp_path: Path, words: tuple[str, ...], code: int, told: str
) -> None:
    found, _, err = cutaway(*words, "--store", tmp_path / "runs")
    assert found == code
    assert told in err
    assert len(err.strip().splitlines()) <= 2


def test_no_studies_yet_and_an_empty_folder(cutaway: Command, tmp_path: Path) -> None:
    store = ("--store", tmp_path / "runs")
    assert "No studies yet" in cutaway("study", "list", *store)[1]
    assert cutaway("study", "run", tmp_path, *store)[0] == 3


def test_workers_are_a_number_of_this_machine_s(cutaway: Command, study: Path, tmp_path: Path) -> None:
    store = ("--store", tmp_path / "runs")
    for more in ((), ("--dry-run",)):
        code, _, err = cutaway("study", "run", study, "--workers", "-1", *more, *store)
        assert (code, len(err.splitlines())) == (2, 1)
        assert "--workers should be 0" in err
    code, _, err = cutaway(
        "study", "run", study, "--workers", "2", "--scheduler", "tcp://10.0.0.1:8786", *store
    )
    assert code == 2
    assert "Give one of the two" in err


def test_other_versions_on_the_way_are_told(
    cutaway: Command, study: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = ("--store", tmp_path / "runs")

    def break_off(assignment: Assignment) -> Assignment:
        raise RuntimeError("the power went")

    with conducted(monkeypatch, InlineClient(break_off)):
        cutaway("study", "run", study, *store)
    monkeypatch.setattr("cutaway.store.store.versions", lambda: "cutaway 0.1.0, torch 9.9")
    with conducted(monkeypatch, InlineClient()):
        _, _, err = cutaway("study", "run", study, *store)
        assert "what is missing is trained with cutaway" in err
        assert "torch 9.9" in err
        _, _, err = cutaway("study", "run", study, *store)
        assert "what is missing" not in err
