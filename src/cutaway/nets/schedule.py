"""The order in which a net's layers are computed, decided on the plan alone.

``order.py`` applies modules in it, ``memory.py`` counts what it takes. The reasons stand there.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from enum import Enum, auto
from itertools import zip_longest

from cutaway.nets.plan import LayerPlan
from cutaway.nets.words import Block, Conv, MaxPool


class Way(Enum):
    """How a step computes its layer."""

    MODULE = auto()
    BLOCK = auto()
    DIRECT = auto()
    WINOGRAD = auto()
    UNFOLDED = auto()
    BIAS = auto()


@dataclass(frozen=True)
class Step:
    """One step of computing.

    Args:
        row: the layer; for ``BIAS``, the one whose output the bias is added to.
        way: how.
        conv: for ``BIAS``, the name of the convolution that has left it out.
        biased: for a convolution, whether it adds its bias.
    """

    row: LayerPlan
    way: Way
    conv: str = ""
    biased: bool = True


def steps(chain: Sequence[LayerPlan]) -> Iterator[Step]:
    """The steps of a chain of layers, with less work and the same result.

    Monotone activations and biases stand behind the max-pool that follows them, pools of one value
    are left out, wide 3×3 convolutions are computed by Winograd's algorithm, and wide ones of few outputs
    by one matrix product.
    """
    rows = pools_first(chain)
    late = ""
    for row, following in zip_longest(rows, rows[1:]):
        word = row.layer.word
        pooled = following is not None and isinstance(following.layer.word, MaxPool)
        if isinstance(word, Conv):
            unbiased = pooled and word.bias and is_even(row)
            late = row.name if unbiased else ""
            yield Step(row, _way(row, biased=not unbiased), biased=not unbiased)
            continue
        yield Step(row, Way.BLOCK if isinstance(word, Block) else Way.MODULE)
        if late and not pooled:
            yield Step(row, Way.BIAS, late)
            late = ""


def pools_first(chain: Sequence[LayerPlan]) -> list[LayerPlan]:
    """Monotone activations behind the max-pool that follows them, pools of one value left out."""
    rows = [row for row in chain if not _idle(row)]
    for at in range(len(rows) - 1):
        if rows[at].layer.word.monotone and isinstance(rows[at + 1].layer.word, MaxPool):
            pool = rows[at + 1]
            shape = pool.output_shape
            rows[at], rows[at + 1] = pool, replace(rows[at], input_shape=shape, output_shape=shape)
    return rows


LEAST_CHANNELS = 128
"""With fewer channels, in or out, a convolution is faster computed directly."""

MOST_WASTE = 1.5
"""Winograd's tiles of 4×4 may cover at most this many times the outputs that are wanted."""


def suits_winograd(row: LayerPlan) -> bool:
    """Whether a layer is a convolution that Winograd's tiles are faster for."""
    word = row.layer.word
    if not isinstance(word, Conv) or word.kernel != (3, 3) or word.stride != (1, 1) or not is_even(row):
        return False
    if word.window(row.input_shape).before not in {(0, 0), (1, 1), (2, 2)}:
        return False
    _, height, width = row.output_shape
    waste = 16 * -(-height // 4) * -(-width // 4) / (height * width)
    return min(row.input_shape[0], word.filters) >= LEAST_CHANNELS and waste <= MOST_WASTE


def suits_unfolding(row: LayerPlan) -> bool:
    """Whether a layer is a convolution that is faster as one matrix product of its windows."""
    word = row.layer.word
    if not isinstance(word, Conv) or not is_even(row):
        return False
    places = math.prod(row.output_shape[1:])
    return min(row.input_shape[0], word.filters) >= LEAST_CHANNELS and places <= math.prod(word.kernel)


def _way(row: LayerPlan, *, biased: bool) -> Way:
    """How a convolution is computed. Its module knows no way of leaving the bias out."""
    if suits_unfolding(row):
        return Way.UNFOLDED
    if suits_winograd(row):
        return Way.WINOGRAD
    return Way.MODULE if biased else Way.DIRECT


def is_paired(word: MaxPool) -> bool:
    """Whether a pool is of 2×2 without padding: where no gradient is wanted it is computed by pairs."""
    return word.size == word.stride == (2, 2) and word.padding == (0, 0) and not word.ceil


def is_even(row: LayerPlan) -> bool:
    """Whether a convolution pads opposite sides alike, as PyTorch's module does."""
    window = row.layer.word.window(row.input_shape)
    return window is not None and window.before == window.after


def _idle(row: LayerPlan) -> bool:
    word = row.layer.word
    return isinstance(word, MaxPool) and word.size == word.stride == (1, 1)
