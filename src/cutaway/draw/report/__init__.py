"""Reports: all that a run was worth, in one file that opens anywhere."""

from cutaway.draw.report.run_report import LARGEST, report_run

__all__ = ["LARGEST", "report_run"]
