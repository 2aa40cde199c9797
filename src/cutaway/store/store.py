"""A store: a folder with a ledger and the folders of its runs."""

from __future__ import annotations

import json
import os
import platform
import secrets
import shutil
from pathlib import Path

import torch

from cutaway import __version__
from cutaway.config import Experiment, dump_experiment
from cutaway.data import Images, division
from cutaway.disk import locked, make_folder, write_file
from cutaway.errors import CutawayError, NotFoundError, StoreError
from cutaway.store.database import Database
from cutaway.store.ledger import Ledger
from cutaway.store.run import Run
from cutaway.store.studybook import StudyBook

_LETTERS = "abcdefghjkmnpqrstuvwxyz"  # no i, l, o: they are taken for digits
_ID_LENGTH = 8
_REMOVED = ".removed-"


def default_folder() -> Path:
    """``CUTAWAY_STORE``, or ``runs`` in the working folder."""
    return Path(os.environ.get("CUTAWAY_STORE") or "runs")


class Store:
    """All runs in one folder.

    Args:
        folder: made when the first run is; ``CUTAWAY_STORE`` or ``./runs`` when not given.
    """

    def __init__(self, folder: str | Path | None = None) -> None:
        self.folder = Path(folder).expanduser() if folder else default_folder()
        database = Database(self.folder / "ledger.sqlite")
        self.ledger = Ledger(database)
        self.studies = StudyBook(database)

    def runs(self) -> list[Run]:
        """All runs, the newest first."""
        return [self._run(row.id) for row in self.ledger.runs()]

    def find(self, name: str) -> Run:
        """The run with an id, a unique prefix of one, or the newest one for ``last``.

        Raises:
            NotFoundError: there is no such run, or several begin so.
        """
        ids = [row.id for row in self.ledger.runs()]
        if not ids:
            raise NotFoundError(f"There are no runs in {self.folder}. Make one: cutaway demo")
        if name == "last":
            return self._run(ids[0])
        found = [run for run in ids if run == name] or [run for run in ids if name and run.startswith(name)]
        if not found:
            raise NotFoundError(f'There is no run "{name}" in {self.folder}. See: cutaway runs list')
        if len(found) > 1:
            raise NotFoundError(f'"{name}" could be {", ".join(sorted(found)[:5])}. Type one letter more.')
        return self._run(found[0])

    def create(self, experiment: Experiment, images: Images | None = None) -> Run:
        """A new run of an experiment: its folder with the complete experiment, and its row in the ledger.

        Args:
            experiment: complete.
            images: that it learns from and is scored on; kept is how they are divided, and what was left out.

        Raises:
            StoreError: the store can't be written; then nothing is left behind.
        """
        run = self._run(new_id())
        text = dump_experiment(experiment)
        make_folder(run.folder)
        try:
            write_file(run.folder / "experiment.toml", text.encode())
            if images and images.skipped:
                listed = [{"file": name, "reason": reason} for name, reason in images.skipped]
                write_file(run.folder / "skipped.json", json.dumps(listed, indent=1).encode())
            seen = division(images) if images else ""
            self.ledger.add_run(run.id, experiment.name, versions(), text, seen)
        except CutawayError:
            shutil.rmtree(run.folder, ignore_errors=True)
            raise
        return run

    def remove(self, run: Run) -> None:
        """Forget a run and delete its folder.

        Raises:
            StoreError: a process trains it, or the store can't be written.
        """
        trash = self.folder / f"{_REMOVED}{run.id}"
        if run.folder.exists():
            with locked(run.folder):
                try:
                    run.folder.rename(trash)
                except OSError as error:
                    raise StoreError(f"{run.folder} can't be removed: {error.strerror}.") from None
                try:
                    self.ledger.remove_run(run.id)
                except StoreError:
                    trash.rename(run.folder)
                    raise
        else:
            self.ledger.remove_run(run.id)
        shutil.rmtree(trash, ignore_errors=True)

    def _run(self, id: str) -> Run:  # noqa: A002
        return Run(id, self.folder / id, self.ledger)


def versions() -> str:
    """What this process computes with."""
    return f"cutaway {__version__}, torch {torch.__version__}, python {platform.python_version()}"


def new_id() -> str:
    """Eight characters, a letter first; a hundred thousand runs share none with odds of 20 to 1."""
    return secrets.choice(_LETTERS) + "".join(
        secrets.choice(_LETTERS + "23456789") for _ in range(_ID_LENGTH - 1)
    )
