"""Numbers of a study in words: the same in its figures and its report."""

from __future__ import annotations

import math

from cutaway.config import show_bytes
from cutaway.study import Difference, Estimate, Measure

NOTHING = "–"
"""Stands where there is no number."""


def points(share: float) -> str:
    """A difference of two shares, in percentage points with its sign: "+12.40", "−0.02"."""
    return NOTHING if math.isnan(share) else signed(100 * share)


def signed(value: float, places: int = 2) -> str:
    """A number with its sign, the minus as in print; what rounds to nought has none."""
    told = f"{value:+.{places}f}"
    return told.replace("-", "−") if float(told) else told[1:]


def interval(difference: Difference) -> str:
    """The ends of a difference's interval, in points: "[+11.30, +13.50]"; empty where there is none."""
    if math.isnan(difference.low):
        return ""
    return f"[{points(difference.low)}, {points(difference.high)}]"


def p_value(p: float) -> str:
    """A p-value: "0.012", "<0.001"."""
    if math.isnan(p):
        return NOTHING
    if p < 0.001:
        return "<0.001"
    # A verdict hangs on which side of 0.05 it is.
    if f"{p:.4f}" == "0.0500" and p != 0.05:
        return "<0.05" if p < 0.05 else ">0.05"
    return f"{p:.4f}" if f"{p:.3f}" == "0.050" and p != 0.05 else f"{p:.3f}"


def value(measure: Measure, number: float) -> str:
    """A value of a measure with its unit, where it needs one: errors in percent, memory in bytes."""
    if math.isnan(number):
        return NOTHING
    match measure:
        case Measure.TOP1 | Measure.TOP5:
            return f"{100 * number:.2f}"
        case Measure.OBJECTIVE:
            return f"{number:.3f}"
        case Measure.SECONDS:
            return duration(number)
        case Measure.MULTIPLY_ADDS:
            return f"{number:,.0f}"
        case Measure.MEMORY:
            return show_bytes(number)


def ends(measure: Measure, estimate: Estimate) -> str:
    """The ends of an estimate's interval: "[11.30, 13.50]"; empty where there is none, or nothing varies."""
    if math.isnan(estimate.low) or measure in (Measure.MULTIPLY_ADDS, Measure.MEMORY):
        return ""
    return f"[{value(measure, estimate.low)}, {value(measure, estimate.high)}]"


def duration(seconds: float) -> str:
    """Seconds as a person reads them: "8.1 s", "12 min 30 s", "3 h 05 min"."""
    if seconds < 99.95:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02d} s"
    return f"{whole // 3600} h {whole % 3600 // 60:02d} min"


def brief(measure: Measure, number: float) -> str:
    """A value beside an axis, in few letters: "3.2 M" for multiply-adds."""
    if measure is Measure.MULTIPLY_ADDS:
        for size, letter in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
            if abs(number) >= size:
                return f"{number / size:.3g} {letter}"
        return f"{number:.3g}"
    if measure is Measure.SECONDS and abs(number) < 100:
        return f"{number:.3g} s"
    return value(measure, number) if number >= 0 else ""
