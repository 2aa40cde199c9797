"""Exemplars as strips: a row for each unit, from the least of its range to the most."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
import torch.nn.functional as F
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from torch import Tensor

from cutaway.data.examples import evenly
from cutaway.draw.figures import FAINT, INK, plot
from cutaway.draw.palette import Pixels
from cutaway.errors import ConfigError
from cutaway.look import Exemplars
from cutaway.look.exemplars import BANDS, BandName

MOST = 12
"""Units of a layer that are drawn when nobody says which, evenly over all."""

_TILE = 32  # pixels of a tile's side
_GAP = 3  # pixels between tiles
_BETWEEN = 26  # pixels between bands
_INCH = 92  # pixels of the canvas
_PAPER = 255
_TITLES = {"bottom": "least", "middle": "middle", "top": "most"}


@plot.register
def _(result: Exemplars, *, bands: Sequence[BandName] | None = None, whole: bool = False) -> Figure:
    """A block for each layer, a row for each unit: the crops that excite it least, middling and most.

    Args:
        result: to be drawn.
        bands: parts of the range, of top, middle and bottom; all when not given. The least stand left.
        whole: draw the whole images, darkened but for the receptive field.
    """
    for name in bands or ():
        if name not in BANDS:
            raise ConfigError(f'bands should be {", ".join(BANDS)}, not "{name}".')
    shown = [name for name in reversed(BANDS) if name in (bands or BANDS)]
    units = {layer: _shown(result, layer) for layer in result.layers}
    step = _TILE + _GAP
    heights = [len(numbers) * step / _INCH + 0.45 for numbers in units.values()]
    counts = [max(found.band(name).images.shape[1] for found in result.layers.values()) for name in shown]
    wide = (sum(counts) * step + (len(shown) - 1) * _BETWEEN) / _INCH
    figure = Figure(figsize=(max(3.4, wide + 1.3), min(sum(heights) + 0.3, 200)), layout="constrained")
    panels = figure.subplots(len(heights), 1, height_ratios=heights, squeeze=False)[:, 0]
    for axes, (layer, numbers) in zip(panels, units.items(), strict=True):
        _draw_layer(axes, result, layer, numbers, shown, counts, whole)
    told = f"{result.subject}: {len(result.split):,} images"
    if "middle" in shown:
        told += f"; the middle is the {_share(result.quantile)} of {result.sampled:,} of them"
    figure.suptitle(told, size=9, color=INK, parse_math=False, x=0.01, ha="left")
    return figure


def _share(quantile: float) -> str:
    return "median" if quantile == 0.5 else f"{quantile:g} quantile"


def _shown(result: Exemplars, layer: str) -> list[int]:
    """The units that are drawn: all where they were chosen, or are few."""
    numbers = list(result.numbers(layer))
    return numbers if layer in result.units else [numbers[at] for at in evenly(len(numbers), MOST)]


def _draw_layer(  # noqa: PLR0917  what a block is made of
    axes: Axes,
    result: Exemplars,
    layer: str,
    numbers: Sequence[int],
    bands: Sequence[BandName],
    counts: Sequence[int],
    whole: bool,
) -> None:
    """The strips of a layer's units, with numbers on the left and the range of values below each band."""
    step = _TILE + _GAP
    lefts = [sum(counts[:at]) * step + at * _BETWEEN for at in range(len(bands))]
    width = lefts[-1] + counts[-1] * step - _GAP
    canvas = np.full((len(numbers) * step - _GAP, width, 3), _PAPER, np.uint8)
    found = result.layers[layer]
    for row, unit in enumerate(numbers):
        at = list(result.numbers(layer)).index(unit)
        for left, band in zip(lefts, bands, strict=True):
            pictures = _wholes(result, layer, at, band) if whole else result.crops(layer, unit, band)
            for column, picture in enumerate(pictures):
                x = left + column * step
                canvas[row * step : row * step + _TILE, x : x + _TILE] = _tile(picture)
            value = found.band(band).values[at, 0].item()
            middle = row * step + _TILE / 2
            axes.text(
                left - 2, middle, f"{value:.2g}", size=4.5, color=FAINT, ha="right", va="center", rotation=90
            )
    axes.imshow(canvas, interpolation="nearest")
    for left, band, count in zip(lefts, bands, counts, strict=True):
        axes.text(left + (count * step - _GAP) / 2, -5, _TITLES[band], size=6.5, color=FAINT, ha="center")
    axes.set_xticks([])
    places = [row * step + _TILE / 2 for row in range(len(numbers))]
    axes.set_yticks(places, [str(unit) for unit in numbers], size=7, color=INK)
    axes.tick_params(length=0, pad=9)
    axes.spines[:].set_visible(False)
    axes.set_anchor("W")
    every = len(result.numbers(layer))
    of_all = f"{len(numbers)} of {every} units" if len(numbers) < every else f"{every} units"
    axes.set_title(f"{layer}: {of_all}", size=8, loc="left", color=INK, parse_math=False, pad=10)


def _wholes(result: Exemplars, layer: str, row: int, band: BandName) -> list[Tensor]:
    """The images, with all but the receptive field at a third of its strength."""
    found = result.layers[layer].band(band)
    pixels = result.split.batch(found.images[row].to(result.split.index.device)).cpu()
    pictures = []
    for image, (top, left, bottom, right) in zip(pixels, found.boxes[row].tolist(), strict=True):
        dimmed = _rgb(image).float() / 3 + 90
        dimmed[:, top:bottom, left:right] = _rgb(image)[:, top:bottom, left:right].float()
        pictures.append(dimmed.to(torch.uint8))
    return pictures


def _rgb(image: Tensor) -> Tensor:
    """Three channels; the mean of those where there are neither 1 nor 3."""
    if len(image) == 3:
        return image
    return image.float().mean(0, keepdim=True).round().to(torch.uint8).expand(3, -1, -1)


def _tile(image: Tensor) -> Pixels:
    """A picture ``(C, h, w)`` in the middle of a tile, as large as it can be: ``(tile, tile, 3)``."""
    tile = np.full((_TILE, _TILE, 3), _PAPER, np.uint8)
    rgb = _rgb(image)
    _, height, width = rgb.shape
    if not height or not width:
        return tile  # a field in the padding alone
    scale = _TILE / max(height, width)
    size = max(1, round(height * scale)), max(1, round(width * scale))
    # Enlarged pixels stay squares; what is shrunk is averaged.
    options = {"mode": "nearest-exact"} if scale >= 1 else {"mode": "bilinear", "antialias": True}
    drawn = F.interpolate(rgb[None].float(), size, **options)[0]
    top, left = (_TILE - size[0]) // 2, (_TILE - size[1]) // 2
    pixels = drawn.round().clamp(0, 255).to(torch.uint8).permute(1, 2, 0).numpy()
    tile[top : top + size[0], left : left + size[1]] = pixels
    return tile
