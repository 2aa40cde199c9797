"""Sheets of a dataset's images: examples of every class, and one image at ever smaller sizes.

A pixel of the sheet's canvas is a pixel of a PNG of 150 dots an inch: nothing is resampled once more, so
small images stay sharp, and large ones were shrunk before and leave a small file.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.font_manager import FontProperties
from matplotlib.textpath import text_to_path
from torch import Tensor

from cutaway.data import Images
from cutaway.data.examples import LONGEST_SIDE, Block, Examples, choose_examples
from cutaway.draw.figures import plot
from cutaway.draw.palette import Pixels

DPI = 150
"""Dots an inch that a sheet is made for."""

_GAP = 4  # pixels between examples
_BETWEEN = 40  # pixels between splits
_HEADING = 40  # pixels above a split
_FOOT = 34  # pixels below, where classes are left out
_LONGEST = 26  # letters of a class name that are shown
_SIZE = 8  # points of a class name
_TITLE = 9  # points of a split's name
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
def draw_images(images: Images, **options: Any) -> Figure:
    """Ten examples of every class in each split, with the options of :func:`draw_examples`."""
    return draw_examples(choose_examples(images), **options)


@plot.register
def draw_examples(examples: Examples, columns: int = 1) -> Figure:
    """A block for each split, a row for each class.

    Where classes are left out, a line below tells how many.

    Args:
        examples: of every class.
        columns: how many times classes stand side by side, for few examples of many classes.
    """
    names = [_short(name) for name in examples.classes]
    rows = max(1, math.ceil(len(names) / columns))
    tiles = [_tile(block.pixels) for block in examples.blocks.values()]
    step = max(height for height, _ in tiles) + _GAP
    widths = [examples.most * (width + _GAP) - _GAP for _, width in tiles]
    left = round(max(map(_width, names), default=0.0)) + 4 * _GAP
    # A block of few examples may be narrower than what stands above it.
    spans = [max(w, round(_width(n, _TITLE))) for n, w in zip(examples.blocks, widths, strict=True)]
    wide = left + sum(spans) + (len(spans) - 1) * _BETWEEN
    hidden = examples.total - len(names)
    foot = _FOOT if hidden else _GAP
    starts = range(0, len(names), rows)
    size = (rows * step + _HEADING + foot, len(starts) * (wide + _BETWEEN) - _BETWEEN + _GAP)
    figure = _figure(*size)
    for column, start in enumerate(starts):
        x = column * (wide + _BETWEEN) + left
        for at, (name, block) in enumerate(examples.blocks.items()):
            tile, width = tiles[at], widths[at]
            axes = _axes(figure, x, _HEADING, (rows * step, width))
            canvas = _canvas(block, range(start, start + rows), tile, step, width)
            axes.imshow(canvas, interpolation="none", aspect="auto")
            axes.set_title(_heading(name, block.count, spans[at]), size=_TITLE, loc="left", color=_INK)
            if at == 0:
                _write_names(axes, names[start : start + rows], step, tile[0])
            x += spans[at] + _BETWEEN
    if hidden:
        told = f"{len(names)} of {examples.total:,} classes; {hidden:,} are not shown"
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


def _write_names(axes: Axes, names: Sequence[str], step: int, tile: int) -> None:
    """Class names to the left of a block, one beside each row."""
    for row, name in enumerate(names):
        # A dollar sign in a class name is no formula.
        style: dict[str, Any] = {"size": _SIZE, "ha": "right", "va": "center", "parse_math": False}
        axes.text(-2 * _GAP, row * step + tile / 2, name, color=_INK, **style)


def _heading(name: str, count: int, width: int) -> str:
    """What stands above a block; without the number of its images where that has no room or no sense."""
    told = f"{name}: 1 image" if count == 1 else f"{name}: {count:,} images"
    return told if count and _width(told, _TITLE) <= width else name


def _canvas(block: Block, labels: range, tile: tuple[int, int], step: int, width: int) -> Pixels:
    """The examples of some classes: ``(H, W, 3)``; grey as three equal colours, which no palette rounds."""
    canvas = np.full((len(labels) * step, width, 3), _PAPER, np.uint8)
    for row, label in enumerate(labels):
        for column, picture in enumerate(_sized(block.pixels[block.labels == label], tile)):
            top, left = row * step, column * (tile[1] + _GAP)
            canvas[top : top + tile[0], left : left + tile[1]] = picture
    return canvas


def _sized(pixels: Tensor, tile: tuple[int, int]) -> Pixels:
    """Images ``(N, C, H, W)`` at the size of a tile, a whole multiple of theirs: ``(N, h, w, C)``."""
    factors = (tile[0] // pixels.shape[2], tile[1] // pixels.shape[3])
    found = pixels.repeat_interleave(factors[0], 2).repeat_interleave(factors[1], 3)
    return found.permute(0, 2, 3, 1).numpy()


def _tile(pixels: Tensor) -> tuple[int, int]:
    """Height and width of an example of ``(N, C, H, W)``: a whole multiple of a small image."""
    height, width = pixels.shape[2:]
    factor = max(1, LONGEST_SIDE // max(height, width))
    return height * factor, width * factor


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


def _width(text: str, size: int = _SIZE) -> float:
    """Pixels that a text takes, of a class name's size when none is given."""
    width, _, _ = text_to_path.get_text_width_height_descent(text, FontProperties(size=size), ismath=False)
    return float(width) * DPI / 72
