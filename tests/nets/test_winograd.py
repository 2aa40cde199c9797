"""Convolution by tiles against the direct sum in double precision."""

from __future__ import annotations

import pytest
import torch
from tests.nets.doubles import agree
from torch import nn

from cutaway.nets import parse_net, plan
from cutaway.nets.builder import build
from cutaway.nets.order import faster_order, run
from cutaway.nets.winograd import Winograd


def conv(padding: int = 0, *, bias: bool = True) -> nn.Conv2d:
    torch.manual_seed(1)
    return nn.Conv2d(128, 130, 3, padding=padding, bias=bias)


@pytest.mark.parametrize("padding", [0, 1, 2])
@pytest.mark.parametrize("size", [(12, 12), (11, 13), (16, 9)])
@pytest.mark.parametrize("bias", [True, False])
def test_values_and_gradients(padding: int, size: tuple[int, int], bias: bool) -> None:
    way = Winograd(conv(padding, bias=bias))
    agree(way, torch.randn(3, 128, *size).contiguous(memory_format=torch.channels_last), 5e-5)


def test_no_gradient_and_small_maps_take_the_module_itself() -> None:
    module = conv()
    maps = torch.randn(2, 128, 12, 12)
    with torch.no_grad():
        assert torch.equal(Winograd(module)(maps), module(maps))
    small = torch.randn(2, 128, 5, 5, requires_grad=True)  # 3×3 outputs would cost tiles of 16
    assert type(Winograd(module)(small).grad_fn).__name__ == "ConvolutionBackward0"


def test_the_fast_order_uses_it_and_agrees() -> None:
    text = "conv 128 3x3 same\nrelu\nmaxpool 2\nconv 128 3x3\nrelu\nflatten\ndense 10"
    net = build(plan(parse_net(text), (3, 28, 28)), seed=1)
    steps = faster_order(net)
    assert sum(isinstance(step, Winograd) for step in steps) == 1
    inputs = torch.randn(4, 3, 28, 28)
    torch.testing.assert_close(run(steps, inputs), net(inputs), rtol=1e-4, atol=1e-4)
