"""Galleries: images in rows and columns, each row and each image with what is to be said of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure, SubFigure
from torch import Tensor

from cutaway.draw.figures import FAINT, INK
from cutaway.draw.panel import LONGEST, draw_image

SIDE = 1.15
"""Inches of an image."""


@dataclass(frozen=True)
class Row:
    """Some images beside each other.

    Args:
        label: what they are, to the left of them.
        images: ``(N, C, H, W)`` from 0 to 1.
        titles: what stands above each; none where there is nothing to say.
    """

    label: str
    images: Tensor
    titles: Sequence[str] = ()


def draw_gallery(figure: Figure | SubFigure, rows: Sequence[Row]) -> None:
    """Draw rows of images; all rows have as many columns as the longest."""
    columns = max(len(row.images) for row in rows)
    grid = figure.subplots(len(rows), columns, squeeze=False)
    for axes, row in zip(grid, rows, strict=True):
        for panel in axes:
            panel.set_axis_off()
        for at, image in enumerate(row.images):
            draw_image(axes[at], (image * 255).round().clamp(0, 255).to(torch.uint8))
            if at < len(row.titles):
                axes[at].set_title(row.titles[at], size=6, color=INK, parse_math=False, pad=2)
        _label(axes[0], row.label)


def gallery_size(rows: Sequence[Row], more: float = 0.0) -> tuple[float, float]:
    """Inches for rows of images, with as much below them as asked for."""
    columns = max(len(row.images) for row in rows)
    titled = 0.2 if any(row.titles for row in rows) else 0.05
    height = len(rows) * (SIDE + titled) + 0.35 + more
    return min(max(columns * SIDE + 0.9, 4.0), LONGEST), min(height, LONGEST)


def _label(axes: Axes, label: str) -> None:
    axes.text(
        -0.08,
        0.5,
        label,
        size=7,
        color=INK,
        rotation=90 if len(label) <= 14 else 0,
        ha="right",
        va="center",
        transform=axes.transAxes,
        parse_math=False,
    )


def tidy(axes: Axes, title: str, below: str) -> None:
    """Axes of curves: small letters, no frame above and to the right."""
    axes.spines[["top", "right"]].set_visible(False)
    axes.tick_params(labelsize=7, colors=FAINT)
    axes.set_title(title, size=8, loc="left", color=INK, parse_math=False)
    axes.set_xlabel(below, size=7, color=INK)
