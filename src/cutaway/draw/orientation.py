"""Orientations as a figure: every unit's tuning curve, its kernel, and its word."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from cutaway.draw.figures import FAINT, INK, plot
from cutaway.draw.palette import SIGNED
from cutaway.look import Orientation
from cutaway.look.tuning import Tuning, Word

COLOURS = {
    Word.VERTICAL: "#0072b2",
    Word.HORIZONTAL: "#d55e00",
    Word.RISING: "#009e73",
    Word.FALLING: "#cc79a7",
    Word.BLOB: "#e69f00",
    Word.NONE: "#999999",
}
"""Told apart with every kind of colour blindness: Okabe and Ito, "Color universal design", 2008."""

MOST = 64
"""Units of a layer that are drawn; in a net of more than four layers all have 256 together, or a row each."""

_ACROSS, _ALONE = 8, 12
"""Cells in a row: with a kernel beside the curve, and without."""

_WIDTH, _HIGH = 17.6, 1.35  # of a row, and from one to the next, where a kernel is 1 wide; words stand below
_INCHES = 10.5


@plot.register
def _(result: Orientation) -> Figure:
    """A block for each layer: units of one word together, the strongest first; of many, the strongest.

    A curve shows the answer to lines by their orientation, outwards from the middle: that of a unit
    which answers vertical lines reaches up and down. Beside it stands the kernel, where the layer sees
    the image itself.
    """
    most = min(MOST, max(_ACROSS, 4 * MOST // len(result.layers) // _ACROSS * _ACROSS))
    shown = {layer: _ordered(tuning, most) for layer, tuning in result.layers.items()}
    across = {layer: _ACROSS if layer in result.kernels else _ALONE for layer in shown}
    rows = [-(-len(units) // across[layer]) for layer, units in shown.items()]
    heights = [_HIGH * _INCHES / _WIDTH * count + 0.3 for count in rows]
    figure = Figure(figsize=(_INCHES, sum(heights)), layout="constrained")
    blocks = figure.subplots(len(rows), 1, height_ratios=heights, squeeze=False)[:, 0]
    for axes, (layer, units), count in zip(blocks, shown.items(), rows, strict=True):
        tuning = result.layers[layer]
        words = tuning.words
        axes.set_axis_off()
        axes.set_title(
            f"{layer}  {_told(words, len(units))}", size=8, loc="left", color=INK, parse_math=False
        )
        kernels = result.kernels.get(layer)
        for at, unit in enumerate(units):
            left, top = at % across[layer] * _WIDTH / across[layer], at // across[layer] * _HIGH
            if kernels is not None:
                _draw_kernel(axes, kernels[unit].numpy(), left, top)
            colour = COLOURS[words[unit]]
            _draw_curve(axes, tuning, unit, colour, (left + (0.5 if kernels is None else 1.55), top + 0.5))
            axes.text(left, top + 1.18, f"{unit}  {words[unit]}", size=6.5, color=colour, parse_math=False)
        # Last: pictures of kernels set limits and proportions of their own.
        axes.set_xlim(-0.1, _WIDTH)
        axes.set_ylim(count * _HIGH, -0.1)
        axes.set_aspect("equal", anchor="W")
    return figure


def _ordered(tuning: Tuning, most: int) -> list[int]:
    """The strongest units by their word, and in it by their strength."""
    order, strength = list(Word), tuning.strength.tolist()
    words = tuning.words
    strongest = sorted(range(len(words)), key=lambda unit: -strength[unit])[:most]
    return sorted(strongest, key=lambda unit: (order.index(words[unit]), -strength[unit]))


def _told(words: Sequence[Word], shown: int) -> str:
    """How many units have each word."""
    counts = Counter(words)
    told = ", ".join(f"{counts[word]} {word}" for word in Word if counts[word])
    return f"{len(words)} units: {told}" + (
        f"  (the {shown} strongest are shown)" if shown < len(words) else ""
    )


def _draw_kernel(
    axes: Axes, kernel: np.ndarray[tuple[int, int, int], np.dtype[np.float32]], left: float, top: float
) -> None:
    """A kernel ``(C, h, w)``: the mean over its channels, or the strongest one where they cancel."""
    picture = kernel.mean(0)
    alone = kernel[np.abs(kernel).sum((1, 2)).argmax()]
    picture = picture if np.abs(picture).sum() >= np.abs(alone).sum() / 2 else alone
    limit = float(np.abs(picture).max()) or 1.0
    extent = (left, left + 1, top + 1, top)
    axes.imshow(
        picture, cmap=SIGNED, vmin=-limit, vmax=limit, extent=extent, interpolation="nearest", aspect="auto"
    )


def _draw_curve(axes: Axes, tuning: Tuning, unit: int, colour: str, middle: tuple[float, float]) -> None:
    """A closed curve around a place: an orientation and its opposite are the same."""
    x, y = middle
    angles = np.radians([*tuning.angles, *(angle + 180 for angle in tuning.angles), tuning.angles[0]])
    values = tuning.curves[unit].numpy()
    radius = 0.5 * np.concatenate([values, values, values[:1]]) / (values.max() or 1.0)
    turn = np.linspace(0, 2 * math.pi, 60)
    axes.plot(x + 0.5 * np.cos(turn), y - 0.5 * np.sin(turn), color=FAINT, linewidth=0.3)
    across, down = x + radius * np.cos(angles), y - radius * np.sin(angles)
    axes.fill(across, down, color=colour, alpha=0.25, linewidth=0)
    axes.plot(across, down, color=colour, linewidth=0.8)
