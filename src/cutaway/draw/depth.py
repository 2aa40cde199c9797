"""Measures by depth: a line for each net, a point for each layer, bars for their intervals."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from matplotlib.axes import Axes

from cutaway.draw.figures import FAINT, INK

Point = tuple[float, float, float]
"""A value, and the lower and upper end of its 95 % interval."""

TRAINED, RANDOM = "#1f77b4", "#d9883d"
"""Told apart with every kind of colour blindness, and by their marks."""

_MOST_NAMES = 60
"""Layers that have their names written; of more, every second or third has."""


def depth_width(layers: int) -> float:
    """Inches that so many layers take."""
    return min(24.0, max(4.5, 1.2 + 0.36 * layers))


def draw_depth(
    axes: Axes, names: Sequence[str], sides: Mapping[str, Sequence[Point]], label: str, factor: float = 1
) -> None:
    """A line for each side by depth; the first is the trained one.

    Args:
        axes: to draw on.
        names: of the layers, by depth.
        sides: for each line its label and a point for each layer.
        label: of the measure.
        factor: from the values to the label's unit.
    """
    for number, (side, points) in enumerate(sides.items()):
        values = [factor * value for value, _, _ in points]
        below = [factor * max(0.0, value - low) for value, low, _ in points]
        above = [factor * max(0.0, high - value) for value, _, high in points]
        # A little apart, so that intervals of equal values are both seen.
        places = [place + 0.12 * (number - 0.5) for place in range(len(names))]
        axes.errorbar(
            places,
            values,
            yerr=(below, above),
            color=(TRAINED, RANDOM)[number % 2],
            marker="os"[number % 2],
            linestyle=("-", "--")[number % 2],
            markersize=4,
            linewidth=1.2,
            elinewidth=1,
            capsize=2,
            label=side,
        )
    name_layers(axes, names)
    axes.set_ylim(bottom=0)
    axes.set_ylabel(label, size=9)
    axes.grid(axis="y", alpha=0.25)
    axes.legend(frameon=False, fontsize=8)


def name_layers(axes: Axes, names: Sequence[str]) -> None:
    """The layers' names below their places; where they are many, as many as can be read."""
    step = 1 + (len(names) - 1) // _MOST_NAMES
    places = range(0, len(names), step)
    axes.set_xticks(places, [names[place] for place in places], rotation=90, size=7, parse_math=False)
    axes.set_xlim(-0.7, len(names) - 0.3)
    axes.tick_params(axis="y", labelsize=8, colors=INK)
    axes.spines[["top", "right"]].set_visible(False)
    axes.spines[["left", "bottom"]].set_color(FAINT)
