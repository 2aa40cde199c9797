"""Layer cards as a figure: a row a layer and a column a kind of evidence, or one layer with its sources."""

from __future__ import annotations

import math
import textwrap
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from cutaway.draw.depth import RANDOM, TRAINED
from cutaway.draw.figures import FAINT, INK, plot
from cutaway.draw.studies.marks import MARKS
from cutaway.study.cards.account import account
from cutaway.study.cards.advice import MARGIN, Advice, advise
from cutaway.study.cards.card import LayerCard, LayerCards, Retrained

_ROW = 0.3
"""Inches of a layer's row."""

_LINE = 0.17
"""Inches of a line of text."""

_WIDTH = 2.1
"""Inches of a column."""

_BARS = ("#1f77b4", "#8fbbe0", "#bdbdbd")
"""Of three bars beside each other: told apart in grey too."""


@plot.register
def _(result: LayerCards, *, margin: float = MARGIN) -> Figure:
    """The cards of all layers, a row each, above the advice; of a single layer its card in words.

    Args:
        result: the cards.
        margin: points of top-1 error that the advice takes for no harm.
    """
    advice = advise(result, margin)
    cards = list(result.cards.values())
    return _single(cards[0], result, advice) if len(cards) == 1 else _table(result, advice, margin)


@dataclass(frozen=True)
class _Column:
    """A kind of evidence.

    Args:
        title: of the column.
        known: whether a card has it.
        draw: draws it for all layers.
    """

    title: str
    known: Callable[[LayerCard], bool]
    draw: Callable[[Axes, Sequence[LayerCard], float], None]


def _table(result: LayerCards, advice: Sequence[Advice], margin: float) -> Figure:
    cards = list(result.cards.values())
    columns = [column for column in _COLUMNS if any(map(column.known, cards))]
    width = 1.2 + _WIDTH * len(columns)
    lines = _advice_lines(advice, int(15.5 * width))
    heights = [1.0 + _ROW * len(cards), 0.25 + _LINE * len(lines)]
    figure = Figure(figsize=(width, sum(heights)), layout="constrained")
    grid = figure.add_gridspec(2, len(columns), height_ratios=heights)
    for place, column in enumerate(columns):
        axes = figure.add_subplot(grid[0, place])
        column.draw(axes, cards, margin)
        _frame(axes, column.title, [card.layer for card in cards] if place == 0 else [], len(cards))
    _write(figure.add_subplot(grid[1, :]), lines, heights[1])
    figure.suptitle(_title(result), size=9, x=0.01, ha="left", color=INK, parse_math=False)
    return figure


def _title(result: LayerCards) -> str:
    return f"{result.subject}: layer cards" + (f", study {result.study}" if result.study else "")


def _frame(axes: Axes, title: str, names: Sequence[str], count: int) -> None:
    axes.set_ylim(count - 0.5, -0.5)
    axes.set_yticks(range(count), names or [""] * count, size=7, parse_math=False)
    axes.tick_params(axis="y", length=0, labelcolor=INK)
    axes.tick_params(axis="x", labelsize=6, colors=INK)
    axes.set_title(title, size=7, loc="left", color=INK)
    axes.grid(axis="y", color=FAINT, alpha=0.25, linewidth=0.5)
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)
    axes.spines[["left", "bottom"]].set_color(FAINT)
    handles, _ = axes.get_legend_handles_labels()
    if len(handles) > 1:
        axes.legend(fontsize=5.5, frameon=False, loc="upper center", bbox_to_anchor=(0.5, -0.16 / count**0.5),
                    ncols=1, labelcolor=INK, borderaxespad=1.2)  # fmt: skip


def _bars(axes: Axes, series: Mapping[str, Sequence[float]]) -> None:
    """Bars beside each other for each layer; NaN has none."""
    thick = min(0.5, 0.8 / len(series))
    for number, (label, values) in enumerate(series.items()):
        places = [place + thick * (number + 0.5 - len(series) / 2) for place in range(len(values))]
        axes.barh(places, values, thick * 0.9, color=_BARS[number], label=label)


def _costs(axes: Axes, cards: Sequence[LayerCard], _: float) -> None:
    sizes = [card.size.value for card in cards]
    times = [card.time.value for card in cards]
    series = {
        "parameters": [100 * size.parameter_share if size else math.nan for size in sizes],
        "multiply-adds": [100 * size.multiply_add_share if size else math.nan for size in sizes],
    }
    if any(times):
        series["time"] = [100 * time.share if time else math.nan for time in times]
    _bars(axes, series)


def _learnt(axes: Axes, cards: Sequence[LayerCard], _: float) -> None:
    learned = [card.learning.value for card in cards]
    _bars(axes, {"distance": [100 * one.own.distance if one else math.nan for one in learned]})


Point = tuple[float, float, float]
_NOTHING: Point = (math.nan, math.nan, math.nan)


def _points(axes: Axes, sides: Mapping[str, Sequence[Point]], colours: Sequence[str]) -> None:
    for number, (label, points) in enumerate(sides.items()):
        known = [(place, point) for place, point in enumerate(points) if not math.isnan(point[0])]
        shift = 0.28 * (number - (len(sides) - 1) / 2)
        axes.errorbar(
            [value for _, (value, _, _) in known],
            [place + shift for place, _ in known],
            xerr=(
                [max(0.0, value - low) for _, (value, low, _) in known],
                [max(0.0, high - value) for _, (value, _, high) in known],
            ),
            color=colours[number],
            marker="os"[number],
            linestyle="none",
            markersize=3.5,
            elinewidth=1,
            label=label,
        )


def _both(trained: Sequence[Point], random: Sequence[Point]) -> dict[str, Sequence[Point]]:
    return {"trained": trained, "random weights": random}


def _around(value: float, interval: tuple[float, float]) -> Point:
    return 100 * value, 100 * interval[0], 100 * interval[1]


def _read(axes: Axes, cards: Sequence[LayerCard], _: float) -> None:
    found = [card.readable.value for card in cards]
    sides = _both(
        [_around(one.trained.error, one.trained.interval) if one else _NOTHING for one in found],
        [_around(one.random.error, one.random.interval) if one else _NOTHING for one in found],
    )
    _points(axes, sides, (TRAINED, RANDOM))
    axes.set_xlim(left=0)


def _lost(axes: Axes, cards: Sequence[LayerCard], _: float) -> None:
    found = [card.left.value for card in cards]
    sides = _both(
        [_around(one.trained.error, one.trained.interval) if one else _NOTHING for one in found],
        [_around(one.random.error, one.random.interval) if one else _NOTHING for one in found],
    )
    _points(axes, sides, (TRAINED, RANDOM))
    axes.set_xlim(left=0)


def _used(axes: Axes, cards: Sequence[LayerCard], _: float) -> None:
    spectra = [card.spectrum.value for card in cards]
    counts = [card.units.value for card in cards]
    series = {}
    if any(one is not None for one in spectra):
        series["dimensions in use"] = [100 * one.saturation if one else math.nan for one in spectra]
    if any(counts):
        series["dead or duplicate units"] = [
            100 * one.idle / one.units if one else math.nan for one in counts
        ]
    _bars(axes, series)
    axes.set_xlim(0, 100)


def _knocked(axes: Axes, cards: Sequence[LayerCard], _: float) -> None:
    """A bar for each layer, and beside it its dearest unit and what that costs."""
    found = [card.knocked.value for card in cards]
    most = max(100 * one.accuracy for one in found if one)
    least = min(0.0, *(100 * one.lost for one in found if one))
    axes.barh(range(len(cards)), [100 * one.lost if one else math.nan for one in found], 0.5, color=_BARS[0])
    for place, one in enumerate(found):
        if one:
            told = f" {100 * one.lost:.1f}; unit {one.dearest}: {100 * one.dearest_lost:.1f}"
            axes.text(max(0.0, 100 * one.lost), place, told, size=5.5, va="center", color=INK)
    # The figures stand beside their bars, on the page's own ground.
    axes.set_xlim(least, 1.8 * most)
    axes.set_xticks([0, 50, 100])


def _trained_anew(axes: Axes, cards: Sequence[LayerCard], margin: float) -> None:
    """Differences with their intervals: squares without the layer, circles with it random."""
    axes.axvline(0, color=INK, linewidth=0.6)
    axes.axvline(margin, color=INK, linewidth=0.8, linestyle=":")
    sides: dict[str, list[Retrained | None]] = {
        "without it": [card.ablated.value for card in cards],
        "with it random": [card.frozen.value for card in cards],
    }
    for number, (label, found) in enumerate(sides.items()):
        marker = "so"[number]
        axes.plot([], [], marker=marker, color=INK, linestyle="none", markersize=3.5, label=label)
        for place, one in enumerate(found):
            if one is None:
                continue
            colour, height = MARKS[one.row.verdict.effect].colour, place + 0.28 * (number - 0.5)
            top1 = one.top1
            if top1 is None:
                axes.text(0, height, f" {one.row.verdict.effect}", size=5.5, va="center", color=INK)
                continue
            ends = [[100 * (top1.mean - top1.low)], [100 * (top1.high - top1.mean)]]
            mean = [100 * top1.mean]
            axes.errorbar(
                mean, [height], xerr=ends, color=colour, marker=marker, markersize=3.5, elinewidth=1
            )
    axes.set_xscale("symlog", linthresh=max(1.0, 2 * margin))
    axes.xaxis.set_major_formatter(lambda value, _: f"{value:g}")


_COLUMNS = (
    _Column("cost, % of the net's", lambda card: card.size.value is not None, _costs),
    _Column(
        "learning: distance from\nthe start, % of length",
        lambda card: card.learning.value is not None,
        _learnt,
    ),
    _Column("class: % wrong, read\nfrom it linearly", lambda card: card.readable.value is not None, _read),
    _Column("image: % of variance\nnot to be rebuilt", lambda card: card.left.value is not None, _lost),
    _Column(
        "units: % used, % idle",
        lambda card: card.spectrum.value is not None or card.units.value is not None,
        _used,
    ),
    _Column("knocked out:\npoints lost", lambda card: card.knocked.value is not None, _knocked),
    _Column(
        "trained anew: points of\ntop-1 error; dotted: margin",
        lambda card: card.ablated.value is not None or card.frozen.value is not None,
        _trained_anew,
    ),
)


@dataclass(frozen=True)
class _Text:
    """A line of a figure.

    Args:
        text: of it.
        colour: of its letters.
        head: what stands before it, in the first line of a paragraph.
    """

    text: str
    colour: str = INK
    head: str = ""


def _advice_lines(advice: Sequence[Advice], most: int) -> list[_Text]:
    """The advice, wrapped, each with its source."""
    if not advice:
        return [_Text("No advice follows from this evidence.", FAINT)]
    found = []
    for piece, behind in zip(advice, [*advice[1:], None], strict=True):
        # One source for what follows from the same.
        source = "" if behind is not None and behind.source == piece.source else piece.source
        found += _wrapped("", piece.sentence, source, most)
    return found


def _wrapped(head: str, text: str, source: str, most: int) -> list[_Text]:
    """A paragraph; its source stands in a lighter colour below."""
    lines = textwrap.wrap(text, most, break_on_hyphens=False) or [""]
    found = [_Text(lines[0], INK, head), *(_Text(line) for line in lines[1:])]
    below = textwrap.wrap(source, most, break_on_hyphens=False)
    return [*found, *(_Text(line, FAINT) for line in below)]


def _write(axes: Axes, lines: Sequence[_Text], height: float, indent: float = 0.0) -> None:
    """Lines of text from the top of axes that are so many inches high."""
    axes.set_axis_off()
    for number, line in enumerate(lines):
        at = 1 - (number + 0.5) * _LINE / height
        kind: dict[str, Any] = {
            "va": "center",
            "ha": "left",
            "size": 7.5,
            "transform": axes.transAxes,
            "parse_math": False,
        }
        axes.text(indent, at, line.text, color=line.colour, **kind)
        if line.head:
            axes.text(0, at, line.head, color=INK, weight="bold", **kind)


def _single(card: LayerCard, result: LayerCards, advice: Sequence[Advice]) -> Figure:
    """A card in words: what is known, from where, and what would tell the rest."""
    most = 128
    lines: list[_Text] = []
    for part in account(card):
        if part.source:
            lines += _wrapped(part.label, part.text, part.source, most)
        else:
            told = textwrap.wrap(f"not known: {part.text}", most, break_on_hyphens=False)
            lines += [_Text(text, FAINT, "" if at else part.label) for at, text in enumerate(told)]
    mine = _advice_lines(advice, most)
    lines += [_Text(line.text, line.colour, "" if at else "advice") for at, line in enumerate(mine)]
    height = 0.2 + _LINE * len(lines)
    figure = Figure(figsize=(8.6, height + 0.4), layout="constrained")
    shape = "×".join(map(str, card.shape))
    _write(figure.add_subplot(), lines, height, indent=0.16)
    study = f", study {result.study}" if result.study else ""
    title = f"{card.layer}: {card.word} → {shape}    {result.subject}{study}"
    figure.suptitle(title, size=9, x=0.01, ha="left", color=INK, parse_math=False)
    return figure
