"""Selectivity by hand, as the paper's section 3.2 has it."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from cutaway.look import selectivity

NAN = math.nan


@pytest.mark.parametrize(
    ("means", "wanted"),
    [
        ([0.0, 0.0, 6.0], 1.0),  # answers one class only
        ([2.0, 2.0, 2.0], 0.0),  # all alike
        ([1.0, 2.0, 6.0], (6 - 1.5) / (6 + 1.5)),
        ([6.0, NAN, 1.0, 2.0], (6 - 1.5) / (6 + 1.5)),  # a class without images counts for nothing
        ([0.0, 0.0, 0.0], NAN),
        ([-1.0, 2.0, 6.0], NAN),
        ([4.0], NAN),
        ([4.0, NAN], NAN),
    ],
)
def test_one_unit(means: list[float], wanted: float) -> None:
    found = selectivity(torch.tensor(means, dtype=torch.float64)[:, None])
    assert found.shape == (1,)
    assert found.dtype == torch.float64
    assert found[0].item() == pytest.approx(wanted, nan_ok=True)


def test_units_are_told_apart() -> None:
    found = selectivity(torch.tensor([[0.0, 1.0, -1.0], [3.0, 1.0, 5.0]]))
    assert found.isnan().tolist() == [False, False, True]
    assert found[:2].tolist() == [1.0, 0.0]


@given(st.lists(st.floats(0, 1e6), min_size=2, max_size=6).filter(any))
def test_it_lies_between_0_and_1_and_has_no_scale(means: list[float]) -> None:
    values = torch.tensor(means, dtype=torch.float64)[:, None]
    found = selectivity(values).item()
    assert 0 <= found <= 1
    assert selectivity(values * 8).item() == pytest.approx(found, abs=1e-9)
