"""A forest plot: what every variant of a study did to the error, with intervals, in one column."""

from __future__ import annotations

import math
from collections.abc import Sequence
from enum import StrEnum
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from cutaway.draw.figures import FAINT, INK
from cutaway.draw.studies.marks import MARKS, PAGE, ended_early, legend_handles, note, shorten
from cutaway.draw.studies.scale import limits_of
from cutaway.draw.studies.wording import interval, p_value, points
from cutaway.errors import ConfigError
from cutaway.study import Difference, Measure, StudyTable, VariantRow

MOST = 120
"""Variants that are drawn: those with the largest differences."""

_NARROW = 6.0
"""Inches below which names stand above their intervals, not beside them."""
_COLUMNS = {"difference [95 %]": 98.0, "pairs": 120.0, "adjusted p": 160.0}
"""What stands at the right of a wide figure, and where each column ends, in points."""


_GAP = "\u2002"
"""An en space: a browser would make one of several plain ones."""
_CLEAR = {"facecolor": PAGE, "edgecolor": "none", "pad": 1}
"""Behind a text, so that it is read over the zero line."""


class Order(StrEnum):
    """In which order variants stand."""

    STUDY = "study"
    EFFECT = "effect"


def forest(table: StudyTable, order: str = Order.STUDY, width: float = 8.6) -> Figure:
    """The paired difference of every variant's top-1 error to the base, with its 95 % interval.

    A row a variant: colour and shape are its verdict's; half filled, it ended early. An interval that
    would make all others small ends in an arrow. A variant without a difference says why.

    Args:
        table: a study's results.
        order: "study" for the study's own, "effect" for the largest rise on top.
        width: in inches; below 6 names stand above their intervals, for a small screen.

    Raises:
        ConfigError: there is no such order.
    """
    if order not in list(Order):
        raise ConfigError(f'order should be {", ".join(Order)}, not "{order}".')
    rows = _chosen(table.rows, Order(order))
    narrow = width < _NARROW
    height = (0.44 if narrow else 0.32) * max(1, len(rows)) + 1.25
    figure = Figure(figsize=(width, height), layout="constrained")
    axes = figure.add_subplot()
    limits = axes.set_xlim(*_limits(rows))
    axes.set_ylim(max(1, len(rows)) - 0.4, -0.75 if narrow else -0.95)
    axes.axvline(0, color=INK, linewidth=0.8)
    for place, row in enumerate(rows):
        axes.axhline(place, color=FAINT, linewidth=0.4, alpha=0.35)
        _draw_row(axes, place, row, limits)
        (_write_above if narrow else _write_beside)(axes, place, row)
    if not narrow:
        axes.set_yticks(range(len(rows)), [_label(row) for row in rows], size=7, parse_math=False)
        for head, end in _COLUMNS.items():
            _write(axes, -0.75, head, end, FAINT)
    else:
        axes.set_yticks([])
    axes.tick_params(axis="y", length=0)
    axes.tick_params(axis="x", labelsize=7)
    axes.spines[["top", "right", "left"]].set_visible(False)
    axes.set_xlabel(f"← better{_GAP}percentage points of top-1 error{_GAP}worse →", size=7, color=INK)
    axes.set_title(_title(table, len(rows)), size=8, loc="left", color=INK, parse_math=False)
    if handles := legend_handles(rows):
        figure.legend(
            handles=handles, loc="outside lower center", ncols=2 if narrow else 6, fontsize=7, frameon=False
        )
    return figure


def _chosen(rows: Sequence[VariantRow], order: Order) -> tuple[VariantRow, ...]:
    """The rows that are drawn, in their order; those without a difference are last by effect."""

    def mean(row: VariantRow) -> float:
        difference = _difference(row)
        return difference.mean if difference else math.nan

    def size(at: int) -> float:
        return 0.0 if math.isnan(mean(rows[at])) else abs(mean(rows[at]))

    largest = sorted(sorted(range(len(rows)), key=lambda at: -size(at))[:MOST])
    chosen = [rows[at] for at in largest]
    if order is Order.EFFECT:
        chosen.sort(key=lambda row: math.inf if math.isnan(mean(row)) else -mean(row))
    return tuple(chosen)


def _difference(row: VariantRow) -> Difference | None:
    """Of the top-1 error; None where no pair of trials ended."""
    found = row.differences.get(Measure.TOP1)
    return found if found and not math.isnan(found.mean) else None


def _title(table: StudyTable, shown: int) -> str:
    told = f"{table.study.name}: variant minus base, {table.study.split} split"
    if shown < len(table.rows):
        told += f"; the {shown} of {len(table.rows)} variants that differ most"
    return told


def _limits(rows: Sequence[VariantRow]) -> tuple[float, float]:
    """Where the axis ends, in points; zero is inside."""
    found = [one for one in map(_difference, rows) if one]
    return limits_of(
        [(0.0, math.nan, math.nan), *((100 * one.mean, 100 * one.low, 100 * one.high) for one in found)]
    )


def _draw_row(axes: Axes, place: int, row: VariantRow, limits: tuple[float, float]) -> None:
    """A variant's mark and interval; without a difference, a mark at the right edge with the reason."""
    mark = MARKS[row.verdict.effect]
    difference = _difference(row)
    style = mark.style(half=ended_early(row))
    if difference is None:
        edge = axes.get_yaxis_transform()
        axes.plot([0.98], [place], transform=edge, **style)
        axes.text(
            0.96, place, shorten(note(row) or row.verdict.effect.value, 52), transform=edge, size=6.5,
            color=INK, ha="right", va="center", parse_math=False, bbox=_CLEAR,
        )  # fmt: skip
        return
    if not math.isnan(difference.low):
        low, high = 100 * difference.low, 100 * difference.high
        seen = max(low, limits[0]), min(high, limits[1])
        axes.plot(seen, (place, place), color=mark.colour, linewidth=1.6, solid_capstyle="butt")
        for end, limit, arrow in ((low, limits[0], "<"), (high, limits[1], ">")):
            cut = end < limit if arrow == "<" else end > limit
            axes.plot(
                [limit if cut else end],
                [place],
                marker=arrow if cut else "|",
                markersize=6,
                color=mark.colour,
                clip_on=False,
            )
    axes.plot([100 * difference.mean], [place], **style)


def _label(row: VariantRow) -> str:
    """A name, with what is to be known of it on a line below."""
    told = note(row) if _difference(row) else ""
    return shorten(row.variant.name, 44) + (f"\n{shorten(told, 44)}" if told else "")


def _write_beside(axes: Axes, place: int, row: VariantRow) -> None:
    difference = _difference(row)
    if difference is None:
        return
    told = (
        f"{points(difference.mean)} {interval(difference)}",
        str(difference.count),
        p_value(difference.adjusted),
    )
    for text, end in zip(told, _COLUMNS.values(), strict=True):
        _write(axes, place, text, end, INK)


def _write(axes: Axes, place: float, text: str, end: float, colour: str) -> None:
    """A cell at the right of the axes, that ends so many points behind them."""
    axes.annotate(
        text, (1, place), (end, 0), xycoords=("axes fraction", "data"), textcoords="offset points", size=6.5,
        color=colour, ha="right", va="center", annotation_clip=False,
    )  # fmt: skip


def _write_above(axes: Axes, place: int, row: VariantRow) -> None:
    difference = _difference(row)
    edge = axes.get_yaxis_transform()
    style: dict[str, Any] = {
        "transform": edge,
        "size": 7,
        "va": "center",
        "parse_math": False,
        "bbox": _CLEAR,
    }
    told = ""
    if difference:
        p = p_value(difference.adjusted)
        told = _GAP.join(
            (points(difference.mean), f"n={difference.count}", f"p{p if p.startswith('<') else f'={p}'}")
        )
    axes.text(0, place - 0.4, shorten(row.variant.name, 34), color=INK, ha="left", **style)
    axes.text(1, place - 0.4, told, color=INK, ha="right", **style)
