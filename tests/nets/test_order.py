"""The faster order: other steps, the same logits and the same gradients."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from cutaway.nets import parse_net, plan
from cutaway.nets.builder import Net, build
from cutaway.nets.order import Bias, faster_order, run

MONOTONE = ["relu", "tanh", "sigmoid", "leakyrelu", "leakyrelu 0", "leakyrelu 0.5"]
POOLS = ["maxpool 2", "maxpool 3 stride 2", "maxpool 3 stride 2 pad 1", "maxpool 2x3 stride 1 pad 1"]


def _net(activation: str, pool: str = "maxpool 2") -> Net:
    text = f"conv 4 3x3 | {activation} | {pool} | conv 5 3x3 | {activation} | {pool} | flatten | dense 10"
    # float64: what remains is rounding, far below any difference in the order of computing.
    return build(plan(parse_net(text), (2, 18, 18)), 3).double()


def _images() -> Tensor:
    return torch.randn(6, 2, 18, 18, dtype=torch.float64, generator=torch.Generator().manual_seed(0))


def _logits_and_gradients(net: Net, *, fast: bool) -> tuple[Tensor, list[Tensor]]:
    """Logits, and the gradients of an objective with respect to the images and all weights."""
    images = _images().requires_grad_()
    logits = run(faster_order(net), images) if fast else net(images)
    objective = nn.functional.cross_entropy(logits, torch.arange(len(images)))
    return logits, list(torch.autograd.grad(objective, [images, *net.parameters()]))


def _names(net: Net) -> list[str]:
    """The net's own layers in the order in which they are computed."""
    names: dict[object, str] = {module: name for name, module in net.named_children()}
    steps = [step for step in faster_order(net) if not isinstance(step, Bias)]
    return [names[getattr(step, "conv", getattr(step, "pool", step))] for step in steps]


@pytest.mark.parametrize("pool", POOLS)
@pytest.mark.parametrize("activation", MONOTONE)
def test_logits_and_gradients_are_the_same(activation: str, pool: str) -> None:
    net = _net(activation, pool)
    assert (
        _names(net)
        == "conv1 pool1 {0}1 conv2 pool2 {0}2 flatten1 dense1".format(activation.split(maxsplit=1)[0]).split()
    )
    logits, gradients = _logits_and_gradients(net, fast=True)
    wanted, wanted_gradients = _logits_and_gradients(net, fast=False)
    torch.testing.assert_close(logits, wanted, rtol=0, atol=1e-12)
    for gradient, wanted_gradient in zip(gradients, wanted_gradients, strict=True):
        assert wanted_gradient.abs().max() > 0
        torch.testing.assert_close(gradient, wanted_gradient, rtol=0, atol=1e-12)


@pytest.mark.parametrize("size", [(18, 18), (17, 19), (15, 16)])
@pytest.mark.parametrize("pool", POOLS)
def test_logits_are_the_same_where_no_gradient_is_wanted(pool: str, size: tuple[int, int]) -> None:
    text = f"conv 4 3x3 same | tanh | {pool} | {pool} | conv 5 3x3 same nobias | maxpool 2 | conv 3 1x1"
    net = build(plan(parse_net(text), (2, 2 * size[0], 2 * size[1])), 3).double()
    images = torch.randn(
        6, 2, 2 * size[0], 2 * size[1], dtype=torch.float64, generator=torch.Generator().manual_seed(0)
    )
    with torch.no_grad():
        torch.testing.assert_close(run(faster_order(net), images), net(images), rtol=0, atol=1e-12)


def test_a_nan_goes_through_a_pool_of_pairs() -> None:
    net = build(plan(parse_net("maxpool 2"), (1, 4, 4)), 0)
    for place in range(16):
        images = torch.zeros(1, 1, 4, 4)
        images.view(-1)[place] = float("nan")
        with torch.no_grad():
            assert torch.equal(run(faster_order(net), images).isnan(), net(images).isnan())


def test_a_bias_is_added_behind_all_pools_and_once() -> None:
    net = build(plan(parse_net("conv 2 1x1 | maxpool 2 | maxpool 2 | conv 3 1x1 | conv 4 1x1"), (1, 8, 8)), 0)
    steps = faster_order(net)
    biases = {place: step.bias for place, step in enumerate(steps) if isinstance(step, Bias)}
    assert list(biases) == [3]
    assert biases[3] is net.get_submodule("conv1").bias


@pytest.mark.parametrize("activation", ["gelu", "batchnorm", "dropout 0.5"])
def test_what_is_not_monotone_is_never_moved(activation: str) -> None:
    net = _net(activation)
    assert _names(net) == [name for name, _ in net.named_children()]


def test_gelu_behind_the_pool_would_give_other_logits() -> None:
    """Why it stays: GELU falls below zero, so the largest value need not have the largest GELU."""
    net = _net("gelu")
    modules = dict(net.named_children())
    swapped = ["conv1", "pool1", "gelu1", "conv2", "pool2", "gelu2", "flatten1", "dense1"]
    images = _images()
    assert not torch.allclose(run([modules[name] for name in swapped], images), net(images))


@pytest.mark.parametrize("pool", ["avgpool 2", "globalpool"])
def test_a_mean_does_not_commute_and_stays_behind(pool: str) -> None:
    net = build(plan(parse_net(f"conv 4 3x3 | tanh | {pool}"), (1, 8, 8)), 0)
    assert _names(net) == ["conv1", "tanh1", "pool1"]


def test_pools_of_one_value_are_left_out() -> None:
    net = build(plan(parse_net("conv 4 3x3 | relu | maxpool 1 | relu | maxpool 1 stride 2"), (1, 8, 8)), 0)
    assert _names(net) == ["conv1", "relu1", "pool2", "relu2"]
    images = torch.randn(2, 1, 8, 8)
    assert torch.equal(run(faster_order(net), images), net(images))


def test_an_activation_moves_behind_all_pools_that_follow_it() -> None:
    net = build(plan(parse_net("relu | maxpool 2 | maxpool 1 | maxpool 3 | relu"), (1, 18, 18)), 0)
    assert _names(net) == ["pool1", "pool3", "relu1", "relu2"]
    images = torch.randn(2, 1, 18, 18)
    assert torch.equal(run(faster_order(net), images), net(images))


def test_of_two_activations_the_nearer_one_moves() -> None:
    net = build(plan(parse_net("tanh | relu | maxpool 2"), (1, 8, 8)), 0)
    assert _names(net) == ["tanh1", "pool1", "relu1"]
    images = torch.randn(2, 1, 8, 8)
    assert torch.equal(run(faster_order(net), images), net(images))


def test_the_net_that_a_person_sees_is_not_changed() -> None:
    net = _net("relu")
    before = [name for name, _ in net.named_children()]
    faster_order(net)
    assert [name for name, _ in net.named_children()] == before
