"""Pictures of results: Matplotlib figures, mosaics, diagrams and reports."""

from cutaway.draw.diagram import flow_diagram
from cutaway.draw.figures import plot
from cutaway.draw.report import report_run

__all__ = ["flow_diagram", "plot", "report_run"]
