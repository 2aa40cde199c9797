"""From notation to modules: the net that a plan describes, with weights."""

from __future__ import annotations

from collections import OrderedDict
from functools import singledispatch

import torch.nn.functional as F
from torch import Tensor, nn

from cutaway.errors import ConfigError
from cutaway.nets import words
from cutaway.nets.dropout import Dropout
from cutaway.nets.layout import Flatten
from cutaway.nets.plan import Plan
from cutaway.nets.randomness import seeded
from cutaway.nets.words import Shape, Word


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
    modules: OrderedDict[str, nn.Module] = OrderedDict()
    with seeded(seed):
        for row in plan.rows:
            if hasattr(nn.Sequential(), row.name) or row.name == "plan":
                raise ConfigError(
                    f'line {row.layer.line}: "{row.name}" is a name the net needs itself; choose another.'
                )
            modules[row.name] = _module(row.layer.word, row.input_shape)
    return Net(plan, modules)


@singledispatch
def _module(word: Word, shape: Shape) -> nn.Module:
    raise TypeError(f"no module for {type(word).__name__} on {shape}")


@_module.register
def _(word: words.Conv, shape: Shape) -> nn.Module:
    (top, bottom), (left, right) = word.pads(shape)
    if top == bottom and left == right:
        return nn.Conv2d(
            shape[0], word.filters, word.kernel, stride=word.stride, padding=(top, left), bias=word.bias
        )
    return UnevenConv2d(shape[0], word, (left, right, top, bottom))


@_module.register
def _(word: words.MaxPool, shape: Shape) -> nn.Module:
    del shape
    return nn.MaxPool2d(word.window, word.stride, word.padding)


@_module.register
def _(word: words.AvgPool, shape: Shape) -> nn.Module:
    del shape
    return nn.AvgPool2d(word.window, word.stride, word.padding)


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
    del word
    return nn.BatchNorm2d(shape[0]) if len(shape) == 3 else nn.BatchNorm1d(shape[0])


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
        pads: zeros left, right, above and below, in the order of ``torch.nn.functional.pad``.
    """

    def __init__(self, channels: int, word: words.Conv, pads: tuple[int, int, int, int]) -> None:
        super().__init__(channels, word.filters, word.kernel, stride=word.stride, bias=word.bias)
        self.pads = pads

    def forward(self, input: Tensor) -> Tensor:  # noqa: A002  the name of nn.Conv2d's own argument
        """``(N, C, H, W)`` to ``(N, filters, ⌈H / stride⌉, ⌈W / stride⌉)``."""
        return super().forward(F.pad(input, self.pads))
