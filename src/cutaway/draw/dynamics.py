"""How layers learnt, as curves and as one heat map."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import LinearSegmentedColormap, LogNorm
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from cutaway.training import Measured

_FEW = 10
"""So many layers have a colour of their own; of more the first and the last are named."""

# From the first layer to the last, where there are many: seen on a light page and on a dark one.
_DEPTH = LinearSegmentedColormap.from_list("depth", ["#1f77b4", "#d62728"])


@dataclass(frozen=True)
class _Text:
    """Sizes of a picture's text, in points."""

    title: float
    label: float
    tick: float


_SMALL, _LARGE = _Text(9, 8, 7), _Text(11, 10, 9)


def plot_dynamics(epochs: Mapping[int, Measured]) -> Figure:
    """The mean |gradient| of weights and of biases, every layer's steps, and its dead units.

    Args:
        epochs: what was measured, by epoch.
    """
    figure = Figure(figsize=(11, 7), layout="constrained")
    for axes, draw in zip(figure.subplots(2, 2).flat, DYNAMICS.values(), strict=True):
        draw(axes, epochs, _SMALL)
    return figure


def plot_dynamic(epochs: Mapping[int, Measured], part: str) -> Figure:
    """One of ``DYNAMICS`` as a picture of its own, whose text is large enough for a phone.

    Args:
        epochs: what was measured, by epoch.
        part: its name.
    """
    layers = max((len(layers) for found in epochs.values() for layers in found.steps.values()), default=0)
    # A row of the heat map is never lower than its layer's name is high.
    height = max(3.2, 0.9 + 0.16 * layers) if part == "steps" else 3.2
    figure = Figure(figsize=(4.8, height), layout="constrained")
    DYNAMICS[part](figure.add_subplot(), epochs, _LARGE)
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


def _weights(axes: Axes, epochs: Mapping[int, Measured], text: _Text) -> None:
    _curves(axes, _series(epochs, "weight_gradient"), "weights: mean |∂E/∂w|", text)


def _biases(axes: Axes, epochs: Mapping[int, Measured], text: _Text) -> None:
    _curves(axes, _series(epochs, "bias_gradient"), "biases: mean |∂E/∂b|", text)


def _curves(axes: Axes, series: tuple[list[float], dict[str, list[float]]], title: str, text: _Text) -> None:
    places, values = series
    shown = {layer: row for layer, row in values.items() if not all(math.isnan(value) for value in row)}
    few = len(shown) <= _FEW
    for number, (layer, row) in enumerate(shown.items()):
        colour = f"C{number}" if few else _DEPTH(number / (len(shown) - 1))
        named = few or number in (0, len(shown) - 1)
        axes.plot(places, row, label=layer if named else None, color=colour, linewidth=1)
    if shown:
        axes.set_yscale("log")
        # The names stand in two columns, in a room of their own above the lines.
        lowest, highest = axes.get_ylim()
        names = -(-(len(shown) if few else 2) // 2)
        axes.set_ylim(lowest, highest * (highest / lowest) ** (0.13 * names))
        axes.legend(fontsize=text.tick, frameon=False, loc="upper right", ncols=2)
    else:
        _say(axes, "none", text)
    _label(axes, title, text)


def _steps(axes: Axes, epochs: Mapping[int, Measured], text: _Text) -> None:
    places, values = _series(epochs, "update")
    _label(axes, "steps: ‖Δw‖ / ‖w‖", text)
    table = np.array(list(values.values()))
    if not np.isfinite(table).any():
        _say(axes, "not measured: memory was short" if values else "none", text)
        return
    positive = table[np.isfinite(table) & (table > 0)]
    norm = LogNorm(positive.min(), positive.max()) if positive.size and np.ptp(positive) > 0 else None
    picture = axes.imshow(
        np.ma.masked_invalid(table),
        aspect="auto",
        norm=norm,
        interpolation="nearest",
        cmap="viridis",
        extent=(places[0], max(epochs), len(values) - 0.5, -0.5),
    )
    axes.set_yticks(range(len(values)), list(values), size=text.tick - (len(values) > _FEW))
    figure = axes.figure.get_figure(root=True)
    figure.colorbar(picture, ax=axes).ax.tick_params(labelsize=text.tick, which="both")


def _units(axes: Axes, epochs: Mapping[int, Measured], text: _Text) -> None:
    layers = list(dict.fromkeys(layer for found in epochs.values() for layer in found.units))
    numbers = sorted(epoch for epoch, found in epochs.items() if found.units)
    few = len(layers) <= _FEW
    for number, layer in enumerate(layers):
        known = [epochs[epoch].units[layer] for epoch in numbers]
        colour = f"C{number}" if few else _DEPTH(number / (len(layers) - 1))
        dead = [100 * units.dead / units.units for units in known]
        named = few or number in (0, len(layers) - 1)
        axes.plot(numbers, dead, marker=".", label=layer if named else None, color=colour)
    axes.set_ylim(-2, 102)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    _label(axes, "dead units (never above zero), %", text)
    if not any(units.dead for found in epochs.values() for units in found.units.values()):
        _say(axes, "none in any layer" if layers else "no activations", text)
    if layers:
        axes.legend(fontsize=text.tick, frameon=False)


DYNAMICS: dict[str, Callable[[Axes, Mapping[int, Measured], _Text], None]] = {
    "weights": _weights,
    "biases": _biases,
    "steps": _steps,
    "units": _units,
}
"""What is drawn of how layers learnt, part by part."""


def _say(axes: Axes, what: str, text: _Text) -> None:
    axes.text(0.5, 0.5, what, ha="center", va="center", transform=axes.transAxes, size=text.label)


def _label(axes: Axes, title: str, text: _Text) -> None:
    axes.set_title(title, size=text.title)
    axes.set_xlabel("epoch", size=text.label)
    axes.tick_params(labelsize=text.tick, which="both")
