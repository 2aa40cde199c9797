"""A mean over images, and how sure it is."""

from __future__ import annotations

import math
from dataclasses import dataclass

from torch import Tensor


@dataclass(frozen=True)
class Mean:
    """A mean with its 95 % interval.

    Args:
        mean: NaN where there is no value.
        low: of the interval; the mean itself where it is of one value.
        high: likewise.
        count: of values.
    """

    mean: float
    low: float
    high: float
    count: int


def mean_of(values: Tensor) -> Mean:
    """The mean of values ``(N,)`` with ``mean ± t · s / √n``; NaN among them are left out.

    t is Student's for n − 1 degrees of freedom. Source: Student, "The probable error of a mean", 1908.
    """
    known = values.double()[values.isfinite()]
    count = len(known)
    if not count:
        return Mean(math.nan, math.nan, math.nan, 0)
    middle = float(known.mean())
    half = student_95(count - 1) * float(known.std()) / math.sqrt(count) if count > 1 else 0.0
    return Mean(middle, middle - half, middle + half, count)


def student_95(freedom: int) -> float:
    """Student's t of so many degrees of freedom stays within ± this with a probability of 95 %."""
    low, high = 0.0, 13.0  # one degree of freedom has 12.7
    for _ in range(50):
        middle = (low + high) / 2
        low, high = (middle, high) if _within(middle, freedom) < 0.95 else (low, middle)
    return high


def _within(t: float, freedom: int) -> float:
    """The probability that Student's t stays within ±t.

    Source: Abramowitz, Stegun, "Handbook of mathematical functions", 26.7.3 and 26.7.4.
    """
    angle = math.atan(t / math.sqrt(freedom))
    odd = freedom % 2
    total, term = 0.0, math.cos(angle) if odd else 1.0
    for number in range(freedom // 2):
        total += term
        term *= math.cos(angle) ** 2 * (2 * number + 1 + odd) / (2 * number + 2 + odd)
    return (angle + math.sin(angle) * total) * 2 / math.pi if odd else math.sin(angle) * total
