"""``cutaway plan``: the numbers, where they come from, and what it takes for a net."""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

Command = Callable[..., tuple[int, str, str]]

NOTATION = "conv 20 5x5 | maxpool 2 | tanh | flatten | dense 10"


def planned(cutaway: Command, *arguments: str | Path) -> dict[str, Any]:
    code, out, err = cutaway("plan", *arguments, "--json")
    assert (code, err) == (0, "")
    facts: dict[str, Any] = json.loads(out)
    return facts


def test_shapes_and_costs_are_those_of_arithmetic(cutaway: Command) -> None:
    facts = planned(cutaway, NOTATION, "--input", "1x28x28")
    layers = facts["layers"]
    assert [layer["name"] for layer in layers] == ["conv1", "pool1", "tanh1", "flatten1", "dense1"]
    assert [layer["output"] for layer in layers] == [[20, 24, 24], [20, 12, 12], [20, 12, 12], [2880], [10]]
    assert [layer["parameters"] for layer in layers] == [20 * 25 + 20, 0, 0, 0, 2880 * 10 + 10]
    assert [layer["multiply_adds"] for layer in layers] == [24 * 24 * 20 * 25, 0, 0, 0, 2880 * 10]
    assert [layer["bytes"] for layer in layers] == [4 * 20 * 576, 4 * 2880, 4 * 2880, 4 * 2880, 40]
    for before, after in itertools.pairwise(layers):
        assert before["output"] == after["input"]
    assert facts["input"] == [1, 28, 28]
    assert facts["parameters"] == sum(layer["parameters"] for layer in layers)
    assert facts["multiply_adds"] == sum(layer["multiply_adds"] for layer in layers)


def test_the_table_says_the_same_and_adds_up(cutaway: Command) -> None:
    facts = planned(cutaway, "lenet-theano")
    code, out, err = cutaway("plan", "lenet-theano")
    assert (code, err) == (0, "")
    first, head, *rows = out.splitlines()
    assert first == "input 1×28×28"
    assert head.split() == ["layer", "word", "output", "parameters", "multiply-adds", "bytes"]
    for row, layer in zip(rows, facts["layers"], strict=False):
        cells = row.split()
        assert cells[0] == layer["name"]
        assert layer["word"] in row
        assert "×".join(map(str, layer["output"])) in cells
        if layer["parameters"]:
            assert cells[-3:] == [f"{layer[key]:,}" for key in ("parameters", "multiply_adds", "bytes")]
    assert rows[-1].split() == ["all", f"{facts['parameters']:,}", f"{facts['multiply_adds']:,}"]


def test_a_file_with_notation_and_an_experiment_are_read(cutaway: Command, tmp_path: Path) -> None:
    wanted = planned(cutaway, NOTATION, "--input", "1x28x28")
    net = tmp_path / "mine.net"
    net.write_text(NOTATION.replace(" | ", "\n"), encoding="utf-8")
    assert planned(cutaway, net, "--input", "1x28x28") == wanted
    toml = tmp_path / "mine.toml"
    toml.write_text(f'net = "{NOTATION}"\n', encoding="utf-8")
    # An experiment's images give the shape.
    assert planned(cutaway, toml) == wanted
    assert planned(cutaway, toml, "--input", "3x32x32")["input"] == [3, 32, 32]
    assert planned(cutaway, "digits")["layers"][-1]["output"] == [10]


def test_a_net_of_the_zoo_takes_another_input(cutaway: Command) -> None:
    facts = planned(cutaway, "lenet-theano", "--input", "3x32x32")
    assert facts["layers"][0]["parameters"] == 20 * 3 * 25 + 20


@pytest.mark.parametrize(
    ("arguments", "code", "told"),
    [
        (["conv 3 5x5 | dense 3", "--input", "1x28"], 2, "1x28x28"),
        (["lenet-theano", "--input", "0x28x28"], 2, "0x28x28"),
        (["lenet-theano", "--input", "axbxc"], 2, "axbxc"),
        (["conv 3 5x5 | flatten | dense 3"], 2, "--input 1x28x28"),
        (["conv 3 5x5 | dense 3", "--input", "1x28x28"], 2, "line 1: dense1"),
        (["conv 3 5x5\nconv 2 9x9", "--input", "1x9x9"], 2, "line 2: conv2 has a 9×9 kernel"),
        (["conv three 5x5", "--input", "1x9x9"], 2, "line 1"),
        (["lenet"], 3, 'Did you mean "lenet-theano"'),
        (["gone.toml"], 3, "gone.toml"),
    ],
)
def test_what_can_not_be_planned_is_told(
    cutaway: Command, arguments: list[str], code: int, told: str
) -> None:
    found, out, err = cutaway("plan", *arguments)
    assert (found, out) == (code, "")
    assert told in err
    assert "Traceback" not in err


def test_a_file_that_is_no_text_is_told(cutaway: Command, tmp_path: Path) -> None:
    path = tmp_path / "net"
    path.write_bytes(b"\xff\xfe\x00\x80")
    code, _, err = cutaway("plan", path, "--input", "1x9x9")
    assert code == 2
    assert str(path) in err
