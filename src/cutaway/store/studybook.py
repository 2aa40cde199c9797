"""The ledger's part of studies: what was asked for, the variants, and how each trial stands."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from cutaway.store.database import Database
from cutaway.training import Score

WHOLE = 1.0
"""The share of a budget that is all of it."""


@dataclass(frozen=True)
class StudyRow:
    """A study as the ledger knows it.

    Args:
        id: eight letters and digits.
        name: the study's.
        created: seconds since 1970, UTC.
        versions: of Cutaway, PyTorch and Python.
        definition: the study, as TOML.
        base: its base experiment, complete, as TOML.
        input_shape: of its images, "1x28x28".
        data: a fingerprint of the images.
    """

    id: str
    name: str
    created: float
    versions: str
    definition: str
    base: str
    input_shape: str
    data: str


@dataclass(frozen=True)
class VariantRow:
    """A variant as the ledger knows it.

    Args:
        name: its own within the study.
        description: edits, changed fields, origin and the like, as JSON.
        experiment: complete, as TOML.
    """

    name: str
    description: str
    experiment: str


@dataclass(frozen=True)
class TrialRow:
    """A trial as the ledger knows it.

    Args:
        variant: its name.
        seed: of everything that is random.
        run: the id of its run; empty where there is none, or it was removed.
        status: a word of ``study.TrialStatus``.
        reason: why it ended early.
        seconds: of training and scoring.
        scores: by share of the budget, by split.
    """

    variant: str
    seed: int
    run: str
    status: str
    reason: str = ""
    seconds: float = 0.0
    scores: Mapping[float, Mapping[str, Score]] = field(default_factory=dict)


class StudyBook:
    """The tables of studies. Every method is one transaction.

    Args:
        database: the store's.
    """

    def __init__(self, database: Database) -> None:
        self._database = database

    def add(self, row: StudyRow, variants: Sequence[VariantRow]) -> StudyRow:
        """Note a study with its variants; the one that is there already where it is the same.

        Returns:
            the row under which it is kept.
        """
        with self._database.writing() as database:
            database.execute(
                "INSERT OR IGNORE INTO study VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
                (
                    *(row.id, row.name, row.created or time.time(), row.versions, row.definition),
                    *(row.base, row.input_shape, row.data),
                ),
            )
            (kept,) = database.execute(
                "SELECT id FROM study WHERE definition = ? AND base = ? AND data = ?",
                (row.definition, row.base, row.data),
            ).fetchone()
            if kept == row.id:
                database.executemany(
                    "INSERT INTO variant VALUES (?, ?, ?, ?, ?)",
                    [
                        (row.id, place, variant.name, variant.description, variant.experiment)
                        for place, variant in enumerate(variants)
                    ],
                )
        return next(known for known in self.rows() if known.id == kept)

    def rows(self) -> list[StudyRow]:
        """All studies, the newest first."""
        if not self._database.path.exists():
            return []
        columns = ", ".join(StudyRow.__dataclass_fields__)
        with self._database.reading() as database:
            found = database.execute(f"SELECT {columns} FROM study ORDER BY rowid DESC")  # noqa: S608
            return [StudyRow(*row) for row in found]

    def variants(self, study: str) -> list[VariantRow]:
        """A study's variants, in its order."""
        with self._database.reading() as database:
            found = database.execute(
                "SELECT name, description, experiment FROM variant WHERE study = ? ORDER BY place", (study,)
            )
            return [VariantRow(*row) for row in found]

    def trials(self, study: str) -> list[TrialRow]:
        """A study's trials that were begun, by variant and seed."""
        scores: dict[tuple[str, int], dict[float, dict[str, Score]]] = {}
        with self._database.reading() as database:
            for variant, seed, share, split, *values in database.execute(
                "SELECT variant, seed, share, split, objective, top1_error, top5_error, images "
                "FROM trial_score WHERE study = ? ORDER BY share, rowid",
                (study,),
            ):
                scores.setdefault((variant, seed), {}).setdefault(share, {})[split] = Score(*values)
            found = database.execute(
                "SELECT variant, seed, coalesce(run, ''), status, reason, seconds FROM trial "
                "WHERE study = ? ORDER BY variant, seed",
                (study,),
            )
            return [
                TrialRow(variant, seed, run, status, reason, seconds, scores.get((variant, seed), {}))
                for variant, seed, run, status, reason, seconds in found
            ]

    def note(self, study: str, trial: TrialRow) -> None:
        """Note how a trial stands, with all of its scores; what was noted of it before is replaced."""
        key = (study, trial.variant, trial.seed)
        with self._database.writing() as database:
            database.execute("DELETE FROM trial WHERE study = ? AND variant = ? AND seed = ?", key)
            database.execute(
                "INSERT INTO trial VALUES (?, ?, ?, ?, ?, ?, ?)",
                (*key, trial.run or None, trial.status, trial.reason, trial.seconds),
            )
            database.executemany(
                "INSERT INTO trial_score VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
                [
                    (*key, share, split, s.objective, s.top1_error, s.top5_error, s.images)
                    for share, splits in trial.scores.items()
                    for split, s in splits.items()
                ],
            )

    def remove(self, study: str) -> None:
        """Forget a study; the runs of its trials stay."""
        with self._database.writing() as database:
            database.execute("DELETE FROM study WHERE id = ?", (study,))
