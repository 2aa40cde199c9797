"""Kernels as a figure: by channel, or each filter's slices from the strongest down."""

from __future__ import annotations

from collections.abc import Sequence

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from torch import Tensor

from cutaway.draw.figures import INK, plot
from cutaway.draw.mosaic import Mosaic, kernel_mosaic
from cutaway.draw.panel import Scale, draw_grid
from cutaway.errors import ConfigError
from cutaway.look import Kernels

SLICES = 16
"""A filter's slices that are drawn when they are sorted."""

FILTERS = 64
"""Rows of sorted slices: more would be too small to be read."""

ORDERS = ("channel", "norm")


@plot.register
def _(result: Kernels, *, scale: str = "layer", order: str = "channel") -> Figure:
    """A row for each layer; one scale for each.

    With ``order="norm"`` a row is a filter and has its 16 slices of the largest norm, from the largest
    down, each under the number of its channel.
    """
    return draw_columns([(result, "")], Scale.of(scale), order)


def draw_columns(columns: Sequence[tuple[Kernels, str]], scale: Scale, order: str) -> Figure:
    """A row for each layer, and in it the kernels of each result under its name."""
    if order not in ORDERS:
        raise ConfigError(f'order should be {" or ".join(ORDERS)}, not "{order}".')
    first = columns[0][0]
    # Slices of a single channel have nothing to be sorted by.
    by_norm = {layer: order == "norm" and weights.shape[1] > 1 for layer, weights in first.layers.items()}
    mosaics: dict[str, list[Mosaic]] = {}
    titles = []
    for layer, weights in first.layers.items():
        mosaics[layer] = [
            slice_mosaic(result.layers[layer], result.strongest(layer))
            if by_norm[layer]
            else kernel_mosaic(result.layers[layer], result.numbers(layer))
            for result, _ in columns
        ]
        shape = "×".join(map(str, weights.shape))
        told = f"{layer}  {shape}" + (_left_out(weights) if by_norm[layer] else "")
        titles.append([f"{name}  {told}" if name else told for _, name in columns])
    figure = draw_grid(mosaics, titles, scale)
    for row, (layer, found) in enumerate(mosaics.items()):
        for column, mosaic in enumerate(found):
            if by_norm[layer]:
                axes = figure.axes[row * len(columns) + column]
                _number_rows(axes, mosaic, columns[column][0].numbers(layer))
    return figure


def slice_mosaic(weights: Tensor, order: Tensor) -> Mosaic:
    """A row for each of the first 64 filters, a tile for each of its first 16 slices in some order.

    Args:
        weights: ``(O, I, h, w)``.
        order: channels for each filter, ``(O, I)``.
    """
    chosen = order[:FILTERS, :SLICES]
    rows = weights[:FILTERS].gather(1, chosen[:, :, None, None].expand(-1, -1, *weights.shape[2:]))
    tiles = rows.flatten(0, 1).numpy()
    dead = [not tile.any() for tile in tiles]
    margin = round(1.5 * tiles.shape[2])
    return Mosaic(tiles, chosen.shape[1], chosen.flatten().tolist(), dead, margin=margin)


def _left_out(weights: Tensor) -> str:
    """What a mosaic of sorted slices does not show."""
    filters, channels = weights.shape[:2]
    told = []
    if filters > FILTERS:
        told.append(f"the first {FILTERS} units")
    if channels > SLICES:
        told.append(f"the {SLICES} largest of {channels} slices")
    return f"  ({', '.join(told)})" if told else ""


def _number_rows(axes: Axes, mosaic: Mosaic, numbers: Sequence[int]) -> None:
    """The filter's number to the left of its row."""
    height, width = mosaic.tiles.shape[1:]
    for row in range(mosaic.rows):
        top, _ = mosaic.corner(row * mosaic.columns)
        axes.text(
            -0.4 * width, top + height / 2, str(numbers[row]), size=6, color=INK, va="center", ha="right"
        )
    axes.set_xlim(left=-mosaic.margin)
