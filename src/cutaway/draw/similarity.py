"""Similarity as a heat map."""

from __future__ import annotations

import math

import numpy as np
from matplotlib.figure import Figure

from cutaway.draw.figures import INK, plot
from cutaway.look import Similarity

_MOST_NUMBERS = 20
"""Layers in a row whose values are written; of more they could not be read."""


@plot.register
def _(result: Similarity) -> Figure:
    """Layer by layer from 0 to 1; a layer that gives the same for all images is left grey."""
    values = result.values.numpy()
    rows, columns = values.shape
    cell = 0.42 if max(rows, columns) <= _MOST_NUMBERS else 0.16
    size = (min(24.0, 2.6 + cell * columns), min(24.0, 1.8 + cell * rows))
    figure = Figure(figsize=size, layout="constrained")
    axes = figure.add_subplot()
    axes.set_facecolor("#bbbbbb")
    picture = axes.imshow(
        np.ma.masked_invalid(values), cmap="viridis", vmin=0, vmax=1, interpolation="nearest"
    )
    axes.set_xticks(range(columns), result.columns, rotation=90, size=7, parse_math=False)
    axes.set_yticks(range(rows), result.rows, size=7, parse_math=False)
    if max(rows, columns) <= _MOST_NUMBERS:
        for (row, column), value in np.ndenumerate(values):
            text = "–" if math.isnan(value) else f"{value:.2f}"
            colour = "black" if value > 0.6 or math.isnan(value) else "white"
            axes.text(column, row, text, ha="center", va="center", size=6, color=colour)
    first, second = result.subjects
    told = f"linear CKA, {result.images:,} images"
    if first != second:
        axes.set_ylabel(first, size=8, parse_math=False)
        axes.set_xlabel(second, size=8, parse_math=False)
    axes.set_title(
        told if first != second else f"{first}: {told}", size=9, color=INK, loc="left", parse_math=False
    )
    bar = figure.colorbar(picture, ax=axes, fraction=0.04)
    bar.ax.tick_params(labelsize=7)
    return figure
