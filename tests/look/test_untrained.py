"""Random weights: everything that was learnt is gone, and the model itself is not touched."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from cutaway import Subject
from cutaway.errors import ConfigError
from cutaway.look import untrained


class Mixed(nn.Module):
    """Modules that draw their own weights, a parameter that nobody draws, and two that share one."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(1, 4, 3)
        self.norm = nn.BatchNorm2d(4)
        self.scale = nn.Parameter(torch.arange(4.0))
        self.same = nn.Parameter(torch.full((4,), 0.3))
        self.first = nn.Linear(4, 4)
        self.second = nn.Linear(4, 4)
        self.second.weight = self.first.weight

    def forward(self, x: Tensor) -> Tensor:
        x = self.norm(self.conv(x)).relu().mean((2, 3)) * self.scale + self.same
        return self.second(self.first(x))  # type: ignore[no-any-return]


@pytest.fixture
def subject() -> Subject:
    torch.manual_seed(5)
    model = Mixed().train()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.grad = torch.ones_like(parameter)
        for weight in (model.conv.weight, model.first.weight):
            weight.fill_(0.01)  # as nobody draws it
        assert model.norm.running_mean is not None
        model.norm.running_mean.fill_(9)
        model.norm.weight.fill_(7)
    return Subject(model, (1, 6, 6), ("a", "b", "c", "d"), name="mixed")


def test_every_parameter_is_drawn_anew(subject: Subject) -> None:
    copy = untrained(subject).model
    assert isinstance(copy, Mixed)
    assert float(copy.conv.weight.detach().std()) > 0.05
    assert float(copy.first.weight.detach().std()) > 0.05
    assert copy.second.weight is copy.first.weight
    assert copy.norm.weight.tolist() == [1] * 4
    assert copy.norm.running_mean is not None
    assert copy.norm.running_mean.tolist() == [0] * 4
    assert all(parameter.grad is None for parameter in copy.parameters())


def test_what_no_module_draws_has_its_values_in_another_order(subject: Subject) -> None:
    orders = set()
    for seed in range(10):
        copy = untrained(subject, seed).model
        assert isinstance(copy, Mixed)
        assert sorted(copy.scale.tolist()) == [0, 1, 2, 3]
        assert copy.same.tolist() == pytest.approx([0.3] * 4)
        orders.add(tuple(copy.scale.tolist()))
    assert len(orders) > 4


def test_the_model_itself_and_the_random_state_are_as_before(subject: Subject) -> None:
    before = {name: value.clone() for name, value in subject.model.state_dict().items()}
    state = torch.get_rng_state()
    untrained(subject)
    for name, value in subject.model.state_dict().items():
        assert torch.equal(value, before[name]), name
    assert torch.equal(torch.get_rng_state(), state)
    assert all(parameter.grad is not None for parameter in subject.model.parameters())


def test_a_seed_gives_the_same_weights_always(subject: Subject) -> None:
    one, again, other = (dict(untrained(subject, seed).model.named_parameters()) for seed in (3, 3, 4))
    for name, value in one.items():
        assert torch.equal(value, again[name]), name
    assert not torch.equal(one["conv.weight"], other["conv.weight"])


def test_weights_that_are_not_finite_do_not_come_back(subject: Subject) -> None:
    model = subject.model
    assert isinstance(model, Mixed)
    with torch.no_grad():
        model.scale[1] = torch.nan
        model.same.fill_(torch.inf)
        model.conv.weight.fill_(torch.nan)
    copy = untrained(subject).model
    assert all(parameter.isfinite().all() for parameter in copy.parameters())


def test_a_model_that_cannot_be_copied_is_told(subject: Subject) -> None:
    # A tensor with a history, as old weight normalisation keeps it.
    subject.model.__dict__["derived"] = subject.model.conv.weight * 2  # type: ignore[union-attr,operator]
    with pytest.raises(ConfigError, match=r"mixed can't be copied.*Give them as random"):
        untrained(subject)
