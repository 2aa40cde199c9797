"""Attributions as a figure: each map beside its image and over it."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from matplotlib.figure import Figure
from torch import Tensor

from cutaway.draw.figures import INK, plot
from cutaway.draw.overlay import (
    EVIDENCE_PAINT,
    SIGNED_PAINT,
    STRENGTH_PAINT,
    MapScale,
    Paint,
    draw_map,
    draw_over,
    entitle,
    limit_of,
)
from cutaway.draw.panel import LONGEST, draw_image
from cutaway.errors import ConfigError
from cutaway.look import Attribution, GradCam

GRADIENTS = frozenset({"saliency", "smoothgrad"})
"""Methods whose sign only says which way a pixel would have to change: their strength is shown."""

MEANS = frozenset({"RISE"})
"""Methods whose maps have no zero: their palette goes from the least value to the largest."""

_Ends = list[list[tuple[float, float]]]
"""By target and image: how far a palette reaches, and what was taken from the map before."""

_SIDE = 1.7
"""Inches of a panel."""


@plot.register
def _(
    result: Attribution, *, scale: str = "image", show: str = "auto", predicted: Sequence[str] | None = None
) -> Figure:
    """A row for each map: the image, the map, the map over the image.

    With several targets and several images, a row for each target and a column for each image, maps over
    images alone. Channels are added; of a strength, the largest amount is shown. The palette ends where
    half a percent of the values lie beyond, and where the largest is if that is zero. What has no
    zero, as RISE, is drawn from its least value on.

    Args:
        result: to be drawn.
        scale: ``image``, each map its own; ``shared``, all alike, for comparing them.
        show: ``signed`` or ``strength``; ``auto`` takes strength for gradients.
        predicted: the class that each image is taken for, to be told where that is the target.
    """
    if show not in ("auto", "signed", "strength"):
        raise ConfigError(f'show should be auto, signed or strength, not "{show}".')
    strong = show == "strength" or (show == "auto" and result.method in GRADIENTS)
    maps, paint = (result.strength, STRENGTH_PAINT) if strong else (result.summed, SIGNED_PAINT)
    shared = MapScale.of(scale) is MapScale.SHARED
    grounds = torch.zeros(maps.shape[:2])
    if show == "auto" and result.method in MEANS:
        grounds = maps.min().expand(maps.shape[:2]) if shared else maps.amin((2, 3))
        maps, paint = maps - grounds[:, :, None, None], EVIDENCE_PAINT
    limits = _limits(maps, shared)
    ends = [[(limit, float(grounds[t, n])) for n, limit in enumerate(row)] for t, row in enumerate(limits)]
    drawn = _table if min(maps.shape[:2]) > 1 else _list
    figure = drawn(result, maps, ends, paint, predicted)
    told = f"{result.subject}: {result.method}" if result.subject else result.method
    if shared:
        told += f", all {paint.told(*ends[0][0])}"
    figure.suptitle(told, size=9, color=INK, parse_math=False, x=0.01, ha="left")
    return figure


def _limits(maps: Tensor, shared: bool) -> list[list[float]]:
    """Where the palette of each map ends, by target and image."""
    if shared:
        return [[limit_of(maps)] * maps.shape[1]] * len(maps)
    return [[limit_of(one) for one in row] for row in maps]


def _list(
    result: Attribution,
    maps: Tensor,
    ends: _Ends,
    paint: Paint,
    predicted: Sequence[str] | None,
) -> Figure:
    """A row for each target of the one image, or for each image of the one target."""
    pairs = [(target, image) for target in range(len(maps)) for image in range(maps.shape[1])]
    height = _height(maps)
    size = (3 * _SIDE + 0.2, min(len(pairs) * (height + 0.25) + 0.3, LONGEST))
    figure = Figure(figsize=size, layout="constrained")
    grid = figure.subplots(len(pairs), 3, squeeze=False)
    for axes, (target, image) in zip(grid, pairs, strict=True):
        draw_image(axes[0], result.images[image])
        entitle(axes[0], told_target(result, target, image, predicted))
        limit, ground = ends[target][image]
        draw_map(axes[1], maps[target, image], limit, paint)
        entitle(axes[1], paint.told(limit, ground), faintly=True)
        draw_over(axes[2], result.images[image], maps[target, image], limit, paint)
        if result.gap is not None:
            entitle(axes[2], f"gap {float(result.gap[target, image]):.2g}", faintly=True)
    return figure


def _table(
    result: Attribution,
    maps: Tensor,
    ends: _Ends,
    paint: Paint,
    predicted: Sequence[str] | None,
) -> Figure:
    """Images above, and below them a row for each target."""
    targets, images = maps.shape[:2]
    size = (
        min(max(2.2 * _SIDE, images * _SIDE) + 0.2, LONGEST),
        min((targets + 1) * (_height(maps) + 0.25) + 0.3, LONGEST),
    )
    figure = Figure(figsize=size, layout="constrained")
    grid = figure.subplots(targets + 1, images, squeeze=False)
    for image in range(images):
        draw_image(grid[0, image], result.images[image])
        for target in range(targets):
            axes, (limit, ground) = grid[target + 1, image], ends[target][image]
            draw_over(axes, result.images[image], maps[target, image], limit, paint)
            entitle(axes, f"{told_target(result, target, image, predicted)}  {paint.told(limit, ground)}")
    return figure


def _height(maps: Tensor) -> float:
    """Inches of a panel's height, as the images' proportions have it."""
    return _SIDE * min(max(maps.shape[2] / maps.shape[3], 0.3), 3.0)


def told_target(
    result: Attribution | GradCam, target: int, image: int, predicted: Sequence[str] | None
) -> str:
    """A target and what it came to for an image."""
    name = result.targets[target]
    name = predicted[image] if predicted and name == "predicted" else name
    return f"{name}  {float(result.values[target, image]):.3g}"
