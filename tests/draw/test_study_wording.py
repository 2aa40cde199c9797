"""Numbers of a study in words."""

from __future__ import annotations

import pytest

from cutaway.draw.studies.wording import points, signed


@pytest.mark.parametrize(
    ("value", "told"), [(0.004, "0.00"), (-0.004, "0.00"), (0.0, "0.00"), (-0.006, "−0.01"), (1.2, "+1.20")]
)
def test_only_what_is_not_nought_has_a_sign(value: float, told: str) -> None:
    assert signed(value) == told
    assert points(value / 100) == told
