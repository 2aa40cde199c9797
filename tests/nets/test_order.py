"""The faster order: other steps, the same logits and the same gradients."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import torch
from torch import Tensor, nn

from cutaway.nets import parse_net, plan
from cutaway.nets.builder import Net, build
from cutaway.nets.direct import Direct
from cutaway.nets.order import Bias, Branches, Step, Tanh, faster_order, run
from cutaway.nets.winograd import Winograd

MONOTONE = ["relu", "tanh", "sigmoid", "leakyrelu", "leakyrelu 0", "leakyrelu 0.5"]
POOLS = ["maxpool 2", "maxpool 3 stride 2", "maxpool 3 stride 2 pad 1", "maxpool 2x3 stride 1 pad 1",
         "maxpool 2 ceil", "maxpool 3 stride 2 ceil"]  # fmt: skip


@pytest.fixture(scope="module", autouse=True)
def _one_thread() -> Iterator[None]:
    """Maps here are so small that waking a second thread costs more than it does."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


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
    return [names[_own(step)] for step in steps]


def _own(step: Step) -> object:
    """The net's module that a step computes."""
    return next((getattr(step, kind) for kind in ("conv", "pool", "module") if hasattr(step, kind)), step)


@pytest.mark.parametrize("kind", [torch.bfloat16, torch.float16, torch.float64])
def test_tanh_of_other_numbers_is_pytorchs_own(kind: torch.dtype) -> None:
    values = torch.linspace(-0.02, 0.02, 101).to(kind)
    assert torch.equal(Tanh(nn.Tanh())(values), values.tanh())
    assert Tanh(nn.Tanh())(values.requires_grad_()).grad_fn is not None


def test_tanh_by_the_sigmoid_is_tanh_to_a_tenth_of_a_millionth() -> None:
    step = Tanh(nn.Tanh())
    values = torch.linspace(-30, 30, 600_001)
    wanted = values.double().tanh()
    with torch.no_grad():
        assert (step(values) - wanted).abs().max() < 2e-7
        ends = torch.tensor([float("inf"), -float("inf"), float("nan"), 0.0])
        assert torch.equal(step(ends)[[0, 1, 3]], torch.tensor([1.0, -1.0, 0.0]))
        assert step(ends)[2].isnan()
    learning = values.clone().requires_grad_()
    step(learning).sum().backward()
    assert learning.grad is not None
    assert (learning.grad - (1 - wanted**2)).abs().max() < 5e-7
    assert torch.equal(values, torch.linspace(-30, 30, 600_001))  # nothing was changed in place


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
    # Not to the bit: tanh is computed by the sigmoid.
    torch.testing.assert_close(run(faster_order(net), images), net(images), rtol=0, atol=3e-7)


def test_the_net_that_a_person_sees_is_not_changed() -> None:
    net = _net("relu")
    before = [name for name, _ in net.named_children()]
    faster_order(net)
    assert [name for name, _ in net.named_children()] == before


BLOCKS = [
    "residual 2",
    "residual 5 stride 2",
    "inception 2 3-4 2-3 2",
    "inception 2 3-4 2-3 2 batchnorm wide 3",
    "conv 4 3x3 | inception 2 3-4 2-3 2 | maxpool 2 | relu | residual 6 stride 2 | maxpool 2 ceil | tanh",
    "inception 1 1-2 1-1 1 | relu | maxpool 3 stride 2 ceil | conv 3 3x3 | maxpool 2 | residual 3",
    "residual 2 | residual 2 | maxpool 2 | conv 3 3x3 | sigmoid | maxpool 2 | residual 3 | lrn | tanh",
]


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("blocks", BLOCKS)
def test_blocks_give_the_same_logits_and_gradients(blocks: str, training: bool) -> None:
    net = build(plan(parse_net(f"{blocks} | flatten | dense 10"), (2, 18, 18)), 3).double().train(training)
    logits, gradients = _logits_and_gradients(net, fast=True)
    wanted, wanted_gradients = _logits_and_gradients(net, fast=False)
    torch.testing.assert_close(logits, wanted, rtol=0, atol=1e-12)
    for gradient, wanted_gradient in zip(gradients, wanted_gradients, strict=True):
        torch.testing.assert_close(gradient, wanted_gradient, rtol=0, atol=1e-11)
    # A bias just before batch norm would have none, but here every weight matters.
    assert all(wanted_gradient.abs().max() > 0 for wanted_gradient in wanted_gradients)


@pytest.mark.parametrize("blocks", BLOCKS)
def test_blocks_give_the_same_logits_where_no_gradient_is_wanted(blocks: str) -> None:
    net = build(plan(parse_net(f"{blocks} | flatten | dense 10"), (2, 18, 18)), 3).double().eval()
    images = _images()
    with torch.no_grad():
        torch.testing.assert_close(run(faster_order(net), images), net(images), rtol=0, atol=1e-12)


def test_blocks_move_the_statistics_once_and_alike() -> None:
    text, shape = "residual 4 stride 2 | inception 1 2-3 1-2 1 batchnorm | globalpool | flatten", (2, 18, 18)
    slow, fast = (build(plan(parse_net(text), shape), 3).double() for _ in range(2))
    slow(_images())
    run(faster_order(fast), _images())
    moved = {name: value for name, value in slow.named_buffers() if "running" in name}
    assert len(moved) == 2 * (3 + 6)
    for name, value in fast.named_buffers():
        if name in moved:
            torch.testing.assert_close(value, moved[name], rtol=0, atol=1e-12)
        else:
            assert value == 1  # batches seen


def test_the_steps_inside_a_block_are_its_own_layers() -> None:
    """Pools and biases inside are put in order as outside, and 3×3 convs of 128 go by Winograd."""
    net = build(plan(parse_net("inception 2 3-4 2-3 2 | residual 128 | residual 128"), (2, 8, 8)), 0)
    inception, changed, same = faster_order(net)
    assert isinstance(inception, Branches)
    assert isinstance(changed, Branches)
    assert isinstance(same, Branches)
    modules = dict(net.named_modules())
    pool, conv, relu = inception.branches[3]
    assert [pool, conv, relu] == [modules[f"inception1.{name}"] for name in ("pool1", "conv6", "relu6")]
    assert same.branches[1] == []
    assert same.tail == [modules["residual2.relu2"]]
    assert changed.branches[1] == [modules["residual1.conv3"], modules["residual1.batchnorm3"]]
    by_tiles = [step for branch in same.branches for step in branch if isinstance(step, Winograd)]
    assert [step.conv for step in by_tiles] == [modules["residual2.conv1"], modules["residual2.conv2"]]
    assert not any(isinstance(step, Winograd) for step in inception.branches[1])


def test_wide_blocks_agree_up_to_the_rounding_of_tiles() -> None:
    text = "residual 128 | inception 8 128-128 4-8 8 | globalpool | flatten | dense 10"
    net = build(plan(parse_net(text), (2, 18, 18)), 3)
    images = _images().float()
    torch.testing.assert_close(run(faster_order(net), images), net(images), rtol=1e-3, atol=1e-4)


def test_a_bias_before_a_block_s_pool_is_not_lost() -> None:
    """The pool inside a block is not the layer that follows a conv outside."""
    net = build(plan(parse_net("conv 3 3x3 | inception 1 1-1 1-1 1"), (2, 8, 8)), 0)
    steps = faster_order(net)
    assert not any(isinstance(step, Direct | Bias) for step in steps)
    assert steps[0] is net.get_submodule("conv1")
