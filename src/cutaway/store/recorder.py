"""The listener that writes a training down."""

from __future__ import annotations

from cutaway.store.ledger import EpochRow, PretrainRow
from cutaway.store.reconstructions import save_reconstruction
from cutaway.store.run import Run
from cutaway.store.saved import Card, keep_previous, save_weights
from cutaway.training import (
    CheckpointDue,
    Diverged,
    EpochDone,
    Event,
    Finished,
    Plateau,
    Pretrained,
    Started,
    Stopped,
    Task,
    weights_only,
)


class Recorder:
    """Writes events into the ledger and the run's folder.

    An epoch reaches the ledger before its checkpoint reaches the disk. A process killed between
    the two does the epoch again, with the same result, and its rows replace themselves; the other
    way round they would be missing.

    Args:
        run: where to write.
        task: what is trained.
    """

    def __init__(self, run: Run, task: Task) -> None:
        self.run = run
        self.task = task
        self.end: Finished | Stopped | Plateau | Diverged | None = None

    def __call__(self, event: Event) -> None:
        """Write one event."""
        note(self.run, event)
        match event:
            case CheckpointDue():
                self._save(event)
            case Finished() | Stopped() | Plateau() | Diverged():
                self.end = event
            case _:
                pass

    def _save(self, event: CheckpointDue) -> None:
        card = Card.of(self.run.id, self.task, event.checkpoint.position)
        tensors = event.checkpoint.tensors
        if event.best:
            save_weights(self.run.folder / "best.safetensors", weights_only(tensors), card)
        position, every = event.checkpoint.position, self.task.experiment.train.keep_every
        if every and position.epoch and not position.step and position.epoch % every == 0:
            kept = self.run.folder / f"epoch-{position.epoch}.safetensors"
            save_weights(kept, weights_only(tensors), card)
        last = self.run.folder / "last.safetensors"
        keep_previous(last)
        save_weights(last, tensors, card)


def note(run: Run, event: Event) -> None:
    """Write what an event says into the ledger; that of a checkpoint or a single step is nothing."""
    ledger, place = run.ledger, ""
    if isinstance(event, Stopped | Diverged):
        place = f"epoch {event.epoch}, step {event.step}"
    match event:
        case Started():
            ledger.set_machine(run.id, event.device, event.threads)
            ledger.set_status(run.id, "running")
        case EpochDone():
            row = EpochRow(
                event.epoch, event.lr, event.seconds, event.images_per_second, event.best, event.scores
            )
            ledger.add_epoch(run.id, row, event.measured)
        case Pretrained():
            _note_pretraining(run, event)
        case Finished():
            ledger.set_status(run.id, "finished")
        case Stopped():
            reason = f": {event.reason}" if event.reason else ""
            ledger.set_status(run.id, "stopped", f"stopped in {place}{reason}")
        case Plateau():
            ledger.set_status(run.id, "plateau", event.reason)
        case Diverged():
            ledger.set_status(run.id, "diverged", f"{place}: {event.reason}")
        case _:
            pass


def _note_pretraining(run: Run, event: Pretrained) -> None:
    if event.images:
        save_reconstruction(run.folder, event.depth, event.layer, event.images)
    row = PretrainRow(
        event.depth,
        event.epoch,
        event.layer,
        event.train,
        event.validation,
        event.images.error if event.images else None,
        event.seconds,
    )
    run.ledger.add_pretrain_epoch(run.id, row)
