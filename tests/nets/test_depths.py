"""Depths: which layers belong together, and what can't be chosen."""

from __future__ import annotations

import pytest

from cutaway.errors import ConfigError
from cutaway.nets import parse_net, plan
from cutaway.nets.depths import Depth, find_depths

NET = """
lrn
conv 4 3x3
maxpool 2
batchnorm
relu
dropout 0.1
conv 5 3x3
relu
flatten
dense 6
batchnorm
tanh
dense 3
"""


def found(text: str, *patterns: str) -> tuple[Depth, ...]:
    return find_depths(plan(parse_net(text), (1, 12, 12)), patterns)


def names(depths: tuple[Depth, ...]) -> list[str]:
    return [" ".join(row.name for row in depth.rows) for depth in depths]


def test_what_follows_a_layer_belongs_to_it_and_what_stands_first_to_the_first() -> None:
    depths = found(NET, "*")
    assert names(depths) == [
        "lrn1 conv1 pool1 batchnorm1 relu1 dropout1",
        "conv2 relu2 flatten1",
        "dense1 batchnorm2 tanh1",
    ]
    assert [depth.layer for depth in depths] == ["conv1", "conv2", "dense1"]
    assert all(depth.chosen for depth in depths)


@pytest.mark.parametrize(
    ("patterns", "chosen"),
    [
        ((), []),
        (("conv1",), [True]),
        (("conv2",), [False, True]),
        (("dense1", "conv1"), [True, False, True]),
        (("conv*",), [True, True]),
        (("dense*",), [False, False, True]),
        (("*1",), [True, False, True]),
    ],
)
def test_it_ends_with_the_last_that_is_chosen(patterns: tuple[str, ...], chosen: list[bool]) -> None:
    depths = found(NET, *patterns)
    assert [depth.chosen for depth in depths] == chosen
    # All rows in order, none twice and none left out.
    whole = [layer.name for layer in parse_net(NET).layers]
    rows = [row.name for depth in depths for row in depth.rows]
    assert rows == whole[: len(rows)]


def test_a_conv_may_be_the_classifier() -> None:
    text = "conv 4 3x3 | relu | conv 10 1x1 | globalpool | flatten"
    assert names(found(text, "*")) == ["conv1 relu1"]
    with pytest.raises(ConfigError, match="conv2 is the classifier"):
        found(text, "conv2")


def test_behind_the_last_block_no_layer_is_needed() -> None:
    """The block gives the logits: the conv before it is a feature as any other."""
    text = "conv 4 3x3 | relu | residual 10 | globalpool | flatten"
    assert names(found(text, "*")) == ["conv1 relu1"]


BLOCKS = "conv 4 3x3 | relu | residual 4 | conv 5 1x1 | inception 2 2-3 2-3 2 | flatten | dense 3"


CLASSIFIER = "is the classifier, which learns from labels."
BLOCK = "residual1 (line 1, column 21)"


@pytest.mark.parametrize(
    ("text", "patterns", "message"),
    [
        (
            NET,
            ["conv9"],
            'no conv or dense layer is called "conv9". Did you mean "conv2"? Known: conv1, conv2,',
        ),
        (NET, ["relu1"], 'no conv or dense layer is called "relu1".'),
        (NET, ["pool*"], 'no conv or dense layer is called "pool*".'),
        (NET, [""], 'no conv or dense layer is called "".'),
        (NET, ["conv1", "dense2"], f"dense2 {CLASSIFIER} Choose of: conv1, conv2, dense1."),
        ("flatten | dense 3", ["dense1"], f"dense1 {CLASSIFIER} This net has no other layer to pre-train."),
        ("flatten | dense 3", ["*"], 'no conv or dense layer is called "*".'),
        (BLOCKS, ["residual1"], f"{BLOCK} is a block, which can't be mirrored. Choose of: conv1, conv2."),
        (BLOCKS, ["residual1.conv1"], f"{BLOCK} is a block, which can't be mirrored."),
        (
            BLOCKS,
            ["*"],
            f"{BLOCK} stands before conv2. It is a block, which can't be mirrored. Choose layers",
        ),
        (BLOCKS[BLOCKS.index("res") :], ["conv1"], "No layer stands before it: leave pretrain.layers out."),
    ],
)
def test_what_can_not_be_chosen(text: str, patterns: list[str], message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        found(text, *patterns)
    assert message in str(caught.value)
    assert str(caught.value).startswith("pretrain.layers: ")
    assert "\n" not in str(caught.value)
