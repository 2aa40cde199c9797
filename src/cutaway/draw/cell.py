"""One value explained: where it comes from on the image, and what it is the sum of."""

from __future__ import annotations

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from torch import Tensor

from cutaway.draw.figures import FAINT, INK, plot
from cutaway.draw.mosaic import Mosaic, map_mosaic
from cutaway.draw.panel import draw_image, draw_mosaic
from cutaway.look import Cell

CHANNELS = 16
"""Slices that are drawn; of more channels those that add most."""

_NUMBERED = 100
"""Values at most that are written into their squares."""

_BOX = "#d62728"


@plot.register
def _(result: Cell) -> Figure:
    """The image with the receptive field, then patch × kernel = products, slice by slice, and the sum."""
    added = result.products.flatten(1).sum(1)
    order = added.abs().argsort(descending=True, stable=True)[:CHANNELS].sort().values
    numbers = [result.channels[int(at)] for at in order]
    panels = {
        "patch": result.patch[order],
        "kernel": result.kernel[order],
        "products": result.products[order],
    }
    wide = map_mosaic(result.patch[order], _nothing(result.patch[order]))
    below = wide.size[1] > 1.5 * wide.size[0]
    figure = Figure(figsize=(9, 4.5) if below else (13, 3.8), layout="constrained")
    left, right = figure.subfigures(1, 2, width_ratios=(1, 1.25) if below else (1, 3), squeeze=False)[0]
    axes = [left.subplots(), *(right.subplots(3, 1) if below else right.subplots(1, 3)).flat]
    _draw_field(axes[0], result)
    for panel, (name, values) in zip(axes[1:], panels.items(), strict=True):
        mosaic = map_mosaic(values, _nothing(values), numbers)
        draw_mosaic(panel, mosaic, mosaic.limit, f"{name}  ±{mosaic.limit:.3g}")
        if values.numel() <= _NUMBERED:
            _write_values(panel, mosaic)
    place = (
        "" if result.layer and result.patch.shape[1:] == result.grid else f" at {result.row}, {result.column}"
    )
    told = f"{result.layer}, unit {result.unit}{place}: {_sum(result, added, order)}"
    figure.suptitle(told, size=9, color=INK, parse_math=False)
    return figure


def _nothing(values: Tensor) -> Tensor:
    return (values == 0).flatten(1).all(1)


def _sum(result: Cell, added: Tensor, order: Tensor) -> str:
    """The sum in numbers; what slices add that are not drawn."""
    shown = float(added[order].sum())
    rest = float(added.sum()) - shown
    left = len(added) - len(order)
    products = f"{_told(shown)} (products{' shown' if left else ''})"
    others = f" {_signed(rest)} ({left} other channel{'s' * (left > 1)})" if left else ""
    return f"{products}{others} {_signed(result.bias)} (bias) = {_told(result.value)}"


def _told(value: float) -> str:
    return f"{value:.4g}".replace("-", "−", 1) if value < 0 else f"{value + 0.0:.4g}"


def _signed(value: float) -> str:
    return f"{'−' if value < 0 else '+'} {abs(value):.4g}"


def _draw_field(axes: Axes, result: Cell) -> None:
    """The image with a box around the pixels that count."""
    top, left, bottom, right = result.field
    draw_image(axes, result.image, f"pixels: rows {top}–{bottom - 1}, columns {left}–{right - 1}")
    box = Rectangle(
        (left - 0.5, top - 0.5),
        right - left,
        bottom - top,
        fill=False,
        edgecolor=_BOX,
        linewidth=1.5,
        clip_on=False,  # at the image's edge half of the line lies outside
    )
    axes.add_patch(box)


def _write_values(axes: Axes, mosaic: Mosaic) -> None:
    """Every value in its square."""
    for index, tile in enumerate(mosaic.tiles):
        top, left = mosaic.corner(index)
        for (row, column), value in np.ndenumerate(tile):
            colour = "white" if abs(value) > 0.65 * mosaic.limit else INK if value else FAINT
            axes.text(
                left + column, top + row, f"{value + 0.0:.2g}", size=5, ha="center", va="center", color=colour
            )
