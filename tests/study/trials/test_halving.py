"""Successive halving, against ranking written out."""

from __future__ import annotations

from cutaway.study.trials.halving import survivors
from cutaway.training import Score


def score(error: float, objective: float = 1.0) -> Score:
    return Score(objective, error, 0.0, 100)


def test_the_better_half_goes_on_rounded_up_in_its_own_order() -> None:
    scores = {"a": [score(0.3), score(0.5)], "b": [score(0.9)], "c": [score(0.1), score(0.3)]}
    assert survivors(scores, 0.5) == ["a", "c"]
    assert survivors(scores, 0.3) == ["c"]
    assert survivors(scores, 0.34) == ["a", "c"]


def test_equal_errors_are_told_apart_by_the_objective() -> None:
    assert survivors({"a": [score(0.2, 0.9)], "b": [score(0.2, 0.8)]}, 0.5) == ["b"]


def test_what_has_no_score_does_not_go_on() -> None:
    assert survivors({"a": [], "b": [score(0.9)]}, 0.9) == ["b"]
    assert survivors({"a": []}, 0.5) == []
