"""A run's scores by epoch."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from cutaway.draw.figures import plot
from cutaway.draw.span import suit_span
from cutaway.store import EpochRow, Run


@plot.register
def _(result: Run) -> Figure:
    """Objective and top-1 error by epoch."""
    return plot_epochs(result.epochs())


def plot_epochs(epochs: Sequence[EpochRow]) -> Figure:
    """Objective and top-1 error by epoch side by side, a line for each split."""
    figure = Figure(figsize=(9, 3.2), layout="constrained")
    for axes, measure in zip(figure.subplots(1, 2), MEASURES, strict=True):
        _draw_curve(axes, epochs, *MEASURES[measure])
    return figure


def plot_measure(epochs: Sequence[EpochRow], measure: str) -> Figure:
    """One of ``MEASURES`` by epoch, a line for each split."""
    figure = Figure(figsize=(4.8, 3.2), layout="constrained")
    _draw_curve(figure.add_subplot(), epochs, *MEASURES[measure])
    return figure


MEASURES = {
    "objective": ("objective", "objective (nats)", 1.0),
    "top-1 error": ("top1_error", "top-1 error (%)", 100.0),
}
"""For each measure of an epoch: the field of ``Score``, the axis's label, the factor to its unit."""

SPLIT_COLOURS = {"train": "#7f7f7f", "validation": "#1f77b4", "test": "#d62728"}


_FEW = 50
"""Epochs of which each has a dot; the dots of more would be a band."""


def _draw_curve(axes: Axes, epochs: Sequence[EpochRow], field: str, label: str, factor: float) -> None:
    """One measure by epoch, a line for each split, on a scale that suits its span."""
    for split, colour in SPLIT_COLOURS.items():
        points = [
            (row.epoch, getattr(row.scores[split], field) * factor) for row in epochs if split in row.scores
        ]
        if points:
            marker = "o" if len(points) <= _FEW else None
            axes.plot(*zip(*points, strict=True), color=colour, label=split, marker=marker, markersize=4)
    axes.set_xlabel("epoch")
    axes.set_ylabel(label)
    suit_span(axes, [value for line in axes.get_lines() for value in np.asarray(line.get_ydata())])
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(alpha=0.25)
    axes.legend(frameon=False)
