"""Exit codes, and the end of every "there is no such name" message."""

from __future__ import annotations

import pytest

from cutaway import errors
from cutaway.errors import CutawayError, nearest

CODES: dict[type[CutawayError], int] = {
    errors.ConfigError: 2,
    errors.NotFoundError: 3,
    errors.DataError: 1,
    errors.StoreError: 1,
    errors.DivergedError: 1,
    errors.LostProcessError: 1,
    errors.InterruptedRunError: 130,
}


@pytest.mark.parametrize(("kind", "code"), [(CutawayError, 1), *CODES.items()])
def test_every_kind_of_error_has_its_exit_code(kind: type[CutawayError], code: int) -> None:
    assert issubclass(kind, CutawayError)
    assert kind.exit_code == code


def test_no_kind_of_error_is_left_out_above() -> None:
    assert set(CutawayError.__subclasses__()) == CODES.keys()


def test_the_nearest_name_is_suggested_and_all_are_listed_in_order() -> None:
    assert nearest("rellu", ["tanh", "relu"]) == ' Did you mean "relu"? Known: relu, tanh.'


def test_case_is_ignored_but_the_name_is_told_as_it_is_written() -> None:
    assert nearest("lenet", ["LENET", "other"]) == ' Did you mean "LENET"? Known: LENET, other.'
    assert nearest("LENET", ["lenet", "other"]) == ' Did you mean "lenet"? Known: lenet, other.'


def test_a_name_like_no_other_gets_no_suggestion() -> None:
    assert nearest("zzz", ["relu", "tanh"]) == " Known: relu, tanh."


def test_nothing_known_gives_nothing() -> None:
    assert nearest("relu", []) == ""
