"""When units died, for nets whose units are killed by hand."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from cutaway import Subject
from cutaway.data import Split
from cutaway.errors import ConfigError, NotFoundError
from cutaway.look import Deaths, deaths


def with_dead(*units: int) -> Subject:
    """A net whose biases kill some units."""
    torch.manual_seed(1)
    conv = nn.Conv2d(1, 4, 3)
    with torch.no_grad():
        conv.weight.abs_()
        for unit in range(4):
            conv.bias[unit] = -100 if unit in units else 1  # type: ignore[index]
    return Subject(nn.Sequential(conv, nn.ReLU()), (1, 6, 6), name=f"net {units}")


PIXELS = torch.randint(256, (12, 1, 6, 6), generator=torch.Generator().manual_seed(0)).to(torch.uint8)
SPLIT = Split(PIXELS, torch.zeros(12, dtype=torch.int64), torch.arange(12))


def test_a_unit_died_when_it_never_fires_again() -> None:
    subjects = {9: with_dead(0, 1, 2), 0: with_dead(0), 3: with_dead(0, 1), 5: with_dead(0, 2, 3)}
    found = deaths(subjects, SPLIT, ["1"])
    assert found.epochs == [0, 3, 5, 9]
    assert found.images == 12
    assert found.subject == "net (0, 1, 2)"
    assert found.dead["1"].tolist() == [
        [True, False, False, False],
        [True, True, False, False],
        [True, False, True, True],
        [True, True, True, False],
    ]
    # The second came back in between; the last one was dead for a while only.
    assert found.died("1").tolist() == [0, 9, 5, -1]


def test_a_value_above_zero_anywhere_is_life() -> None:
    subject = with_dead(0)
    with torch.no_grad():
        subject.model.get_parameter("0.bias")[0] = 0
        subject.model.get_parameter("0.weight")[0] = 1e-6
    store = torch.zeros(3, 1, 6, 6, dtype=torch.uint8)
    dark = Split(store, torch.zeros(3, dtype=torch.int64), torch.arange(3))
    assert deaths({1: subject}, dark, ["1"]).dead["1"][0, 0]
    store[2, 0, 5, 5] = 1
    assert not deaths({1: subject}, dark, ["1"]).dead["1"][0, 0]


def test_one_epoch_is_enough() -> None:
    assert Deaths([4], {"a": torch.tensor([[True, False]])}, 1).died("a").tolist() == [4, -1]


def test_what_is_wrong_is_named() -> None:
    with pytest.raises(ConfigError, match="There are no subjects"):
        deaths({}, SPLIT)
    with pytest.raises(NotFoundError, match='no layer "2"'):
        deaths({1: with_dead()}, SPLIT, ["2"])
