"""The cascade of random weights, layer by layer."""

from __future__ import annotations

import copy
from collections.abc import Mapping

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from cutaway import Subject
from cutaway.errors import ConfigError
from cutaway.look import untrained
from cutaway.look.judging import cascade


class Backwards(nn.Module):
    """Registers its layers in another order than it computes them; one is never applied as a module."""

    def __init__(self) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.ones(1))
        self.dense = nn.Linear(36, 3)
        self.norm = nn.BatchNorm2d(4)
        self.aside = nn.Conv2d(4, 4, 1)
        self.conv = nn.Conv2d(1, 4, 3)
        self.conv2 = nn.Conv2d(4, 4, 2)

    def forward(self, x: Tensor) -> Tensor:
        x = F.conv2d(self.norm(self.conv(x)), self.aside.weight).relu()
        return self.dense(F.relu(self.conv2(x)).flatten(1)) * self.scale  # type: ignore[no-any-return]


@pytest.fixture
def subject() -> Subject:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = Backwards()
    model.norm.running_mean = torch.arange(4.0)
    return Subject(model, (1, 6, 6), name="odd")


ORDER = ["dense", "conv2", "norm", "conv", "scale", "aside"]
"""From the logits down; what is not applied as a module comes last."""


def state(one: Subject) -> dict[str, Tensor]:
    return {name: value.clone() for name, value in one.model.state_dict().items()}


def random_layers(
    found: Mapping[str, Tensor], trained: Mapping[str, Tensor], random: Mapping[str, Tensor]
) -> set[str]:
    """The layers that have the random net's weights; all others must have the trained one's."""
    layers = set()
    for name, value in found.items():
        layer = name.partition(".")[0]
        if not torch.equal(value, trained[name]):
            assert torch.equal(value, random[name]), name
            layers.add(layer)
    return layers


def test_layers_become_random_from_the_logits_down(subject: Subject) -> None:
    trained, random = state(subject), state(untrained(subject, 4))
    found = [(name, state(one)) for name, one in cascade(subject, 10, 4)]
    assert [name for name, _ in found] == ["dense", "conv2", "norm", "conv", "odd", "aside"]
    for number, (_, weights) in enumerate(found):
        # A scale of one number is the same in any order.
        assert random_layers(weights, trained, random) == set(ORDER[: number + 1]) - {"scale"}
    assert all(torch.equal(value, random[name]) for name, value in found[-1][1].items())
    assert all(torch.equal(value, trained[name]) for name, value in state(subject).items())


def test_many_layers_are_taken_several_at_a_time(subject: Subject) -> None:
    trained, random = state(subject), state(untrained(subject))
    found = [(name, state(one)) for name, one in cascade(subject, 3)]
    assert [name for name, _ in found] == ["conv2", "conv", "aside"]
    assert random_layers(found[1][1], trained, random) == {"dense", "conv2", "norm", "conv"}
    assert all(torch.equal(value, random[name]) for name, value in found[-1][1].items())


def test_the_seed_decides(subject: Subject) -> None:
    one, again, other = (next(state(s) for _, s in cascade(subject, 1, seed)) for seed in (1, 1, 2))
    assert torch.equal(one["conv.weight"], again["conv.weight"])
    assert not torch.equal(one["conv.weight"], other["conv.weight"])


def test_shared_weights_stay_shared() -> None:
    model = nn.Sequential(nn.Conv2d(1, 2, 3), nn.Conv2d(2, 2, 3, padding=1), nn.Conv2d(2, 2, 3, padding=1))
    model[2].weight = model[1].weight
    one = Subject(nn.Sequential(model, nn.Flatten(), nn.Linear(32, 3)), (1, 6, 6))
    before = copy.deepcopy(one.model.state_dict())
    *_, (_, last) = cascade(one)
    state_dict = last.model.state_dict()
    assert torch.equal(state_dict["0.1.weight"], state_dict["0.2.weight"])
    assert not torch.equal(state_dict["0.1.weight"], before["0.1.weight"])


def test_without_weights_or_stages_there_is_no_cascade(subject: Subject) -> None:
    with pytest.raises(ConfigError, match="nothing to draw anew"):
        next(cascade(Subject(nn.Flatten(), (1, 2, 2))))
    with pytest.raises(ConfigError, match="1 or more, not 0"):
        next(cascade(subject, 0))
