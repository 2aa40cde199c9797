"""Normalisation."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from cutaway.nets.arguments import Arguments
from cutaway.nets.words.activation import Elementwise
from cutaway.nets.words.shape import Shape, maps
from cutaway.nets.words.word import WORDS


@WORDS.add("batchnorm")
@dataclass(frozen=True)
class BatchNorm(Elementwise):
    """``batchnorm [EPSILON]``: each channel to zero mean and unit deviation over the batch.

    Then comes a learnt scale and shift. EPSILON is added to the variance.
    """

    stem: ClassVar[str] = "batchnorm"
    epsilon: float = 1e-5

    @classmethod
    def parse(cls, args: Arguments) -> BatchNorm:
        return cls(args.share("the number added to the variance", 1e-5, above=True))

    def text(self) -> str:
        return "batchnorm" if self.epsilon == 1e-5 else f"batchnorm {self.epsilon!r}"

    def parameters(self, shape: Shape) -> int:
        return 2 * shape[0]


@WORDS.add("lrn")
@dataclass(frozen=True)
class LocalResponseNorm(Elementwise):
    """``lrn [CHANNELS] [alpha A] [beta B] [k K]``: each value through its neighbours in other channels.

    b = a / (k + α / n · Σ a²)^β over the n channels around it. Krizhevsky et al., "ImageNet
    Classification with Deep Convolutional Neural Networks", 2012, section 3.3, where α is not
    divided by n; the constants are Caffe's and PyTorch's: n = 5, α = 1e-4, β = 0.75, k = 1.
    """

    stem: ClassVar[str] = "lrn"
    size: int = 5
    alpha: float = 1e-4
    beta: float = 0.75
    k: float = 1.0

    @classmethod
    def parse(cls, args: Arguments) -> LocalResponseNorm:
        size = args.count("the number of channels") if args.has_count() else 5
        numbers = args.numbers("alpha", "beta", "k")
        return cls(size, numbers.get("alpha", 1e-4), numbers.get("beta", 0.75), numbers.get("k", 1.0))

    def text(self) -> str:
        size = "" if self.size == 5 else f" {self.size}"
        numbers = (("alpha", self.alpha, 1e-4), ("beta", self.beta, 0.75), ("k", self.k, 1.0))
        return f"lrn{size}" + "".join(
            f" {name} {value!r}" for name, value, usual in numbers if value != usual
        )

    def output(self, shape: Shape) -> Shape:
        maps(shape)
        return shape
