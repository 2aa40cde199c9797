"""The same look at several subjects, a column for each."""

from __future__ import annotations

from typing import Any

from matplotlib.figure import Figure

from cutaway.draw import kernels, maps
from cutaway.draw.figures import plot
from cutaway.draw.panel import Scale
from cutaway.look import Beside, FeatureMaps


@plot.register
def _(result: Beside, *, scale: str = "layer", **options: Any) -> Figure:  # type: ignore[type-arg]
    """A row for each layer and a column for each subject; one scale for all of a row."""
    named = list(zip(result.results, result.names, strict=True))
    if isinstance(result.results[0], FeatureMaps):
        columns = [(found, image, name) for found, name in named for image in range(len(found.images))]
        return maps.draw_columns(columns, Scale.of(scale), **options)
    return kernels.draw_columns(named, Scale.of(scale), options.get("order", "channel"))
