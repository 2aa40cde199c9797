"""How sure a measured share is: 95 % intervals in closed form."""

from __future__ import annotations

import math

from torch import Tensor

NORMAL_95 = 1.959963984540054
"""A normal variable stays within so many standard deviations with a probability of 95 %."""


def wilson(wrong: int, count: int) -> tuple[float, float]:
    """The score interval of a share: (p + z²/2n ± z √(p(1 − p)/n + z²/4n²)) / (1 + z²/n).

    It holds for small numbers and for shares of 0 and 1 too, where p ± z·√(p(1 − p)/n) claims to be
    certain. Wilson, "Probable inference, the law of succession, and statistical inference", 1927.

    Args:
        wrong: from 0 to ``count``.
        count: from 1.
    """
    share, z2 = wrong / count, NORMAL_95**2
    middle = share + z2 / (2 * count)
    half = NORMAL_95 * math.sqrt(share * (1 - share) / count + z2 / (4 * count * count))
    scale = 1 + z2 / count
    # At both ends a bound is exact, which rounding would lose.
    low = 0.0 if wrong == 0 else (middle - half) / scale
    high = 1.0 if wrong == count else (middle + half) / scale
    return low, high


def ratio(above: Tensor, below: Tensor) -> tuple[float, tuple[float, float]]:
    """A ratio of two sums over images, Σa / Σb, and its interval by linearisation.

    r ± z · √(Σ(a − r b)² / (n − 1) / n) / mean(b): images vary in both sums, and together. Cochran,
    "Sampling techniques", 1977, chapter 6.

    Args:
        above: a, ``(N,)``.
        below: b, ``(N,)``, not all zero.

    Returns:
        the ratio, and the interval, which does not go below 0; of one image it is not known and the
        interval is the ratio itself.
    """
    above, below = above.double(), below.double()
    count = len(above)
    share = float(above.sum() / below.sum())
    if count < 2:
        return share, (share, share)
    spread = float((above - share * below).square().sum() / (count - 1))
    half = NORMAL_95 * math.sqrt(spread / count) / float(below.mean())
    return share, (max(0.0, share - half), share + half)
