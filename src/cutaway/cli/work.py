"""A bar for any long work that tells its progress; it appears after a second."""

from __future__ import annotations

import sys
import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.progress import Progress as Bar
    from rich.progress import TaskID

    from cutaway.progress import Progress

_PATIENCE = 1.0
"""Seconds before a bar appears: what is done sooner needs none."""


class WorkBar:
    """A listener that draws a bar on stderr, if that is a terminal."""

    def __init__(self) -> None:
        self._what = ""
        self._start = 0.0
        self._bar: Bar | None = None
        self._task: TaskID | None = None

    def __call__(self, progress: Progress) -> None:
        """Follow one report."""
        now = time.monotonic()
        if progress.what != self._what or progress.done == 0:
            self.close()
            self._what, self._start = progress.what, now
        if progress.total and progress.done >= progress.total:
            self.close()
        elif now - self._start >= _PATIENCE and sys.stderr.isatty():
            self._draw(progress)

    def close(self) -> None:
        """Take the bar away."""
        if self._bar:
            self._bar.stop()
        self._bar = self._task = None
        self._what = ""

    def _draw(self, progress: Progress) -> None:
        if self._bar is None:
            from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn
            from rich.progress import Progress as Bar

            from cutaway.cli.console import console

            self._bar = Bar(
                TextColumn("{task.description}"),
                BarColumn(),
                MofNCompleteColumn(),
                TextColumn(progress.unit),
                TimeRemainingColumn(),
                console=console(stderr=True),
                transient=True,
            )
            self._task = self._bar.add_task(progress.what, total=progress.total or None)
            self._bar.start()
        if self._task is not None:
            self._bar.update(self._task, completed=progress.done)
