"""The schedule: which step computes which layer, and how."""

from __future__ import annotations

import pytest

from cutaway.nets import parse_net, plan
from cutaway.nets.schedule import Step, Way, steps, suits_unfolding, suits_winograd


def schedule(text: str, channels: int = 1, size: int = 16) -> list[Step]:
    return list(steps(plan(parse_net(text), (channels, size, size)).rows))


@pytest.mark.parametrize(
    ("word", "yes"),
    [
        ("conv 128 3x3", True),
        ("conv 256 3x3 pad 1", True),
        ("conv 128 3x3 same", True),
        ("conv 128 3x3 pad 2", True),
        ("conv 127 3x3", False),
        ("conv 128 5x5", False),
        ("conv 128 1x3", False),
        ("conv 128 3x3 stride 2", False),
        ("conv 128 3x3 pad 1x0", False),
        ("conv 128 3x3 pad 3", False),
        ("relu", False),
    ],
)
def test_what_winograd_suits(word: str, yes: bool) -> None:
    (row,) = plan(parse_net(word), (128, 18, 18)).rows
    assert suits_winograd(row) is yes


def test_few_channels_and_small_maps_are_convolved_directly() -> None:
    for shape in [(127, 18, 18), (128, 5, 5)]:  # 3×3 outputs would cost a tile of 4×4
        (row,) = plan(parse_net("conv 128 3x3"), shape).rows
        assert not suits_winograd(row)


@pytest.mark.parametrize(
    ("word", "shape", "yes"),
    [
        ("conv 128 4x4", (128, 7, 7), True),  # as many outputs as places in the kernel
        ("conv 128 4x4", (128, 7, 8), False),
        ("conv 128 4x4", (127, 5, 5), False),
        ("conv 127 4x4", (128, 5, 5), False),
        ("conv 128 3x3 same", (128, 3, 3), True),
        ("conv 128 2x2 same", (128, 2, 2), False),  # padded on one side
        ("conv 128 3x3 stride 2", (128, 7, 7), True),
        ("relu", (128, 2, 2), False),
    ],
)
def test_what_unfolding_suits(word: str, shape: tuple[int, int, int], yes: bool) -> None:
    (row,) = plan(parse_net(word), shape).rows
    assert suits_unfolding(row) is yes


def test_biases_wait_for_the_last_pool_and_stand_before_what_is_not_moved() -> None:
    found = schedule("conv 2 1x1 | relu | maxpool 2 | maxpool 2 | dropout 0.5 | conv 3 1x1 | tanh")
    assert [(step.row.name, step.way.name, step.conv) for step in found] == [
        ("conv1", "DIRECT", ""),
        ("pool1", "MODULE", ""),
        ("pool2", "MODULE", ""),
        ("pool2", "BIAS", "conv1"),
        ("relu1", "MODULE", ""),
        ("dropout1", "MODULE", ""),
        ("conv2", "MODULE", ""),
        ("tanh1", "MODULE", ""),
    ]
    assert [step.row.name for step in found if not step.biased] == ["conv1"]


def test_a_bias_that_there_is_not_and_uneven_padding_stay() -> None:
    assert [step.way for step in schedule("conv 2 1x1 nobias | maxpool 2")] == [Way.MODULE] * 2
    assert [step.way for step in schedule("conv 2 2x2 same | maxpool 2")] == [Way.MODULE] * 2


def test_blocks_are_one_step() -> None:
    found = schedule("residual 8 | inception 1 1-1 1-1 1")
    assert [step.way for step in found] == [Way.BLOCK, Way.BLOCK]
