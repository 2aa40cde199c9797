"""Pooling: one value for each window."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from cutaway.nets.arguments import Arguments
from cutaway.nets.words.shape import Pair, Shape, ShapeError, maps
from cutaway.nets.words.window import Window, option, times, written
from cutaway.nets.words.word import WORDS, Word


@dataclass(frozen=True)
class _Pool(Word):
    """``maxpool|avgpool K [stride N] [pad N] [ceil]``; the stride is the window's size unless given.

    With ``ceil`` a last window may hang over the end, so that no row or column is left out.
    """

    stem: ClassVar[str] = "pool"
    size: Pair
    stride: Pair
    padding: Pair = (0, 0)
    ceil: bool = False

    @classmethod
    def parse(cls, args: Arguments) -> _Pool:
        window = args.size("a window size such as 2")
        options = args.options("ceil", sizes=("stride", "pad"))
        stride = args.positive(options, "stride", window)
        return cls(window, stride, options.get("pad", (0, 0)), "ceil" in options)

    def text(self) -> str:
        stride = option("stride", self.stride, self.size)
        ceil = " ceil" if self.ceil else ""
        return f"{super().text()} {written(self.size)}{stride}{option('pad', self.padding, (0, 0))}{ceil}"

    def window(self, shape: Shape) -> Window:
        del shape
        return Window(self.size, self.stride, self.padding, self.padding, self.ceil)

    def output(self, shape: Shape) -> Shape:
        channels, height, width = maps(shape)
        if any(2 * pad > size for pad, size in zip(self.padding, self.size, strict=True)):
            raise ShapeError(
                f"pads by {times(self.padding)}, more than half its window of {times(self.size)}",
                "Use a smaller pad or a larger window.",
            )
        return (channels, *self.window(shape).count(height, width))


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
        return (maps(shape)[0], 1, 1)

    def window(self, shape: Shape) -> Window:
        _, height, width = maps(shape)
        return Window((height, width), (height, width))
