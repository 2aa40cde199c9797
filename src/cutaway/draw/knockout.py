"""Knockouts as a figure: what layers and their units are worth, in all and by class."""

from __future__ import annotations

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from cutaway.draw.figures import FAINT, INK, plot
from cutaway.draw.palette import SIGNED
from cutaway.look import Knockout

MOST = 64
"""Units of a layer that are drawn: those whose loss is largest."""

BLOCKS = 16
"""Layers whose units are drawn: those with the dearest unit."""

_LOSS, _GAIN = "#b2182b", "#2166ac"  # the ends of the signed palette


@plot.register
def _(result: Knockout) -> Figure:
    """Above, what is lost without each whole layer; below, a block for each layer.

    A block has the units from the one that costs most accuracy down, and under each what its classes
    lose. Percentage points, on one scale for all heat maps.
    """
    layers = _dearest(result)
    classes = len(result.classes)
    low = 0.5 + 0.22 * len(result.layers)
    heat = min(0.3 + 0.13 * classes, 5.0)
    heights = [low, *(height for _ in layers for height in (1.1, heat))]
    figure = Figure(figsize=(9, sum(heights) + 0.3 * len(layers)), layout="constrained")
    panels = figure.subplots(len(heights), 1, height_ratios=heights, squeeze=False)[:, 0]
    _draw_layers(panels[0], result)
    limit = (
        max((float(result.class_lost(layer).nan_to_num().abs().max()) for layer in layers), default=0.0) * 100
    )
    for at, layer in enumerate(layers):
        lost = result.lost(layer).numpy() * 100
        # Of units that lose as many answers, the one with the larger objective is dearer.
        order = np.lexsort((-result.layers[layer].objective.numpy(), -lost))[:MOST]
        units = result.layers[layer].units.numpy()[order]
        _draw_bars(panels[1 + 2 * at], lost[order], f"{layer}  {_told(result, layer, len(order))}")
        _draw_classes(panels[2 + 2 * at], result, 100 * result.class_lost(layer).numpy()[order].T, limit)
        panels[2 + 2 * at].set_xticks(range(len(units)), [str(unit) for unit in units], size=5, rotation=90)
        for axes in panels[1 + 2 * at : 3 + 2 * at]:
            axes.set_xlim(-0.6, max(len(order), 20) - 0.4)
    return figure


def _dearest(result: Knockout) -> list[str]:
    """The layers whose units are drawn, in their order."""
    costs = {layer: max(result.lost(layer).tolist(), default=-1.0) for layer in result.layers}
    first = sorted(costs, key=lambda layer: -costs[layer])[:BLOCKS]
    return [layer for layer in result.layers if layer in first and len(result.layers[layer].units)]


def _told(result: Knockout, layer: str, shown: int) -> str:
    count = len(result.layers[layer].units)
    told = f"{count} units" if shown == count else f"the {shown} of {count} units that cost most"
    return f"{told} set to {result.value}: percentage points lost in all, and by class"


def _draw_layers(axes: Axes, result: Knockout) -> None:
    """A bar for each layer, the first one on top."""
    lost = [100 * result.whole_lost(layer) for layer in result.layers]
    places = range(len(lost))
    axes.barh(places, lost, color=[_LOSS if value >= 0 else _GAIN for value in lost], height=0.7)
    axes.set_yticks(places, list(result.layers), size=7)
    axes.invert_yaxis()
    for place, value in zip(places, lost, strict=True):
        axes.text(max(value, 0), place, f" {value:.1f}", size=7, va="center", color=INK)
    axes.set_xlim(min(0, *lost), max(100 * result.accuracy, *lost) * 1.08)
    axes.axvline(100 * result.accuracy, color=FAINT, linewidth=0.6, linestyle=":")
    axes.set_title(
        f"{result.subject}: {result.accuracy:.1%} of {result.images:,} images right; "
        "percentage points lost without a whole layer",
        size=8,
        loc="left",
        color=INK,
        parse_math=False,
    )
    _tidy(axes)


def _draw_bars(axes: Axes, lost: np.ndarray[tuple[int], np.dtype[np.float64]], title: str) -> None:
    colours = [_LOSS if value >= 0 else _GAIN for value in lost]
    axes.bar(range(len(lost)), lost, color=colours, width=0.8)
    axes.axhline(0, color=FAINT, linewidth=0.5)
    axes.set_xticks([])
    axes.set_title(title, size=8, loc="left", color=INK, parse_math=False)
    _tidy(axes)


def _draw_classes(
    axes: Axes, result: Knockout, lost: np.ndarray[tuple[int, int], np.dtype[np.float64]], limit: float
) -> None:
    """A row for each class, a column for each unit; grey where a class has no images."""
    shown = np.ma.masked_invalid(lost)
    axes.set_facecolor("#dddddd")
    picture = axes.imshow(
        shown, cmap=SIGNED, vmin=-limit or -1, vmax=limit or 1, aspect="auto", interpolation="nearest"
    )
    names = [name if len(name) <= 16 else f"{name[:15]}…" for name in result.classes]
    if len(names) <= 40:
        axes.set_yticks(range(len(names)), names, size=5.5, parse_math=False)
    bar = axes.figure.colorbar(picture, ax=axes, pad=0.01, aspect=12)
    bar.ax.tick_params(labelsize=5)
    bar.outline.set_visible(False)


def _tidy(axes: Axes) -> None:
    axes.spines[["top", "right"]].set_visible(False)
    axes.tick_params(labelsize=7)
