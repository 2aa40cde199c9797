"""Variants of a study against its base: objective, top-1 and top-5 error by epoch."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator

from cutaway.draw.figures import FAINT, INK
from cutaway.draw.span import suit_span
from cutaway.draw.studies.marks import BASE_COLOUR, note, shorten
from cutaway.errors import ConfigError
from cutaway.store import EpochRow
from cutaway.study import StudyTable, Trial, TrialStatus, VariantRow

MEASURES = {
    "objective": ("objective (nats)", 1.0),
    "top1_error": ("top-1 error (%)", 100.0),
    "top5_error": ("top-5 error (%)", 100.0),
}
"""The fields of ``Score`` that are drawn: the axis's label, the factor to its unit."""

COLOURS = ("#2166ac", "#c77700", "#b2182b")
"""Of variants on one picture: they and the base's grey are told apart with every kind of colour blindness."""

LINES: dict[str, Literal[":", "-", "--"]] = {"train": ":", "validation": "-", "test": "--"}
"""How the line of each split is drawn."""

MOST_LINES = 4
"""Seeds that each have a line of their own; more are a band from the least to the largest."""

MOST_ROWS = 30
"""Variants that have a row each in one picture."""


@dataclass(frozen=True)
class Course:
    """What one measure of several trials did, epoch by epoch.

    Args:
        epochs: ``(E,)`` that all trials have which were not broken off.
        mean: ``(E,)`` over those trials.
        low: ``(E,)``, the least of them.
        high: ``(E,)``, the largest.
        each: for every trial, also the broken ones, its epochs and its values.
    """

    epochs: Sequence[int]
    mean: Sequence[float]
    low: Sequence[float]
    high: Sequence[float]
    each: Sequence[tuple[Sequence[int], Sequence[float], TrialStatus]]


def course(trials: Sequence[Trial], split: str, field: str) -> Course:
    """A measure of a split by epoch. Trials that diverged or broke off are in no mean.

    Args:
        trials: of one variant.
        split: "train", "validation" or "test".
        field: of ``Score``.
    """
    each = [(*_points(trial.epochs, split, field), trial.status) for trial in trials]
    whole = [
        dict(zip(epochs, values, strict=True))
        for epochs, values, status in each
        if status not in (TrialStatus.DIVERGED, TrialStatus.FAILED) and epochs
    ]
    shared = sorted(set.intersection(*map(set, whole))) if whole else []
    values = np.array([[one[epoch] for epoch in shared] for one in whole]).reshape(len(whole), len(shared))
    if not shared:
        return Course((), (), (), (), each)
    return Course(shared, values.mean(0).tolist(), values.min(0).tolist(), values.max(0).tolist(), each)


def curves(table: StudyTable, variants: str | Sequence[str] = (), measures: Sequence[str] = ()) -> Figure:
    """Objective, top-1 and top-5 error by epoch, base against variants.

    A line is the mean over seeds, in the epochs that all of them have; faint lines are the seeds, a
    band is from the least of more than four to the largest, to where the first of them ended. A
    cross, on the line of the training split, is where a trial diverged.

    Args:
        table: a study's results.
        variants: names, up to three on the same axes; a row for each that was trained when not given.
        measures: some of ``MEASURES``, side by side; all when not given.

    Raises:
        ConfigError: there is no such variant or measure, or there are too many for one picture.
    """
    names = [variants] if isinstance(variants, str) else list(variants)
    chosen = [[_find(table, name) for name in names]] if names else _each(table)
    if len(chosen[0]) > len(COLOURS):
        raise ConfigError(f"{len(COLOURS)} variants can be told apart on one picture, not {len(chosen[0])}.")
    fields = list(measures) or list(MEASURES)
    if unknown := [field for field in fields if field not in MEASURES]:
        raise ConfigError(f'measures should be of {", ".join(MEASURES)}, not "{unknown[0]}".')
    wide = len(fields) > 1
    figure = Figure(
        figsize=(3.4 * len(fields), 2.7 * len(chosen) + (0.35 if wide else 0.55)), layout="constrained"
    )
    panels = figure.subplots(len(chosen), len(fields), squeeze=False)
    for line, rows in zip(panels, chosen, strict=True):
        for axes, field in zip(line, fields, strict=True):
            _draw(axes, table.base, rows, field)
        title = "; ".join(_told(row) for row in rows)
        line[0].set_title(shorten(title, 50 * len(fields)), size=8, loc="left", color=INK, parse_math=False)
        # Constrained layout would make room for the title in the first column alone.
        line[0].title.set_in_layout(not wide)
    _add_legend(figure, table, chosen, narrow=not wide)
    return figure


def _find(table: StudyTable, name: str) -> VariantRow:
    try:
        return table.row(name)
    except KeyError:
        known = ", ".join(row.variant.name for row in table.rows[:20])
        raise ConfigError(f'the study has no variant "{name}"; it has {known}.') from None


def _each(table: StudyTable) -> list[list[VariantRow]]:
    """A row of panels for every variant with an epoch; the base alone where there is none."""
    trained = [[row] for row in table.rows if any(trial.epochs for trial in row.trials)]
    return trained[:MOST_ROWS] or [[]]


def _told(row: VariantRow) -> str:
    told = note(row)
    return f"{row.variant.name} ({told})" if told else row.variant.name


def _points(epochs: Sequence[EpochRow], split: str, field: str) -> tuple[list[int], list[float]]:
    """Where a trial has a finite value, and the value in the unit that is drawn."""
    factor = MEASURES[field][1]
    found = [(row.epoch, getattr(row.scores[split], field) * factor) for row in epochs if split in row.scores]
    finite = [(epoch, value) for epoch, value in found if math.isfinite(value)]
    return [epoch for epoch, _ in finite], [value for _, value in finite]


def _draw(axes: Axes, base: VariantRow, rows: Sequence[VariantRow], field: str) -> None:
    """One measure of the base and of variants, a line for each split."""
    values: list[float] = []
    for row, colour in zip((base, *rows), (BASE_COLOUR, *COLOURS), strict=False):
        for split in _splits([row]):
            found = course(row.trials, split, field)
            _draw_course(axes, found, colour, split)
            values += [*found.low, *found.high]
    axes.set_xlabel("epoch", size=7, color=INK)
    axes.set_ylabel(MEASURES[field][0], size=7, color=INK)
    suit_span(axes, values)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.tick_params(labelsize=7)
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(alpha=0.25)


def _draw_course(axes: Axes, found: Course, colour: str, split: str) -> None:
    style = LINES[split]
    whole = [one for one in found.each if one[2] not in (TrialStatus.DIVERGED, TrialStatus.FAILED)]
    many = len(whole) > MOST_LINES
    last = found.epochs[-1] if found.epochs else 0
    for epochs, values, status in found.each:
        broken = status in (TrialStatus.DIVERGED, TrialStatus.FAILED)
        # A band ends where the first trial does; those that go on are lines from there.
        kept = [at for at, epoch in enumerate(epochs) if broken or not many or epoch >= last]
        if broken or (len(whole) > 1 and len(kept) > 1):
            x, y = [epochs[at] for at in kept], [values[at] for at in kept]
            axes.plot(x, y, color=colour, linestyle=style, linewidth=0.7, alpha=0.45)
        if status is TrialStatus.DIVERGED and epochs and split == "train":
            axes.plot(epochs[-1:], values[-1:], color=colour, marker="x", markersize=5, linestyle="none")
    if many and split != "train":
        axes.fill_between(found.epochs, found.low, found.high, color=colour, alpha=0.15, linewidth=0)
    if found.epochs:
        # A point for those who stopped after one epoch.
        marker = "o" if len(found.epochs) == 1 else None
        axes.plot(
            found.epochs,
            found.mean,
            color=colour,
            linestyle=style,
            linewidth=1.7,
            marker=marker,
            markersize=3,
        )


def _add_legend(
    figure: Figure, table: StudyTable, chosen: Sequence[Sequence[VariantRow]], *, narrow: bool
) -> None:
    """Colours for variants, lines for splits."""
    alone = len(chosen) > 1
    names = ["variant"] if alone else [shorten(row.variant.name, 34) for row in chosen[0]]
    handles = [
        Line2D([], [], color=colour, linewidth=2, label=name)
        for name, colour in zip(["base", *names], (BASE_COLOUR, *COLOURS), strict=False)
    ]
    splits = _splits([table.base, *(row for rows in chosen for row in rows)])
    handles += [Line2D([], [], color=FAINT, linestyle=LINES[split], label=split) for split in splits]
    legend = figure.legend(
        handles=handles,
        loc="outside lower center",
        ncols=2 if narrow else len(handles),
        fontsize=7,
        frameon=False,
    )
    for text in legend.get_texts():
        text.set_parse_math(False)


def _splits(rows: Sequence[VariantRow]) -> list[str]:
    """The splits that any epoch was scored on, in the order of ``LINES``."""
    scores = [epoch.scores for row in rows for trial in row.trials for epoch in trial.epochs]
    return [split for split in LINES if any(split in one for one in scores)]
