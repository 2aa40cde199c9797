"""The words of the notation: for each, its arguments, its shapes, its cost.

No word needs torch: shapes, parameters and multiply-adds are arithmetic. ``builder.py`` turns
words into modules.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import ClassVar

from cutaway.nets.arguments import Arguments
from cutaway.registry import Registry

Shape = tuple[int, ...]
"""A layer's output for one image: ``(C, H, W)`` for maps, ``(F,)`` for a vector."""

Pair = tuple[int, int]
"""Height and width."""

WORDS: Registry[type[Word]] = Registry("word")


class ShapeError(ValueError):
    """A word that can't work on its input; the message ends with the ways out.

    Args:
        problem: what does not fit, to follow the layer's name.
        ways: what would mend it.
    """

    def __init__(self, problem: str, ways: str) -> None:
        super().__init__(f"{problem}. {ways}")
        self.problem = problem
        self.ways = ways


@dataclass(frozen=True)
class Word(ABC):
    """One operation of a net."""

    stem: ClassVar[str] = ""
    """What unnamed layers of this word are called, before their count."""

    monotone: ClassVar[bool] = False
    """An activation that never falls: a max-pool may be computed before it."""

    @classmethod
    def parse(cls, args: Arguments) -> Word:
        """The word with the arguments that follow it in the text; most take none."""
        del args
        return cls()

    def text(self) -> str:
        """The word as it is written; parsing it gives an equal word."""
        return next(name for name in WORDS if WORDS[name] is type(self))

    @abstractmethod
    def output(self, shape: Shape) -> Shape:
        """The shape of the output for an input of ``shape``.

        Raises:
            ShapeError: the word can't work on such an input.
        """

    def parameters(self, shape: Shape) -> int:
        """The number of trained values for an input of ``shape``."""
        del shape
        return 0

    def multiply_adds(self, shape: Shape) -> int:
        """Multiplications followed by an addition, for one image; biases are not counted."""
        del shape
        return 0


@WORDS.add("conv")
@dataclass(frozen=True)
class Conv(Word):
    """``conv FILTERS KxK [same|valid|pad N] [stride N] [nobias]``."""

    stem: ClassVar[str] = "conv"
    filters: int
    kernel: Pair
    padding: Pair = (0, 0)
    same: bool = False
    stride: Pair = (1, 1)
    bias: bool = True

    @classmethod
    def parse(cls, args: Arguments) -> Conv:
        filters = args.count("the number of filters")
        kernel = args.size("a kernel size such as 5x5")
        options = args.options("same", "valid", "nobias", sizes=("pad", "stride"))
        args.at_most_one(options, "same", "valid", "pad")
        return cls(
            filters,
            kernel,
            padding=options.get("pad", (0, 0)),
            same="same" in options,
            stride=args.positive(options, "stride"),
            bias="nobias" not in options,
        )

    def text(self) -> str:
        pad = " same" if self.same else _option("pad", self.padding, (0, 0))
        bias = "" if self.bias else " nobias"
        kernel = f"{self.kernel[0]}x{self.kernel[1]}"
        return f"conv {self.filters} {kernel}{pad}{_option('stride', self.stride, (1, 1))}{bias}"

    def pads(self, shape: Shape) -> tuple[Pair, Pair]:
        """Zeros before and after, along height and width; "same" gives ⌈size / stride⌉ outputs."""
        if not self.same:
            return (self.padding[0], self.padding[0]), (self.padding[1], self.padding[1])
        (top, bottom), (left, right) = (
            _same(size, kernel, stride)
            for size, kernel, stride in zip(shape[1:], self.kernel, self.stride, strict=True)
        )
        return (top, bottom), (left, right)

    def output(self, shape: Shape) -> Shape:
        _, height, width = _maps(shape)
        pads = self.pads(shape)
        return (self.filters, *_windows("kernel", (height, width), self.kernel, pads, self.stride))

    def parameters(self, shape: Shape) -> int:
        return self.filters * (shape[0] * math.prod(self.kernel) + self.bias)

    def multiply_adds(self, shape: Shape) -> int:
        return math.prod(self.output(shape)) * shape[0] * math.prod(self.kernel)


@dataclass(frozen=True)
class _Pool(Word):
    """``maxpool|avgpool K [stride N] [pad N]``; the stride is the window's size unless given."""

    stem: ClassVar[str] = "pool"
    window: Pair
    stride: Pair
    padding: Pair = (0, 0)

    @classmethod
    def parse(cls, args: Arguments) -> _Pool:
        window = args.size("a window size such as 2")
        options = args.options(sizes=("stride", "pad"))
        return cls(window, args.positive(options, "stride", window), options.get("pad", (0, 0)))

    def text(self) -> str:
        stride = _option("stride", self.stride, self.window)
        return f"{super().text()} {_size(self.window)}{stride}{_option('pad', self.padding, (0, 0))}"

    def output(self, shape: Shape) -> Shape:
        channels, height, width = _maps(shape)
        if any(2 * pad > window for pad, window in zip(self.padding, self.window, strict=True)):
            raise ShapeError(
                f"pads by {_times(self.padding)}, more than half its window of {_times(self.window)}",
                "Use a smaller pad or a larger window.",
            )
        pads = ((self.padding[0],) * 2, (self.padding[1],) * 2)
        return (channels, *_windows("window", (height, width), self.window, pads, self.stride))


@WORDS.add("maxpool")
@dataclass(frozen=True)
class MaxPool(_Pool):
    """The largest value of each window, channel by channel."""


@WORDS.add("avgpool")
@dataclass(frozen=True)
class AvgPool(_Pool):
    """The mean of each window, channel by channel; padding counts as zeros."""


@WORDS.add("globalpool")
@dataclass(frozen=True)
class GlobalPool(Word):
    """The mean of each whole map."""

    stem: ClassVar[str] = "pool"

    def output(self, shape: Shape) -> Shape:
        return (_maps(shape)[0], 1, 1)


@dataclass(frozen=True)
class _Activation(Word):
    """A function of each value alone."""

    def output(self, shape: Shape) -> Shape:
        return shape


@WORDS.add("relu")
@dataclass(frozen=True)
class ReLU(_Activation):
    """max(0, x)."""

    stem: ClassVar[str] = "relu"
    monotone: ClassVar[bool] = True


@WORDS.add("tanh")
@dataclass(frozen=True)
class Tanh(_Activation):
    """The hyperbolic tangent."""

    stem: ClassVar[str] = "tanh"
    monotone: ClassVar[bool] = True


@WORDS.add("sigmoid")
@dataclass(frozen=True)
class Sigmoid(_Activation):
    """1 / (1 + exp(−x))."""

    stem: ClassVar[str] = "sigmoid"
    monotone: ClassVar[bool] = True


@WORDS.add("leakyrelu")
@dataclass(frozen=True)
class LeakyReLU(_Activation):
    """``leakyrelu [SLOPE]``: x above zero, SLOPE · x below."""

    stem: ClassVar[str] = "leakyrelu"
    monotone: ClassVar[bool] = True
    slope: float = 0.01

    @classmethod
    def parse(cls, args: Arguments) -> LeakyReLU:
        return cls(args.share("the slope below zero", 0.01))

    def text(self) -> str:
        return "leakyrelu" if self.slope == 0.01 else f"leakyrelu {self.slope!r}"


@WORDS.add("gelu")
@dataclass(frozen=True)
class GELU(_Activation):
    """x · Φ(x), which falls a little before zero, so it is not monotone."""

    stem: ClassVar[str] = "gelu"


@WORDS.add("batchnorm")
@dataclass(frozen=True)
class BatchNorm(_Activation):
    """Each channel to zero mean and unit deviation over the batch, then a learnt scale and shift."""

    stem: ClassVar[str] = "batchnorm"

    def parameters(self, shape: Shape) -> int:
        return 2 * shape[0]


@WORDS.add("dropout")
@dataclass(frozen=True)
class Dropout(_Activation):
    """``dropout P``: in training each value is zeroed with probability P."""

    stem: ClassVar[str] = "dropout"
    probability: float

    @classmethod
    def parse(cls, args: Arguments) -> Dropout:
        return cls(args.share("the probability to drop a value"))

    def text(self) -> str:
        return f"dropout {self.probability!r}"


@WORDS.add("flatten")
@dataclass(frozen=True)
class Flatten(Word):
    """Maps laid out as one vector, channel after channel, row after row."""

    stem: ClassVar[str] = "flatten"

    def output(self, shape: Shape) -> Shape:
        return (math.prod(shape),)


@WORDS.add("dense")
@dataclass(frozen=True)
class Dense(Word):
    """``dense UNITS``: every unit sees every input."""

    stem: ClassVar[str] = "dense"
    units: int

    @classmethod
    def parse(cls, args: Arguments) -> Dense:
        return cls(args.count("the number of units"))

    def text(self) -> str:
        return f"dense {self.units}"

    def output(self, shape: Shape) -> Shape:
        if len(shape) != 1:
            raise ShapeError(f"takes a vector but its input is {describe(shape)}", "Put flatten before it.")
        return (self.units,)

    def parameters(self, shape: Shape) -> int:
        return self.units * (shape[0] + 1)

    def multiply_adds(self, shape: Shape) -> int:
        return self.units * shape[0]


def describe(shape: Shape) -> str:
    """A shape as a person says it: ``4×4 (500 channels)``, or ``a vector of 500``."""
    if len(shape) == 1:
        return f"a vector of {shape[0]}"
    channels = "channel" if shape[0] == 1 else "channels"
    return f"{shape[1]}×{shape[2]} ({shape[0]} {channels})"


def _maps(shape: Shape) -> tuple[int, int, int]:
    if len(shape) != 3:
        raise ShapeError(f"takes maps but its input is {describe(shape)}", "Move it before the flatten.")
    return shape[0], shape[1], shape[2]


def _windows(
    what: str, size: Pair, window: Pair, pads: tuple[tuple[int, ...], tuple[int, ...]], stride: Pair
) -> Pair:
    """How often a window fits along height and along width: ⌊(size + pads − window) / stride⌋ + 1."""
    padded = (size[0] + sum(pads[0]), size[1] + sum(pads[1]))
    if window[0] > padded[0] or window[1] > padded[1]:
        largest = _times((min(padded[0], window[0]), min(padded[1], window[1])))
        same = '"same" padding' if what == "kernel" else "a pad"
        raise ShapeError(
            f"has a {_times(window)} {what} but its input is {{input}}",
            f"Use a {what} of at most {largest}, {same}{{drop}}.",
        )
    height, width = ((p - w) // s + 1 for p, w, s in zip(padded, window, stride, strict=True))
    return height, width


def _same(size: int, kernel: int, stride: int) -> Pair:
    total = max((math.ceil(size / stride) - 1) * stride + kernel - size, 0)
    return total // 2, total - total // 2


def _times(pair: Pair) -> str:
    return f"{pair[0]}×{pair[1]}"


def _size(pair: Pair) -> str:
    return str(pair[0]) if pair[0] == pair[1] else f"{pair[0]}x{pair[1]}"


def _option(name: str, value: Pair, default: Pair) -> str:
    return "" if value == default else f" {name} {_size(value)}"
