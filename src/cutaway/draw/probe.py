"""Probes as a figure: the error of reading the class, by depth."""

from __future__ import annotations

from matplotlib.figure import Figure

from cutaway.draw.depth import Point, depth_width, draw_depth
from cutaway.draw.figures import FAINT, INK, plot
from cutaway.look import Probe, Reading


@plot.register
def _(result: Probe) -> Figure:
    """The error of a linear classifier by depth, beside that on a net with random weights."""
    names = ["pixels", *result.layers]
    figure = Figure(figsize=(depth_width(len(names)), 3.8), layout="constrained")
    axes = figure.add_subplot()
    sides = {
        "trained": [_point(result.pixels), *map(_point, result.layers.values())],
        "random weights": [_point(result.pixels), *map(_point, result.random.values())],
    }
    draw_depth(axes, names, sides, "error of a linear probe (%)", 100)
    told = f"probes fitted on {result.train_images:,} images, tested on {result.pixels.images:,}"
    if 100 * result.chance <= axes.get_ylim()[1]:
        axes.axhline(100 * result.chance, color=FAINT, linestyle=":", linewidth=1)
    told += f"; chance {result.chance:.1%}"
    axes.set_title(f"{result.subject}: {told}", size=9, color=INK, loc="left", parse_math=False)
    return figure


def _point(reading: Reading) -> Point:
    return (reading.error, *reading.interval)
