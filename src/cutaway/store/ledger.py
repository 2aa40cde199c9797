"""The ledger: a SQLite database with every run and what was measured in it."""

from __future__ import annotations

import math
import time
from collections.abc import Mapping
from dataclasses import astuple, dataclass
from pathlib import Path

from cutaway.store.database import Database
from cutaway.training.dynamics import MEASURES, NOTHING, LayerStep, LayerUnits, Measured
from cutaway.training.score import Score


@dataclass(frozen=True)
class RunRow:
    """A run as the ledger knows it.

    Args:
        id: eight letters and digits.
        name: the experiment's.
        status: "running", "finished", "stopped", "diverged" or "failed".
        reason: why it ended early.
        created: seconds since 1970, UTC.
        seconds: spent in epochs that are done.
        device: "cpu" or "cuda:0".
        threads: CPU threads.
        versions: of Cutaway, PyTorch and Python.
        experiment: as TOML.
        images: a fingerprint of how its images are divided; empty where it has none.
    """

    id: str
    name: str
    status: str
    reason: str
    created: float
    seconds: float
    device: str
    threads: int
    versions: str
    experiment: str
    images: str = ""


@dataclass(frozen=True)
class EpochRow:
    """An epoch as the ledger knows it; the fields are those of ``EpochDone``."""

    epoch: int
    lr: float
    seconds: float
    images_per_second: float
    best: bool
    scores: Mapping[str, Score]


@dataclass(frozen=True)
class PretrainRow:
    """An epoch of a layer's pre-training as the ledger knows it; the fields are those of ``Pretrained``.

    Args:
        image_error: of the image through this depth, behind its last epoch; None before.
    """

    depth: int
    epoch: int
    layer: str
    train_error: float
    validation_error: float | None
    image_error: float | None
    seconds: float


class Ledger:
    """The database in one store folder. Every method is one transaction.

    Args:
        database: the store's.
    """

    def __init__(self, database: Database) -> None:
        self._database = database

    @property
    def path(self) -> Path:
        """The file; made when it is first written."""
        return self._database.path

    def add_run(self, run: str, name: str, versions: str, experiment: str, images: str = "") -> None:
        """Note a new run, with the status "running"."""
        with self._database.writing() as database:
            database.execute(
                "INSERT INTO run (id, name, status, created, versions, experiment, images) "
                "VALUES (?, ?, 'running', ?, ?, ?, ?)",
                (run, name, time.time(), versions, experiment, images),
            )

    def set_machine(self, run: str, device: str, threads: int) -> None:
        """Note what a run is trained on."""
        with self._database.writing() as database:
            database.execute("UPDATE run SET device = ?, threads = ? WHERE id = ?", (device, threads, run))

    def set_status(self, run: str, status: str, reason: str = "") -> None:
        """Note how a run stands."""
        with self._database.writing() as database:
            database.execute("UPDATE run SET status = ?, reason = ? WHERE id = ?", (status, reason, run))

    def set_experiment(self, run: str, experiment: str) -> None:
        """Note another experiment, as TOML, of a run that is trained further."""
        with self._database.writing() as database:
            database.execute("UPDATE run SET experiment = ? WHERE id = ?", (experiment, run))

    def add_epoch(self, run: str, row: EpochRow, measured: Measured = NOTHING) -> None:
        """Note an epoch, its scores and what was measured of its layers.

        One that is done again after a kill replaces itself.
        """
        with self._database.writing() as database:
            database.execute(
                "INSERT OR REPLACE INTO epoch VALUES (?, ?, ?, ?, ?, ?)",
                (run, row.epoch, row.lr, row.seconds, row.images_per_second, row.best),
            )
            database.executemany(
                "INSERT OR REPLACE INTO score VALUES (?, ?, ?, ?, ?, ?, ?)",
                [
                    (run, row.epoch, split, s.objective, s.top1_error, s.top5_error, s.images)
                    for split, s in row.scores.items()
                ],
            )
            # SQLite has no NaN: what was not measured is NULL.
            database.executemany(
                "INSERT OR REPLACE INTO layer_step VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
                [
                    (run, row.epoch, step, layer, *astuple(values))
                    for step, layers in measured.steps.items()
                    for layer, values in layers.items()
                ],
            )
            database.executemany(
                "INSERT OR REPLACE INTO layer_units VALUES (?, ?, ?, ?, ?, ?, ?)",
                [(run, row.epoch, layer, *astuple(units)) for layer, units in measured.units.items()],
            )
            database.execute(
                "UPDATE run SET seconds = (SELECT sum(seconds) FROM epoch WHERE run = ?1) WHERE id = ?1",
                (run,),
            )

    def add_pretrain_epoch(self, run: str, row: PretrainRow) -> None:
        """Note an epoch of a layer's pre-training; one that is done again replaces itself."""
        with self._database.writing() as database:
            database.execute(
                "INSERT OR REPLACE INTO pretrain_epoch VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
                (run, *astuple(row)),
            )

    def pretrain_epochs(self, run: str) -> list[PretrainRow]:
        """The epochs of a run's pre-training, depth by depth."""
        columns = ", ".join(PretrainRow.__dataclass_fields__)
        with self._database.reading() as database:
            found = database.execute(
                f"SELECT {columns} FROM pretrain_epoch WHERE run = ? ORDER BY depth, epoch",  # noqa: S608
                (run,),
            )
            return [PretrainRow(*row) for row in found]

    def runs(self) -> list[RunRow]:
        """All runs, the newest first: by the order that they were noted in, which no clock can change."""
        if not self.path.exists():
            return []
        columns = ", ".join(RunRow.__dataclass_fields__)
        with self._database.reading() as database:
            found = database.execute(f"SELECT {columns} FROM run ORDER BY rowid DESC")  # noqa: S608
            return [RunRow(*row) for row in found]

    def epochs(self, run: str) -> list[EpochRow]:
        """The epochs of a run, in order."""
        with self._database.reading() as database:
            scores: dict[int, dict[str, Score]] = {}
            for epoch, split, *values in database.execute(
                "SELECT epoch, split, objective, top1_error, top5_error, images FROM score WHERE run = ? "
                "ORDER BY epoch, rowid",
                (run,),
            ):
                scores.setdefault(epoch, {})[split] = Score(*values)
            found = database.execute(
                "SELECT epoch, lr, seconds, images_per_second, best FROM epoch WHERE run = ? ORDER BY epoch",
                (run,),
            )
            return [EpochRow(e, lr, s, i, bool(b), scores.get(e, {})) for e, lr, s, i, b in found]

    def measured(self, run: str) -> dict[int, Measured]:
        """What was measured of a run's layers, by epoch."""
        steps: dict[int, dict[int, dict[str, LayerStep]]] = {}
        units: dict[int, dict[str, LayerUnits]] = {}
        columns = ", ".join(f'"{name}"' for name in MEASURES)
        with self._database.reading() as database:
            for epoch, step, layer, *values in database.execute(
                f"SELECT epoch, step, layer, {columns} FROM layer_step WHERE run = ? "  # noqa: S608
                "ORDER BY epoch, step, rowid",
                (run,),
            ):
                numbers = [math.nan if value is None else value for value in values]
                steps.setdefault(epoch, {}).setdefault(step, {})[layer] = LayerStep(*numbers)
            for epoch, layer, *counts in database.execute(
                "SELECT epoch, layer, units, dead, rare, saturated FROM layer_units WHERE run = ? "
                "ORDER BY epoch, rowid",
                (run,),
            ):
                units.setdefault(epoch, {})[layer] = LayerUnits(*counts)
        epochs = sorted(steps.keys() | units.keys())
        return {epoch: Measured(steps.get(epoch, {}), units.get(epoch, {})) for epoch in epochs}

    def remove_run(self, run: str) -> None:
        """Forget a run and all that was measured in it."""
        with self._database.writing() as database:
            database.execute("DELETE FROM run WHERE id = ?", (run,))

    def check(self) -> str:
        """What SQLite finds of the file: "ok", or what is wrong."""
        with self._database.reading() as database:
            return str(database.execute("PRAGMA integrity_check").fetchone()[0])
