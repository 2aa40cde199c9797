"""Convolution as one matrix product against the direct sum in double precision."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from cutaway.nets import parse_net, plan
from cutaway.nets.builder import build
from cutaway.nets.order import faster_order, run
from cutaway.nets.unfolding import Unfolded

CASES = {
    "two by two": ({"kernel_size": 4}, (5, 5)),
    "one window": ({"kernel_size": 5}, (5, 5)),
    "same": ({"kernel_size": 3, "padding": 1}, (3, 3)),
    "oblong": ({"kernel_size": (2, 3), "padding": (0, 1)}, (3, 4)),
    "strided, the last rows unseen": ({"kernel_size": 3, "stride": 2}, (6, 8)),
    "strided and padded": ({"kernel_size": 3, "stride": (2, 3), "padding": (1, 0)}, (4, 7)),
}


def close(found: Tensor | None, wanted: Tensor | None) -> None:
    assert found is not None
    assert wanted is not None
    assert found.shape == wanted.shape
    assert float(((found - wanted).abs().max() / wanted.abs().max()).detach()) < 1e-6


@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("layout", [torch.channels_last, torch.contiguous_format])
def test_values_and_gradients(name: str, bias: bool, layout: torch.memory_format) -> None:
    told, size = CASES[name]
    torch.manual_seed(1)
    conv = nn.Conv2d(6, 7, bias=bias, **told)  # type: ignore[arg-type]
    conv.weight.data = conv.weight.data.contiguous(memory_format=layout)
    twin = nn.Conv2d(6, 7, bias=bias, **told).double()  # type: ignore[arg-type]
    twin.load_state_dict({key: value.double() for key, value in conv.state_dict().items()})
    maps = torch.randn(3, 6, *size).contiguous(memory_format=layout).requires_grad_()
    double = maps.detach().double().requires_grad_()
    found, wanted = Unfolded(conv)(maps), twin(double)
    assert type(found.grad_fn).__name__ == "_FunctionBackward"  # not the direct sum
    close(found, wanted)
    weight = torch.randn_like(found)
    (found * weight).sum().backward()
    (wanted * weight.double()).sum().backward()
    close(maps.grad, double.grad)
    close(conv.weight.grad, twin.weight.grad)
    if bias:
        assert conv.bias is not None
        assert twin.bias is not None
        close(conv.bias.grad, twin.bias.grad)


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
