"""Vectors: maps laid out, and dense layers on them."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar

from cutaway.nets.arguments import Arguments
from cutaway.nets.words.shape import Shape, ShapeError, describe
from cutaway.nets.words.word import WORDS, Word


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
