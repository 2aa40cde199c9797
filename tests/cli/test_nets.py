"""``cutaway nets list | show``."""

from __future__ import annotations

import functools
import json
from collections.abc import Callable
from pathlib import Path
from xml.etree import ElementTree

import pytest
import torch

from cutaway.nets import ZOO, find_net, parse_net, plan
from cutaway.nets.builder import build

Command = Callable[..., tuple[int, str, str]]


@functools.cache
def weights_of(name: str) -> int:
    """Counted on the built net, not taken from the planner."""
    with torch.device("meta"):  # shapes alone: VGG's weights would take half a GiB
        net = build(plan(find_net(name), ZOO[name].input_shape), seed=0)
    return sum(parameter.numel() for parameter in net.parameters())


def smallest_first() -> list[str]:
    return sorted(ZOO, key=weights_of)


def test_the_list_has_every_net_with_its_parameters(cutaway: Command) -> None:
    code, out, err = cutaway("nets", "list", "--json")
    assert (code, err) == (0, "")
    nets = json.loads(out)["nets"]
    assert [net["name"] for net in nets] == smallest_first()
    for net in nets:
        assert net["parameters"] == weights_of(net["name"])
        assert net["summary"]
        assert net["source"]


def test_the_table_says_the_same(cutaway: Command) -> None:
    code, out, err = cutaway("nets", "list")
    assert (code, err) == (0, "")
    rows = {line.split()[0]: line for line in out.splitlines()[1:]}
    assert list(rows) == smallest_first()
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


SVG = "{http://www.w3.org/2000/svg}"


@pytest.mark.parametrize("name", ["lenet-theano", "googlenet", "resnet18"])
def test_a_diagram_is_a_file_of_its_own(cutaway: Command, tmp_path: Path, name: str) -> None:
    path = tmp_path / "net.svg"
    code, out, err = cutaway("nets", "show", name, "--diagram", path)
    assert (code, err) == (0, f"diagram: {path}\n")
    assert out == cutaway("nets", "show", name)[1]
    root = ElementTree.fromstring(path.read_text(encoding="utf-8"))
    assert root.tag == f"{SVG}svg"
    words = {text for element in root.iter(f"{SVG}text") for text in "".join(element.itertext()).split()}
    assert {layer.name for layer in find_net(name).layers if layer.word.text().startswith("conv")} <= words
    # Its colours and fonts are in it, and nothing is fetched.
    (style,) = root.iter(f"{SVG}style")
    assert style.text
    for element in root.iter():
        for value in element.attrib.values():
            for variable in value.split("var(")[1:]:
                assert f"{variable.split(')')[0]}:" in style.text
            assert "http" not in value


def test_a_diagram_beside_json_leaves_stdout_to_it(cutaway: Command, tmp_path: Path) -> None:
    code, out, _ = cutaway("nets", "show", "lenet-5", "--json", "--diagram", tmp_path / "net.svg")
    assert code == 0
    assert json.loads(out)["name"] == "lenet-5"
    ElementTree.parse(tmp_path / "net.svg")


def test_a_diagram_that_can_not_be_written_is_told(cutaway: Command, tmp_path: Path) -> None:
    code, out, err = cutaway("nets", "show", "lenet-5", "--diagram", tmp_path / "gone" / "net.svg")
    assert (code, out) == (1, "")
    assert str(tmp_path / "gone" / "net.svg") in err
    assert err.count("\n") == 1
