"""The zoo: nets that were published, with their published sizes."""

from __future__ import annotations

import pytest

from cutaway.errors import NotFoundError
from cutaway.nets import ZOO, NotationError, find_net, parse_net, plan


def _parameters(name: str, layers: int | None = None) -> int:
    return sum(row.parameters for row in plan(find_net(name), ZOO[name].input_shape).rows[:layers])


def test_lenet_has_as_many_parameters_as_the_tutorial_s() -> None:
    assert _parameters("lenet-theano") == 431_080


def test_the_three_convs_have_as_many_parameters_as_published() -> None:
    assert _parameters("filters-32-64-64", layers=7) == 55_744
    assert [layer.name for layer in find_net("filters-32-64-64").layers][6] == "conv3"


@pytest.mark.parametrize("name", ZOO)
def test_every_net_says_what_it_is_and_gives_ten_logits(name: str) -> None:
    net = ZOO[name]
    assert net.summary
    assert net.source
    assert plan(parse_net(net.text), net.input_shape).output_shape == (10,)
    if net.parameters is not None:
        assert _parameters(name) == net.parameters


@pytest.mark.parametrize("name", ZOO)
def test_a_name_gives_the_net_blank_ends_or_not(name: str) -> None:
    assert find_net(name) == find_net(f" {name}\n") == parse_net(ZOO[name].text)


@pytest.mark.parametrize("text", ["relu", "relu|tanh", "eyes:relu", "conv 3 3x3\nrelu", "flatten|dense 10"])
def test_notation_gives_the_net_that_it_describes(text: str) -> None:
    assert find_net(text) == parse_net(text)


def test_an_unknown_name_is_answered_with_the_nearest() -> None:
    with pytest.raises(NotFoundError) as caught:
        find_net("lenet-thano")
    assert str(caught.value).startswith('There is no net "lenet-thano". Did you mean "lenet-theano"? Known: ')


@pytest.mark.parametrize("text", ["", "  \n", "dense", "rellu 3", "eyes:rellu", "conv 3 3x3 | flaten"])
def test_a_mistake_in_the_notation_is_told_as_one(text: str) -> None:
    with pytest.raises(NotationError):
        find_net(text)
