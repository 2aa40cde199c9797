"""Images that deceive: what was changed, and what the net says before and after."""

from __future__ import annotations

import math

import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from torch import Tensor

from cutaway.draw.figures import FAINT, INK, plot
from cutaway.draw.overlay import SIGNED_PAINT, draw_map, entitle
from cutaway.draw.panel import LONGEST, draw_image
from cutaway.look.adversarial import Adversarial
from cutaway.look.unnatural import Unnatural

_SIDE = 1.7
"""Inches of a panel."""

_ACROSS = 5
"""Unnatural images in a row."""


@plot.register
def _(result: Adversarial) -> Figure:
    """A row for each image: as it was, what was added on a signed scale, and what came of it."""
    count = len(result.images)
    size = (3 * _SIDE + 0.2, min(count * (_SIDE + 0.25) + 0.3, LONGEST))
    figure = Figure(figsize=size, layout="constrained")
    grid = figure.subplots(count, 3, squeeze=False)
    taken, sure = result.taken, result.confidence
    for at, axes in enumerate(grid):
        for panel, images, side in ((axes[0], result.images, 0), (axes[2], result.changed, 1)):
            draw_image(panel, _pixels(images[at], result.unit))
            entitle(panel, f"{result.names[int(taken[side][at])]}  {float(sure[side][at]):.2%}")
        # The largest of the channels with its sign: their sum would be no change of any pixel.
        change = result.change[at]
        places = change.abs().argmax(0, keepdim=True)
        limit = float(change.abs().max())
        draw_map(axes[1], change.gather(0, places)[0], limit, SIGNED_PAINT)
        entitle(axes[1], f"changed by ±{limit:.3g}", faintly=True)
    name = f"{result.subject}: " if result.subject else ""
    norm = "L∞" if result.norm == "linf" else "L2"
    _head(figure, f"{name}{result.method}, {norm} up to {result.eps:g} {result.unit}")
    return figure


@plot.register
def _(result: Unnatural) -> Figure:
    """The images, each with its class and how sure the net is of it; below, how sure after each step."""
    count = len(result.images)
    across = min(count, _ACROSS)
    deep = math.ceil(count / across)
    width = max(across * _SIDE, 4.0)
    size = (width, min(deep * (_SIDE + 0.25) + 2.2, LONGEST))
    figure = Figure(figsize=size, layout="constrained")
    heights = [deep * (_SIDE + 0.25) + 0.3, 1.9]
    above, below = figure.subfigures(2, 1, height_ratios=heights, squeeze=False)[:, 0]
    grid = above.subplots(deep, across, squeeze=False)
    for axes in grid.flat:
        axes.set_axis_off()
    axes = below.subplots()
    lines: list[Line2D] = []
    names: list[str] = []
    for at, panel in enumerate(grid.flat[:count]):
        name = result.names[int(result.classes[at])]
        draw_image(panel, _pixels(result.images[at], result.unit))
        entitle(panel, f"{name}  {float(result.probability[at]):.2%}")
        way = result.confidence[at, : int(result.steps[at]) + 1].numpy()
        lines += axes.plot(range(len(way)), way, linewidth=1)
        names.append(name)
    axes.axhline(result.wanted, color=FAINT, linewidth=0.6, linestyle=":")
    axes.set_ylim(-0.02, 1.02)
    axes.set_xlabel("steps", size=7, color=INK)
    axes.set_title("probability of the class", size=8, loc="left", color=INK)
    _tidy(axes)
    if count <= 20:
        # By hand: a label that begins with "_" would be left out, and one with "$" read as a formula.
        legend = axes.legend(lines, [" "] * count, fontsize=6, frameon=False, ncols=2 if count > 6 else 1)
        for text, told in zip(legend.get_texts(), names, strict=True):
            text.set_parse_math(False)
            text.set_text(told)
    name = f"{result.subject}: " if result.subject else ""
    _head(figure, f"{name}images made by gradient ascent")
    return figure


def _pixels(image: Tensor, unit: str) -> Tensor:
    """Bytes where the values are pixels: otherwise a nearly black image would be stretched to white."""
    return image.round().clamp(0, 255).to(torch.uint8) if unit == "pixel values" else image


def _head(figure: Figure, told: str) -> None:
    figure.suptitle(told, size=9, color=INK, parse_math=False, x=0.01, ha="left")


def _tidy(axes: Axes) -> None:
    axes.spines[["top", "right"]].set_visible(False)
    axes.tick_params(labelsize=7)
