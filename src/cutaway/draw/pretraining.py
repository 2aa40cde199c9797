"""Images and what came back of them from each pre-trained depth."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from torch import Tensor

from cutaway.draw.palette import Pixels
from cutaway.training import Reconstruction

_INK = "#333333"
_WIDTH = 8.0  # inches
_GAP = 0.06  # of an image's width, between two
_LINE = 0.28  # inches of a row's title


def plot_reconstructions(depths: Mapping[str, Reconstruction]) -> Figure:
    """A row of originals, and below it a row for each depth: the same images as they came back.

    Args:
        depths: by layer, the first depth first; each with the same originals, and some of them.
    """
    first = next(iter(depths.values()))
    rows = {"originals": first.originals}
    for layer, found in depths.items():
        rows[f"{layer}: error {found.error:.3g} on {found.split}"] = found.images
    strips = {title: _strip(images) for title, images in rows.items()}
    high, wide = next(iter(strips.values())).shape[:2]
    # Few images are not blown up to the figure's whole width.
    width = min(_WIDTH, 1.5 * len(first.originals) + 1)
    figure = Figure(figsize=(width, len(rows) * (width * high / wide + _LINE)), layout="constrained")
    for axes, (title, strip) in zip(
        figure.subplots(len(rows), 1, squeeze=False)[:, 0], strips.items(), strict=True
    ):
        _draw(axes, strip, title)
    return figure


def _draw(axes: Axes, strip: Pixels, title: str) -> None:
    axes.imshow(strip, interpolation="nearest")
    axes.set_title(title, size=8, loc="left", color=_INK)
    axes.set_axis_off()


def _strip(images: Tensor) -> Pixels:
    """Images ``(K, C, H, W)`` side by side on white: ``(H, …, 3)``; grey as three equal colours."""
    count, _, height, width = images.shape
    step = width + max(1, round(_GAP * width))
    strip = np.full((height, count * step - (step - width), 3), 255, np.uint8)
    for at, image in enumerate(images.expand(-1, 3, -1, -1).permute(0, 2, 3, 1).numpy()):
        strip[:, at * step : at * step + width] = image
    return strip
