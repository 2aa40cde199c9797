"""Feature maps as a figure: all units of every layer, or a few units through all layers."""

from __future__ import annotations

from collections.abc import Sequence

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from cutaway.draw.figures import FAINT, INK, plot
from cutaway.draw.mosaic import Mosaic, map_mosaic
from cutaway.draw.palette import SIGNED
from cutaway.draw.panel import LONGEST, Scale, draw_grid, draw_image
from cutaway.look import FeatureMaps


@plot.register
def _(result: FeatureMaps, *, scale: str = "layer") -> Figure:
    """A row for each layer and a column for each image; one scale for each layer.

    Where only some units were kept, they are followed: a row for each unit of each image, and a column
    for each layer.
    """
    if result.units:
        return _followed(result, Scale.of(scale))
    columns = [(result, image, "") for image in range(len(result.images))]
    return draw_columns(columns, Scale.of(scale))


def draw_columns(columns: Sequence[tuple[FeatureMaps, int, str]], scale: Scale) -> Figure:
    """A row for each layer.

    Args:
        columns: each shows an image, by its place, of some feature maps, under a name.
        scale: of the palette.
    """
    mosaics: dict[str, list[Mosaic]] = {}
    titles = []
    for layer, values in columns[0][0].layers.items():
        mosaics[layer] = [
            map_mosaic(maps.layers[layer][image], maps.blank(layer)[image], maps.numbers(layer))
            for maps, image, _ in columns
        ]
        shape = "×".join(map(str, values.shape[1:]))
        titles.append(
            [f"{name}  {layer}  {shape}" if name else f"{layer}  {shape}" for _, _, name in columns]
        )
    return draw_grid(mosaics, titles, scale)


def _followed(result: FeatureMaps, scale: Scale) -> Figure:
    """The image, then a unit's map in one layer after another."""
    # As they were asked for, wherever a layer has them all.
    known = sorted(map(result.numbers, result.layers), key=len, reverse=True)
    units = list(dict.fromkeys(unit for numbers in known for unit in numbers))
    rows = [(image, unit) for image in range(len(result.images)) for unit in units]
    columns = len(result.layers) + 1
    size = (min(1.5 * columns, LONGEST), min(1.7 * len(rows), LONGEST))
    figure = Figure(figsize=size, layout="constrained")
    grid = figure.subplots(len(rows), columns, squeeze=False)
    most = max(float(values.abs().max()) for values in result.layers.values())
    for axes, (image, unit) in zip(grid, rows, strict=True):
        draw_image(axes[0], result.images[image], f"unit {unit}")
        for panel, layer in zip(axes[1:], result.layers, strict=True):
            limit = most if scale is Scale.GLOBAL else float(result.layers[layer].abs().max())
            _draw_unit(panel, result, layer, (image, unit), None if scale is Scale.UNIT else limit)
    return figure


def _draw_unit(
    axes: Axes, result: FeatureMaps, layer: str, place: tuple[int, int], limit: float | None
) -> None:
    """One map on its layer's scale, or on its own."""
    image, unit = place
    axes.set_axis_off()
    if unit not in result.numbers(layer):
        axes.set_title(layer, size=8, loc="left", color=FAINT, parse_math=False)
        axes.text(
            0.5,
            0.5,
            f"no unit {unit}",
            ha="center",
            va="center",
            size=7,
            color=FAINT,
            transform=axes.transAxes,
        )
        return
    at = list(result.numbers(layer)).index(unit)
    mosaic = map_mosaic(result.layers[layer][image, at : at + 1], result.blank(layer)[image, at : at + 1])
    limit = mosaic.limit if limit is None else limit
    axes.imshow(mosaic.tiles[0], cmap=SIGNED, vmin=-limit or -1, vmax=limit or 1, interpolation="nearest")
    height, width = mosaic.tiles.shape[1:]
    if mosaic.blank[0]:
        for ends in ((-0.5, height - 0.5), (height - 0.5, -0.5)):
            axes.plot((-0.5, width - 0.5), ends, color=FAINT, linewidth=0.5)
    title = f"{layer}  ±{limit:.3g}"
    if result.layers[layer].dim() == 2:
        title = f"{layer}  {float(result.layers[layer][image, at]):.3g}"
    axes.set_title(title, size=8, loc="left", color=INK, parse_math=False)
