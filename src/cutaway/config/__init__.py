"""Checked, complete descriptions of what is to be done."""

from cutaway.config.augment import AugmentConfig, Fill
from cutaway.config.data import DataConfig, Fit, PreprocessKind
from cutaway.config.experiment import Experiment, InitKind, differences
from cutaway.config.pretrain import PretrainConfig, PretrainMode
from cutaway.config.seed import derive
from cutaway.config.size import parse_bytes, show_bytes
from cutaway.config.study import (
    AutoKind,
    BudgetConfig,
    LookConfig,
    SplitKind,
    StoppingConfig,
    StoppingKind,
    Study,
    VariantConfig,
)
from cutaway.config.toml import (
    catalogue,
    dump_choices,
    dump_experiment,
    dump_study,
    load_experiment,
    load_study,
    nested,
    parse_experiment,
    parse_study,
)
from cutaway.config.train import OptimiserKind, PrecisionKind, ScheduleKind, TrainConfig

__all__ = [
    "AugmentConfig",
    "AutoKind",
    "BudgetConfig",
    "DataConfig",
    "Experiment",
    "Fill",
    "Fit",
    "InitKind",
    "LookConfig",
    "OptimiserKind",
    "PrecisionKind",
    "PreprocessKind",
    "PretrainConfig",
    "PretrainMode",
    "ScheduleKind",
    "SplitKind",
    "StoppingConfig",
    "StoppingKind",
    "Study",
    "TrainConfig",
    "VariantConfig",
    "catalogue",
    "derive",
    "differences",
    "dump_choices",
    "dump_experiment",
    "dump_study",
    "load_experiment",
    "load_study",
    "nested",
    "parse_bytes",
    "parse_experiment",
    "parse_study",
    "show_bytes",
]
