"""``cutaway plan``: the numbers, where they come from, and what it takes for a net."""

from __future__ import annotations

import itertools
import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from cutaway.cli.plan import PROCESS
from cutaway.config import show_bytes
from cutaway.nets import (
    apply_edits,
    find_net,
    fitting_batch,
    inference_memory,
    parse_net,
    plan,
    show_edits,
    training_memory,
)

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
    assert head.split() == ["layer", "word", "output", "parameters", "multiply-adds", "bytes", "field"]
    for row, layer in zip(rows, facts["layers"], strict=False):
        cells = row.split()
        assert cells[0] == layer["name"]
        assert layer["word"] in row
        assert "×".join(map(str, layer["output"])) in cells
        if layer["parameters"]:
            assert cells[-4:-1] == [f"{layer[key]:,}" for key in ("parameters", "multiply_adds", "bytes")]
        assert cells[-1] == "×".join(map(str, layer["field"]["size"]))
    (total,) = [row for row in rows if row.startswith("all ")]
    assert total.split() == ["all", f"{facts['parameters']:,}", f"{facts['multiply_adds']:,}"]
    assert rows.index(total) == len(facts["layers"])


def test_the_heaviest_layers_are_told(cutaway: Command) -> None:
    out = cutaway("plan", "conv 4 5x5 | relu | residual 8 | flatten | dense 10", "--input", "1x12x12")[1]
    # The maps are of 8×8. Kernels: 4·25, 8·4·9, 8·8·9 and 8·4 for the shortcut; then 512·10.
    costs = {"conv1": 6400, "residual1.conv1": 18432, "residual1.conv2": 36864, "residual1.conv3": 2048,
             "dense1": 5120}  # fmt: skip
    three = sorted(costs, key=lambda name: -costs[name])[:3]
    told = [f"{name} {costs[name] / sum(costs.values()):.0%}" for name in three]
    assert f"most multiply-adds: {', '.join(told)}" in out.splitlines()
    assert "most parameters: dense1 " in out
    assert "most output bytes: residual1." in out


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
        (["conv 3 5x5 | dense 3", "--input", "1x28x28"], 2, "line 1, column 14: dense1"),
        (["conv 3 5x5\nconv 2 9x9", "--input", "1x9x9"], 2, "line 2: conv2 has a 9×9 kernel"),
        (["conv three 5x5", "--input", "1x9x9"], 2, "line 1"),
        (["lenet"], 3, 'Did you mean "lenet-5"'),
        (["lenet-theano", "--batch", "0"], 2, "--batch should be at least 1, not 0"),
        (["lenet-theano", "--batch", "-4"], 2, "--batch should be at least 1, not -4"),
        (["lenet-theano", "--batch", "many"], 2, "many"),
        (
            ["lenet-theano", "--memory", "foo"],
            2,
            '--memory should be a size such as 2GiB or 500MB, not "foo"',
        ),
        (["lenet-theano", "--memory", "-1"], 2, 'not "-1"'),
        (["lenet-theano", "--optimiser", "rms"], 2, 'sgd, adam or adamw, not "rms"'),
        (["lenet-theano", "--edit", "-tanh9"], 3, 'no layer "tanh9". Did you mean "tanh'),
        (["lenet-theano", "--edit", "tanh1"], 2, '"tanh1" is no edit of a net'),
        (["lenet-theano", "--edit", "conv1.filters=0"], 2, "0 is out of range"),
        (["lenet-theano", "--edit", "-*"], 2, "leave no layer"),
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
    assert err.startswith("cutaway: ")
    assert err.count("\n") <= 2


def test_an_edit_that_can_not_be_planned_is_told_with_what_mends_it(cutaway: Command) -> None:
    code, out, err = cutaway("plan", "lenet-theano", "--edit", "conv2.kernel=20")
    assert (code, out) == (2, "")
    assert "conv2 has a 20×20 kernel but its input is 12×12" in err
    ways = err.splitlines()[-1].partition("Mended by: ")[2].split(", or ")
    assert len(ways) == 3
    for way in ways:
        assert cutaway("plan", "lenet-theano", "--edit", f"conv2.kernel=20 {way}")[0] == 0


def test_a_file_that_is_no_text_is_told(cutaway: Command, tmp_path: Path) -> None:
    path = tmp_path / "net"
    path.write_bytes(b"\xff\xfe\x00\x80")
    code, _, err = cutaway("plan", path, "--input", "1x9x9")
    assert code == 2
    assert str(path) in err


@pytest.mark.parametrize(("edit", "gone", "come"), [
    ("-relu1", "relu1: relu", None),
    ("-relu1 pool2=avgpool 2", "pool2: maxpool 2", "pool2: avgpool 2"),
    ("relu*=tanh", "relu4: relu", "tanh4: tanh"),
])  # fmt: skip
def test_an_edited_net_is_shown_as_a_difference_and_planned(
    cutaway: Command, edit: str, gone: str, come: str | None
) -> None:
    before = find_net("textures-14")
    wanted = apply_edits(before, edit)
    for words in (("--edit", edit), (f"--edit={edit}",)):
        code, out, err = cutaway("plan", "textures-14", *words)
        assert (code, err) == (0, "")
        assert out.startswith(show_edits(before, wanted) + "\n\ninput 1×64×64\n")
        assert f"- {gone}" in out.splitlines()
        assert come is None or f"+ {come}" in out.splitlines()
    facts = planned(cutaway, "textures-14", "--edit", edit)
    assert facts["edited"] == wanted.text()
    assert parse_net(facts["edited"]) == wanted
    assert [layer["name"] for layer in facts["layers"]] == [layer.name for layer in wanted.layers]
    assert "edited" not in planned(cutaway, "textures-14")


def test_a_net_of_the_zoo_takes_any_number_of_classes(cutaway: Command) -> None:
    facts = planned(cutaway, "textures-14", "--classes", "7", "--edit", "-relu1")
    assert facts["layers"][-1]["output"] == [7]


@pytest.mark.parametrize("classes", ["0", "-3"])
def test_a_net_has_at_least_one_class(cutaway: Command, classes: str) -> None:
    code, out, err = cutaway("plan", "textures-14", "--classes", classes)
    assert (code, out) == (2, "")
    assert "--classes" in err


def test_fields_are_told(cutaway: Command) -> None:
    layers = planned(cutaway, "conv 2 5x5 | maxpool 2 | conv 2 3x3 pad 1 | flatten", "--input", "1x12x16")[
        "layers"
    ]
    # A value of pool1 sees two neighbours of 5×5, two apart; conv2 three of those, one beginning outside.
    assert [layer["field"] for layer in layers[:3]] == [
        {"size": [5, 5], "jump": [1, 1], "start": [0, 0]},
        {"size": [6, 6], "jump": [2, 2], "start": [0, 0]},
        {"size": [10, 10], "jump": [2, 2], "start": [-2, -2]},
    ]


def test_blocks_are_opened_when_asked_for(cutaway: Command) -> None:
    words = ("conv 4 3x3 | inception 1 2-3 4-5 6 | residual 8 | flatten", "--input", "1x12x12")
    layers = planned(cutaway, *words)["layers"]
    assert ["branches" in layer for layer in layers] == [False, True, True, False]
    inception, residual = layers[1:3]
    assert [[row["word"] for row in branch] for branch in inception["branches"]] == [
        ["conv 1 1x1", "relu"],
        ["conv 2 1x1", "relu", "conv 3 3x3 pad 1", "relu"],
        ["conv 4 1x1", "relu", "conv 5 5x5 pad 2", "relu"],
        ["maxpool 3 stride 1 pad 1", "conv 6 1x1", "relu"],
    ]
    assert inception["tail"] == []
    assert [row["name"] for row in residual["tail"]] == ["residual1.relu2"]
    for block in (inception, residual):
        rows = [row for branch in [*block["branches"], block["tail"]] for row in branch]
        assert block["parameters"] == sum(row["parameters"] for row in rows)
        assert block["multiply_adds"] == sum(row["multiply_adds"] for row in rows)
    closed = cutaway("plan", *words)[1].splitlines()
    opened = cutaway("plan", *words, "--blocks")[1].splitlines()
    inner = [row["name"] for block in (inception, residual) for branch in [*block["branches"], block["tail"]]
             for row in branch]  # fmt: skip
    told = [line.split()[0] for line in opened if line.startswith("  ")]
    assert told == inner
    assert [line.split() for line in opened if not line.startswith("  ")] == [line.split() for line in closed]


@pytest.mark.parametrize(("optimiser", "states"), [(None, 1), ("sgd", 1), ("adam", 2), ("adamw", 2)])
def test_a_step_and_a_limit_are_told(cutaway: Command, optimiser: str | None, states: int) -> None:
    net = plan(find_net("textures-14"), (1, 64, 64))
    words = ["textures-14", "--batch", "165", *([] if optimiser is None else ["--optimiser", optimiser])]
    training, forward = training_memory(net, 165, states), inference_memory(net, 165)
    parts = ("weights", "optimiser", "gradients", "saved", "workspace", "total")
    step = {
        "batch": 165,
        "training": {part: getattr(training, part) for part in parts},
        "inference": forward.total,
    }
    assert planned(cutaway, *words)["step"] == step
    limit = 600 << 20
    fitting = fitting_batch(net, 165, limit - PROCESS, states)
    assert 0 < fitting < 165
    assert planned(cutaway, *words, "--memory", "600MiB")["step"] == {
        **step, "memory": limit, "process": PROCESS, "microbatch": fitting
    }  # fmt: skip
    out = cutaway("plan", *words, "--memory", "600MiB")[1]
    assert f"a training step of 165 images takes {show_bytes(training.total)}: weights 16.9 MiB" in out
    assert f"a forward pass of 165 images takes {show_bytes(forward.total)}" in out
    assert f"in 600 MiB, of which the process itself takes about 400 MiB, {fitting} images fit at once" in out
    parts_needed = -(-165 // fitting)
    assert f"{parts_needed} micro-batches of {-(-165 // parts_needed)}, same gradient" in out
    assert "step" not in planned(cutaway, "textures-14")


def test_a_limit_alone_is_for_one_image(cutaway: Command) -> None:
    step = planned(cutaway, "textures-14", "--memory", "2GiB")["step"]
    assert (step["batch"], step["microbatch"], step["memory"]) == (1, 1, 2 << 30)
    assert "the batch fits whole" in cutaway("plan", "textures-14", "--memory", "2GiB")[1]
    assert "a training step of one image takes " in cutaway("plan", "textures-14", "--memory", "2GiB")[1]
    code, out, _ = cutaway("plan", "textures-14", "--memory", "300MiB")
    assert code == 0
    assert "not even one image fits" in out
    assert planned(cutaway, "textures-14", "--memory", "300MiB")["step"]["microbatch"] == 0


# Training refuses to cut such a batch unless split_batchnorm is set, and the gradient is then another.
def test_batch_norm_in_parts_is_not_called_the_same(cutaway: Command) -> None:
    out = cutaway("plan", "resnet20", "--batch", "1024", "--memory", "700MiB")[1]
    assert "images fit at once" in out
    assert "same gradient" not in out


def test_a_large_net_is_planned_without_torch() -> None:
    program = (
        "import sys; from cutaway.cli.app import main; "
        "code = main(['plan', 'vgg16', '--batch', '165', '--memory', '4GiB', '--edit', '-relu1']); "
        "sys.exit(code or 10 * ('torch' in sys.modules) or 20 * ('numpy' in sys.modules))"
    )
    result = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert (result.returncode, result.stderr) == (0, "")
    assert "fit at once" in result.stdout


def test_an_experiment_s_net_is_planned_for_its_own_classes(cutaway: Command, tmp_path: Path) -> None:
    file = tmp_path / "mine.toml"
    file.write_text('net = "lenet-5"\n[data]\nsource = "textures"\nsize = "32x32"\n')
    assert planned(cutaway, file)["layers"][-1]["word"].startswith("dense 25")
    assert planned(cutaway, file, "--classes", "7")["layers"][-1]["word"].startswith("dense 7")
