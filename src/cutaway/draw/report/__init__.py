"""Reports: all that a run or a study was worth, in one file that opens anywhere."""

from cutaway.draw.report.page import LARGEST
from cutaway.draw.report.run_report import report_run
from cutaway.draw.report.study_page import study_report

__all__ = ["LARGEST", "report_run", "study_report"]
