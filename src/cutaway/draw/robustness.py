"""Robustness as a figure: a curve of the error for each attack, with its interval."""

from __future__ import annotations

from matplotlib.figure import Figure

from cutaway.draw.figures import FAINT, INK, plot
from cutaway.look.robustness import Robustness

COLOURS = {"noise": "#8a8a8a", "fgsm": "#2166ac", "pgd": "#b2182b"}
"""Of each attack, told apart with every kind of colour blindness."""


@plot.register
def _(result: Robustness) -> Figure:
    """The share of images that is wrong against how far they may be changed; bands are 95 % intervals."""
    figure = Figure(figsize=(5.2, 3.2), layout="constrained")
    axes = figure.subplots()
    for name, curve in result.curves.items():
        errors, intervals = 100 * curve.errors.numpy(), 100 * curve.intervals.numpy()
        axes.fill_between(
            result.eps, intervals[:, 0], intervals[:, 1], color=COLOURS[name], alpha=0.15, linewidth=0
        )
        axes.plot(
            result.eps, errors, color=COLOURS[name], linewidth=1.2, marker="o", markersize=3, label=name
        )
    axes.axhline(100, color=FAINT, linewidth=0.5, linestyle=":")
    axes.set_ylim(-2, 104)
    norm = "L∞" if result.norm == "linf" else "L2"
    axes.set_xlabel(f"how far images may be changed: {norm}, pixel values", size=7, color=INK)
    name = f"{result.subject}: " if result.subject else ""
    axes.set_title(
        f"{name}percent wrong of {result.images:,} images", size=8, loc="left", color=INK, parse_math=False
    )
    axes.spines[["top", "right"]].set_visible(False)
    axes.tick_params(labelsize=7)
    axes.legend(fontsize=7, frameon=False)
    return figure
