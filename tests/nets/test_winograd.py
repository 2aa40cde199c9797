"""Convolution by tiles against the direct sum in double precision."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from cutaway.nets import parse_net, plan
from cutaway.nets.builder import build
from cutaway.nets.order import faster_order, run
from cutaway.nets.winograd import Winograd


def convs(padding: int, bias: bool) -> tuple[nn.Conv2d, nn.Conv2d]:
    """A convolution and its twin in double precision."""
    torch.manual_seed(1)
    conv = nn.Conv2d(128, 130, 3, padding=padding, bias=bias)
    twin = nn.Conv2d(128, 130, 3, padding=padding, bias=bias).double()
    twin.load_state_dict({name: value.double() for name, value in conv.state_dict().items()})
    return conv, twin


def close(found: Tensor | None, wanted: Tensor | None) -> None:
    assert found is not None
    assert wanted is not None
    assert float(((found - wanted).abs().max() / wanted.abs().max()).detach()) < 5e-5


@pytest.mark.parametrize("padding", [0, 1, 2])
@pytest.mark.parametrize("size", [(12, 12), (11, 13), (16, 9)])
@pytest.mark.parametrize("bias", [True, False])
def test_values_and_gradients(padding: int, size: tuple[int, int], bias: bool) -> None:
    conv, twin = convs(padding, bias)
    maps = torch.randn(3, 128, *size).contiguous(memory_format=torch.channels_last).requires_grad_()
    double = maps.detach().double().requires_grad_()
    found, wanted = Winograd(conv)(maps), twin(double)
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


def test_no_gradient_and_small_maps_take_the_module_itself() -> None:
    conv, _ = convs(0, bias=True)
    maps = torch.randn(2, 128, 12, 12)
    with torch.no_grad():
        assert torch.equal(Winograd(conv)(maps), conv(maps))
    small = torch.randn(2, 128, 5, 5, requires_grad=True)  # 3×3 outputs would cost tiles of 16
    assert type(Winograd(conv)(small).grad_fn).__name__ == "ConvolutionBackward0"


def test_the_fast_order_uses_it_and_agrees() -> None:
    text = "conv 128 3x3 same\nrelu\nmaxpool 2\nconv 128 3x3\nrelu\nflatten\ndense 10"
    net = build(plan(parse_net(text), (3, 28, 28)), seed=1)
    steps = faster_order(net)
    assert sum(isinstance(step, Winograd) for step in steps) == 1
    inputs = torch.randn(4, 3, 28, 28)
    torch.testing.assert_close(run(steps, inputs), net(inputs), rtol=1e-4, atol=1e-4)
