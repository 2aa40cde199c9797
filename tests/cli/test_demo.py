"""``cutaway demo``: the whole way, on a catalogue whose digits are few and whose net is small."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from cutaway.store import Store

Command = Callable[..., tuple[int, str, str]]

DIGITS = """
name = "digits"
net = "conv 3 5x5 stride 2 | maxpool 4 | relu | flatten | dense 10"

[data]
train_images = 300
validation = 100

[train]
epochs = 1
batch = 50
"""


@pytest.fixture(autouse=True)
def _few_digits(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    catalogue = tmp_path / "catalogue"
    catalogue.mkdir()
    (catalogue / "digits.toml").write_text(DIGITS, encoding="utf-8")
    monkeypatch.setattr("cutaway.config.toml._CATALOGUE", catalogue)


def test_it_trains_looks_and_says_where_the_report_is(cutaway: Command, tmp_path: Path) -> None:
    code, out, err = cutaway("demo", "--store", tmp_path / "runs")
    assert code == 0
    run = Store(tmp_path / "runs").find("last")
    report = run.folder / "report.html"
    first, second = out.splitlines()
    error = run.epochs()[-1].scores["test"].top1_error
    assert first.startswith(f"Test error {error:.2%} after ")
    assert second == report.as_uri()
    assert run.id in report.read_text(encoding="utf-8")
    assert "300 train" in err
    assert f"cutaway runs show {run.id}" in err


def test_what_it_proposes_next_works(cutaway: Command, tmp_path: Path) -> None:
    _, _, err = cutaway("demo", "--store", tmp_path / "runs")
    proposals = err.splitlines()[-1].removeprefix("Next: ").split(" · ")
    assert len(proposals) == 3
    for proposal in proposals:
        program, *line = proposal.split()
        assert program == "cutaway"
        where = [] if line[0] == "nets" else ["--store", str(tmp_path / "runs")]
        assert cutaway(*line, *where)[0] == 0, proposal


def test_as_json_it_is_one_object(cutaway: Command, tmp_path: Path) -> None:
    code, out, _ = cutaway("demo", "--json", "--store", tmp_path / "runs")
    assert code == 0
    facts = json.loads(out)
    assert facts["status"] == "finished"
    assert Path(facts["report"]).is_file()
    assert facts["best"]["scores"]["test"]["images"] == 10_000
