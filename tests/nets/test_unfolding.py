"""Convolution as one matrix product against the direct sum in double precision."""

from __future__ import annotations

import pytest
import torch
from tests.nets.doubles import agree
from torch import nn

from cutaway.nets import parse_net, plan
from cutaway.nets.builder import build
from cutaway.nets.order import faster_order, run
from cutaway.nets.unfolding import Unfolded

# Kernel, stride, padding and the size of the maps.
CASES = {
    "two by two": ((4, 4), (1, 1), (0, 0), (5, 5)),
    "one window": ((5, 5), (1, 1), (0, 0), (5, 5)),
    "same": ((3, 3), (1, 1), (1, 1), (3, 3)),
    "oblong": ((2, 3), (1, 1), (0, 1), (3, 4)),
    "strided, the last rows unseen": ((3, 3), (2, 2), (0, 0), (6, 8)),
    "strided and padded": ((3, 3), (2, 3), (1, 0), (4, 7)),
}


@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("layout", [torch.channels_last, torch.contiguous_format])
def test_values_and_gradients(name: str, bias: bool, layout: torch.memory_format) -> None:
    kernel, stride, padding, size = CASES[name]
    torch.manual_seed(1)
    conv = nn.Conv2d(6, 7, kernel, stride, padding, bias=bias)
    conv.weight.data = conv.weight.data.contiguous(memory_format=layout)
    agree(Unfolded(conv), torch.randn(3, 6, *size).contiguous(memory_format=layout), 1e-6)


def test_a_frozen_conv_hands_the_gradient_on_and_gets_none() -> None:
    conv = nn.Conv2d(6, 7, 4).requires_grad_(requires_grad=False)
    maps = torch.randn(2, 6, 5, 5, requires_grad=True)
    Unfolded(conv)(maps).sum().backward()
    wanted = conv.weight.sum(0).sum((1, 2))  # each window hands on its kernels' sum; a corner is seen once
    assert conv.weight.grad is None
    assert maps.grad is not None
    torch.testing.assert_close(maps.grad.sum((0, 2, 3)), 2 * 4 * wanted)


def test_reduced_precision_takes_the_module_itself() -> None:
    conv, maps = nn.Conv2d(6, 7, 4), torch.randn(2, 6, 5, 5)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert Unfolded(conv)(maps).dtype is torch.bfloat16


def test_the_fast_order_uses_it_and_agrees() -> None:
    text = "conv 128 3x3\nrelu\nconv 130 4x4\nmaxpool 2\nrelu\nconv 128 1x1\nflatten\ndense 10"
    net = build(plan(parse_net(text), (3, 7, 7)), seed=1)
    steps = faster_order(net)
    assert sum(isinstance(step, Unfolded) for step in steps) == 2
    inputs = torch.randn(4, 3, 7, 7)
    torch.testing.assert_close(run(steps, inputs), net(inputs), rtol=1e-4, atol=1e-4)
    with torch.no_grad():
        torch.testing.assert_close(run(steps, inputs), net(inputs), rtol=1e-4, atol=1e-4)
