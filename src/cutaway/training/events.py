"""What a training tells while it runs. It knows nobody who listens."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from cutaway.training.checkpoint import Checkpoint
from cutaway.training.dynamics import NOTHING, Measured
from cutaway.training.score import Score


@dataclass(frozen=True)
class Started:
    """The first event.

    Args:
        device: "cpu" or "cuda:0".
        threads: CPU threads.
        epoch: epochs that are done already; above 0 for a resumed run.
        epochs: all that there will be.
        epoch_steps: steps in one epoch.
        epoch_images: images in one epoch.
        processes: how many train together.
    """

    device: str
    threads: int
    epoch: int
    epochs: int
    epoch_steps: int
    epoch_images: int
    processes: int = 1


@dataclass(frozen=True)
class StepDone:
    """A step was taken.

    Args:
        epoch: the one it belongs to, from 1.
        step: its place in the epoch, from 1.
        images: in its batch.
    """

    epoch: int
    step: int
    images: int


@dataclass(frozen=True)
class EpochDone:
    """An epoch was trained and scored.

    Args:
        epoch: from 1; 0 for a net that is not trained at all.
        scores: for each split; of "train", measured while learning, each batch before its step.
        lr: the learning rate of its last step.
        seconds: for its steps and its evaluations.
        images_per_second: training images over all of these seconds.
        best: no earlier epoch was better on the validation split.
        measured: how its layers learnt.
    """

    epoch: int
    scores: Mapping[str, Score]
    lr: float
    seconds: float
    images_per_second: float
    best: bool
    measured: Measured = NOTHING


@dataclass(frozen=True)
class CheckpointDue:
    """A state that is worth keeping.

    Args:
        checkpoint: all that it takes to continue bit for bit.
        best: it is also the best on the validation split so far.
    """

    checkpoint: Checkpoint
    best: bool


@dataclass(frozen=True)
class Finished:
    """All epochs are done."""


@dataclass(frozen=True)
class Stopped:
    """Somebody asked to stop, or the time was up; the checkpoint of this very step came before.

    Args:
        epoch: the one it was in, from 1.
        step: steps of it that are done.
        reason: why; empty where somebody asked.
    """

    epoch: int
    step: int
    reason: str = ""


@dataclass(frozen=True)
class Plateau:
    """Validation has not become better for so long that training was abandoned; a checkpoint came before.

    Args:
        epoch: the last one that was trained, from 1.
        reason: for how long.
    """

    epoch: int
    reason: str


@dataclass(frozen=True)
class Diverged:
    """A value was not finite, and training ended.

    Args:
        epoch: the one it was in, from 1.
        step: in that epoch, from 1.
        reason: what was not finite, and what to try.
    """

    epoch: int
    step: int
    reason: str


Event = Started | StepDone | EpochDone | CheckpointDue | Finished | Stopped | Plateau | Diverged
Observer = Callable[[Event], None]
