"""Convolution."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar

from cutaway.nets.arguments import Arguments
from cutaway.nets.words.shape import Pair, Shape, maps
from cutaway.nets.words.window import Window, option, same_padding
from cutaway.nets.words.word import WORDS, Word


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
        pad = " same" if self.same else option("pad", self.padding, (0, 0))
        bias = "" if self.bias else " nobias"
        kernel = f"{self.kernel[0]}x{self.kernel[1]}"
        return f"conv {self.filters} {kernel}{pad}{option('stride', self.stride, (1, 1))}{bias}"

    def window(self, shape: Shape) -> Window:
        """The kernel; "same" gives ⌈size / stride⌉ outputs."""
        before = after = self.padding
        if self.same:
            (top, bottom), (left, right) = (
                same_padding(size, kernel, stride)
                for size, kernel, stride in zip(shape[1:], self.kernel, self.stride, strict=True)
            )
            before, after = (top, left), (bottom, right)
        return Window(self.kernel, self.stride, before, after, what="kernel")

    def output(self, shape: Shape) -> Shape:
        _, height, width = maps(shape)
        return (self.filters, *self.window(shape).count(height, width))

    def parameters(self, shape: Shape) -> int:
        return self.filters * (shape[0] * math.prod(self.kernel) + self.bias)

    def multiply_adds(self, shape: Shape) -> int:
        return math.prod(self.output(shape)) * shape[0] * math.prod(self.kernel)
