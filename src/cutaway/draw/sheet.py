"""Sheets of a dataset's images: examples of every class, and one image at ever smaller sizes.

A pixel of the sheet's canvas is a pixel of a PNG of 150 dots an inch: nothing is resampled once more, so
small images stay sharp, and large ones were shrunk before and leave a small file.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.font_manager import FontProperties
from matplotlib.textpath import text_to_path
from torch import Tensor

from cutaway.data import Images, Split
from cutaway.draw.figures import plot
from cutaway.draw.palette import Pixels

DPI = 150
"""Dots an inch that a sheet is made for."""

EXAMPLES = 10
"""Examples of a class in each split."""

MOST_CLASSES = 40
"""Rows of a sheet; more classes than these make a picture that no viewer opens gladly."""

_TILE = 96  # pixels of an example's longer side at most
_GAP = 4  # pixels between examples
_BETWEEN = 40  # pixels between splits
_HEADING = 40  # pixels above a split
_FOOT = 34  # pixels below, where classes are left out
_LONGEST = 26  # letters of a class name that are shown
_SIZE = 8  # points of a class name
_LEVEL = 240  # pixels of a pyramid's first level, at most where it is not larger by itself
_NARROWEST = 90  # pixels of a level's column, for its title
_INK, _FINE, _PAPER = "#333333", "#8a8a8a", 255


@dataclass(frozen=True)
class Pyramid:
    """An image at ever smaller sizes, to be drawn.

    Args:
        levels: each ``(C, H, W)`` uint8; the first is the image itself.
        title: what the image is.
    """

    levels: Sequence[Tensor]
    title: str = ""


@plot.register
def draw_examples(images: Images) -> Figure:
    """A block for each split, a row for each class, ten examples taken evenly over the class's images.

    Of more than 40 classes as many are shown, taken evenly over all; a line below tells how many are
    not.
    """
    total = len(images.classes)
    labels = evenly(total, MOST_CLASSES)
    tiles = [_tile(split.shape) for split in images.splits.values()]
    step = max(height for height, _ in tiles) + _GAP
    names = [_short(images.classes[label]) for label in labels]
    left = round(max(map(_width, names), default=0.0)) + 4 * _GAP
    widths = [EXAMPLES * (width + _GAP) - _GAP for _, width in tiles]
    foot = _FOOT if len(labels) < total else _GAP
    size = (len(labels) * step + _HEADING + foot, left + sum(widths) + (len(widths) - 1) * _BETWEEN + _GAP)
    figure = _figure(*size)
    x = left
    for (name, split), tile, width in zip(images.splits.items(), tiles, widths, strict=True):
        axes = _axes(figure, x, _HEADING, (len(labels) * step, width))
        canvas = _block(split, labels, tile, step, width)
        axes.imshow(canvas, interpolation="none", aspect="auto")
        count = "1 image" if len(split) == 1 else f"{len(split):,} images"
        axes.set_title(f"{name}: {count}", size=9, loc="left", color=_INK)
        x += width + _BETWEEN
    for row, text in enumerate(names):
        # A dollar sign in a class name is no formula.
        style: dict[str, Any] = {"size": _SIZE, "ha": "right", "va": "center", "parse_math": False}
        figure.axes[0].text(-2 * _GAP, row * step + tiles[0][0] / 2, text, color=_INK, **style)
    if len(labels) < total:
        told = f"{len(labels)} of {total:,} classes; {total - len(labels):,} are not shown"
        figure.text(left / size[1], 0.35 * foot / size[0], told, size=8, color=_FINE)
    return figure


@plot.register
def draw_pyramid(pyramid: Pyramid) -> Figure:
    """A column for each level: at its own size above, enlarged to the first one's size below.

    All levels of the upper row are on one scale.
    """
    first = pyramid.levels[0]
    height, width = first.shape[1:]
    scale = max(1, _LEVEL // max(height, width))
    high, wide = height * scale, width * scale
    step = max(wide, _NARROWEST) + 4 * _GAP
    figure = _figure(2 * (high + _HEADING) + _HEADING, len(pyramid.levels) * step + 4 * _GAP)
    for column, level in enumerate(pyramid.levels):
        x, (rows, columns) = 4 * _GAP + column * step, level.shape[1:]
        small = _axes(figure, x, 2 * _HEADING, (rows * scale, columns * scale))
        small.set_title(f"{rows}×{columns}", size=8, loc="left", color=_INK)
        large = _axes(figure, x, 2 * _HEADING + high + _HEADING // 2, (high, wide))
        array = level.expand(3, -1, -1).permute(1, 2, 0).numpy()
        for axes in (small, large):
            axes.imshow(array, interpolation="nearest", aspect="auto")
    total = figure.get_size_inches() * DPI
    figure.text(4 * _GAP / total[0], 1 - 24 / total[1], pyramid.title, size=9, color=_INK, parse_math=False)
    return figure


def evenly(count: int, most: int) -> list[int]:
    """At most ``most`` of ``count`` places, the first and the last among them, evenly apart."""
    if count <= most:
        return list(range(count))
    return [round(at * (count - 1) / (most - 1)) for at in range(most)]


def _block(split: Split, labels: Sequence[int], tile: tuple[int, int], step: int, width: int) -> Pixels:
    """The examples of one split: ``(H, W, 3)``; grey as three equal colours, which no palette rounds."""
    canvas = np.full((len(labels) * step, width, 3), _PAPER, np.uint8)
    for row, label in enumerate(labels):
        members = (split.labels == label).nonzero().flatten()
        chosen = members[evenly(len(members), EXAMPLES)]
        for column, picture in enumerate(_sized(split.batch(chosen), tile)):
            top, left = row * step, column * (tile[1] + _GAP)
            canvas[top : top + tile[0], left : left + tile[1]] = picture
    return canvas


def _sized(pixels: Tensor, tile: tuple[int, int]) -> Pixels:
    """Images ``(N, C, H, W)`` at the size of a tile: ``(N, h, w, C)``."""
    height, width = pixels.shape[2:]
    if tile[0] >= height and tile[1] >= width:
        factors = (tile[0] // height, tile[1] // width)
        found = pixels.repeat_interleave(factors[0], 2).repeat_interleave(factors[1], 3)
    else:
        small = F.interpolate(pixels.float(), tile, mode="bilinear", antialias=True, align_corners=False)
        found = small.round().clamp(0, 255).to(torch.uint8)
    return found.permute(0, 2, 3, 1).numpy()


def _tile(shape: tuple[int, int, int]) -> tuple[int, int]:
    """Height and width of an example: a whole multiple of a small image, a large one shrunk."""
    _, height, width = shape
    longer = max(height, width)
    if longer <= _TILE:
        return height * (_TILE // longer), width * (_TILE // longer)
    return max(1, round(height * _TILE / longer)), max(1, round(width * _TILE / longer))


def _figure(height: int, width: int) -> Figure:
    """An empty figure of so many pixels."""
    return Figure(figsize=(width / DPI, height / DPI), dpi=DPI, facecolor="white")


def _axes(figure: Figure, x: int, y: int, size: tuple[int, int]) -> Axes:
    """Axes at a pixel counted from the left and from the top, of height and width in pixels."""
    width, height = (figure.get_size_inches() * DPI).round()
    axes = figure.add_axes((x / width, 1 - (y + size[0]) / height, size[1] / width, size[0] / height))
    axes.set_axis_off()
    return axes


def _short(name: str) -> str:
    """A class name that leaves room for the images."""
    return name if len(name) <= _LONGEST else f"{name[: _LONGEST - 1]}…"


def _width(text: str) -> float:
    """Pixels that a class name takes."""
    width, _, _ = text_to_path.get_text_width_height_descent(text, FontProperties(size=_SIZE), ismath=False)
    return float(width) * DPI / 72
