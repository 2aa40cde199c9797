"""Training: the loop, what moves the weights, and what is told on the way."""

from cutaway.training.checkpoint import Checkpoint, Position, load_weights, weights_only
from cutaway.training.dynamics import LayerStep, LayerUnits, Measured
from cutaway.training.events import (
    CheckpointDue,
    Diverged,
    EpochDone,
    Event,
    Finished,
    Observer,
    Plateau,
    Pretrained,
    Started,
    StepDone,
    Stopped,
)
from cutaway.training.loop import train
from cutaway.training.proposal import Proposal, propose
from cutaway.training.reconstruction import Reconstruction
from cutaway.training.score import Score, evaluate
from cutaway.training.stop import Stop, stop_on_signals
from cutaway.training.task import Task, check_outputs, prepare
from cutaway.training.team import Team, assembled, last_words

__all__ = [
    "Checkpoint",
    "CheckpointDue",
    "Diverged",
    "EpochDone",
    "Event",
    "Finished",
    "LayerStep",
    "LayerUnits",
    "Measured",
    "Observer",
    "Plateau",
    "Position",
    "Pretrained",
    "Proposal",
    "Reconstruction",
    "Score",
    "Started",
    "StepDone",
    "Stop",
    "Stopped",
    "Task",
    "Team",
    "assembled",
    "check_outputs",
    "evaluate",
    "last_words",
    "load_weights",
    "prepare",
    "propose",
    "stop_on_signals",
    "train",
    "weights_only",
]
