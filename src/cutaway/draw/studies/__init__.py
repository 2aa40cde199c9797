"""Pictures of studies: differences with intervals, curves against the base, cost against error."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from matplotlib.figure import Figure

from cutaway.draw.figures import plot
from cutaway.draw.studies.costs import cost
from cutaway.draw.studies.differences import forest
from cutaway.draw.studies.epochs import curves
from cutaway.errors import ConfigError
from cutaway.study import StudyTable

__all__ = ["cost", "curves", "forest"]

_PICTURES: dict[str, Callable[..., Figure]] = {"forest": forest, "curves": curves, "cost": cost}


@plot.register
def _(result: StudyTable, *, which: str = "forest", **options: Any) -> Figure:
    """A study: "forest", "curves" or "cost", with the options of that picture."""
    if which not in _PICTURES:
        raise ConfigError(f'which should be {", ".join(_PICTURES)}, not "{which}".')
    return _PICTURES[which](result, **options)
