"""The one writer of a study: what workers send becomes rows of the ledger and files of runs."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from cutaway.disk import locked
from cutaway.store import Run
from cutaway.store.recorder import note
from cutaway.store.saved import Card, keep_previous, save_weights
from cutaway.study.trials.courier import ARRIVING, Arrived, Message, Parcel, Seen
from cutaway.training import Position, Started, Task


class Scribe:
    """Writes one trial's run down, in the order in which its messages come.

    While it is open the run is held, so no other process trains it.

    Args:
        run: where to write.
        task: what is trained, for the cards of checkpoints that come by wire.
    """

    def __init__(self, run: Run, task: Task) -> None:
        self.run = run
        self._task = task
        self.received = 0

    @contextmanager
    def held(self) -> Iterator[None]:
        """Inside, no other process trains the run; what a worker that is gone left in its folder is cleared.

        Raises:
            StoreError: another process trains it.
        """
        with locked(self.run.folder):
            for leftover in self.run.folder.glob(f"{ARRIVING}-*"):
                leftover.unlink(missing_ok=True)
            self.received = 0
            yield

    def write(self, message: Message) -> int:
        """Write one message; returns how many more images were seen."""
        self.received += 1
        match message:
            case Seen():
                return message.images
            case Arrived():
                self._take_over(message)
            case _:
                if isinstance(message, Started):
                    # A worker that takes over from one that is gone counts from its own first message.
                    self.received = 1
                note(self.run, message)
        return 0

    def unpack(self, parcel: Parcel) -> None:
        """Write a checkpoint that came by wire."""
        last = self.run.folder / "last.safetensors"
        if parcel.best is not None and parcel.best_position is not None:
            best = self.run.folder / "best.safetensors"
            save_weights(best, parcel.best, self._card(parcel.best_position))
        keep_previous(last)
        save_weights(last, parcel.last, self._card(parcel.position))

    def pause(self, reason: str) -> None:
        """Note that the training stands still."""
        self.run.ledger.set_status(self.run.id, "stopped", reason)

    def end(self, reason: str) -> None:
        """Note that the training is at its end, before the experiment's own."""
        self.run.ledger.set_status(self.run.id, "finished", reason)

    def _card(self, position: Position) -> Card:
        return Card.of(self.run.id, self._task, position)

    def _take_over(self, message: Arrived) -> None:
        """Give a worker's checkpoint its place. What is gone was taken over, or is done again."""
        folder = self.run.folder
        for name, place in ((message.best, "best"), (message.last, "last")):
            if name and (folder / f"{name}.safetensors").is_file():
                if place == "last":
                    keep_previous(folder / "last.safetensors")
                with suppress(FileNotFoundError):
                    _rename(folder / f"{name}.json", folder / f"{place}.json")
                _rename(folder / f"{name}.safetensors", folder / f"{place}.safetensors")


def _rename(source: Path, target: Path) -> None:
    source.replace(target)
