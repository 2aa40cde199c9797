"""Grad-CAM as a figure: every layer's map over the image."""

from __future__ import annotations

import math
from collections.abc import Sequence

from matplotlib.figure import Figure

from cutaway.draw.attribution import told_target
from cutaway.draw.figures import INK, plot
from cutaway.draw.overlay import EVIDENCE_PAINT, MapScale, draw_over, entitle
from cutaway.draw.panel import LONGEST, draw_image
from cutaway.look import GradCam

_SIDE = 1.6
"""Inches of a panel."""

_WIDEST = 24
"""Letters of a layer's name that fit above a panel."""

_ACROSS = 6
"""Layers that stand side by side; more go on below."""


@plot.register
def _(result: GradCam, *, scale: str = "image", predicted: Sequence[str] | None = None) -> Figure:
    """A block for each target and image: the image, then each layer's map over it, enlarged to its size.

    Args:
        result: to be drawn.
        scale: ``image``, each map up to its largest; ``shared``, all of a layer alike. Maps of different
            layers have different units, so they share none.
        predicted: the class that each image is taken for, to be told where that is the target.
    """
    shared = MapScale.of(scale) is MapScale.SHARED
    layers = list(result.layers)
    maps = {layer: result.enlarged(layer) for layer in layers}
    pairs = [(target, image) for target in range(len(result.targets)) for image in range(len(result.images))]
    across = min(len(layers), _ACROSS)
    deep = math.ceil(len(layers) / across)
    height, width = result.images.shape[2:]
    tall = _SIDE * min(max(height / width, 0.3), 3.0) + 0.4
    size = (max((across + 1) * _SIDE, 3.4) + 0.2, min(len(pairs) * deep * tall + 0.3, LONGEST))
    figure = Figure(figsize=size, layout="constrained")
    grid = figure.subplots(len(pairs) * deep, across + 1, squeeze=False)
    for axes in grid.flat:
        axes.set_axis_off()
    for place, (target, image) in enumerate(pairs):
        block = grid[place * deep : (place + 1) * deep]
        draw_image(block[0, 0], result.images[image])
        entitle(block[0, 0], told_target(result, target, image, predicted))
        for axes, layer in zip(block[:, 1:].flat, layers, strict=False):
            values = maps[layer]
            limit = float((values if shared else values[target, image]).max())
            draw_over(axes, result.images[image], values[target, image], limit, EVIDENCE_PAINT)
            told = "×".join(map(str, result.layers[layer].shape[2:]))
            told += f"  to {limit:.2g}" if limit else "  zero everywhere"
            entitle(axes, f"{_short(layer)}\n{told}")
    name = f"{result.subject}: Grad-CAM" if result.subject else "Grad-CAM"
    figure.suptitle(name, size=9, color=INK, parse_math=False, x=0.01, ha="left")
    return figure


def _short(layer: str) -> str:
    """A layer's name, as much of its end as a panel is wide."""
    return layer if len(layer) <= _WIDEST else f"…{layer[1 - _WIDEST :]}"
