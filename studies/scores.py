"""Errors of one training, with intervals over the images that it was scored on."""

from __future__ import annotations

from collections.abc import Container, Sequence

from page import table

from cutaway.look.interval import wilson
from cutaway.store import EpochRow


def best_epoch(epochs: Sequence[EpochRow]) -> EpochRow:
    """The one of the best validation score: the last that was best so far."""
    return [epoch for epoch in epochs if epoch.best][-1]


def share(epoch: EpochRow, split: str) -> str:
    """An error with its interval over the images: "0.90 % (0.73 to 1.10)"."""
    score = epoch.scores[split]
    low, high = wilson(wrong(epoch, split), score.images)
    return f"{100 * score.top1_error:.2f} % ({100 * low:.2f} to {100 * high:.2f})"


def wrong(epoch: EpochRow, split: str) -> int:
    """How many images of a split were wrong."""
    return round(epoch.scores[split].top1_error * epoch.scores[split].images)


def epochs_table(epochs: Sequence[EpochRow], some: Container[int]) -> str:
    """Errors in percent after some epochs, and after the last."""
    splits = ("train", "validation", "test")
    return table(
        ["epoch>", *(f"{split} error, %>" for split in splits)],
        [
            [epoch.epoch, *(f"{100 * epoch.scores[split].top1_error:.2f}" for split in splits)]
            for epoch in epochs
            if epoch.epoch in some or epoch is epochs[-1]
        ],
    )
