"""A study from its description to its results: begun, or gone on with."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import closing
from pathlib import Path

from cutaway.config import Study
from cutaway.disk import locked, make_folder
from cutaway.store import Store
from cutaway.store.studybook import StudyRow
from cutaway.study.adoption import adopt
from cutaway.study.archive import keep_study, read_table, read_trials
from cutaway.study.findings.table import StudyTable
from cutaway.study.prepared import prepare_study
from cutaway.study.trial import ENDED
from cutaway.study.trials.conduct import Conductor
from cutaway.study.trials.workers import workers as dask_workers
from cutaway.study.variant import Variant
from cutaway.training import stop_on_signals

Announce = Callable[[StudyRow, list[Variant]], None]
"""Called when the study has its id and its trials are about to begin."""


def run_study(
    study: str | Path | Study,
    *,
    store: Store | None = None,
    scheduler: str = "",
    workers: int = 0,
    announce: Announce | None = None,
) -> StudyTable:
    """Train what is missing of a study, and say what each change did.

    The same study in the same store goes on where it was: trials that have ended are not trained
    again, nor are those that another study of the store has trained in the same way. Trials run on
    processes of this machine, so a script that calls this needs ``if __name__ == "__main__":`` around
    it; or on a Dask cluster.

    Args:
        study: a TOML file or a ``Study``.
        store: where its runs are kept; ``CUTAWAY_STORE`` or ``./runs`` when not given.
        scheduler: the address of a Dask cluster, "tcp://…"; empty for this machine. Dask sends Python
            objects both ways: use clusters that you trust.
        workers: processes of this machine, one thread each; 0 for as many as there are cores.
        announce: called once, before the first trial; what has ended by then is in the ledger.

    Returns:
        its results.

    Raises:
        ConfigError, NotFoundError, DataError: the study, its data or the cluster is wrong.
        StoreError: the store can't be written, or another process runs this study.
        InterruptedRunError: Ctrl-C or SIGTERM; what was trained is kept.
    """
    store = store or Store()
    shared = store.folder / "studies"
    make_folder(shared)
    made = prepare_study(study, shared)
    row = keep_study(store, made)
    folder = shared / row.id
    make_folder(folder)
    with locked(folder, "study"), stop_on_signals() as stop, closing(made.shelf):
        adopt(store, row, made)
        if announce:
            announce(row, made.variants)
        if any(trial.status not in ENDED for trial in read_trials(store, row)):
            with dask_workers(scheduler, workers) as client:
                Conductor(store, row, made, client, stop).run()
    return read_table(store, row)
