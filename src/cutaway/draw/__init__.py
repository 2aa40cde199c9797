"""Pictures of results: Matplotlib figures, mosaics, diagrams and reports."""

from cutaway.draw import (  # noqa: F401  each registers its kind of figure
    activity,
    adversarial,
    attribution,
    beside,
    card,
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
    studies,
)
from cutaway.draw.diagram import flow_diagram
from cutaway.draw.figures import plot
from cutaway.draw.report import report_run, study_report

__all__ = ["flow_diagram", "plot", "report_run", "study_report"]
