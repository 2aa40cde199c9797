"""What a subject answers, as a confusion matrix."""

from __future__ import annotations

import numpy as np
from matplotlib.figure import Figure

from cutaway.draw.figures import INK, plot
from cutaway.look import Answers


@plot.register
def _(result: Answers) -> Figure:
    """The confusion matrix; shades are shares of the row, so that rare classes count as much."""
    confusion = result.confusion.numpy()
    shares = confusion / np.maximum(confusion.sum(1, keepdims=True), 1)
    side = 1.2 + 0.45 * len(confusion)
    figure = Figure(figsize=(side, side), layout="constrained")
    axes = figure.add_subplot()
    # Off the diagonal one percent should already be seen, so the shades grow with the root.
    axes.imshow(np.sqrt(shares), cmap="Blues", vmin=0, vmax=1)
    axes.set_xticks(range(len(confusion)), result.classes)
    axes.set_yticks(range(len(confusion)), result.classes)
    axes.set_xlabel("taken for")
    axes.set_ylabel("is")
    if len(confusion) <= 30:
        for row, column in np.argwhere(confusion):
            colour = "white" if shares[row, column] > 0.35 else INK
            axes.text(
                column, row, str(confusion[row, column]), ha="center", va="center", color=colour, size=7
            )
    axes.set_title(f"{result.subject}: {result.error():.2%} of {len(result.labels):,} wrong", size=9)
    return figure
