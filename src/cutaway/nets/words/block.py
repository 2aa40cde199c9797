"""Blocks: several branches on one input, joined again.

A block is written as one word and is one layer of a net. Inside, its layers are named as in a net
of their own: ``residual3.conv1``, ``inception2.pool1``.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from typing import ClassVar

from cutaway.nets.arguments import Arguments
from cutaway.nets.words.activation import ReLU
from cutaway.nets.words.conv import Conv
from cutaway.nets.words.layer import Layer
from cutaway.nets.words.norm import BatchNorm
from cutaway.nets.words.pool import MaxPool
from cutaway.nets.words.shape import Pair, Shape, maps
from cutaway.nets.words.window import option
from cutaway.nets.words.word import WORDS, Word

Chain = tuple[Layer, ...]
"""Layers one after another; an empty one passes its input on."""


class Join(StrEnum):
    """How branches come together: by the sum of their maps, or side by side."""

    ADD = "add"
    CONCAT = "concat"


@dataclass(frozen=True)
class Block(Word):
    """Branches on one input, joined, and what follows."""

    join: ClassVar[Join]

    @abstractmethod
    def chains(self, shape: Shape) -> tuple[Chain, ...]:
        """The branches for an input of ``shape``, and last what follows the joint."""

    def joined(self, shapes: list[Shape]) -> Shape:
        """The shape behind the joint."""
        if self.join is Join.ADD:
            return shapes[0]
        return (sum(shape[0] for shape in shapes), *shapes[0][1:])

    def inner(self, shape: Shape) -> Iterator[tuple[Layer, Shape]]:
        """Every layer inside with the shape of its input."""
        *branches, tail = self.chains(shape)
        ends = []
        for branch in branches:
            now = shape
            for layer in branch:
                yield layer, now
                now = layer.word.output(now)
            ends.append(now)
        now = self.joined(ends)
        for layer in tail:
            yield layer, now
            now = layer.word.output(now)

    def parameters(self, shape: Shape) -> int:
        return sum(layer.word.parameters(given) for layer, given in self.inner(shape))

    def multiply_adds(self, shape: Shape) -> int:
        return sum(layer.word.multiply_adds(given) for layer, given in self.inner(shape))


@WORDS.add("inception")
@dataclass(frozen=True)
class Inception(Block):
    """``inception A B-C D-E F [batchnorm] [wide K]``: four branches, concatenated.

    A maps by 1×1; B by 1×1, then C by 3×3; D by 1×1, then E by K×K (5×5); a 3×3 max-pool, then F
    by 1×1. ReLU follows every convolution. Szegedy et al., "Going Deeper with Convolutions", 2015,
    fig. 2b. With ``batchnorm`` every convolution has no bias and is followed by batch norm.
    """

    stem: ClassVar[str] = "inception"
    join: ClassVar[Join] = Join.CONCAT
    one: int
    reduce_three: int
    three: int
    reduce_wide: int
    wide: int
    pool: int
    batchnorm: bool = False
    kernel: Pair = (5, 5)

    @classmethod
    def parse(cls, args: Arguments) -> Inception:
        one = args.count("the number of 1×1 maps")
        reduce_three, three = args.counts("B-C, the maps before and of the 3×3 branch, such as 96-128")
        reduce_wide, wide = args.counts("D-E, the maps before and of the 5×5 branch, such as 16-32")
        pool = args.count("the number of maps behind the pool")
        options = args.options("batchnorm", sizes=("wide",))
        kernel = args.odd(options, "wide", (5, 5))
        return cls(one, reduce_three, three, reduce_wide, wide, pool, "batchnorm" in options, kernel)

    def text(self) -> str:
        branches = f"{self.reduce_three}-{self.three} {self.reduce_wide}-{self.wide}"
        norm = " batchnorm" if self.batchnorm else ""
        return f"inception {self.one} {branches} {self.pool}{norm}{option('wide', self.kernel, (5, 5))}"

    def output(self, shape: Shape) -> Shape:
        _, height, width = maps(shape)
        return (self.one + self.three + self.wide + self.pool, height, width)

    def chains(self, shape: Shape) -> tuple[Chain, ...]:
        del shape
        pool = MaxPool((3, 3), (1, 1), (1, 1))
        return _named(
            self._convs((self.one, (1, 1))),
            self._convs((self.reduce_three, (1, 1)), (self.three, (3, 3))),
            self._convs((self.reduce_wide, (1, 1)), (self.wide, self.kernel)),
            (pool, *self._convs((self.pool, (1, 1)))),
            (),
        )

    def _convs(self, *wanted: tuple[int, Pair]) -> tuple[Word, ...]:
        words: list[Word] = []
        for filters, kernel in wanted:
            padding = (kernel[0] // 2, kernel[1] // 2)
            words.append(Conv(filters, kernel, padding, bias=not self.batchnorm))
            if self.batchnorm:
                words.append(BatchNorm(0.001))  # as in the published weights
            words.append(ReLU())
        return tuple(words)


@WORDS.add("residual")
@dataclass(frozen=True)
class Residual(Block):
    """``residual FILTERS [stride N]``: two 3×3 convs with batch norm, added to their input, ReLU.

    Where the shape changes, the input goes through a strided 1×1 conv with batch norm. He et al.,
    "Deep Residual Learning for Image Recognition", 2016, fig. 2 and option B.
    """

    stem: ClassVar[str] = "residual"
    join: ClassVar[Join] = Join.ADD
    filters: int
    stride: Pair = (1, 1)

    @classmethod
    def parse(cls, args: Arguments) -> Residual:
        filters = args.count("the number of filters")
        return cls(filters, args.positive(args.options(sizes=("stride",)), "stride"))

    def text(self) -> str:
        return f"residual {self.filters}{option('stride', self.stride, (1, 1))}"

    def output(self, shape: Shape) -> Shape:
        maps(shape)
        return Conv(self.filters, (3, 3), (1, 1), stride=self.stride).output(shape)

    def chains(self, shape: Shape) -> tuple[Chain, ...]:
        main = (
            Conv(self.filters, (3, 3), (1, 1), stride=self.stride, bias=False),
            BatchNorm(),
            ReLU(),
            Conv(self.filters, (3, 3), (1, 1), bias=False),
            BatchNorm(),
        )
        same = self.stride == (1, 1) and shape[0] == self.filters
        shortcut = () if same else (Conv(self.filters, (1, 1), stride=self.stride, bias=False), BatchNorm())
        return _named(main, shortcut, (ReLU(),))


def _named(*chains: tuple[Word, ...]) -> tuple[Chain, ...]:
    """Layers named by their kind and their count in the block."""
    counts: dict[str, int] = {}
    named = []
    for chain in chains:
        layers = []
        for word in chain:
            counts[word.stem] = counts.get(word.stem, 0) + 1
            layers.append(Layer(f"{word.stem}{counts[word.stem]}", word))
        named.append(tuple(layers))
    return tuple(named)
