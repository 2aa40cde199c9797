"""Values stay as they were when they were kept, and cost a copy only where somebody writes."""

from __future__ import annotations

import gc

import pytest
import torch

from cutaway.errors import ConfigError
from cutaway.look.backward.kept import Keeper, Kept


def test_a_value_is_shared_until_it_is_written_to() -> None:
    keeper, value = Keeper(), torch.arange(4.0)
    kept = keeper.keep(value)
    assert kept.value().data_ptr() == value.data_ptr()
    view = value[1:]
    keeper.before_write(view)
    view.zero_()
    assert kept.value().tolist() == [0, 1, 2, 3]
    late = keeper.keep(value)
    keeper.before_write(value)
    value.add_(1)
    assert late.value().tolist() == [0, 0, 0, 0]
    assert kept.value().tolist() == [0, 1, 2, 3]


def test_other_memory_is_left_alone() -> None:
    keeper, value = Keeper(), torch.arange(4.0)
    kept = keeper.keep(value)
    keeper.before_write(torch.arange(4.0))
    assert kept.value().data_ptr() == value.data_ptr()


def test_a_change_that_nobody_told_of_is_an_error() -> None:
    value = torch.arange(4.0)
    kept = Kept(value)
    value.add_(1)
    with pytest.raises(ConfigError, match="changes in place where it can't be seen"):
        kept.value()
    kept.copy()
    with pytest.raises(ConfigError, match="take that out"):
        kept.value()


def test_what_nobody_needs_is_not_kept() -> None:
    keeper, value = Keeper(), torch.arange(4.0)
    keeper.keep(value)
    gc.collect()
    assert [len(kept) for kept in keeper._kept.values()] == [0]
