"""Pictures inside a page: PNG as data URIs, mosaics and curves as inline SVG."""

from __future__ import annotations

import base64
import io
import re
from html import escape

import matplotlib as mpl
import numpy as np
from matplotlib.figure import Figure
from PIL import Image
from torch import Tensor

from cutaway.draw.mosaic import Mosaic
from cutaway.draw.palette import Pixels, signed_colours, signed_indices

_TRANSPARENT = 255
_TILE_POINTS = 80
"""How wide a tile is shown at most, in CSS pixels."""
_PICTURE_SIDE = 160
"""Pixels of a picture's longer side at most: pages show none larger, and a photograph takes megabytes."""


def png_uri(image: Image.Image) -> str:
    """An image as a ``data:`` URI."""
    buffer = io.BytesIO()
    image.save(buffer, "PNG", optimize=True)
    return "data:image/png;base64," + base64.b64encode(buffer.getvalue()).decode("ascii")


def picture_uri(pixels: Tensor) -> str:
    """An image ``(C, H, W)`` uint8 with one or three channels, as a ``data:`` URI; a large one shrunk."""
    array = pixels.permute(1, 2, 0).numpy()
    image = Image.fromarray(array[:, :, 0] if array.shape[2] == 1 else array)
    image.thumbnail((_PICTURE_SIDE, _PICTURE_SIDE))
    return png_uri(image)


def mosaic_svg(mosaic: Mosaic, limit: float, label: str) -> str:
    """A mosaic with its unit numbers, on a scale from −limit to limit; blank tiles are crossed out.

    The pixels are one palette PNG; numbers are text in ``currentColor``, sharp at any size.
    """
    height, width = mosaic.size
    _, tile_height, tile_width = mosaic.tiles.shape
    size = min(mosaic.strip * 0.8, tile_width * 0.18)
    parts = [
        f'<svg class="mosaic" viewBox="0 0 {width} {height}" role="img" aria-label="{escape(label)}" '
        f'style="max-width:{mosaic.columns * _TILE_POINTS}px" font-size="{size:.2f}">'
        f'<image width="{width}" height="{height}" href="{_palette_uri(mosaic, limit)}"/>'
    ]
    for index, number in enumerate(mosaic.numbers):
        top, left = mosaic.corner(index)
        parts.append(f'<text x="{left}" y="{top - 0.15 * mosaic.strip:.2f}">{number}</text>')
        if mosaic.blank[index]:
            cross = f"M{left} {top}l{tile_width} {tile_height}m0 {-tile_height}l{-tile_width} {tile_height}"
            parts.append(f'<path d="{cross}" stroke-width="{tile_width / 40:.2f}"/>')
    parts.append("</svg>")
    return "".join(parts)


def figure_svg(figure: Figure, name: str, colours: dict[str, str]) -> str:
    """A Matplotlib figure as inline SVG that follows the page's colours.

    Args:
        figure: drawn in hexadecimal colours.
        name: what it shows, for those who can't see it; unique in the page, since it is the salt of
            the ids inside.
        colours: what replaces each of the figure's colours, such as ``var(--line)``.
    """
    buffer = io.StringIO()
    with mpl.rc_context({"svg.fonttype": "none", "svg.hashsalt": name, "font.family": "sans-serif"}):
        figure.savefig(buffer, format="svg", transparent=True, metadata={"Date": None, "Creator": None})
    svg = buffer.getvalue()
    svg = svg[svg.index("<svg") :]
    svg = re.sub(r"<metadata>.*?</metadata>", "", svg, flags=re.DOTALL)
    # Ids of text and patches are counted from one in every figure.
    svg = re.sub(r' id="[\w.]+_\d+"', "", svg)
    for colour, replacement in colours.items():
        svg = svg.replace(colour, replacement)
    return svg.replace("<svg", f'<svg class="curve" role="img" aria-label="{escape(name)}"', 1)


def _palette_uri(mosaic: Mosaic, limit: float) -> str:
    values = mosaic.array()
    hole = np.isnan(values)
    indices: Pixels = signed_indices(np.nan_to_num(values), limit)
    # One of 256 places is needed for "nothing here"; the topmost red gives way to its neighbour.
    indices[indices == _TRANSPARENT] = _TRANSPARENT - 1
    indices[hole] = _TRANSPARENT
    image = Image.fromarray(indices)
    image.putpalette(signed_colours().tobytes())
    image.info["transparency"] = _TRANSPARENT
    return png_uri(image)
