"""The order of computing: the same values for less work.

A max-pool commutes with a monotone activation: max(f(a), f(b)) = f(max(a, b)). Pooling first
leaves the activation a quarter of the values for a 2×2 window. It commutes with adding a bias too:
max(a, b) + c = max(a + c, b + c), and the bias's gradient is then a sum over the pooled values.
Gradients are the same, up to which of several equal maxima is taken: a pool of equal
pre-activations and one of equal activations both hand the gradient to one of them, and where ReLU
made them equal it is zero.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from cutaway.nets.builder import Net, joined
from cutaway.nets.plan import LayerPlan
from cutaway.nets.winograd import Winograd, suits
from cutaway.nets.words import Block, Join, MaxPool

Step = Callable[[Tensor], Tensor]
"""A module, or another way of computing it."""


def faster_order(net: Net) -> list[Step]:
    """The steps that give the net's logits with less work.

    Monotone activations and biases are moved behind the max-pool that follows them, pools of one
    value are left out, and wide 3×3 convolutions are computed by Winograd's algorithm while
    training. All weights are the net's own: what a person sees and looks into is not changed.
    """
    return _steps(net, net.plan.rows)


def pools_first(chain: Sequence[LayerPlan]) -> list[LayerPlan]:
    """Layers in the order in which they are computed, without those that change nothing."""
    rows = [row for row in chain if not _idle(row)]
    for at in range(len(rows) - 1):
        if rows[at].layer.word.monotone and isinstance(rows[at + 1].layer.word, MaxPool):
            rows[at], rows[at + 1] = rows[at + 1], rows[at]
    return rows


def _steps(net: Net, chain: Sequence[LayerPlan]) -> list[Step]:
    rows = pools_first(chain)
    steps: list[Step] = []
    late: Tensor | None = None
    for row, following in zip(rows, [*rows[1:], None], strict=True):
        module = net.get_submodule(row.name)
        pooled = following is not None and isinstance(following.layer.word, MaxPool)
        if type(module) is nn.Conv2d:
            late = module.bias if pooled else None
            steps.append(_convolution(module, biased=not pooled))
            continue
        if isinstance(row.layer.word, Block):
            branches = [_steps(net, branch) for branch in row.branches]
            steps.append(Branches(row.layer.word.join, branches, _steps(net, row.tail)))
        else:
            steps.append(PooledPairs(module) if isinstance(module, nn.MaxPool2d) else module)
        if late is not None and not pooled:
            steps.append(Bias(late))
            late = None
    return steps


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


class Unbiased:
    """A convolution that leaves its bias to a later step.

    Args:
        conv: gives the weights; it is not changed.
    """

    def __init__(self, conv: nn.Conv2d) -> None:
        self.conv = conv

    def __call__(self, maps: Tensor) -> Tensor:
        """``(N, C, H, W)`` to ``(N, O, H', W')``."""
        conv = self.conv
        return F.conv2d(maps, conv.weight, None, conv.stride, conv.padding)


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
        pool: the module.
    """

    def __init__(self, pool: nn.MaxPool2d) -> None:
        self.pool = pool
        self.suits = (
            pool.kernel_size == pool.stride == (2, 2) and pool.padding == (0, 0) and not pool.ceil_mode
        )

    def __call__(self, maps: Tensor) -> Tensor:
        """``(N, C, H, W)`` to ``(N, C, H // 2, W // 2)``."""
        if not self.suits or torch.is_grad_enabled() or maps.device.type != "cpu":
            return self.pool(maps)  # type: ignore[no-any-return]
        height, width = (size // 2 * 2 for size in maps.shape[2:])
        rows = torch.maximum(maps[:, :, 0:height:2], maps[:, :, 1:height:2])
        return torch.maximum(rows[..., 0:width:2], rows[..., 1:width:2])


def _convolution(module: nn.Conv2d, *, biased: bool) -> Step:
    if suits(module):
        return Winograd(module, biased=biased)
    return module if biased or module.bias is None else Unbiased(module)


def _idle(row: LayerPlan) -> bool:
    word = row.layer.word
    return isinstance(word, MaxPool) and word.size == word.stride == (1, 1)
