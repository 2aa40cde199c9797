"""Units that are asked for are found where they are, and the rest is left out."""

from __future__ import annotations

import pytest

from cutaway.errors import ConfigError, NotFoundError
from cutaway.look.choice import chosen_units

NUMBERS = {"conv1": range(4), "conv2": range(9), "dense1": range(2)}


def test_each_layer_gives_the_units_that_it_has_in_the_order_asked_for() -> None:
    assert chosen_units(NUMBERS, [8, 3, 8, 1]) == {"conv1": [3, 1], "conv2": [8, 3, 1], "dense1": [1]}
    assert chosen_units(NUMBERS, [8]) == {"conv2": [8]}


def test_units_go_by_their_numbers_not_by_their_places() -> None:
    assert chosen_units({"conv1": [7, 2], "conv2": [2]}, [2]) == {"conv1": [1], "conv2": [0]}


@pytest.mark.parametrize("unit", [9, -1])
def test_a_unit_that_no_layer_has_is_told_with_those_that_there_are(unit: int) -> None:
    with pytest.raises(NotFoundError, match=rf"no unit {unit}: those of conv2 are numbered from 0 to 8\."):
        chosen_units(NUMBERS, [1, unit])


def test_none_at_all_is_refused() -> None:
    with pytest.raises(ConfigError, match="units should be one or more"):
        chosen_units(NUMBERS, [])
