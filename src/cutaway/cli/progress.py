"""A training as a person follows it: a bar while it runs, a line for each epoch."""

from __future__ import annotations

import time

from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeRemainingColumn

from cutaway.cli.console import console
from cutaway.training import EpochDone, Event, Pretrained, Started, StepDone

_PATIENCE = 1.0
"""Seconds before a bar appears: what is done sooner needs none."""


class TrainingProgress:
    """An observer that tells on stderr how far a training is; leave it to take the bar away."""

    def __init__(self) -> None:
        self._console = console(stderr=True)
        self._bar = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            TextColumn("{task.percentage:>3.0f} %"),
            TextColumn("{task.fields[rate]}"),
            TimeRemainingColumn(),
            console=self._console,
            transient=True,
        )
        self._task: TaskID | None = None
        self._start = time.monotonic()
        self._images = 0
        self._plan = Started("", 0, 0, 0, 0, 0)

    def __enter__(self) -> TrainingProgress:
        return self

    def __exit__(self, *_: object) -> None:
        if self._task is not None:
            self._bar.stop()

    def __call__(self, event: Event) -> None:
        """Follow one event."""
        match event:
            case Started():
                self._plan = event
                self._start = time.monotonic()
            case Pretrained():
                self._console.print(pretraining_line(event), markup=False)
                self._start = time.monotonic()
            case StepDone():
                self._step(event)
            case EpochDone():
                self._console.print(epoch_line(event, self._plan.epochs), markup=False)
            case _:
                pass

    def _step(self, event: StepDone) -> None:
        self._images += event.images
        seconds = time.monotonic() - self._start
        if seconds < _PATIENCE or not self._console.is_terminal:
            return
        plan = self._plan
        if self._task is None:
            self._task = self._bar.add_task("", total=plan.epochs * plan.epoch_steps, rate="")
            self._bar.start()
        self._bar.update(
            self._task,
            completed=(event.epoch - 1) * plan.epoch_steps + event.step,
            description=f"epoch {event.epoch}/{plan.epochs}",
            rate=f"{self._images / seconds:,.0f} images/s",
        )


def pretraining_line(event: Pretrained) -> str:
    """An epoch of pre-training in one line: the error of what came back, on each split that there is."""
    error = f"train {event.train:.4f}"
    if event.validation is not None:
        error += f"  validation {event.validation:.4f}"
    through = f"  image {event.images.error:.4f}" if event.images else ""
    place = f"{event.layer} ({event.depth}/{event.depths})"
    return f"pre-training {place} epoch {event.epoch}/{event.epochs}  error: {error}{through}"


def epoch_line(event: EpochDone, epochs: int) -> str:
    """An epoch in one line: top-1 errors of all splits, speed, and whether it is the best so far."""
    errors = "  ".join(f"{split} {score.top1_error:7.2%}" for split, score in event.scores.items())
    speed = f"  {event.images_per_second:,.0f} images/s" if event.images_per_second else ""
    return f"epoch {event.epoch}/{epochs}  error: {errors}{speed}{'  best' if event.best else ''}"
