"""Studies in the ledger: the same one once, trials replaced, gone with what they belong to."""

from __future__ import annotations

from pathlib import Path

import pytest

from cutaway.store.database import Database
from cutaway.store.ledger import Ledger
from cutaway.store.studybook import StudyBook, StudyRow, TrialRow, VariantRow
from cutaway.training import Score

VARIANTS = [VariantRow("base", "{}", "a"), VariantRow("-relu1", '{"edits": "-relu1"}', "b")]


def row(id: str, **changes: str) -> StudyRow:  # noqa: A002
    values = {"definition": "d", "base": "b", "input_shape": "1x2x3", "data": "f"} | changes
    return StudyRow(id, "name", 5.0, "v", **values)


@pytest.fixture
def database(tmp_path: Path) -> Database:
    return Database(tmp_path / "ledger.sqlite")


def test_none_yet(database: Database) -> None:
    assert StudyBook(database).rows() == []
    assert not database.path.exists()


def test_the_same_study_is_kept_once(database: Database) -> None:
    book = StudyBook(database)
    assert book.add(row("one"), VARIANTS) == row("one")
    assert book.add(row("two"), VARIANTS) == row("one")
    for number, change in enumerate(({"definition": "x"}, {"base": "x"}, {"data": "x"})):
        assert book.add(row(f"new{number}", **change), VARIANTS).id == f"new{number}"
    assert [found.id for found in book.rows()] == ["new2", "new1", "new0", "one"]
    assert book.variants("one") == VARIANTS


def test_a_trial_replaces_itself_with_all_of_its_scores(database: Database) -> None:
    book = StudyBook(database)
    book.add(row("one"), VARIANTS)
    first = {0.5: {"test": Score(1.0, 0.5, 0.25, 8), "validation": Score(2.0, 0.25, 0.125, 4)}}
    book.note("one", TrialRow("base", 3, "", "waiting", "", 1.5, first))
    both = first | {1.0: {"test": Score(0.5, 0.125, 0.0, 8)}}
    book.note("one", TrialRow("base", 3, "", "finished", "why", 2.5, both))
    book.note("one", TrialRow("base", 4, "", "diverged", "NaN"))
    assert book.trials("one") == [
        TrialRow("base", 3, "", "finished", "why", 2.5, both),
        TrialRow("base", 4, "", "diverged", "NaN"),
    ]


def test_a_run_that_is_removed_leaves_its_trial_and_a_study_leaves_its_runs(database: Database) -> None:
    book, ledger = StudyBook(database), Ledger(database)
    ledger.add_run("abc", "run", "", "")
    book.add(row("one"), VARIANTS)
    scores = {1.0: {"test": Score(1.0, 0.5, 0.25, 8)}}
    book.note("one", TrialRow("base", 0, "abc", "finished", scores=scores))
    ledger.remove_run("abc")
    assert book.trials("one") == [TrialRow("base", 0, "", "finished", scores=scores)]
    ledger.add_run("xyz", "run", "", "")
    book.note("one", TrialRow("base", 0, "xyz", "finished"))
    book.remove("one")
    assert book.rows() == []
    assert book.variants("one") == []
    assert book.trials("one") == []
    assert [run.id for run in ledger.runs()] == ["xyz"]
