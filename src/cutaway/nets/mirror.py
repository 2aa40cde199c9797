"""The way back: from what a part of a net gives to what it was given.

Masci et al., "Stacked Convolutional Auto-Encoders for Hierarchical Feature Extraction", 2011. Layer by
layer, the last one first:

- **conv**: a transposed convolution of the same kernel, stride and padding, with weights of its own.
- **dense**: a dense layer to as many units as it had inputs.
- **maxpool**: unpooling: each value returns to where the maximum stood (its switch) and all other places
  are zero. Zeiler et al., "Adaptive Deconvolutional Networks for Mid and High Level Feature Learning",
  2011. A place that was the maximum of several windows gets the mean of their values. Switches pass the code
  by: what they tell of places is not in it. Without them, values are spread as those of mean pools are.
- **avgpool**, **globalpool**: each value is spread evenly over its window; where windows overlap, their
  mean.
- **flatten**: the vector laid out as maps again.
- **batchnorm**, **lrn**: nothing. A norm scales and shifts, and so does the transposed layer that follows.
- **activations**: nothing: the code is taken as it is. Instead, what a mirror gives back ends with the
  activation that made it in the net, so that it has the same range; the image has none. ReLU's place is
  taken by softplus, which no unit can die of: Glorot, Bordes and Bengio, "Domain Adaptation for
  Large-Scale Sentiment Classification", 2011. (The image through three depths of a small ReLU net on MNIST,
  layer by layer: error 0.24 with ReLU, 0.22 with softplus.)
- **dropout**: nothing, in both directions: masks are a matter of the autoencoder's own noise.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from functools import singledispatch

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from cutaway.nets import words
from cutaway.nets.builder import Net
from cutaway.nets.depths import Depth
from cutaway.nets.plan import LayerPlan
from cutaway.nets.words import Shape, Window, Word

Switches = Mapping[str, Tensor]
"""For each max-pool, where in its map each maximum stood: ``(N, C, H', W')`` int64, row after row."""


def encode(net: Net, depth: Depth, inputs: Tensor) -> tuple[Tensor, Switches]:
    """What a depth of a net gives, and the switches of its max-pools; dropout is left out.

    Args:
        net: its modules are applied in the modes that they are in.
        depth: the part of it.
        inputs: ``(N, C, H, W)`` or ``(N, F)``.
    """
    value, switches = inputs, {}
    for row in depth.rows:
        module = net.get_submodule(row.name)
        match row.layer.word:
            case words.MaxPool(size, stride, padding, ceil):
                value, switches[row.name] = F.max_pool2d(
                    value, size, stride, padding, ceil_mode=ceil, return_indices=True
                )
            case words.Dropout():
                pass
            case _:
                value = module(value)
    return value, switches


class Mirror(nn.Module):
    """The way back through one depth.

    Args:
        depth: what is mirrored.
        before: the layers that made the depth's input; none for the image.
        switched: unpool by switches.
    """

    def __init__(self, depth: Depth, before: Sequence[LayerPlan] = (), *, switched: bool = True) -> None:
        super().__init__()
        backward = [(row.name, _back(row, switched=switched)) for row in reversed(depth.rows)]
        self.names = [name for name, module in backward if module]
        self.steps = nn.ModuleList([module for _, module in backward if module])
        self.ending = _ending(before)

    def forward(self, code: Tensor, switches: Switches) -> Tensor:
        """The input that a depth had, from its output.

        Args:
            code: ``(N, C', H', W')`` or ``(N, F')``.
            switches: as :func:`encode` gave them.
        """
        for name, step in zip(self.names, self.steps, strict=True):
            code = step(code, switches[name]) if isinstance(step, Unpool) else step(code)
        return self.ending(code)  # type: ignore[no-any-return]


class TransposedConv(nn.ConvTranspose2d):
    """A transposed convolution that gives exactly the shape that the convolution had as its input.

    Rows and columns of the padded input that no kernel reached, behind the last step of a stride, get
    the bias alone; then the padding is cut off, which may differ between two opposite sides.

    Args:
        word: the convolution.
        row: its shapes.
    """

    def __init__(self, word: words.Conv, row: LayerPlan) -> None:
        window = word.window(row.input_shape)
        reached = _reached(window, row.output_shape)
        padded = [
            size + before + after
            for size, before, after in zip(row.input_shape[1:], window.before, window.after, strict=True)
        ]
        left = (padded[0] - reached[0], padded[1] - reached[1])
        super().__init__(
            row.output_shape[0], row.input_shape[0], window.size, stride=window.stride, output_padding=left
        )
        self.inside = tuple(
            slice(before, before + size)
            for before, size in zip(window.before, row.input_shape[1:], strict=True)
        )
        # As PyTorch begins convolutions: its own rule for transposed ones counts the outputs as inputs.
        bound = 1 / math.sqrt(self.in_channels * math.prod(window.size))
        nn.init.uniform_(self.weight, -bound, bound)

    def forward(self, maps: Tensor) -> Tensor:  # type: ignore[override]
        """``(N, O, H', W')`` to ``(N, C, H, W)``."""
        return super().forward(maps)[:, :, *self.inside]


class Unpool(nn.Module):
    """The way back through a max-pool, by its switches.

    Args:
        word: the pool.
        row: its shapes.
    """

    def __init__(self, word: words.MaxPool, row: LayerPlan) -> None:
        super().__init__()
        self.shape = row.input_shape
        self.overlaps = any(size > stride for size, stride in zip(word.size, word.stride, strict=True))

    def forward(self, values: Tensor, switches: Tensor) -> Tensor:
        """``(N, C, H', W')`` to ``(N, C, H, W)``."""
        channels, height, width = self.shape
        flat, places = values.flatten(2), switches.flatten(2)
        found = flat.new_zeros(len(flat), channels, height * width)
        if self.overlaps:
            count = found.scatter_add(2, places, torch.ones_like(flat)).clamp_(min=1)
            found = found.scatter_add(2, places, flat) / count
        else:
            found = found.scatter(2, places, flat)
        return found.view(-1, channels, height, width)


class Spread(nn.Module):
    """The way back through a pool without switches: every place gets the mean of the windows that it lies in.

    A place that lies in none is zero.

    Args:
        word: the pool.
        row: its shapes.
    """

    covered: Tensor

    def __init__(self, word: words.AvgPool | words.GlobalPool | words.MaxPool, row: LayerPlan) -> None:
        super().__init__()
        self.window = window = word.window(row.input_shape)
        self.shape = row.input_shape
        self.reached = _reached(window, row.output_shape)
        one = torch.ones(1, 1, *row.output_shape[1:])
        self.register_buffer("covered", self._sum(one).clamp_(min=1), persistent=False)

    def forward(self, values: Tensor) -> Tensor:
        """``(N, C, H', W')`` to ``(N, C, H, W)``."""
        return self._sum(values) / self.covered

    def _sum(self, values: Tensor) -> Tensor:
        count, channels, *places = values.shape
        taps = math.prod(self.window.size)
        columns = values.reshape(count, channels, 1, -1).expand(-1, -1, taps, -1)
        canvas = F.fold(
            columns.reshape(count, channels * taps, math.prod(places)),
            self.reached,
            self.window.size,
            stride=self.window.stride,
        )
        (top, left), (_, height, width) = self.window.before, self.shape
        right, bottom = left + width - self.reached[1], top + height - self.reached[0]
        # Places behind the last window are added as zeros, padding is cut off: a negative pad cuts.
        return F.pad(canvas, (-left, right, -top, bottom))


def _reached(window: Window, output: Shape) -> tuple[int, int]:
    """Height and width of what all windows together cover, padding included."""
    height, width = (
        (count - 1) * stride + size
        for count, stride, size in zip(output[1:], window.stride, window.size, strict=True)
    )
    return height, width


def _back(row: LayerPlan, *, switched: bool) -> nn.Module | None:
    """What goes back through one layer; None where nothing needs to be done."""
    word = row.layer.word
    return Spread(word, row) if isinstance(word, words.MaxPool) and not switched else _mirror(word, row)


@singledispatch
def _mirror(word: Word, row: LayerPlan) -> nn.Module | None:
    del word, row
    return None


@_mirror.register
def _(word: words.Conv, row: LayerPlan) -> nn.Module:
    return TransposedConv(word, row)


@_mirror.register
def _(word: words.Dense, row: LayerPlan) -> nn.Module:
    return nn.Linear(word.units, row.input_shape[0])


@_mirror.register
def _(word: words.MaxPool, row: LayerPlan) -> nn.Module:
    return Unpool(word, row)


@_mirror.register
def _(word: words.AvgPool | words.GlobalPool, row: LayerPlan) -> nn.Module:
    return Spread(word, row)


@_mirror.register
def _(word: words.Flatten, row: LayerPlan) -> nn.Module:
    del word
    return nn.Unflatten(1, row.input_shape)


def _ending(before: Sequence[LayerPlan]) -> nn.Module:
    """The activation that decides the range of what some layers gave; none where any value is possible."""
    for row in reversed(before):
        match row.layer.word:
            case words.ReLU():
                return nn.Softplus()
            case words.Tanh():
                return nn.Tanh()
            case words.Sigmoid():
                return nn.Sigmoid()
            case words.LeakyReLU(slope):
                return nn.LeakyReLU(slope)
            case words.GELU():
                return nn.GELU()
            case words.Conv() | words.Dense() | words.BatchNorm():
                break
            case _:
                continue
    return nn.Identity()
