"""An axis that suits the span of what is drawn on it."""

from __future__ import annotations

import math
from collections.abc import Iterable

from matplotlib.axes import Axes
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

_WIDE = 20
"""So many times the smallest is so wide a span that small values would lie on the axis."""

_DECADES = 1000
"""Over a span below this, powers of ten alone would be two ticks, or none."""


def suit_span(axes: Axes, values: Iterable[float]) -> None:
    """Lets the vertical axis start at 0, or be logarithmic where values span more than twenty-fold.

    Lines beyond the values, such as of a training that diverges, leave the picture: they would flatten all
    else.

    Args:
        axes: with or without its lines.
        values: what is to be inside; what is not above 0, or not finite, has no part in it.
    """
    above = [value for value in values if 0 < value < math.inf]
    low, high = min(above, default=0.0), max(above, default=0.0)
    if high > _WIDE * low:
        axes.set_yscale("log")
        axes.set_ylim(low / 1.2, high * 1.2)
        axes.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5) if high < _DECADES * low else (1,)))
        axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
        axes.yaxis.set_minor_formatter(NullFormatter())
    elif high:
        axes.set_ylim(0, high * 1.06)
    else:
        axes.set_ylim(bottom=0)
