"""What a subject answers, as a confusion matrix."""

from __future__ import annotations

import math

import numpy as np
from matplotlib.figure import Figure

from cutaway.draw.figures import INK, plot
from cutaway.draw.panel import LONGEST
from cutaway.look import Answers

_LEAST = 0.14
"""Inches from one name to the next."""


@plot.register
def _(result: Answers) -> Figure:
    """The confusion matrix; shades are shares of the row, so that rare classes count as much."""
    confusion = result.confusion.numpy()
    shares = confusion / np.maximum(confusion.sum(1, keepdims=True), 1)
    count = len(confusion)
    side = min(1.6 + 0.45 * count, LONGEST)
    figure = Figure(figsize=(side, side), layout="constrained")
    axes = figure.add_subplot()
    # Off the diagonal one percent should already be seen, so the shades grow with the root.
    axes.imshow(np.sqrt(shares), cmap="Blues", vmin=0, vmax=1)
    # A name for every class while there is room for one, then for some.
    step = max(1, math.ceil(count * _LEAST / side))
    names = [name if len(name) <= 16 else f"{name[:15]}…" for name in result.classes[::step]]
    axes.set_xticks(range(0, count, step), names, rotation=90, parse_math=False)
    axes.set_yticks(range(0, count, step), names, parse_math=False)
    axes.set_xlabel("taken for")
    axes.set_ylabel("is")
    if len(confusion) <= 30:
        for row, column in np.argwhere(confusion):
            colour = "white" if shares[row, column] > 0.35 else INK
            axes.text(
                column, row, str(confusion[row, column]), ha="center", va="center", color=colour, size=7
            )
    told = f"{result.subject}: {result.error():.2%} of {len(result.labels):,} wrong"
    axes.set_title(told, size=9, parse_math=False)
    return figure
