"""A net's layers applied one by one, as described, with a look at what each of them gives."""

from __future__ import annotations

from collections.abc import Callable

from torch import Tensor, nn

from cutaway.nets.builder import Branched, Net, joined

See = Callable[[str, nn.Module, Tensor], None]
"""Told a layer's dotted name, its module, and its output."""


def walk(net: Net, inputs: Tensor, see: See) -> Tensor:
    """The net's output, with every layer's shown on the way, those inside of blocks too.

    Args:
        net: is applied in the mode that it is in.
        inputs: ``(N, C, H, W)``.
        see: is told of each layer, in the order of computing.
    """
    value = inputs
    for name, module in net.named_children():
        value = _apply(name, module, value, see)
    return value


def _apply(name: str, module: nn.Module, value: Tensor, see: See) -> Tensor:
    if not isinstance(module, Branched):
        value = module(value)
        see(name, module, value)
        return value
    ends = [_chain(name, module, branch, value, see) for branch in module.branches]
    value = _chain(name, module, module.tail, joined(module.join, ends), see)
    see(name, module, value)
    return value


def _chain(name: str, block: Branched, inner: list[str], value: Tensor, see: See) -> Tensor:
    for part in inner:
        value = _apply(f"{name}.{part}", block.get_submodule(part), value, see)
    return value
