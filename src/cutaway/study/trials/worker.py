"""One trial, or a part of one, on a worker."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from torch import Tensor, nn

from cutaway.config import DataConfig, parse_experiment
from cutaway.data import Images, fingerprint, load_images
from cutaway.errors import ConfigError, DataError
from cutaway.nets.subject import Subject
from cutaway.store.newest import newest_checkpoint
from cutaway.study.identity import program
from cutaway.study.shared import map_images
from cutaway.study.trials.courier import Courier, Parcel
from cutaway.training import (
    Checkpoint,
    Diverged,
    Finished,
    Plateau,
    Position,
    Score,
    StepDone,
    Task,
    evaluate,
    prepare,
    train,
)
from cutaway.training.batches import batch_bounds
from cutaway.training.events import Event

_ASKED: set[str] = set()
"""Studies whose trainings on this worker are to pause."""

_READY: dict[DataConfig, Task] = {}
"""The last task on each kind of images: what was measured of these is the next one's too."""

_MOST_READY = 4
"""They hold their images, so they are not kept without end."""

MARK = ".study"
"""The file of a run's folder that says which trial's it is."""


@dataclass(frozen=True)
class Assignment:
    """What a worker is to do.

    Args:
        study: its id.
        experiment: complete, as TOML.
        run: the id of the trial's run.
        folder: the run's folder on the machine of the study.
        token: what a file beside it says, so that a worker knows it for the same folder.
        images: the file of the study's images there.
        fingerprint: of these images.
        program: what the study's own process computes with.
        until: images that the training is shown in all when it pauses; 0 for its end.
        parcel: the checkpoint to go on with where the folder is not to be seen; None for that in it.
        splits: what is scored at a pause.
        epochs: seconds of each epoch that it was trained for.
        pretraining: likewise, of its pre-training.
    """

    study: str
    experiment: str
    run: str
    folder: str
    token: str
    images: str
    fingerprint: str
    program: Mapping[str, str]
    until: int = 0
    parcel: Parcel | None = None
    splits: tuple[str, ...] = ("validation", "test")
    epochs: tuple[float, ...] = ()
    pretraining: tuple[float, ...] = ()


@dataclass(frozen=True)
class Report:
    """What came of it.

    Args:
        end: "finished", "paused" (at ``until``), "late" (at its time limit), "asked" (to stop),
            "plateau" or "diverged".
        reason: why, where that is not plain.
        scores: by split, at the end or pause; empty where it was asked to stop or diverged.
        seconds: of an epoch that is not at its end.
        posted: messages that were sent home.
        parcel: the checkpoint where worker and study share no disk.
    """

    end: str
    reason: str
    scores: Mapping[str, Score]
    seconds: float
    posted: int
    parcel: Parcel | None


def carry_out(assignment: Assignment, send: Callable[[bytes], None]) -> Report:
    """Train what is assigned, from its checkpoint if it has one, to its end or pause.

    Raises:
        ConfigError: this worker has another Cutaway than the study.
        DataError: it finds other images.
        and what :func:`cutaway.training.prepare` raises.
    """
    check_program(assignment.program, program(), "this worker")
    if assignment.study in _ASKED:
        return Report("asked", "", {}, 0.0, 0, None)
    experiment = parse_experiment(assignment.experiment)
    images = _images(assignment.images, assignment.fingerprint, experiment.data)
    task = prepare(experiment, images, _READY.get(experiment.data))
    if len(_READY) >= _MOST_READY:
        _READY.clear()
    _READY[experiment.data] = task
    folder = _visible(assignment)
    checkpoint = _checkpoint(assignment, folder, task)
    position = checkpoint.position if checkpoint else Position()
    courier = Courier(assignment.run, task, folder, send)
    meter = _Meter(task, position, assignment)
    done = [*assignment.epochs[: position.epoch], *assignment.pretraining[: position.pretrained]]
    spent = math.fsum([*done, position.seconds])
    net = train(task, [meter, courier], meter.is_over, checkpoint, spent=spent)
    scores: Mapping[str, Score] = courier.last_epoch.scores if courier.last_epoch else {}
    end, reason = "finished", ""
    match courier.end:
        case Finished():
            # Where another process has brought it to its end, there was no epoch to tell of.
            scores = scores or _scores(task, net, assignment.splits)
        case Plateau(reason=reason):
            end = "plateau"
        case Diverged():
            found = courier.end
            end, reason = "diverged", f"epoch {found.epoch}, step {found.step}: {found.reason}"
            scores = {}
        case _:
            late = bool(courier.end and courier.end.reason)
            end = "late" if late else "paused" if meter.is_reached else "asked"
            scores = {} if end == "asked" else _scores(task, net, assignment.splits)
    odd = [name for name, score in scores.items() if not math.isfinite(score.objective)]
    if odd:
        end, reason, scores = "diverged", f"the objective of the {odd[0]} split is not finite", {}
    return Report(end, reason, scores, courier.position.seconds, courier.posted, courier.parcel)


def ask_to_stop(study: str) -> None:
    """Let the trainings of a study pause at their next step, on the worker that this runs on."""
    _ASKED.add(study)


def allow_to_run(study: str) -> None:
    """Take back :func:`ask_to_stop`, for a study that is run again."""
    _ASKED.discard(study)


def check_program(wanted: Mapping[str, str], found: Mapping[str, str], who: str) -> None:
    """Raise where a worker computes with something else than the study's own process.

    Raises:
        ConfigError: with the two versions.
    """
    for part, value in wanted.items():
        if found.get(part) != value:
            raise ConfigError(
                f"{who} has {part} {found.get(part, 'of none')}, the study {value}: their numbers would not "
                "be the same. Install the same versions on all."
            )


class _Meter:
    """Counts the images that a training was shown, and says when it was enough."""

    def __init__(self, task: Task, position: Position, assignment: Assignment) -> None:
        bounds = batch_bounds(len(task.images.split("train")), task.experiment.train.batch)
        within = bounds[position.step - 1][1] if position.step else 0
        self.images = position.epoch * len(task.images.split("train")) + within
        self._until = assignment.until
        self._study = assignment.study

    def __call__(self, event: Event) -> None:
        if isinstance(event, StepDone):
            self.images += event.images

    @property
    def is_reached(self) -> bool:
        """Whether the training may pause."""
        return bool(self._until) and self.images >= self._until

    def is_over(self) -> bool:
        """Whether to stop at this step."""
        return self._study in _ASKED or self.is_reached


def _scores(task: Task, net: nn.Module, splits: Sequence[str]) -> dict[str, Score]:
    """How a net that stopped within an epoch does on some splits."""
    subject = Subject(
        net,
        task.images.shape,
        task.images.classes,
        task.preprocess,
        mirror=task.experiment.train.mirror,
        shifted=task.experiment.train.shifted,
    )
    chunk = task.room.chunk if task.room else 100
    found = {}
    for name in splits:
        if name in task.images.splits:
            split = task.images.split(name).to(subject.device)
            score = evaluate(subject.logits, task.preprocess, split, chunk=chunk)
            if score is not None:
                found[name] = score
    return found


def _visible(assignment: Assignment) -> Path | None:
    """The run's folder, where this machine sees the one that the study means."""
    folder = Path(assignment.folder)
    try:
        return folder if (folder / MARK).read_text() == assignment.token else None
    except OSError:
        return None


def _checkpoint(assignment: Assignment, folder: Path | None, task: Task) -> Checkpoint | None:
    if folder is None:
        if assignment.parcel is None:
            return None
        tensors: Mapping[str, Tensor] = assignment.parcel.last
        return Checkpoint(tensors, assignment.parcel.position)
    return newest_checkpoint(folder, assignment.run, task)


@functools.lru_cache(maxsize=4)
def _images(path: str, wanted: str, data: DataConfig) -> Images:
    """The study's images: its own file, mapped, or what this machine finds where it does not see that."""
    try:
        return map_images(Path(path))
    except OSError:
        images = load_images(data)
    if fingerprint(images) != wanted:
        raise DataError(
            "This worker finds other images than the study has. Put the same files there, or let both see "
            "one disk."
        )
    return images
