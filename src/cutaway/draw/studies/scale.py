"""Where an axis with intervals ends."""

from __future__ import annotations

import math
from collections.abc import Iterable
from statistics import median


def limits_of(found: Iterable[tuple[float, float, float]]) -> tuple[float, float]:
    """The ends of an axis for means and their intervals, so that no wide interval makes all else small.

    All means are inside. An interval reaches at most as far beyond them as the means span, or as three
    of the intervals' half widths do, of the one in the middle.

    Args:
        found: mean, low and high of each; one whose mean is NaN is left out, and so is an interval.
    """
    known = [one for one in found if not math.isnan(one[0])]
    if not known:
        return -1.0, 1.0
    low, high = min(mean for mean, _, _ in known), max(mean for mean, _, _ in known)
    sure = [one for one in known if not math.isnan(one[1])]
    if sure:
        room = max(high - low, 3 * median((end - start) / 2 for _, start, end in sure))
        low, high = (
            max(low - room, min(low, *(start for _, start, _ in sure))),
            min(high + room, max(high, *(end for _, _, end in sure))),
        )
    edge = 0.06 * (high - low) or 0.06 * abs(high) or 1.0
    return low - edge, high + edge
