"""Ranks as bars by depth."""

from __future__ import annotations

from matplotlib.figure import Figure

from cutaway.draw.depth import depth_width, name_layers
from cutaway.draw.figures import FAINT, INK, plot
from cutaway.look import Rank

_COLOURS = ("#b8cfe4", "#4c86bd", "#0b3d6b")
"""From light to dark, so that they are told apart in grey too."""


@plot.register
def _(result: Rank) -> Figure:
    """How many of its dimensions each layer uses, as shares of its units, by three measures."""
    names = [f"{name} *" if spectrum.limited else name for name, spectrum in result.layers.items()]
    figure = Figure(figsize=(depth_width(round(1.5 * len(names))), 3.8), layout="constrained")
    axes = figure.add_subplot()
    bars: dict[str, list[float]] = {
        "99 % of the variance (saturation)": [s.dimensions() for s in result.layers.values()],
        "effective rank": [s.effective_rank for s in result.layers.values()],
        "participation ratio": [s.participation_ratio for s in result.layers.values()],
    }
    units = [spectrum.units for spectrum in result.layers.values()]
    for number, (label, counts) in enumerate(bars.items()):
        places = [place + 0.27 * (number - 1) for place in range(len(names))]
        shares = [100 * count / total for count, total in zip(counts, units, strict=True)]
        axes.bar(places, shares, 0.25, label=label, color=_COLOURS[number])
    for place, (spectrum, total) in enumerate(zip(result.layers.values(), units, strict=True)):
        used = spectrum.dimensions()
        axes.annotate(
            f"{used}/{total}",
            (place - 0.27, 100 * used / total),
            (0, 2),
            textcoords="offset points",
            ha="center",
            va="bottom",
            size=6,
            color=INK,
        )
    name_layers(axes, names)
    axes.set_ylim(0, 112)
    axes.set_ylabel("dimensions in use (% of units)", size=9)
    axes.grid(axis="y", alpha=0.25)
    axes.set_axisbelow(True)
    figure.legend(
        *axes.get_legend_handles_labels(), frameon=False, fontsize=7, ncols=3, loc="outside lower left"
    )
    axes.set_title(
        f"{result.subject}: {result.images:,} images", size=9, color=INK, loc="left", parse_math=False
    )
    if any(spectrum.limited for spectrum in result.layers.values()):
        axes.set_xlabel("* fewer responses than units: give more images", size=7, color=FAINT)
    return figure
