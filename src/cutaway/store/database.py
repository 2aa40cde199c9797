"""The store's SQLite file: its tables, and one transaction for each change."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from cutaway.errors import StoreError

WAIT_SECONDS = 30.0
"""How long to wait for another process's transaction; an epoch's takes milliseconds."""

# Each entry brings a ledger from the version of its place to the next; PRAGMA user_version counts.
_MIGRATIONS = (
    """
    CREATE TABLE run (
        id TEXT PRIMARY KEY,
        name TEXT NOT NULL,
        status TEXT NOT NULL,
        reason TEXT NOT NULL DEFAULT '',
        created REAL NOT NULL,
        seconds REAL NOT NULL DEFAULT 0,
        device TEXT NOT NULL DEFAULT '',
        threads INTEGER NOT NULL DEFAULT 0,
        versions TEXT NOT NULL,
        experiment TEXT NOT NULL
    );
    CREATE TABLE epoch (
        run TEXT NOT NULL REFERENCES run (id) ON DELETE CASCADE,
        epoch INTEGER NOT NULL,
        lr REAL NOT NULL,
        seconds REAL NOT NULL,
        images_per_second REAL NOT NULL,
        best INTEGER NOT NULL,
        PRIMARY KEY (run, epoch)
    );
    CREATE TABLE score (
        run TEXT NOT NULL REFERENCES run (id) ON DELETE CASCADE,
        epoch INTEGER NOT NULL,
        split TEXT NOT NULL,
        objective REAL NOT NULL,
        top1_error REAL NOT NULL,
        top5_error REAL NOT NULL,
        images INTEGER NOT NULL,
        PRIMARY KEY (run, epoch, split)
    );
    """,
    """
    CREATE TABLE layer_step (
        run TEXT NOT NULL REFERENCES run (id) ON DELETE CASCADE,
        epoch INTEGER NOT NULL,
        step INTEGER NOT NULL,
        layer TEXT NOT NULL,
        weight_gradient REAL,
        weight_gradient_norm REAL,
        bias_gradient REAL,
        bias_gradient_norm REAL,
        weight_norm REAL,
        "update" REAL,
        distance REAL,
        PRIMARY KEY (run, epoch, step, layer)
    );
    CREATE TABLE layer_units (
        run TEXT NOT NULL REFERENCES run (id) ON DELETE CASCADE,
        epoch INTEGER NOT NULL,
        layer TEXT NOT NULL,
        units INTEGER NOT NULL,
        dead INTEGER NOT NULL,
        rare INTEGER NOT NULL,
        saturated INTEGER NOT NULL,
        PRIMARY KEY (run, epoch, layer)
    );
    """,
    """
    CREATE TABLE pretrain_epoch (
        run TEXT NOT NULL REFERENCES run (id) ON DELETE CASCADE,
        depth INTEGER NOT NULL,
        epoch INTEGER NOT NULL,
        layer TEXT NOT NULL,
        train_error REAL NOT NULL,
        validation_error REAL,
        image_error REAL,
        seconds REAL NOT NULL,
        PRIMARY KEY (run, depth, epoch)
    );
    """,
    """
    CREATE TABLE study (
        id TEXT PRIMARY KEY,
        name TEXT NOT NULL,
        created REAL NOT NULL,
        versions TEXT NOT NULL,
        definition TEXT NOT NULL,
        base TEXT NOT NULL,
        input_shape TEXT NOT NULL,
        data TEXT NOT NULL,
        UNIQUE (definition, base, data)
    );
    CREATE TABLE variant (
        study TEXT NOT NULL REFERENCES study (id) ON DELETE CASCADE,
        place INTEGER NOT NULL,
        name TEXT NOT NULL,
        description TEXT NOT NULL,
        experiment TEXT NOT NULL,
        PRIMARY KEY (study, name)
    );
    CREATE TABLE trial (
        study TEXT NOT NULL REFERENCES study (id) ON DELETE CASCADE,
        variant TEXT NOT NULL,
        seed INTEGER NOT NULL,
        run TEXT REFERENCES run (id) ON DELETE SET NULL,
        status TEXT NOT NULL,
        reason TEXT NOT NULL DEFAULT '',
        seconds REAL NOT NULL DEFAULT 0,
        PRIMARY KEY (study, variant, seed)
    );
    CREATE TABLE trial_score (
        study TEXT NOT NULL,
        variant TEXT NOT NULL,
        seed INTEGER NOT NULL,
        share REAL NOT NULL,
        split TEXT NOT NULL,
        objective REAL NOT NULL,
        top1_error REAL NOT NULL,
        top5_error REAL NOT NULL,
        images INTEGER NOT NULL,
        PRIMARY KEY (study, variant, seed, share, split),
        FOREIGN KEY (study, variant, seed) REFERENCES trial (study, variant, seed) ON DELETE CASCADE
    );
    """,
    "ALTER TABLE run ADD COLUMN images TEXT NOT NULL DEFAULT ''",
)


class Database:
    """One SQLite file.

    Args:
        path: the file; made when it is first written.
    """

    def __init__(self, path: Path) -> None:
        self.path = path

    @contextmanager
    def writing(self) -> Iterator[sqlite3.Connection]:
        """A connection inside a transaction that is committed at the end, or not at all."""
        with self._connected() as database:
            database.execute("BEGIN IMMEDIATE")
            _migrate(database, self.path)
            yield database
            database.execute("COMMIT")

    @contextmanager
    def reading(self) -> Iterator[sqlite3.Connection]:
        """A connection inside one consistent view; it does not wait for a writer."""
        with self._connected() as database:
            if _version(database) != len(_MIGRATIONS):
                database.execute("BEGIN IMMEDIATE")
                _migrate(database, self.path)
                database.execute("COMMIT")
            database.execute("BEGIN")
            yield database

    @contextmanager
    def _connected(self) -> Iterator[sqlite3.Connection]:
        try:
            database = sqlite3.connect(self.path, timeout=WAIT_SECONDS, isolation_level=None)
            try:
                database.execute("PRAGMA journal_mode = WAL")
                database.execute("PRAGMA synchronous = FULL")
                database.execute("PRAGMA foreign_keys = ON")
                yield database
            finally:
                database.close()
        except sqlite3.DatabaseError as error:
            raise StoreError(_explain(self.path, error)) from None


def _version(database: sqlite3.Connection) -> int:
    return int(database.execute("PRAGMA user_version").fetchone()[0])


def _migrate(database: sqlite3.Connection, path: Path) -> None:
    version = _version(database)
    if version > len(_MIGRATIONS):
        raise StoreError(
            f"{path} was written by a newer Cutaway. Update this one, or choose another --store."
        )
    for step in _MIGRATIONS[version:]:
        # executescript() would commit first: the statements are run one by one instead.
        for statement in step.split(";"):
            database.execute(statement)
    if version < len(_MIGRATIONS):
        database.execute(f"PRAGMA user_version = {len(_MIGRATIONS)}")


def _explain(path: Path, error: sqlite3.DatabaseError) -> str:
    told = str(error)
    if "locked" in told or "busy" in told:
        return f"{path} is held by another process. Wait for it or stop it, then try again."
    if "full" in told:
        return f"The disk of {path} is full. What was there is kept: free some space, try again."
    if "unable to open" in told or "readonly" in told:
        return f"{path} can't be opened for writing. Choose another store with --store DIR."
    # A full quota is told so, and so is a disk that fails.
    if "disk I/O error" in told:
        return f"{path} can't be read or written: its disk fails, or your share of it is full ({told})."
    if isinstance(error, sqlite3.DataError | sqlite3.IntegrityError):
        return f"{path} does not take this: {told}. What was there is kept."
    return f"{path} is damaged ({told}). Move it aside; the runs' own folders are complete without it."
