"""Checked, complete descriptions of what is to be done."""

from cutaway.config.augment import AugmentConfig, Fill
from cutaway.config.data import DataConfig, Fit, PreprocessKind
from cutaway.config.experiment import Experiment, InitKind, differences
from cutaway.config.pretrain import PretrainConfig, PretrainMode
from cutaway.config.seed import derive
from cutaway.config.size import parse_bytes, show_bytes
from cutaway.config.toml import catalogue, dump_choices, dump_experiment, load_experiment, parse_experiment
from cutaway.config.train import OptimiserKind, PrecisionKind, ScheduleKind, TrainConfig

__all__ = [
    "AugmentConfig",
    "DataConfig",
    "Experiment",
    "Fill",
    "Fit",
    "InitKind",
    "OptimiserKind",
    "PrecisionKind",
    "PreprocessKind",
    "PretrainConfig",
    "PretrainMode",
    "ScheduleKind",
    "TrainConfig",
    "catalogue",
    "derive",
    "differences",
    "dump_choices",
    "dump_experiment",
    "load_experiment",
    "parse_bytes",
    "parse_experiment",
    "show_bytes",
]
