"""Cost against error: what every variant of a study takes, and how wrong it is."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullLocator

from cutaway.draw.figures import FAINT, INK
from cutaway.draw.studies.labels import Box, place
from cutaway.draw.studies.marks import MARKS, ended_early, legend_handles, note, shorten
from cutaway.draw.studies.scale import limits_of
from cutaway.draw.studies.wording import brief
from cutaway.errors import ConfigError
from cutaway.study import BASE, Effect, Estimate, Measure, StudyTable, VariantRow

COSTS = {
    Measure.MULTIPLY_ADDS: "multiply-adds for an image",
    Measure.SECONDS: "seconds of training and scoring",
    Measure.MEMORY: "memory of a training step",
}
"""What may stand along the axis, and what it is called there."""

_MARK = 4.5
"""Half of a mark's side, in points."""
_LEADER = {"arrowstyle": "-", "color": FAINT, "linewidth": 0.5, "shrinkA": 0, "shrinkB": 4}
"""From a name to a point that it is far from."""
_LINE = 0.16
"""Inches of a line of small text."""


@dataclass(frozen=True)
class _Point:
    number: int
    row: VariantRow
    cost: Estimate
    error: Estimate
    """In percent."""

    @property
    def whole(self) -> bool:
        """Whether all of its trials were trained to their end, with finite values."""
        return self.row.verdict.effect is not Effect.DIVERGES and not ended_early(self.row)


def cost(
    table: StudyTable, x: str = Measure.MULTIPLY_ADDS, labels: str = "names", width: float = 7.0
) -> Figure:
    """The top-1 error of the base and of every variant against a cost, with 95 % intervals.

    The dashed line is the Pareto front of the means: no variant that was trained to its end takes less
    and is less wrong. A variant without an error or a cost is named below.

    Args:
        table: a study's results.
        x: "multiply_adds", on a logarithmic scale, "seconds" or "memory".
        labels: "names" beside points, or "numbers" with the names below; numbers too where names have
            no room.
        width: in inches.

    Raises:
        ConfigError: there is no such cost, or no such kind of labels.
    """
    if x not in list(COSTS):
        raise ConfigError(f'x should be {", ".join(COSTS)}, not "{x}".')
    if labels not in ("names", "numbers"):
        raise ConfigError(f'labels should be names, numbers, not "{labels}".')
    measure = Measure(x)
    points = _points(table, measure)
    named = labels == "names"
    figure = _drawn(table, points, measure, width, numbers=not named)
    if named and not _add_labels(figure, points, [_name(point) for point in points]):
        figure = _drawn(table, points, measure, width, numbers=True)
        named = False
    if not named:
        _add_labels(figure, points, [str(point.number) for point in points], forced=True)
    return figure


def front(points: Sequence[tuple[float, float]]) -> list[int]:
    """Which points no other one is below in one value and at most as high in the other, by rising cost.

    Of equal points the first.
    """
    order = sorted(range(len(points)), key=lambda at: points[at])
    kept: list[int] = []
    for at in order:
        if not kept or points[at][1] < points[kept[-1]][1]:
            kept.append(at)
    return kept


def _points(table: StudyTable, measure: Measure) -> list[_Point]:
    """The base, number 0, and the variants that have both values."""
    found = []
    for number, row in enumerate((table.base, *table.rows)):
        taken, error = row.estimates.get(measure), row.estimates.get(Measure.TOP1)
        if taken and error and not math.isnan(taken.mean) and not math.isnan(error.mean):
            shown = Estimate(100 * error.mean, 100 * error.low, 100 * error.high, error.count)
            found.append(_Point(number, row, taken, shown))
    return found


def _name(point: _Point) -> str:
    return shorten(point.row.variant.name, 28)


def _drawn(
    table: StudyTable, points: Sequence[_Point], measure: Measure, width: float, *, numbers: bool
) -> Figure:
    """Everything but the labels."""
    below = _below(table, points, numbers=numbers, width=width)
    rows = tuple(point.row for point in points if point.number)
    handles = [_base_handle(), Line2D([], [], color=FAINT, linestyle="--", linewidth=1, label="Pareto front")]
    handles += legend_handles(rows)
    columns = max(1, int(width / 1.35))
    legend = math.ceil(len(handles) / columns) * 0.19
    foot = 0.52 + legend + _LINE * len(below)
    height = 0.3 + 0.55 * min(width, 7.5) + foot
    figure = Figure(figsize=(width, height))
    # Places in inches: labels are placed before the figure is drawn, so nothing may move afterwards.
    axes = figure.add_axes((0.55 / width, foot / height, 1 - 0.8 / width, 0.55 * min(width, 7.5) / height))
    _set_scales(axes, points, measure)
    _draw_points(axes, points)
    axes.set_xlabel(COSTS[measure], size=7, color=INK)
    axes.set_ylabel(f"top-1 error, {table.study.split} split (%)", size=7, color=INK)
    axes.set_title(
        f"{shorten(table.study.name, int(9 * width))}: cost and error",
        size=8,
        loc="left",
        color=INK,
        parse_math=False,
    )
    figure.legend(
        handles=handles,
        loc="lower left",
        bbox_to_anchor=(0.4 / width, _LINE * len(below) / height),
        ncols=columns,
        fontsize=6.5,
        frameon=False,
        borderpad=0,
        handletextpad=0.4,
        columnspacing=1,
    )
    for line, text in enumerate(reversed(below)):
        figure.text(
            0.5 / width,
            (line + 0.35) * _LINE / height,
            text,
            size=6.5,
            color=INK,
            va="center",
            parse_math=False,
        )
    return figure


def _base_handle() -> Line2D:
    return Line2D([], [], label=BASE, **_BASE_STYLE)


_BASE_STYLE: dict[str, Any] = {
    "color": INK,
    "marker": "*",
    "markersize": 10,
    "linestyle": "none",
    "zorder": 4,
}


def _below(table: StudyTable, points: Sequence[_Point], *, numbers: bool, width: float) -> list[str]:
    """Lines below the axes: whose number is whose, and what is not drawn."""
    letters = int(17 * width)
    told = (
        [f"{point.number}\u2002{shorten(point.row.variant.name, letters - 5)}" for point in points]
        if numbers
        else []
    )
    drawn = {point.number for point in points}
    for number, row in enumerate((table.base, *table.rows)):
        if number not in drawn:
            why = note(row) or "not trained yet"
            told.append(shorten(f"not drawn: {row.variant.name}, {why}", letters))
    return told


def _set_scales(axes: Axes, points: Sequence[_Point], measure: Measure) -> None:
    costs = [point.cost.mean for point in points]
    axes.set_ylim(*limits_of([(p.error.mean, p.error.low, p.error.high) for p in points]))
    axes.spines[["top", "right"]].set_visible(False)
    axes.tick_params(labelsize=7)
    axes.grid(alpha=0.25)
    axes.xaxis.set_major_formatter(FuncFormatter(lambda number, _: brief(measure, number)))
    if measure is Measure.MULTIPLY_ADDS and costs and min(costs) > 0:
        axes.set_xscale("log")
        edge = max(1.25, (max(costs) / min(costs)) ** 0.12)
        axes.set_xlim(min(costs) / edge, max(costs) * edge)
        near = max(costs) / min(costs) < 10
        axes.xaxis.set_major_locator(MaxNLocator(5) if near else LogLocator(subs=(1, 2, 5), numticks=8))
        axes.xaxis.set_minor_locator(NullLocator())
        axes.xaxis.set_major_formatter(FuncFormatter(lambda number, _: brief(measure, number)))
    elif costs:
        low, high = limits_of([(p.cost.mean, p.cost.low, p.cost.high) for p in points])
        edge = 0.06 * (high - low)
        axes.set_xlim(low - edge, high + edge)
        axes.xaxis.set_major_locator(MaxNLocator(5))


def _draw_points(axes: Axes, points: Sequence[_Point]) -> None:
    whole = [point for point in points if point.whole]
    kept = [whole[at] for at in front([(point.cost.mean, point.error.mean) for point in whole])]
    axes.plot(
        [point.cost.mean for point in kept], [point.error.mean for point in kept],
        drawstyle="steps-post", color=FAINT, linestyle="--", linewidth=1,
    )  # fmt: skip
    for point in points:
        mark = MARKS[point.row.verdict.effect]
        style = mark.style(half=ended_early(point.row)) if point.number else _BASE_STYLE
        colour = mark.colour if point.number else INK
        at, error = point.cost, point.error
        if not math.isnan(error.low):
            axes.plot((at.mean, at.mean), (error.low, error.high), color=colour, linewidth=0.9, alpha=0.7)
        if not math.isnan(at.low) and at.high > at.low:
            axes.plot((at.low, at.high), (error.mean, error.mean), color=colour, linewidth=0.9, alpha=0.7)
        axes.plot([at.mean], [error.mean], **style)
        _mark_cut(axes, point, colour)


def _mark_cut(axes: Axes, point: _Point, colour: Any) -> None:
    """An arrow where an interval goes on outside of the frame."""
    (left, right), (below, above) = axes.get_xlim(), axes.get_ylim()
    cost, error = point.cost, point.error
    for is_out, x, y, marker in (
        (error.low < below, cost.mean, below, "v"),
        (error.high > above, cost.mean, above, "^"),
        (cost.low < left, left, error.mean, "<"),
        (cost.high > right, right, error.mean, ">"),
    ):
        if is_out:
            axes.plot([x], [y], marker=marker, color=colour, markersize=4, clip_on=False)


def _add_labels(
    figure: Figure, points: Sequence[_Point], texts: Sequence[str], *, forced: bool = False
) -> bool:
    """Write texts beside their points where they fit; False, and nothing, where one has no room.

    When forced, one that has no room is written all the same.
    """
    axes = figure.axes[0]
    scale = 72 / figure.dpi
    anchors = [tuple(scale * axes.transData.transform((p.cost.mean, p.error.mean))) for p in points]
    frame = axes.get_window_extent()
    inside = Box(frame.x0 * scale, frame.y0 * scale, frame.x1 * scale, frame.y1 * scale)
    boxes = place(anchors, _sizes(figure, texts), _taken(axes, points, anchors, scale), inside)
    if None in boxes and not forced:
        return False
    for point, text, (x, y), box in zip(points, texts, anchors, boxes, strict=True):
        middle = ((box.left + box.right) / 2 - x, (box.bottom + box.top) / 2 - y) if box else (9.0, 6.0)
        far = box is not None and math.dist((0, 0), _nearest(box, x, y)) > 12
        axes.annotate(
            text, (point.cost.mean, point.error.mean), middle, textcoords="offset points", size=7, color=INK,
            ha="center", va="center", weight="normal" if point.number else "bold", parse_math=False,
            arrowprops=_LEADER if far else None,
        )  # fmt: skip
    return True


def _nearest(box: Box, x: float, y: float) -> tuple[float, float]:
    """From a point to the nearest one of a box."""
    return min(max(x, box.left), box.right) - x, min(max(y, box.bottom), box.top) - y


def _sizes(figure: Figure, texts: Sequence[str]) -> list[tuple[float, float]]:
    """Width and height of texts, in points."""
    scale = 72 / figure.dpi
    sizes = []
    for text in texts:
        drawn = figure.text(0, 0, text, size=7, weight="bold", parse_math=False)
        extent = drawn.get_window_extent()
        drawn.remove()
        sizes.append((extent.width * scale + 2, extent.height * scale + 1))
    return sizes


def _taken(
    axes: Axes, points: Sequence[_Point], anchors: Sequence[tuple[float, float]], scale: float
) -> list[Box]:
    """What labels may not cover: marks and intervals."""
    boxes = [Box(x - _MARK, y - _MARK, x + _MARK, y + _MARK) for x, y in anchors]
    for point, (x, y) in zip(points, anchors, strict=True):
        at, error = point.cost, point.error
        if not math.isnan(error.low):
            low = scale * axes.transData.transform((at.mean, error.low))[1]
            high = scale * axes.transData.transform((at.mean, error.high))[1]
            boxes.append(Box(x - 1, low, x + 1, high))
        if not math.isnan(at.low) and at.high > at.low > 0:
            left = scale * axes.transData.transform((at.low, error.mean))[0]
            right = scale * axes.transData.transform((at.high, error.mean))[0]
            boxes.append(Box(left, y - 1, right, y + 1))
    return boxes
