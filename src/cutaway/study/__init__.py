"""Studies: variants of an experiment trained under equal terms, and what each change did."""

from cutaway.study.archive import find_study, made_with, read_study, read_table, read_trials, read_variants
from cutaway.study.cards.advice import Advice, AdviceKind, advise
from cutaway.study.cards.card import Evidence, LayerCard, LayerCards
from cutaway.study.cards.evidence import layer_cards, run_cards
from cutaway.study.cards.looking import Looking, Part
from cutaway.study.estimate import estimate_study
from cutaway.study.findings.dynamics import dynamics_from_json, dynamics_to_json
from cutaway.study.findings.export import as_rows, from_json, to_json
from cutaway.study.findings.statistics import Difference, Estimate
from cutaway.study.findings.table import Measure, StudyTable, VariantRow, tabulate
from cutaway.study.findings.verdict import Effect, Verdict
from cutaway.study.prepared import Prepared, prepare_study
from cutaway.study.trial import ENDED, Trial, TrialStatus
from cutaway.study.variant import BASE, Origin, Variant

__all__ = [
    "BASE",
    "ENDED",
    "Advice",
    "AdviceKind",
    "Difference",
    "Effect",
    "Estimate",
    "Evidence",
    "LayerCard",
    "LayerCards",
    "Looking",
    "Measure",
    "Origin",
    "Part",
    "Prepared",
    "StudyTable",
    "Trial",
    "TrialStatus",
    "Variant",
    "VariantRow",
    "Verdict",
    "advise",
    "as_rows",
    "dynamics_from_json",
    "dynamics_to_json",
    "estimate_study",
    "find_study",
    "from_json",
    "layer_cards",
    "made_with",
    "prepare_study",
    "read_study",
    "read_table",
    "read_trials",
    "read_variants",
    "run_cards",
    "tabulate",
    "to_json",
]
