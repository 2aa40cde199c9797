"""Activations: a function of each value alone."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from cutaway.nets.arguments import Arguments
from cutaway.nets.words.shape import Shape
from cutaway.nets.words.word import WORDS, Word


@dataclass(frozen=True)
class Elementwise(Word):
    """The output has the shape of the input."""

    def output(self, shape: Shape) -> Shape:
        return shape


@WORDS.add("relu")
@dataclass(frozen=True)
class ReLU(Elementwise):
    """max(0, x)."""

    stem: ClassVar[str] = "relu"
    monotone: ClassVar[bool] = True


@WORDS.add("tanh")
@dataclass(frozen=True)
class Tanh(Elementwise):
    """The hyperbolic tangent."""

    stem: ClassVar[str] = "tanh"
    monotone: ClassVar[bool] = True


@WORDS.add("sigmoid")
@dataclass(frozen=True)
class Sigmoid(Elementwise):
    """1 / (1 + exp(−x))."""

    stem: ClassVar[str] = "sigmoid"
    monotone: ClassVar[bool] = True


@WORDS.add("leakyrelu")
@dataclass(frozen=True)
class LeakyReLU(Elementwise):
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
class GELU(Elementwise):
    """x · Φ(x), which falls a little before zero, so it is not monotone."""

    stem: ClassVar[str] = "gelu"
