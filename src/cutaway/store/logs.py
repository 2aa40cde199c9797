"""A run told to other programs: a table beside the ledger, or a stream of lines."""

from __future__ import annotations

import csv
import io
import json
import math
from collections.abc import Callable
from dataclasses import asdict
from typing import Any

from cutaway.disk import write_file
from cutaway.store.run import Run
from cutaway.training import (
    CheckpointDue,
    Diverged,
    EpochDone,
    Event,
    Finished,
    Plateau,
    Pretrained,
    Started,
    StepDone,
    Stopped,
)

_NAMES = {
    Started: "started",
    Pretrained: "pretrained",
    EpochDone: "epoch",
    Finished: "finished",
    Stopped: "stopped",
    Plateau: "plateau",
    Diverged: "diverged",
}


def write_table(run: Run) -> None:
    """Write the epochs of a run as ``log.csv`` into its folder: a line each, errors as shares.

    The whole table is written anew from the ledger, so that an epoch that was done twice after a kill
    stands in it once.

    Raises:
        StoreError: it can't be written.
    """
    rows = run.epochs()
    splits = list(dict.fromkeys(split for row in rows for split in row.scores))
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    measures = ("objective", "top1_error", "top5_error")
    scores = [f"{split}_{measure}" for split in splits for measure in measures]
    writer.writerow(["epoch", "lr", "seconds", "images_per_second", "best", *scores])
    for row in rows:
        values = [
            getattr(row.scores[split], measure) if split in row.scores else ""
            for split in splits
            for measure in measures
        ]
        writer.writerow([row.epoch, row.lr, row.seconds, row.images_per_second, int(row.best), *values])
    write_file(run.folder / "log.csv", buffer.getvalue().encode())


class TableLog:
    """An observer that keeps ``log.csv`` in a run's folder.

    Args:
        run: gives the run, once it is known.
    """

    def __init__(self, run: Callable[[], Run]) -> None:
        self._run = run

    def __call__(self, event: Event) -> None:
        """Follow one event."""
        if isinstance(event, EpochDone):
            write_table(self._run())


class LineLog:
    """An observer that gives every event but checkpoints as one line of JSON.

    Args:
        write: takes a line without its end.
    """

    def __init__(self, write: Callable[[str], None]) -> None:
        self._write = write

    def __call__(self, event: Event) -> None:
        """Tell one event."""
        if isinstance(event, CheckpointDue):
            return
        name = "step" if isinstance(event, StepDone) else _NAMES[type(event)]
        values = _plain(asdict(event))
        if isinstance(event, Pretrained):
            # Pixels are kept in the run's folder; what they say in one number is told.
            values["images"] = values["images"] and values["images"]["error"]
        self._write(json.dumps({"event": name, **values}, ensure_ascii=False))


def _plain(value: Any) -> Any:
    """NaN is no JSON: what was not measured is null."""
    if isinstance(value, dict):
        return {str(key): _plain(below) for key, below in value.items()}
    return None if isinstance(value, float) and not math.isfinite(value) else value
