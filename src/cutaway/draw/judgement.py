"""Judgements as a figure: a row of bars for each method, and which of them agree."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

from cutaway.draw.figures import FAINT, INK, plot
from cutaway.draw.palette import SIGNED
from cutaway.look.judging import CHANCE, CRITERIA, Judgement

_BAR, _BEST, _CHANCE = "#9dbfdc", "#2166ac", "#c9c9c9"

_SHARES = "Blues"
"""From white at 0 to dark at 1, for what has no sign."""

_MEANING = {
    "deletion": "area, hottest pixels removed",
    "insertion": "area, hottest pixels shown",
    "sensitivity": "change of the map under noise",
    "sanity": "what random weights leave of it",
}


@plot.register
def _(result: Judgement) -> Figure:
    """Above, a row for each method, the best one on top, with bars for the criteria and the seconds.

    The best of each column is dark; a dotted line has what random maps come to. Below, which methods
    agree, and what is left of each map while ever more weights are random.
    """
    order = result.order()
    names = [*order, CHANCE]
    labels = [f"{name}  {place:.1f}" for name, place in order.items()] + [CHANCE]
    refused = [f"{name}: {reason}" for name, reason in result.refused.items()]
    rows = 0.7 + 0.25 * len(names)
    heat = 1.4 + 0.2 * len(names)
    figure = Figure(figsize=(11, rows + heat + 0.4 + 0.16 * len(refused)), layout="constrained")
    above, below = figure.subfigures(2, 1, height_ratios=(rows, heat), squeeze=False)[:, 0]
    panels = above.subplots(1, len(CRITERIA) + 1, sharey=True, squeeze=False)[0]
    for axes, criterion in zip(panels, CRITERIA, strict=False):
        _draw_criterion(axes, result, names, criterion)
    _draw_seconds(panels[-1], [result.rows[name].seconds for name in order])
    panels[0].set_yticks(range(len(names)), labels, size=7.5, parse_math=False)
    panels[0].set_ylim(len(names) - 0.4, -0.6)
    _draw_agreement(below.subplots(1, 3, squeeze=False)[0], result, names)
    many = "1 image" if result.images == 1 else f"{result.images:,} images"
    figure.suptitle(
        f"{result.subject}: explanations judged by {many}; behind each method the mean of its places",
        size=9,
        color=INK,
        x=0.01,
        ha="left",
        parse_math=False,
    )
    if refused:
        figure.supxlabel(
            "\n".join(_cut(line) for line in ("not judged", *refused)),
            size=6.5,
            color=FAINT,
            x=0.01,
            ha="left",
            parse_math=False,
        )
    return figure


def _draw_criterion(axes: Axes, result: Judgement, names: Sequence[str], criterion: str) -> None:
    """A column: the mean over images as a bar, with its 95 % interval."""
    means = [result.rows[name].mean(criterion) for name in names]
    known = [one.mean for one in means[:-1] if not math.isnan(one.mean)]
    more = CRITERIA[criterion]
    best = (max if more else min)(known) if known else math.nan
    high = max((one.high for one in means if not math.isnan(one.high)), default=1.0) or 1.0
    # Far beyond the methods' own means chance and long intervals would only press the bars together.
    most = max(known, default=0.0) or high
    end = high if high <= 2 * most else 1.5 * most
    for place, one in enumerate(means):
        last = place == len(means) - 1
        axes.barh(
            place, min(one.mean, end), 0.72, color=_CHANCE if last else _BEST if one.mean == best else _BAR
        )
        beyond = one.mean > end
        if not beyond:
            axes.plot([max(one.low, 0), min(one.high, end)], [place, place], color=INK, linewidth=0.7)
        told = "none" if math.isnan(one.mean) else f"{'→ ' if beyond else ''}{one.mean:.2f}"
        axes.text(1.32 * end, place, told, size=7, va="center", ha="right", color=INK)
    if means[-1].mean <= end:
        axes.axvline(means[-1].mean, color=FAINT, linewidth=0.8, linestyle=":")
    axes.set_xlim(0, 1.32 * end)
    _title(axes, f"{criterion}  {'more' if more else 'less'} is better", _MEANING[criterion])


def _draw_seconds(axes: Axes, seconds: Sequence[float]) -> None:
    """The last column: milliseconds an image, by powers of ten."""
    times = [1000 * one for one in seconds]
    low = min(times, default=1.0) / 2
    end = max(times, default=1.0)
    axes.set_xscale("log")
    axes.set_xlim(low, low * (2 * end / low) ** 1.32)
    for place, one in enumerate(times):
        axes.barh(place, one - low, 0.72, left=low, color=_CHANCE)
        axes.text(axes.get_xlim()[1], place, f"{one:.3g}", size=7, va="center", ha="right", color=INK)
    axes.minorticks_off()
    _title(axes, "milliseconds an image", "has no part in the order")


def _title(axes: Axes, name: str, told: str) -> None:
    axes.set_title(f"{name}\n", size=8, loc="left", color=INK)
    axes.annotate(
        told, (0, 1), (0, 4), xycoords="axes fraction", textcoords="offset points", size=6.5, color=FAINT
    )
    axes.spines[["top", "right", "left"]].set_visible(False)
    axes.tick_params(labelsize=6.5, left=False)


def _draw_agreement(panels: Sequence[Axes], result: Judgement, names: Sequence[str]) -> None:
    """Three heat maps: correlation, common top, and what the cascade leaves."""
    at = [list(result.rows).index(name) for name in names]
    agreement, overlap = (matrix.numpy()[np.ix_(at, at)] for matrix in (result.agreement, result.overlap))
    left = np.stack([result.rows[name].correlation.mean(1).numpy() for name in names])
    _draw_heat(panels[0], agreement, names, names, (-1, 1))
    _draw_heat(panels[1], overlap, names, [], (0, 1))
    _draw_heat(panels[2], left, result.stages, [], (0, 1))
    panels[0].set_title("agreement: Spearman's correlation, %", size=8, loc="left", color=INK)
    panels[1].set_title(f"common among the hottest {result.top:.0%}, %", size=8, loc="left", color=INK)
    panels[2].set_title("correlation left by random weights down to …, %", size=8, loc="left", color=INK)


def _draw_heat(
    axes: Axes,
    values: NDArray[np.float64],
    columns: Sequence[str],
    rows: Sequence[str],
    ends: tuple[float, float],
) -> None:
    low, high = ends
    axes.imshow(values, cmap=SIGNED if low < 0 else _SHARES, vmin=low, vmax=high, aspect="auto")
    for row, line in enumerate(values.tolist()):
        for column, value in enumerate(line):
            colour = "white" if abs(value) > 0.6 else INK
            axes.text(column, row, str(round(100 * value)), size=5.5, ha="center", va="center", color=colour)
    axes.set_xticks(range(len(columns)), [_cut(name, 22) for name in columns], size=6.5, rotation=90)
    axes.set_yticks(range(len(rows)), list(rows), size=6.5)
    for label in (*axes.get_xticklabels(), *axes.get_yticklabels()):
        label.set_parse_math(False)
    axes.tick_params(length=0)
    axes.spines[:].set_visible(False)


def _cut(text: str, most: int = 200) -> str:
    return text if len(text) <= most else f"{text[: most - 1]}…"
