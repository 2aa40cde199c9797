"""A net as a flow diagram: blocks from the image down to the logits."""

from __future__ import annotations

import math

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from cutaway.nets import Plan, Shape

_INK, _FINE = "#333333", "#777777"
_COLOURS = {"conv": "#7fa8d1", "maxpool": "#e3a76f", "dense": "#8fbf8f"}
_OTHER = "#cccccc"
_STEP, _HIGH = 0.42, 0.24
"""Inches from one block to the next, and of a block."""


def flow(plan: Plan, upto: str = "") -> Figure:
    """A block for each layer with its words, shape and parameters; wide where maps are large.

    Args:
        plan: of the net, without branches.
        upto: a line is drawn behind this layer, with the parameters up to it.
    """
    rows = plan.rows
    figure = Figure(figsize=(6.0, _STEP * (len(rows) + 1) + 0.1))
    axes = figure.add_axes((0, 0, 1, 1))
    axes.set_axis_off()
    axes.set_xlim(0, 6.0)
    axes.set_ylim(_STEP * (len(rows) + 1) + 0.05, -0.05)
    widest = plan.input_shape[-1]
    _block(axes, 0, plan.input_shape, widest, _OTHER)
    _write(axes, 0, "image", _told(plan.input_shape))
    parameters = 0
    for at, row in enumerate(rows, start=1):
        kind = row.layer.word.text().split()[0]
        parameters += row.parameters
        cost = f" · {row.parameters:,} parameters" if row.parameters else ""
        _block(axes, at, row.output_shape, widest, _COLOURS.get(kind, _OTHER))
        _write(axes, at, f"{row.name}: {row.layer.word.text()}", _told(row.output_shape) + cost)
        axes.annotate(
            "", (1.1, _STEP * at + 0.02), (1.1, _STEP * (at - 1) + _HIGH + 0.02),
            arrowprops={"arrowstyle": "->", "color": _FINE, "linewidth": 0.8},
        )  # fmt: skip
        if row.name == upto:
            below = _STEP * at + _HIGH + 0.08
            axes.plot((0.1, 5.9), (below, below), color=_FINE, linewidth=0.8, linestyle=":")
            axes.text(
                5.9, below - 0.03, f"{parameters:,} parameters up to here", size=7, color=_FINE, ha="right"
            )
    return figure


def _block(axes: Axes, at: int, shape: Shape, widest: int, colour: str) -> None:
    """One block, by the square root as wide as its maps are."""
    width = 1.9 * math.sqrt(shape[-1] / widest) if len(shape) == 3 else 0.25
    left, top = 1.1 - width / 2, _STEP * at + 0.02
    axes.add_patch(Rectangle((left, top), width, _HIGH, facecolor=colour, edgecolor="none"))


def _write(axes: Axes, at: int, name: str, told: str) -> None:
    """What stands beside a block."""
    middle = _STEP * at + 0.02 + _HIGH / 2
    axes.text(2.3, middle, name, size=8, color=_INK, va="center")
    axes.text(4.1, middle, told, size=7, color=_FINE, va="center")


def _told(shape: Shape) -> str:
    """Rows, columns and channels, or units."""
    return "×".join(map(str, (*shape[1:], shape[0])))
