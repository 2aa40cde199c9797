"""Activity as a figure: units that carry little, by depth and by epoch, and the classes that units prefer."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import torch
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from cutaway.draw.depth import name_layers
from cutaway.draw.figures import FAINT, INK, plot
from cutaway.draw.palette import SIGNED
from cutaway.look import Activity, LayerActivity

MOST = 64
"""Units of a layer whose classes are drawn: those that prefer one most."""

_KINDS = {
    "blank maps": ("#4c86bd", "o", "-"),
    "dead units": ("#b2182b", "s", "-"),
    "rare units": ("#e08214", "^", "--"),
    "units that double another": ("#5a3d8a", "D", ":"),
}
"""Told apart by colour, mark and line."""


@plot.register
def _(result: Activity) -> Figure:
    """By depth the shares of blank maps and of units that carry little; below, a block for each layer.

    A block has a column for each unit: above, the share of images in which it fires; below, its mean for
    each class, less its mean over the classes, the largest of which is at the palette's end. Units stand by
    the class that they prefer.
    """
    layers = result.layers
    kinds = len(result.classes)
    heat = min(0.35 + 0.12 * kinds, 4.0)
    epochs = _dead_by_epoch(result)
    heights = [2.2, *([1.8] if epochs else []), *(height for _ in layers for height in (0.75, heat))]
    figure = Figure(figsize=(9, sum(heights) + 0.3 * len(layers) + 0.5), layout="constrained")
    panels = figure.subplots(len(heights), 1, height_ratios=heights, squeeze=False)[:, 0]
    _draw_depth(panels[0], result)
    if epochs:
        _draw_epochs(panels[1], epochs, _heading(result))
    rest = panels[2 if epochs else 1 :]
    for at, (name, layer) in enumerate(layers.items()):
        order = _order(layer)
        _draw_fires(rest[2 * at], name, layer, order)
        _draw_classes(rest[2 * at + 1], result, layer, order)
        for axes in rest[2 * at : 2 * at + 2]:
            axes.set_xlim(-0.6, max(len(order), 20) - 0.4)
    return figure


def _draw_depth(axes: Axes, result: Activity) -> None:
    """Shares by depth, in percent."""
    layers = result.layers.values()
    shares = {
        "blank maps": [layer.blanks for layer in layers],
        "dead units": [float(layer.dead.double().mean()) for layer in layers],
        "rare units": [float(layer.rare.double().mean()) for layer in layers],
        "units that double another": [
            len({second for _, second, _ in layer.duplicates()}) / layer.units for layer in layers
        ],
    }
    for kind, values in shares.items():
        colour, mark, line = _KINDS[kind]
        axes.plot(
            range(len(values)),
            [100 * value for value in values],
            color=colour,
            marker=mark,
            linestyle=line,
            markersize=4,
            linewidth=1.2,
            label=kind,
        )
    name_layers(axes, list(result.layers))
    axes.set_ylim(bottom=0, top=max(5.0, axes.get_ylim()[1]))
    axes.set_ylabel("% of the layer", size=8)
    axes.grid(axis="y", alpha=0.25)
    axes.legend(
        frameon=False, fontsize=7, ncols=4, loc="lower left", bbox_to_anchor=(0, 1), borderaxespad=0.2
    )
    axes.set_title(
        f"{result.subject}: {result.images:,} images\n", size=9, loc="left", color=INK, parse_math=False
    )


def _dead_by_epoch(result: Activity) -> dict[str, dict[int, float]]:
    """Percent of each layer's units that are dead after each epoch: of kept weights, or as was counted."""
    if result.deaths is not None:
        return {
            layer: dict(zip(result.deaths.epochs, (100 * dead.double().mean(1)).tolist(), strict=True))
            for layer, dead in result.deaths.dead.items()
        }
    return {
        layer: {epoch: 100 * dead / result.layers[layer].units for epoch, dead in counts.items()}
        for layer, counts in result.counted.items()
    }


def _heading(result: Activity) -> str:
    if result.deaths is not None:
        return f"dead units by epoch, over {result.deaths.images:,} images, with the weights that were kept"
    return "dead units by epoch, over a sample of at most 500 training images, as counted while it learnt"


def _draw_epochs(axes: Axes, epochs: Mapping[str, Mapping[int, float]], title: str) -> None:
    """A line for each layer."""
    for at, (layer, shares) in enumerate(epochs.items()):
        axes.plot(
            list(shares),
            list(shares.values()),
            label=layer,
            color=f"C{at % 10}",
            marker="os^Dv"[at % 5],
            linestyle=("-", "--", ":")[at // 5 % 3],
            markersize=3.5,
            linewidth=1.1,
        )
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.set_ylim(bottom=0, top=max(5.0, axes.get_ylim()[1]))
    axes.set_ylabel("% of the layer", size=8)
    axes.set_title(title, size=8, loc="left", color=INK)
    axes.grid(axis="y", alpha=0.25)
    for text in axes.legend(
        frameon=False, fontsize=6, loc="center left", bbox_to_anchor=(1, 0.5)
    ).get_texts():
        text.set_parse_math(False)
    _tidy(axes)


def _order(layer: LayerActivity) -> list[int]:
    """The units that are drawn, by the class that they prefer, the most selective of each first.

    Selectivity is told of rectified layers alone; of others the first units are drawn.
    """
    best = layer.class_means.nan_to_num(nan=-torch.inf).argmax(0)
    strength = layer.selectivity.nan_to_num(nan=0.0) if layer.rectified else torch.zeros(layer.units)
    chosen = strength.argsort(descending=True, stable=True)[:MOST].tolist()
    return sorted(chosen, key=lambda unit: (int(best[unit]), -float(strength[unit])))


def _draw_fires(axes: Axes, name: str, layer: LayerActivity, order: list[int]) -> None:
    axes.bar(range(len(order)), 100 * layer.fires[order].numpy(), width=0.8, color="#4c86bd")
    for place, unit in enumerate(order):
        if layer.dead[unit]:
            axes.text(place, 4, "×", size=7, color="#b2182b", ha="center")
    axes.set_ylim(0, 104)
    axes.set_yticks([0, 100])
    axes.set_ylabel("fires %", size=6)
    axes.set_xticks([])
    shown = f"{layer.units} units"
    if len(order) < layer.units:
        which = f"{len(order)} of {layer.units} units"
        shown = f"the {which} that prefer a class most" if layer.rectified else f"the first {which}"
    told = [
        f"{int(layer.dead.sum())} {'dead' if layer.rectified else 'never above zero'}",
        f"{int(layer.rare.sum())} rare",
        f"{int(layer.constant.sum())} constant",
        f"{len(layer.duplicates())} pairs alike",
        f"{layer.blanks:.1%} of maps blank",
    ]
    axes.set_title(f"{name}  {shown}: {', '.join(told)}", size=8, loc="left", color=INK, parse_math=False)
    _tidy(axes)


def _draw_classes(axes: Axes, result: Activity, layer: LayerActivity, order: list[int]) -> None:
    """A row for each class, a column for each unit on a scale of its own; grey without images."""
    means = layer.class_means[:, order]
    shown = (means - means.nanmean(0)).numpy()
    limit = np.nanmax(np.abs(shown), axis=0, keepdims=True)
    shown = np.ma.masked_invalid(np.divide(shown, np.where(limit > 0, limit, 1)))
    colours = colormaps[SIGNED].with_extremes(bad="#dddddd")
    axes.imshow(shown, cmap=colours, vmin=-1, vmax=1, aspect="auto", interpolation="nearest")
    names = [name if len(name) <= 16 else f"{name[:15]}…" for name in result.classes]
    if len(names) <= 40:
        axes.set_yticks(range(len(names)), names, size=5.5, parse_math=False)
    axes.set_xticks(range(len(order)), [str(unit) for unit in order], size=5, rotation=90, color=FAINT)
    axes.tick_params(length=0)
    axes.spines[:].set_visible(False)


def _tidy(axes: Axes) -> None:
    axes.spines[["top", "right"]].set_visible(False)
    axes.tick_params(labelsize=7)
