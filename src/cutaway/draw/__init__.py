"""Pictures of results: Matplotlib figures, mosaics, diagrams and reports."""

from cutaway.draw import (  # noqa: F401  each registers its kind of figure
    activity,
    beside,
    cell,
    confusion,
    curves,
    exemplars,
    kernels,
    knockout,
    maps,
    orientation,
    probe,
    rank,
    retention,
    sheet,
    similarity,
)
from cutaway.draw.diagram import flow_diagram
from cutaway.draw.figures import plot
from cutaway.draw.report import report_run

__all__ = ["flow_diagram", "plot", "report_run"]
