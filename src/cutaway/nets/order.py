"""The order of computing: the same values for less work.

A max-pool commutes with a monotone activation: max(f(a), f(b)) = f(max(a, b)). Pooling first
leaves the activation a quarter of the values for a 2×2 window. Gradients are the same too, up to
which of several equal maxima is taken: a pool of equal pre-activations and one of equal
activations both hand the gradient to one of them, and where ReLU made them equal it is zero.
"""

from __future__ import annotations

from torch import Tensor, nn

from cutaway.nets.builder import Net
from cutaway.nets.plan import LayerPlan
from cutaway.nets.words import MaxPool


def faster_order(net: Net) -> list[nn.Module]:
    """The net's modules in an order that gives the same logits with less work.

    Monotone activations are moved behind the max-pool that follows them, and pools of one value
    are left out. The modules are the net's own: what a person sees and looks into is not changed.
    """
    rows = [row for row in net.plan.rows if not _idle(row)]
    for at in range(len(rows) - 1):
        if rows[at].layer.word.monotone and isinstance(rows[at + 1].layer.word, MaxPool):
            rows[at], rows[at + 1] = rows[at + 1], rows[at]
    return [net.get_submodule(row.name) for row in rows]


def run(modules: list[nn.Module], inputs: Tensor) -> Tensor:
    """Apply one module after another."""
    for module in modules:
        inputs = module(inputs)
    return inputs


def _idle(row: LayerPlan) -> bool:
    word = row.layer.word
    return isinstance(word, MaxPool) and word.window == word.stride == (1, 1)
