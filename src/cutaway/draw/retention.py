"""Retention as a figure: the error of the reconstruction by depth, and reconstructions."""

from __future__ import annotations

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray
from torch import Tensor

from cutaway.data.examples import evenly
from cutaway.draw.depth import Point, depth_width, draw_depth
from cutaway.draw.figures import FAINT, INK, plot
from cutaway.look import Kept, Retention

_MOST_ROWS = 16
"""Layers whose reconstructions are shown; of more, as many evenly over the depth."""


@plot.register
def _(result: Retention) -> Figure:
    """The error by depth beside that of a net with random weights; a row of images for each layer."""
    names = ["pixels", *result.layers]
    shown = [list(result.layers)[at] for at in evenly(len(result.layers), _MOST_ROWS)]
    rows, (examples, _, height, width) = len(shown) + 1, result.originals.shape
    across = 0.45 * examples * width / height + 1
    wide = depth_width(len(names))
    figure = Figure(figsize=(wide + across, max(3.8, 0.45 * rows + 0.5)), layout="constrained")
    left, right = figure.subplots(1, 2, width_ratios=(wide, across))
    sides = {
        "trained": [_point(result.pixels), *map(_point, result.layers.values())],
        "random weights": [_point(result.pixels), *map(_point, result.random.values())],
    }
    draw_depth(left, names, sides, "error of the reconstruction\n(% of the pixels' variance)", 100)
    if left.get_ylim()[1] > 100:  # the mean image for every image
        left.axhline(100, color=FAINT, linestyle=":", linewidth=1)
    told = f"fitted on {result.train_images:,} images, tested on {result.test_images:,}"
    left.set_title(f"{result.subject}: {told}", size=9, color=INK, loc="left", parse_math=False)
    _draw_rows(right, {"image": result.originals, **{name: result.reconstructions[name] for name in shown}})
    return figure


def _point(kept: Kept) -> Point:
    return (kept.error, *kept.interval)


def _draw_rows(axes: Axes, rows: dict[str, Tensor]) -> None:
    """A row of images for each name, all on the originals' scale."""
    originals = next(iter(rows.values()))
    low, high = min(0.0, float(originals.min())), max(1.0, float(originals.max()))
    _, _, height, _ = originals.shape
    canvas = np.concatenate([_line((images - low) / (high - low)) for images in rows.values()])
    axes.imshow(canvas, interpolation="nearest")
    step = height + _GAP
    places = [row * step + height / 2 - 0.5 for row in range(len(rows))]
    axes.set_yticks(places, list(rows), size=7, parse_math=False)
    axes.set_xticks([])
    axes.tick_params(length=0)
    axes.spines[:].set_visible(False)


_GAP = 2


def _line(images: Tensor) -> NDArray[np.float32]:
    """Images side by side on white, ``(height + gap, width, 3)``; grey ones as three equal colours."""
    count, channels, height, width = images.shape
    canvas = np.ones((height + _GAP, count * (width + _GAP), 3), np.float32)
    # A subject may take other numbers of channels than pictures have; their mean is shown then.
    shown = images if channels in {1, 3} else images.mean(1, keepdim=True)
    for at, image in enumerate(shown.clamp(0, 1).permute(0, 2, 3, 1).numpy()):
        left = at * (width + _GAP)
        canvas[:height, left : left + width] = image
    return canvas
