"""Channels last: other strides, the same values."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from cutaway.nets import parse_net, plan
from cutaway.nets.builder import build
from cutaway.nets.layout import Flatten, channels_last


def _maps(*, last: bool) -> Tensor:
    maps = torch.randn(3, 4, 5, 6, generator=torch.Generator().manual_seed(0))
    return maps.contiguous(memory_format=torch.channels_last) if last else maps


@pytest.mark.parametrize("last", [True, False])
@pytest.mark.parametrize("gradients", [True, False])
def test_flatten_gives_the_values_of_pytorch_s(last: bool, gradients: bool) -> None:
    maps = _maps(last=last).requires_grad_(gradients)
    flat = Flatten()(maps)
    assert torch.equal(flat, nn.Flatten()(maps))
    assert torch.equal(
        flat[1], torch.stack([maps[1, c, h, w] for c in range(4) for h in range(5) for w in range(6)])
    )
    assert flat.requires_grad is gradients


@pytest.mark.parametrize("last", [True, False])
def test_flatten_gives_the_gradient_of_pytorch_s_with_channels_last(last: bool) -> None:
    maps = _maps(last=last).requires_grad_()
    above = torch.randn(3, 120, generator=torch.Generator().manual_seed(1))
    (found,) = torch.autograd.grad(Flatten()(maps), maps, above)
    (wanted,) = torch.autograd.grad(nn.Flatten()(maps), maps, above)
    assert torch.equal(found, wanted)
    assert found.is_contiguous(memory_format=torch.channels_last)
    assert not found.is_contiguous()


def test_flatten_s_second_gradient_is_right() -> None:
    maps = torch.randn(2, 2, 2, 3, dtype=torch.float64).requires_grad_()
    assert torch.autograd.gradcheck(Flatten(), maps)
    assert torch.autograd.gradgradcheck(lambda x: Flatten()(x) ** 2, maps)


@pytest.mark.parametrize("shape", [(3, 7), (3, 4, 5), (2, 3, 1, 1), (2, 1, 4, 4), (0, 2, 3, 3)])
def test_flatten_of_other_shapes_is_pytorch_s(shape: tuple[int, ...]) -> None:
    values = torch.randn(shape).requires_grad_()
    flat = Flatten()(values)
    assert torch.equal(flat, nn.Flatten()(values))
    (gradient,) = torch.autograd.grad(flat.sum(), values)
    assert torch.equal(gradient, torch.ones(shape))


def test_flatten_keeps_no_graph_where_none_is_wanted() -> None:
    with torch.no_grad():
        assert Flatten()(_maps(last=True).requires_grad_()).grad_fn is None


def test_a_net_with_kernels_channels_last_gives_the_same_logits() -> None:
    planned = plan(parse_net("conv 4 3x3 | relu | conv 5 3x3 | flatten | dense 6"), (3, 8, 8))
    net, twin = build(planned, 0), build(planned, 0)
    assert channels_last(net) is net
    assert net.get_parameter("conv2.weight").is_contiguous(memory_format=torch.channels_last)
    images = torch.randn(2, 3, 8, 8, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(net(images.contiguous(memory_format=torch.channels_last)), twin(images))
