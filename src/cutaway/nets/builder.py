"""From notation to modules: the net that a plan describes, with weights."""

from __future__ import annotations

import functools
import operator
from collections import OrderedDict
from functools import singledispatch

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from cutaway.errors import ConfigError
from cutaway.nets import words
from cutaway.nets.dropout import Dropout
from cutaway.nets.layout import Flatten
from cutaway.nets.plan import LayerPlan, Plan
from cutaway.nets.randomness import seeded
from cutaway.nets.words import Shape, Window, Word


class Net(nn.Sequential):
    """A net's layers in order, each a child under its own name.

    Args:
        plan: what was built; ``plan.spec`` is the description.
        modules: a module for each layer.
    """

    def __init__(self, plan: Plan, modules: OrderedDict[str, nn.Module]) -> None:
        super().__init__(modules)
        self.plan = plan


def build(plan: Plan, seed: int) -> Net:
    """The planned net with random weights, PyTorch's own initialisation of each module.

    Args:
        plan: a net on an input shape.
        seed: the same seed gives the same weights; the global random state is left as it was.

    Raises:
        ConfigError: a layer's name is one that the module needs itself, such as ``forward``.
    """
    taken = {*dir(nn.Sequential()), "plan"}
    for row in plan.rows:
        if row.name in taken:
            raise ConfigError(
                f'{row.layer.place}: "{row.name}" is a name the net needs itself; choose another.'
            )
    with seeded(seed):
        return Net(plan, OrderedDict((row.name, _built(row)) for row in plan.rows))


class Branched(nn.Module):
    """A block: its layers as children, applied branch by branch, joined, then the tail.

    Args:
        row: the block as planned.
        join: how its branches come together.
    """

    def __init__(self, row: LayerPlan, join: words.Join) -> None:
        super().__init__()
        self.join = join
        self.branches = [[inner.layer.name for inner in chain] for chain in row.branches]
        self.tail = [inner.layer.name for inner in row.tail]
        for chain in (*row.branches, row.tail):
            for inner in chain:
                self.add_module(inner.layer.name, _built(inner))

    def forward(self, input: Tensor) -> Tensor:  # noqa: A002  as in PyTorch's own modules
        """``(N, C, H, W)`` to what the block's tail gives."""
        ends = [self._apply_all(branch, input) for branch in self.branches]
        return self._apply_all(self.tail, joined(self.join, ends))

    def _apply_all(self, names: list[str], value: Tensor) -> Tensor:
        for name in names:
            value = self.get_submodule(name)(value)
        return value


def joined(join: words.Join, ends: list[Tensor]) -> Tensor:
    """What branches give, summed or side by side: ``(N, C, H, W)`` each."""
    if join is words.Join.CONCAT:
        return torch.cat(ends, 1)
    return functools.reduce(operator.add, ends)


def _built(row: LayerPlan) -> nn.Module:
    word = row.layer.word
    return Branched(row, word.join) if isinstance(word, words.Block) else _module(word, row.input_shape)


@singledispatch
def _module(word: Word, shape: Shape) -> nn.Module:
    raise TypeError(f"no module for {type(word).__name__} on {shape}")


@_module.register
def _(word: words.Conv, shape: Shape) -> nn.Module:
    window = word.window(shape)
    if window.before == window.after:
        return nn.Conv2d(
            shape[0],
            word.filters,
            word.kernel,
            stride=word.stride,
            padding=window.before,
            bias=word.bias,
        )
    return UnevenConv2d(shape[0], word, window)


@_module.register
def _(word: words.MaxPool, shape: Shape) -> nn.Module:
    del shape
    return nn.MaxPool2d(word.size, word.stride, word.padding, ceil_mode=word.ceil)


@_module.register
def _(word: words.AvgPool, shape: Shape) -> nn.Module:
    del shape
    return nn.AvgPool2d(word.size, word.stride, word.padding, ceil_mode=word.ceil)


@_module.register
def _(word: words.GlobalPool, shape: Shape) -> nn.Module:
    del word, shape
    return nn.AdaptiveAvgPool2d(1)


@_module.register
def _(word: words.ReLU, shape: Shape) -> nn.Module:
    del word, shape
    return nn.ReLU()


@_module.register
def _(word: words.Tanh, shape: Shape) -> nn.Module:
    del word, shape
    return nn.Tanh()


@_module.register
def _(word: words.Sigmoid, shape: Shape) -> nn.Module:
    del word, shape
    return nn.Sigmoid()


@_module.register
def _(word: words.LeakyReLU, shape: Shape) -> nn.Module:
    del shape
    return nn.LeakyReLU(word.slope)


@_module.register
def _(word: words.GELU, shape: Shape) -> nn.Module:
    del word, shape
    return nn.GELU()


@_module.register
def _(word: words.BatchNorm, shape: Shape) -> nn.Module:
    kind = nn.BatchNorm2d if len(shape) == 3 else nn.BatchNorm1d
    return kind(shape[0], eps=word.epsilon)


@_module.register
def _(word: words.LocalResponseNorm, shape: Shape) -> nn.Module:
    del shape
    return nn.LocalResponseNorm(word.size, word.alpha, word.beta, word.k)


@_module.register
def _(word: words.Dropout, shape: Shape) -> nn.Module:
    del shape
    return Dropout(word.probability)


@_module.register
def _(word: words.Flatten, shape: Shape) -> nn.Module:
    del word, shape
    return Flatten()


@_module.register
def _(word: words.Dense, shape: Shape) -> nn.Module:
    return nn.Linear(shape[0], word.units)


class UnevenConv2d(nn.Conv2d):
    """A convolution whose "same" padding differs between two opposite sides.

    Args:
        channels: of the input.
        word: the convolution as described.
        window: its kernel with the padding of each side.
    """

    def __init__(self, channels: int, word: words.Conv, window: Window) -> None:
        super().__init__(channels, word.filters, word.kernel, stride=word.stride, bias=word.bias)
        # Left, right, above and below, in the order of torch.nn.functional.pad.
        self.pads = (window.before[1], window.after[1], window.before[0], window.after[0])

    def forward(self, input: Tensor) -> Tensor:  # noqa: A002  the name of nn.Conv2d's own argument
        """``(N, C, H, W)`` to ``(N, filters, ⌈H / stride⌉, ⌈W / stride⌉)``."""
        return super().forward(F.pad(input, self.pads))
