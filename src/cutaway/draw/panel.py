"""Mosaics on axes: tiles on a signed scale, each under its number."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from enum import StrEnum
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine
from torch import Tensor

from cutaway.draw.figures import FAINT, INK
from cutaway.draw.mosaic import Mosaic
from cutaway.draw.palette import SIGNED
from cutaway.errors import ConfigError

LONGEST = 200.0
"""Inches that a side of a figure may have: at 150 dots an inch, half of what Matplotlib can draw."""


class Scale(StrEnum):
    """Which values the palette's end is the largest of."""

    UNIT = "unit"
    LAYER = "layer"
    GLOBAL = "global"

    @classmethod
    def of(cls, name: str) -> Scale:
        """The scale of that name.

        Raises:
            ConfigError: there is none.
        """
        if name not in list(cls):
            raise ConfigError(f'scale should be {", ".join(cls)}, not "{name}".')
        return cls(name)


def draw_grid(
    mosaics: Mapping[str, Sequence[Mosaic]], titles: Sequence[Sequence[str]], scale: Scale
) -> Figure:
    """A row of mosaics for each layer, all of one layer on the same scale.

    Args:
        mosaics: by layer, as many in each row.
        titles: for each row and column, without the scale.
        scale: what is on one scale. By unit each tile has its own.
    """
    rows = list(mosaics.values())
    figure = stack([row[0] for row in rows], len(rows[0]))
    most = max((mosaic.limit for row in rows for mosaic in row), default=0.0)
    for at, row in enumerate(rows):
        limit = most if scale is Scale.GLOBAL else max(mosaic.limit for mosaic in row)
        for column, mosaic in enumerate(row):
            axes = figure.axes[at * len(row) + column]
            title = titles[at][column]
            if scale is Scale.UNIT:
                draw_mosaic(
                    axes, mosaic.evened(), 1.0, f"{title}  each to its largest, at most {mosaic.limit:.3g}"
                )
            else:
                draw_mosaic(axes, mosaic, limit, f"{title}  ±{limit:.3g}")
    return figure


def stack(mosaics: Sequence[Mosaic], columns: int) -> Figure:
    """Empty axes, a row for each mosaic, as high as the mosaics are for their width."""
    width = 8.0 / columns if columns < 3 else 4.0
    heights = [
        max(0.5, width * mosaic.size[0] / (mosaic.size[1] + mosaic.margin)) + 0.25 for mosaic in mosaics
    ]
    size = (min(width * columns, LONGEST), min(sum(heights), LONGEST))
    # Or the mosaics of two columns look like one.
    layout = ConstrainedLayoutEngine(wspace=0.06 if columns > 1 else 0.02)
    figure = Figure(figsize=size, layout=layout)
    figure.subplots(len(mosaics), columns, height_ratios=heights)
    return figure


def draw_mosaic(axes: Axes, mosaic: Mosaic, limit: float, title: str) -> None:
    """Tiles on one signed scale with their numbers; blank ones are crossed out."""
    axes.imshow(mosaic.array(), cmap=SIGNED, vmin=-limit or -1, vmax=limit or 1, interpolation="nearest")
    _, height, width = mosaic.tiles.shape
    inches = axes.figure.get_figure(root=True).get_size_inches()[0]
    size = min(6.0, 72 * inches / mosaic.size[1] * mosaic.strip * 0.7)
    for index, number in enumerate(mosaic.numbers):
        top, left = mosaic.corner(index)
        axes.text(left - 0.5, top - 0.7, str(number), size=size, color=FAINT, va="bottom", ha="left")
        if mosaic.blank[index]:
            right, bottom = left + width - 0.5, top + height - 0.5
            axes.plot((left - 0.5, right), (top - 0.5, bottom), color=FAINT, linewidth=0.5)
            axes.plot((left - 0.5, right), (bottom, top - 0.5), color=FAINT, linewidth=0.5)
    axes.set_title(title, size=8, loc="left", color=INK, parse_math=False)
    axes.set_axis_off()


def draw_image(axes: Axes, image: Tensor, title: str = "") -> None:
    """An image ``(C, H, W)`` as it is seen: bytes as they are, floats from their least to their largest."""
    values: Any = image.detach().float().cpu()
    if image.is_floating_point():
        low, high = float(values.min()), float(values.max())
        values = (values - low) / (high - low or 1.0)
    else:
        values = values / 255
    # Other numbers of channels than 1 and 3 have no colours: their mean is shown.
    values = values.expand(3, -1, -1) if len(values) == 1 else values
    values = values if len(values) == 3 else values.mean(0, keepdim=True).expand(3, -1, -1)
    axes.imshow(np.asarray(values.permute(1, 2, 0)), interpolation="nearest")
    axes.set_title(title, size=8, loc="left", color=INK, parse_math=False)
    axes.set_axis_off()
