"""The newest checkpoint of a run that can be read and is its own."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from cutaway.errors import StoreError
from cutaway.nets import parse_net
from cutaway.store.saved import Card, load_weights_file
from cutaway.training import Checkpoint, Task


def newest_checkpoint(
    folder: Path, run: str, task: Task, say: Callable[[str], None] | None = None
) -> Checkpoint | None:
    """The checkpoint that a training goes on from; None where nothing was saved.

    Args:
        folder: the run's.
        run: its id.
        task: what it trains.
        say: told when a damaged one makes it begin at the one before.

    Raises:
        StoreError: none can be read, or it is another run's or another net's.
    """
    found = _newest(folder, say)
    if found is None:
        return None
    checkpoint, card = found
    # Weights of the same shapes would be taken without a word.
    if card.run != run:
        raise StoreError(
            f"The checkpoint in {folder} is of the run {card.run}, not of {run}. "
            "Put its own back; or move it away, and the one before it is used."
        )
    if parse_net(card.net).text() != task.plan.spec.text():
        raise StoreError(
            f"The checkpoint of run {run} is of another net than its experiment. "
            f"Put back what was changed in {folder}, or train it anew."
        )
    return checkpoint


def _newest(folder: Path, say: Callable[[str], None] | None) -> tuple[Checkpoint, Card] | None:
    last, previous = (folder / f"{name}.safetensors" for name in ("last", "previous"))
    if not last.is_file() and not previous.is_file():
        return None
    try:
        return load_weights_file(last)
    except StoreError as damage:
        try:
            found = load_weights_file(previous)
        except StoreError:
            raise damage from None
        if say:
            position = found[1].position
            place = f"epoch {position.epoch}, step {position.step}"
            say(f"{damage} The one before it is used: {place}.")
        return found
