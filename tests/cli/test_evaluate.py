"""``cutaway evaluate``: the same numbers as while training."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path

import pytest

from cutaway.store import Run

Command = Callable[..., tuple[int, str, str]]


@pytest.fixture
def store(trained: Run) -> Path:
    return trained.ledger.path.parent


@pytest.mark.parametrize("split", ["test", "validation"])
def test_the_score_is_the_ledgers(cutaway: Command, trained: Run, store: Path, split: str) -> None:
    code, out, err = cutaway("evaluate", trained.id, "--split", split, "--json", "--store", store)
    assert (code, err) == (0, "")
    facts = json.loads(out)
    best = [epoch for epoch in trained.epochs() if epoch.best][-1].scores[split]
    assert facts["top1_error"] == best.top1_error
    assert facts["top5_error"] == best.top5_error
    assert facts["objective"] == pytest.approx(best.objective, rel=1e-5)
    assert facts["images"] == best.images
    assert (facts["run"], facts["split"]) == (trained.id, split)


def test_confusions_add_up(cutaway: Command, trained: Run, store: Path) -> None:
    facts = json.loads(cutaway("evaluate", "last", "--json", "--store", store)[1])
    confusion = facts["confusion"]
    assert sum(map(sum, confusion)) == facts["images"] == 10_000
    right = sum(confusion[label][label] for label in range(10))
    assert 1 - right / 10_000 == pytest.approx(facts["top1_error"], abs=1e-12)
    labels = trained.images().split("test").labels
    assert [sum(row) for row in confusion] == labels.bincount(minlength=10).tolist()
    assert facts["classes"] == list("0123456789")


def test_the_text_states_the_score_and_the_worst_confusions(cutaway: Command, store: Path) -> None:
    facts = json.loads(cutaway("evaluate", "last", "--json", "--store", store)[1])
    code, out, err = cutaway("evaluate", "last", "--store", store)
    assert (code, err) == (0, "")
    assert f"top-1 error {facts['top1_error']:.2%}" in out
    assert f"top-5 error {facts['top5_error']:.2%}" in out
    assert f"objective {facts['objective']:.4f}" in out
    pairs = [
        (facts["confusion"][row][column], row, column)
        for row in range(10)
        for column in range(10)
        if row != column
    ]
    told = [tuple(map(int, found)) for found in re.findall(r"(\d) → (\d) \((\d+)\)", out)]
    assert [count for _, _, count in told] == sorted((count for count, _, _ in pairs), reverse=True)[:5]
    for row, column, count in told:
        assert facts["confusion"][row][column] == count


def test_the_last_weights_are_another_matter(cutaway: Command, trained: Run, store: Path) -> None:
    facts = json.loads(cutaway("evaluate", "last", "--weights", "last", "--json", "--store", store)[1])
    assert facts["top1_error"] == trained.epochs()[-1].scores["test"].top1_error


def test_an_unknown_split_is_answered_with_the_nearest(cutaway: Command, store: Path) -> None:
    code, out, err = cutaway("evaluate", "last", "--split", "tset", "--store", store)
    assert (code, out) == (3, "")
    assert 'Did you mean "test"' in err


def test_an_unknown_run_ends_with_3(cutaway: Command, store: Path) -> None:
    assert cutaway("evaluate", "zzzz", "--store", store)[0] == 3
