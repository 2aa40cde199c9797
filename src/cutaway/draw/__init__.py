"""Pictures of results: Matplotlib figures, mosaics, diagrams and reports."""

from cutaway.draw import (  # noqa: F401  each registers its kind of figure
    activity,
    adversarial,
    attribution,
    beside,
    cell,
    confusion,
    curves,
    exemplars,
    gradcam,
    judgement,
    kernels,
    knockout,
    maps,
    optimised,
    orientation,
    probe,
    rank,
    retention,
    robustness,
    sheet,
    similarity,
)
from cutaway.draw.diagram import flow_diagram
from cutaway.draw.figures import plot
from cutaway.draw.report import report_run

__all__ = ["flow_diagram", "plot", "report_run"]
