"""Is the explanation any good? The same questions to every method that explains a class by its pixels."""

from cutaway.look.judging.cascade import cascade
from cutaway.look.judging.curves import Curves, deletion, insertion
from cutaway.look.judging.judge import Questions, judge
from cutaway.look.judging.judgement import CHANCE, CRITERIA, Judged, Judgement
from cutaway.look.judging.mean import Mean
from cutaway.look.judging.sensitivity import max_sensitivity

__all__ = [
    "CHANCE",
    "CRITERIA",
    "Curves",
    "Judged",
    "Judgement",
    "Mean",
    "Questions",
    "cascade",
    "deletion",
    "insertion",
    "judge",
    "max_sensitivity",
]
