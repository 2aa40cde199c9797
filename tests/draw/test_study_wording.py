"""Numbers of a study in words."""

from __future__ import annotations

import pytest

from cutaway.draw.studies.wording import p_value, points, signed


@pytest.mark.parametrize(
    ("value", "told"), [(0.004, "0.00"), (-0.004, "0.00"), (0.0, "0.00"), (-0.006, "−0.01"), (1.2, "+1.20")]
)
def test_only_what_is_not_nought_has_a_sign(value: float, told: str) -> None:
    assert signed(value) == told
    assert points(value / 100) == told


@pytest.mark.parametrize(
    ("p", "told"),
    [
        (0.0497, "0.0497"),
        (0.04997, "<0.05"),
        (0.05003, ">0.05"),
        (0.0503, "0.0503"),
        (0.05, "0.050"),
        (0.012, "0.012"),
        (0.0002, "<0.001"),
        (1.0, "1.000"),
    ],
)
def test_a_p_value_tells_on_which_side_of_a_twentieth_it_is(p: float, told: str) -> None:
    assert p_value(p) == told
