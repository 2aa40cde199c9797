"""What a worker sends home of a training while it runs."""

from __future__ import annotations

import pickle
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from torch import Tensor

from cutaway.store.saved import Card, save_weights
from cutaway.training import (
    CheckpointDue,
    Diverged,
    EpochDone,
    Event,
    Finished,
    Plateau,
    Position,
    Pretrained,
    Started,
    StepDone,
    Stopped,
    Task,
    weights_only,
)

ARRIVING = "arriving"
"""What names of files begin with that were written by a worker and not yet taken over."""

_EVERY = 1.0
"""Seconds between two messages of how many images were seen."""


@dataclass(frozen=True)
class Seen:
    """So many more images were trained on."""

    images: int


@dataclass(frozen=True)
class Arrived:
    """A checkpoint lies in the run's folder under a name of its own.

    Args:
        last: its file.
        best: the file of its weights alone where it is the best so far; empty otherwise.
        position: where it stands.
    """

    last: str
    best: str
    position: Position


@dataclass(frozen=True)
class Parcel:
    """A checkpoint itself, where worker and store share no disk.

    Args:
        last: its tensors.
        best: the weights of the best epoch so far, by their own position; None where it is the last.
        position: where it stands.
        best_position: where the best one stands.
    """

    last: dict[str, Tensor]
    best: dict[str, Tensor] | None
    position: Position
    best_position: Position | None


Message = Started | EpochDone | Pretrained | Diverged | Plateau | Finished | Seen | Arrived


class Courier:
    """Listens to one training and posts what its study is to know, in order.

    Checkpoints go into the run's folder under names of their own where that folder is to be seen from
    here. The writer gives them their place, so an epoch is in the ledger before its checkpoint counts.
    Elsewhere the newest is kept in memory and goes home with the report.

    Args:
        run: the run's id, for the cards of its checkpoints.
        task: what is trained.
        folder: the run's; None where it is not to be seen.
        send: takes the bytes of one message home.
    """

    def __init__(self, run: str, task: Task, folder: Path | None, send: Callable[[bytes], None]) -> None:
        self._run = run
        self._task = task
        self._folder = folder
        self._send = send
        self._seen = 0
        self._told = time.monotonic()
        self._files = 0
        self._best: tuple[dict[str, Tensor], Position] | None = None
        self.posted = 0
        self.end: Finished | Stopped | Plateau | Diverged | None = None
        self.last_epoch: EpochDone | None = None
        self.parcel: Parcel | None = None
        self.position = Position()

    def __call__(self, event: Event) -> None:
        """Post one event, or keep it for the report."""
        match event:
            case StepDone():
                self._seen += event.images
                if time.monotonic() - self._told >= _EVERY:
                    self._tell_seen()
                return
            case CheckpointDue():
                self._keep(event)
                return
            case Stopped():
                self.end = event
                self._tell_seen()
                return
            case EpochDone():
                self.last_epoch = event
            case Finished() | Plateau() | Diverged():
                self.end = event
            case _:
                pass
        self._tell_seen()
        self._post(event)

    def _tell_seen(self) -> None:
        if self._seen:
            self._post(Seen(self._seen))
        self._seen, self._told = 0, time.monotonic()

    def _post(self, message: Message) -> None:
        self.posted += 1
        self._send(pickle.dumps(message))

    def _keep(self, event: CheckpointDue) -> None:
        tensors, self.position = event.checkpoint.tensors, event.checkpoint.position
        position = self.position
        if self._folder is None:
            own = {name: value.clone() for name, value in tensors.items()}
            if event.best:
                self._best = dict(weights_only(own)), position
            best, place = self._best or (None, None)
            self.parcel = Parcel(own, best, position, place)
            return
        card = Card.of(self._run, self._task, position)
        self._files += 1
        name = f"{ARRIVING}-{self._files}"
        save_weights(self._folder / f"{name}.safetensors", tensors, card)
        best_name = ""
        if event.best:
            best_name = f"{name}-best"
            save_weights(self._folder / f"{best_name}.safetensors", weights_only(tensors), card)
        self._post(Arrived(name, best_name, position))
