"""A run told to TensorBoard: an event file beside the ledger.

The format: records of a length, its checksum, an ``Event`` in protocol buffers and its checksum.
https://github.com/tensorflow/tensorboard/blob/master/tensorboard/compat/proto/event.proto
"""

from __future__ import annotations

import importlib
import math
import os
import socket
import statistics
import struct
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict
from typing import Any

from cutaway.disk import make_folder, store_error, write_file
from cutaway.errors import ConfigError
from cutaway.store.ledger import EpochRow
from cutaway.store.run import Run
from cutaway.training import EpochDone, Event, Measured
from cutaway.training.dynamics import MEASURES, NOTHING

FOLDER = "tensorboard"
"""Beside the run's checkpoints: ``tensorboard --logdir runs`` finds all runs of a store by it."""

_START = 1
"""``SessionLog.START``: a TensorBoard that looks on forgets what it has from this step on."""


def scalars(row: EpochRow, measured: Measured = NOTHING) -> dict[str, float]:
    """What is told of an epoch, by tag; TensorBoard groups tags by what stands before the slash.

    Errors are shares, 0 to 1. Of a layer's measured steps the mean is told; of its distance, which
    only grows by steps, the last. What was not measured is left out.
    """
    found = {"lr": row.lr, "images_per_second": row.images_per_second, "seconds": row.seconds}
    for split, score in row.scores.items():
        for measure in ("objective", "top1_error", "top5_error"):
            found[f"{measure}/{split}"] = getattr(score, measure)
    steps = list(measured.steps.values())
    for layer in steps[0] if steps else ():
        for measure in MEASURES:
            values = [getattr(layers[layer], measure) for layers in steps]
            found[f"{measure}/{layer}"] = values[-1] if measure == "distance" else statistics.fmean(values)
    for layer, units in measured.units.items():
        counts = asdict(units)
        found |= {f"{count}_units/{layer}": counts[count] for count in ("dead", "rare", "saturated")}
    return {tag: float(value) for tag, value in found.items() if math.isfinite(value)}


class BoardLog:
    """An observer that keeps an event file in the folder ``tensorboard`` of a run's.

    The first epoch that it hears of is written together with those before it, from the ledger, in
    place of the files that are there: a run that was killed has each epoch once, and one that was
    begun without has all. The epochs that follow are appended.

    Args:
        run: gives the run, once it is known.

    Raises:
        ConfigError: the library tensorboardX is not there.
    """

    def __init__(self, run: Callable[[], Run]) -> None:
        self._run = run
        self._library = _library()
        self._name = ""
        self._time = 0.0

    def __call__(self, event: Event) -> None:
        """Follow one event.

        Raises:
            StoreError: the file can't be written.
        """
        if not isinstance(event, EpochDone):
            return
        if not self._name:
            self._begin(event.epoch)
            return
        row = EpochRow(
            event.epoch, event.lr, event.seconds, event.images_per_second, event.best, event.scores
        )
        path = self._run().folder / FOLDER / self._name
        try:
            with path.open("ab") as file:
                file.write(self._epoch(row, event.measured))
                file.flush()
                os.fsync(file.fileno())
        except OSError as error:
            raise store_error(path, error) from None

    def _begin(self, epoch: int) -> None:
        """Write all epochs up to one anew, then remove what was there."""
        run = self._run()
        folder = run.folder / FOLDER
        make_folder(folder)
        before = set(folder.glob("*tfevents*"))
        # TensorBoard reads the files of a folder in the order of their names.
        self._name = f"events.out.tfevents.{int(time.time()):010d}.{socket.gethostname()}.{os.getpid()}"
        self._time = run.row.created
        write_file(folder / self._name, self._records(run, epoch))
        for path in before - {folder / self._name}:
            path.unlink(missing_ok=True)

    def _records(self, run: Run, epoch: int) -> Iterator[bytes]:
        yield self._record(wall_time=self._time, file_version="brain.Event:2")
        yield self._record(wall_time=self._time, step=0, session_log={"status": _START})
        measured = run.measured()
        for row in run.epochs():
            if row.epoch <= epoch:
                yield self._epoch(row, measured.get(row.epoch, NOTHING))

    def _epoch(self, row: EpochRow, measured: Measured) -> bytes:
        """One event for an epoch, at the time that training alone would have taken it to."""
        self._time += row.seconds
        values = [{"tag": tag, "simple_value": value} for tag, value in scalars(row, measured).items()]
        return self._record(wall_time=self._time, step=row.epoch, summary={"value": values})

    def _record(self, **fields: float | str | Mapping[str, Any]) -> bytes:
        content: bytes = self._library.proto.event_pb2.Event(**fields).SerializeToString()
        length = struct.pack("<Q", len(content))
        return length + self._checksum(length) + content + self._checksum(content)

    def _checksum(self, content: bytes) -> bytes:
        return struct.pack("<I", self._library.record_writer.masked_crc32c(content))


def _library() -> Any:
    """The library, if it is installed."""
    try:
        return importlib.import_module("tensorboardX")
    except ImportError:
        raise ConfigError(
            "A log for TensorBoard needs the library tensorboardX: pip install 'cutaway[tensorboard]'"
        ) from None
