"""The order of computing: the same values for less work.

A max-pool commutes with a monotone activation: max(f(a), f(b)) = f(max(a, b)). Pooling first
leaves the activation a quarter of the values for a 2×2 window. It commutes with adding a bias too:
max(a, b) + c = max(a + c, b + c), and the bias's gradient is then a sum over the pooled values.
Gradients are the same, up to which of several equal maxima is taken: a pool of equal
pre-activations and one of equal activations both hand the gradient to one of them, and where ReLU
made them equal it is zero.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from cutaway.nets import schedule
from cutaway.nets.builder import Net, joined
from cutaway.nets.direct import Direct
from cutaway.nets.schedule import Way
from cutaway.nets.unfolding import Unfolded
from cutaway.nets.winograd import Winograd
from cutaway.nets.words import Block, Join, MaxPool

Step = Callable[[Tensor], Tensor]
"""A module, or another way of computing it."""

_CONVOLUTIONS = {Way.DIRECT: Direct, Way.WINOGRAD: Winograd, Way.UNFOLDED: Unfolded}


def faster_order(net: Net) -> list[Step]:
    """The steps that give the net's logits with less work, as :mod:`cutaway.nets.schedule` has them.

    All weights are the net's own: what a person sees and looks into is not changed.
    """
    return [_step(net, step) for step in schedule.steps(net.plan.rows)]


def run(steps: list[Step], inputs: Tensor) -> Tensor:
    """Apply one step after another."""
    for step in steps:
        inputs = step(inputs)
    return inputs


class Branches:
    """A block: branches, joined, then the tail.

    Args:
        join: how the branches come together.
        branches: the steps of each; none pass the input on.
        tail: the steps behind the joint.
    """

    def __init__(self, join: Join, branches: list[list[Step]], tail: list[Step]) -> None:
        self.join = join
        self.branches = branches
        self.tail = tail

    def __call__(self, maps: Tensor) -> Tensor:
        """``(N, C, H, W)`` to what the tail gives."""
        return run(self.tail, joined(self.join, [run(branch, maps) for branch in self.branches]))


class Bias:
    """Adding a bias that a convolution has left out.

    Args:
        bias: ``(O,)``, one value for each map.
    """

    def __init__(self, bias: Tensor) -> None:
        self.bias = bias

    def __call__(self, maps: Tensor) -> Tensor:
        """``(N, O, H, W)`` to the same."""
        return maps + self.bias[:, None, None]


class PooledPairs:
    """A max-pool of 2×2, as two largest-of-two over whole maps where no gradient is wanted.

    The module also finds where each maximum stood, which takes three times as long.

    Args:
        pool: the module, of 2×2 without padding.
    """

    def __init__(self, pool: nn.Module) -> None:
        self.pool = pool

    def __call__(self, maps: Tensor) -> Tensor:
        """``(N, C, H, W)`` to ``(N, C, H // 2, W // 2)``."""
        if torch.is_grad_enabled() or maps.device.type != "cpu":
            return self.pool(maps)  # type: ignore[no-any-return]
        height, width = (size // 2 * 2 for size in maps.shape[2:])
        rows = torch.maximum(maps[:, :, 0:height:2], maps[:, :, 1:height:2])
        return torch.maximum(rows[..., 0:width:2], rows[..., 1:width:2])


class Tanh:
    """tanh x = 2 σ(2x) − 1, to 1e-7: on a CPU in less than half the time of PyTorch's own.

    Only for float32: rounded to fewer digits, σ near ½ leaves nothing of a small x.

    Args:
        module: computes it elsewhere.
    """

    def __init__(self, module: nn.Tanh) -> None:
        self.module = module

    def __call__(self, values: Tensor) -> Tensor:
        """Any shape to the same."""
        if values.device.type != "cpu" or values.dtype is not torch.float32:
            return self.module(values)  # type: ignore[no-any-return]
        if not torch.is_grad_enabled():
            return _tanh(values)
        result: Tensor = _Tanh.apply(values)  # type: ignore[no-untyped-call]
        return result


def _tanh(values: Tensor) -> Tensor:
    return values.mul(2).sigmoid_().mul_(2).sub_(1)


class _Tanh(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, values: Tensor) -> Tensor:
        result = _tanh(values)
        ctx.save_for_backward(result)
        return result

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Tensor:
        """(1 − tanh²) times the gradient."""
        (result,) = ctx.saved_tensors
        return torch.ops.aten.tanh_backward(gradients[0], result)  # type: ignore[no-any-return]


def _step(net: Net, step: schedule.Step) -> Step:
    """What computes a step of the schedule."""
    word, module = step.row.layer.word, net.get_submodule(step.row.name)
    if step.way is Way.BIAS:
        return Bias(net.get_parameter(f"{step.conv}.bias"))
    if isinstance(word, Block):
        branches = [[_step(net, inner) for inner in schedule.steps(branch)] for branch in step.row.branches]
        return Branches(word.join, branches, [_step(net, inner) for inner in schedule.steps(step.row.tail)])
    if isinstance(module, nn.Tanh):
        return Tanh(module)
    if isinstance(word, MaxPool) and schedule.is_paired(word):
        return PooledPairs(module)
    if isinstance(module, nn.Conv2d) and step.way in _CONVOLUTIONS:
        return _CONVOLUTIONS[step.way](module, biased=step.biased)
    return module
