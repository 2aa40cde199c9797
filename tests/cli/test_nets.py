"""``cutaway nets list | show``."""

from __future__ import annotations

import json
from collections.abc import Callable

import pytest

from cutaway.nets import ZOO, find_net, parse_net, plan
from cutaway.nets.builder import build

Command = Callable[..., tuple[int, str, str]]


def weights_of(name: str) -> int:
    """Counted on the built net, not taken from the planner."""
    net = build(plan(find_net(name), ZOO[name].input_shape), seed=0)
    return sum(parameter.numel() for parameter in net.parameters())


def test_the_list_has_every_net_with_its_parameters(cutaway: Command) -> None:
    code, out, err = cutaway("nets", "list", "--json")
    assert (code, err) == (0, "")
    nets = json.loads(out)["nets"]
    assert [net["name"] for net in nets] == list(ZOO)
    for net in nets:
        assert net["parameters"] == weights_of(net["name"])
        assert net["summary"]
        assert net["source"]


def test_the_table_says_the_same(cutaway: Command) -> None:
    code, out, err = cutaway("nets", "list")
    assert (code, err) == (0, "")
    rows = {line.split()[0]: line for line in out.splitlines()[1:]}
    assert list(rows) == list(ZOO)
    for name, row in rows.items():
        assert f"{weights_of(name):,}" in row
        assert ZOO[name].summary in row
        assert "×".join(map(str, ZOO[name].input_shape)) in row


@pytest.mark.parametrize("name", list(ZOO))
def test_one_net_shows_its_notation_its_source_and_its_layers(cutaway: Command, name: str) -> None:
    code, out, err = cutaway("nets", "show", name)
    assert (code, err) == (0, "")
    spec = find_net(name)
    assert spec.text() in out
    assert ZOO[name].source in out.replace("\n", " ") or ZOO[name].source in out
    for layer in spec.layers:
        assert layer.name in out
    facts = json.loads(cutaway("nets", "show", name, "--json")[1])
    assert parse_net(facts["notation"]) == spec
    assert facts["parameters"] == weights_of(name)


def test_an_unknown_net_is_answered_with_the_nearest(cutaway: Command) -> None:
    code, out, err = cutaway("nets", "show", "lenet-teano")
    assert (code, out) == (3, "")
    assert 'Did you mean "lenet-theano"' in err
    for name in ZOO:
        assert name in err
