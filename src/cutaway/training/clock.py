"""The clock of a training."""

from __future__ import annotations

import time

from cutaway.config import TrainConfig


class Clock:
    """When a training began here, when it was last kept, and what the epoch under way has taken.

    Nobody can set it back.

    Args:
        recipe: its time limit, and how often it is kept within an epoch.
    """

    def __init__(self, recipe: TrainConfig) -> None:
        self._limit, self._interval = 60 * recipe.minutes, 60 * recipe.checkpoint_minutes
        self.begin()
        self.begin_epoch()

    def begin(self, spent: float = 0.0) -> None:
        """Begin the training, of whose time limit ``spent`` seconds are gone."""
        self._kept = time.monotonic()
        self._begun = self._kept - spent

    def begin_epoch(self, spent: float = 0.0) -> None:
        """Begin an epoch, of which ``spent`` seconds went by in other processes."""
        self._epoch = time.monotonic() - spent

    def keep(self) -> None:
        """Note that the training is kept now."""
        self._kept = time.monotonic()

    @property
    def seconds(self) -> float:
        """That the epoch under way has taken, those in other processes too."""
        return time.monotonic() - self._epoch

    def is_late(self) -> bool:
        """Whether the time is up."""
        return bool(self._limit) and time.monotonic() - self._begun >= self._limit

    def is_due(self) -> bool:
        """Whether it is time for a checkpoint within a long epoch."""
        return bool(self._interval) and time.monotonic() - self._kept >= self._interval
