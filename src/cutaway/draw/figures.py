"""Any result as a Matplotlib figure."""

from __future__ import annotations

from collections.abc import Sequence
from functools import singledispatch
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from cutaway.data import Images
from cutaway.draw.mosaic import Mosaic, kernel_mosaic, map_mosaic
from cutaway.draw.palette import SIGNED
from cutaway.draw.sheet import Pyramid, draw_examples, draw_pyramid
from cutaway.look import Answers, FeatureMaps, Kernels
from cutaway.store import EpochRow, Run

INK, FAINT = "#333333", "#8a8a8a"


@singledispatch
def plot(result: Any) -> Figure:
    """Draw a result of ``cutaway.look``, a run's curves, a sheet of a dataset's images, or a pyramid.

    The figure belongs to nobody's window: save it with ``figure.savefig(path)``, or return it
    from a notebook's cell.

    Args:
        result: ``FeatureMaps``, ``Kernels``, ``Answers``, a ``Run``, ``Images`` or a ``Pyramid``.

    Raises:
        TypeError: there is no picture of such a value.
    """
    raise TypeError(
        f"plot() draws FeatureMaps, Kernels, Answers, Run, Images and Pyramid, not {type(result).__name__}."
    )


@plot.register
def _(result: FeatureMaps) -> Figure:
    """A row for each layer and a column for each image; one scale for each layer."""
    layers, images = list(result.layers), len(result.images)
    mosaics = {
        layer: [map_mosaic(maps, blank) for maps, blank in zip(values, result.blank(layer), strict=True)]
        for layer, values in result.layers.items()
    }
    figure = _stack([mosaics[layer][0] for layer in layers], images)
    for row, layer in enumerate(layers):
        limit = max(mosaic.limit for mosaic in mosaics[layer])
        for column, mosaic in enumerate(mosaics[layer]):
            shape = "×".join(map(str, result.layers[layer].shape[1:]))
            axes = figure.axes[row * images + column]
            _draw_mosaic(axes, mosaic, limit, f"{layer}  {shape}  ±{limit:.3g}")
    return figure


@plot.register
def _(result: Kernels) -> Figure:
    """A row for each layer; one scale for each."""
    mosaics = {layer: kernel_mosaic(weights) for layer, weights in result.layers.items()}
    figure = _stack(list(mosaics.values()), 1)
    for axes, (layer, mosaic) in zip(figure.axes, mosaics.items(), strict=True):
        shape = "×".join(map(str, result.layers[layer].shape))
        _draw_mosaic(axes, mosaic, mosaic.limit, f"{layer}  {shape}  ±{mosaic.limit:.3g}")
    return figure


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


@plot.register
def _(result: Images) -> Figure:
    """A sheet of examples: a block for each split, a row for each class."""
    return draw_examples(result)


@plot.register
def _(result: Pyramid) -> Figure:
    """An image at ever smaller sizes, and each of them enlarged."""
    return draw_pyramid(result)


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


def _draw_curve(axes: Axes, epochs: Sequence[EpochRow], field: str, label: str, factor: float) -> None:
    """One measure by epoch, a line for each split, on a scale that suits its span."""
    for split, colour in SPLIT_COLOURS.items():
        points = [
            (row.epoch, getattr(row.scores[split], field) * factor) for row in epochs if split in row.scores
        ]
        if points:
            axes.plot(*zip(*points, strict=True), color=colour, label=split, marker="o", markersize=4)
    axes.set_xlabel("epoch")
    axes.set_ylabel(label)
    lines = [value for line in axes.get_lines() for value in np.asarray(line.get_ydata()) if value > 0]
    if lines and max(lines) > 20 * min(lines):
        axes.set_yscale("log")
    else:
        axes.set_ylim(bottom=0)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(alpha=0.25)
    axes.legend(frameon=False)


def _stack(mosaics: Sequence[Mosaic], columns: int) -> Figure:
    """Empty axes, a row for each mosaic, as high as the mosaics are for their width."""
    width = 8.0 / columns if columns < 3 else 4.0
    heights = [max(0.5, width * mosaic.size[0] / mosaic.size[1]) + 0.25 for mosaic in mosaics]
    figure = Figure(figsize=(width * columns, min(sum(heights), 200)), layout="constrained")
    figure.subplots(len(mosaics), columns, height_ratios=heights)
    return figure


def _draw_mosaic(axes: Axes, mosaic: Mosaic, limit: float, title: str) -> None:
    """Tiles on one signed scale with their numbers; blank ones are crossed out."""
    axes.imshow(mosaic.array(), cmap=SIGNED, vmin=-limit or -1, vmax=limit or 1, interpolation="nearest")
    _, height, width = mosaic.tiles.shape
    inches = axes.figure.get_figure(root=True).get_size_inches()[0]
    size = min(6.0, 72 * inches / mosaic.size[1] * mosaic.strip * 0.7)
    for index, number in enumerate(mosaic.numbers):
        top, left = mosaic.corner(index)
        axes.text(left - 0.5, top - 0.7, str(number), size=size, color=FAINT, va="bottom", ha="left")
        if mosaic.blank[index]:
            right, bottom = left + width - 0.5, top + height - 0.5
            axes.plot((left - 0.5, right), (top - 0.5, bottom), color=FAINT, linewidth=0.5)
            axes.plot((left - 0.5, right), (bottom, top - 0.5), color=FAINT, linewidth=0.5)
    axes.set_title(title, size=8, loc="left", color=INK)
    axes.set_axis_off()
