"""The order of computing: the same values for less work.

A max-pool commutes with a monotone activation: max(f(a), f(b)) = f(max(a, b)). Pooling first
leaves the activation a quarter of the values for a 2×2 window. Gradients are the same too, up to
which of several equal maxima is taken: a pool of equal pre-activations and one of equal
activations both hand the gradient to one of them, and where ReLU made them equal it is zero.
"""

from __future__ import annotations

from collections.abc import Callable

from torch import Tensor, nn

from cutaway.nets.builder import Net
from cutaway.nets.plan import LayerPlan
from cutaway.nets.winograd import Winograd, suits
from cutaway.nets.words import MaxPool

Step = Callable[[Tensor], Tensor]
"""A module, or another way of computing it."""


def faster_order(net: Net) -> list[Step]:
    """The steps that give the net's logits with less work.

    Monotone activations are moved behind the max-pool that follows them, pools of one value are
    left out, and wide 3×3 convolutions are computed by Winograd's algorithm while training. All
    weights are the net's own: what a person sees and looks into is not changed.
    """
    rows = [row for row in net.plan.rows if not _idle(row)]
    for at in range(len(rows) - 1):
        if rows[at].layer.word.monotone and isinstance(rows[at + 1].layer.word, MaxPool):
            rows[at], rows[at + 1] = rows[at + 1], rows[at]
    return [_step(net.get_submodule(row.name)) for row in rows]


def run(steps: list[Step], inputs: Tensor) -> Tensor:
    """Apply one step after another."""
    for step in steps:
        inputs = step(inputs)
    return inputs


def _step(module: nn.Module) -> Step:
    return Winograd(module) if isinstance(module, nn.Conv2d) and suits(module) else module


def _idle(row: LayerPlan) -> bool:
    word = row.layer.word
    return isinstance(word, MaxPool) and word.window == word.stride == (1, 1)
