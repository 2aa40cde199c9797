"""How layers learnt, as curves and as one heat map."""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import LogNorm
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from cutaway.training import Measured

_FEW = 10
"""So many layers have a colour of their own; more are a heat map's matter."""


def plot_dynamics(epochs: Mapping[int, Measured]) -> Figure:
    """The mean |gradient| of weights and of biases, every layer's steps, and its dead units.

    Args:
        epochs: what was measured, by epoch.
    """
    figure = Figure(figsize=(11, 7), layout="constrained")
    grid = figure.subplots(2, 2)
    _curves(grid[0, 0], epochs, "weight_gradient", "weights: mean |∂E/∂w|")
    _curves(grid[0, 1], epochs, "bias_gradient", "biases: mean |∂E/∂b|")
    _heat(figure, grid[1, 0], epochs)
    _units(grid[1, 1], epochs)
    return figure


def _series(epochs: Mapping[int, Measured], measure: str) -> tuple[list[float], dict[str, list[float]]]:
    """The place of every measured step, in epochs, and each layer's values there."""
    places: list[float] = []
    values: dict[str, list[float]] = {}
    for epoch, found in sorted(epochs.items()):
        for number, layers in enumerate(found.steps.values()):
            places.append(epoch - 1 + number / len(found.steps))
            for layer, row in layers.items():
                values.setdefault(layer, []).append(getattr(row, measure))
    return places, values


def _curves(axes: Axes, epochs: Mapping[int, Measured], measure: str, title: str) -> None:
    places, values = _series(epochs, measure)
    shown = {layer: row for layer, row in values.items() if not all(math.isnan(value) for value in row)}
    for number, (layer, row) in enumerate(shown.items()):
        colour = f"C{number}" if len(shown) <= _FEW else (number / len(shown),) * 3
        axes.plot(places, row, label=layer if len(shown) <= _FEW else None, color=colour, linewidth=1)
    if shown:
        axes.set_yscale("log")
        if len(shown) <= _FEW:
            axes.legend(fontsize=7, frameon=False)
    else:
        axes.text(0.5, 0.5, "none", ha="center", va="center", transform=axes.transAxes)
    axes.set_title(title, size=9)
    axes.set_xlabel("epoch", size=8)
    axes.tick_params(labelsize=7, which="both")


def _heat(figure: Figure, axes: Axes, epochs: Mapping[int, Measured]) -> None:
    places, values = _series(epochs, "update")
    axes.set_title("steps: ‖Δw‖ / ‖w‖", size=9)
    if not values:
        return
    table = np.array(list(values.values()))
    positive = table[np.isfinite(table) & (table > 0)]
    norm = LogNorm(positive.min(), positive.max()) if positive.size and np.ptp(positive) > 0 else None
    picture = axes.imshow(
        np.ma.masked_invalid(table),
        aspect="auto",
        norm=norm,
        interpolation="nearest",
        cmap="viridis",
        extent=(places[0], places[-1] + 1e-9, len(values) - 0.5, -0.5),
    )
    axes.set_yticks(range(len(values)), list(values), size=6 if len(values) > _FEW else 7)
    axes.set_xlabel("epoch", size=8)
    axes.tick_params(labelsize=7, which="both")
    figure.colorbar(picture, ax=axes).ax.tick_params(labelsize=7, which="both")


def _units(axes: Axes, epochs: Mapping[int, Measured]) -> None:
    axes.set_title("dead units (never above zero), %", size=9)
    layers = list(dict.fromkeys(layer for found in epochs.values() for layer in found.units))
    numbers = sorted(epoch for epoch, found in epochs.items() if found.units)
    for layer in layers:
        known = [epochs[epoch].units[layer] for epoch in numbers]
        axes.plot(numbers, [100 * units.dead / units.units for units in known], marker=".", label=layer)
    axes.set_ylim(-2, 102)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.set_xlabel("epoch", size=8)
    axes.tick_params(labelsize=7, which="both")
    if 0 < len(layers) <= _FEW:
        axes.legend(fontsize=7, frameon=False)
