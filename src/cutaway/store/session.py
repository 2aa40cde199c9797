"""Training that is recorded: begun, continued, and ended in one way."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cutaway.config import Experiment, differences, load_experiment
from cutaway.disk import locked, remove_leftovers
from cutaway.errors import (
    ConfigError,
    DivergedError,
    InterruptedRunError,
    LostProcessError,
)
from cutaway.store.newest import newest_checkpoint
from cutaway.store.reconstructions import FOLDER as RECONSTRUCTIONS
from cutaway.store.recorder import Recorder
from cutaway.store.run import Run
from cutaway.store.store import Store
from cutaway.training import (
    Checkpoint,
    Diverged,
    Observer,
    Stopped,
    Task,
    Team,
    assembled,
    last_words,
    prepare,
    stop_on_signals,
)
from cutaway.training import train as train_task

Announce = Callable[[Run, Task], None]
"""Called when the run has its id and the training is about to begin."""


def train(
    experiment: str | Path | Experiment,
    overrides: Mapping[str, Any] | None = None,
    *,
    store: Store | None = None,
    observers: Sequence[Observer] = (),
    announce: Announce | None = None,
) -> Run:
    """Train an experiment and record it.

    Args:
        experiment: a TOML file, the name of a built-in experiment, or an ``Experiment``.
        overrides: fields to replace, nested: ``{"train": {"lr": 0.05}}``.
        store: where the run is kept; ``CUTAWAY_STORE`` or ``./runs`` when not given.
        observers: called with every event after it was recorded.
        announce: called once, before the first event.

    Returns:
        the finished run.

    Raises:
        ConfigError, NotFoundError, DataError: the experiment or its data is wrong; no run is made.
        StoreError: the store can't be written; the last checkpoint is kept.
        DivergedError: a value was not finite; the message names the layer and what to try.
        InterruptedRunError: Ctrl-C or SIGTERM; the message has the line that continues the run.
    """
    complete = load_experiment(experiment, overrides)
    with assembled() as team:
        task = _prepared(complete, team)
        return _begin(task, store or Store(), team, observers, announce)


def record(
    task: Task,
    store: Store,
    *,
    observers: Sequence[Observer] = (),
    announce: Announce | None = None,
) -> Run:
    """Train a task that is ready, such as one on images of your own making, and record it.

    Raises:
        as :func:`train`.
    """
    with assembled() as team:
        return _begin(task, store, team, observers, announce)


def _prepared(experiment: Experiment, team: Team) -> Task:
    """The task, by one process after another: what the first decodes, the others find in the cache."""
    if not team.leads:
        team.wait()
    task = prepare(experiment)
    if team.leads:
        team.wait()
    return task


def _begin(
    task: Task, store: Store, team: Team, observers: Sequence[Observer], announce: Announce | None
) -> Run:
    """A new run, of which the first process tells the others."""
    run = store.create(task.experiment, task.images) if team.leads else None
    name = team.share(run.id if run else "", 64)
    return _record(run or store.find(name), task, None, _Company(team, observers, announce))


def resume(
    run: Run,
    *,
    extend: int = 0,
    observers: Sequence[Observer] = (),
    announce: Announce | None = None,
    say: Callable[[str], None] | None = None,
) -> Run:
    """Continue a run from its last checkpoint, to the weights that it would have had anyway.

    Args:
        run: that was stopped, abandoned or killed; with ``extend``, a finished one too.
        extend: epochs to train beyond those of the experiment. A schedule that ends with the training
            then ends later, so the learning rate rises again where it had come down.
        observers: as for :func:`train`.
        announce: likewise.
        say: told when a damaged checkpoint makes it begin at the one before.

    Raises:
        ConfigError: the run is finished or has diverged, or its experiment was edited since.
        DataError: its images were changed since.
        StoreError: another process trains it, no checkpoint can be read, or it is another run's.
        and what :func:`train` raises.
    """
    if run.status == "finished" and not extend:
        raise ConfigError(
            f"The run {run.id} is finished. Train it further with --extend EPOCHS, or see: "
            f"cutaway runs show {run.id}"
        )
    if run.status == "diverged":
        raise ConfigError(
            f"The run {run.id} has diverged and would again ({run.row.reason}). "
            "Train it with a lower learning rate."
        )
    experiment = run.experiment
    _check_unedited(run, experiment)
    if extend:
        longer = experiment.train.model_copy(update={"epochs": experiment.train.epochs + extend})
        experiment = experiment.model_copy(update={"train": longer})
    asked = experiment
    if run.row.threads:
        # Sums over another number of threads differ in their last bits.
        recipe = experiment.train.model_copy(update={"threads": run.row.threads})
        experiment = experiment.model_copy(update={"train": recipe})
    with assembled() as team:
        task = _prepared(experiment, team)
        run.check_images(task.images)
        checkpoint = newest_checkpoint(run.folder, run.id, task, say)
        team.wait()  # all have read what is written now
        if extend and team.leads:
            run.rewrite(asked)
        return _record(run, task, checkpoint, _Company(team, observers, announce))


def _check_unedited(run: Run, experiment: Experiment) -> None:
    """A run goes on with the experiment that it began with; an edited file is refused, not ignored."""
    path = run.folder / "experiment.toml"
    if not path.is_file():
        return
    edited = differences(experiment, load_experiment(path))
    if edited:
        shown = "; ".join(f"{name} was {before} and is {now}" for name, before, now in edited[:3])
        more = f" and {len(edited) - 3} more" if len(edited) > 3 else ""
        raise ConfigError(
            f"{path} was edited since the run began: {shown}{more}.\n"
            f"Put it back to resume, or train it as a run of its own: cutaway train {path}"
        )


@dataclass(frozen=True)
class _Company:
    """Who trains along, and who listens to the process that writes."""

    team: Team
    observers: Sequence[Observer]
    announce: Announce | None


def _record(run: Run, task: Task, checkpoint: Checkpoint | None, company: _Company) -> Run:
    team = company.team
    if not team.leads:
        with last_words(team), stop_on_signals() as stop:
            train_task(task, (), stop, checkpoint, team)
        return run
    recorder = Recorder(run, task)
    with last_words(team), locked(run.folder), stop_on_signals() as stop:
        remove_leftovers(run.folder)
        remove_leftovers(run.folder / RECONSTRUCTIONS)
        if company.announce:
            company.announce(run, task)
        try:
            train_task(task, [recorder, *company.observers], stop, checkpoint, team)
        except LostProcessError as error:
            error = LostProcessError(f"{error} Start it again with torchrun and: resume {run.id}")
            _note_failure(run, error)
            raise error from None
        except BaseException as error:
            _note_failure(run, error)
            raise
    if isinstance(recorder.end, Diverged):
        saved = (run.folder / "last.safetensors").is_file()
        kept = f" The last good weights are kept in run {run.id}." if saved else ""
        raise DivergedError(
            f"Training diverged in epoch {recorder.end.epoch}, step {recorder.end.step}: "
            f"{recorder.end.reason}.{kept}"
        )
    if isinstance(recorder.end, Stopped):
        why = f" ({recorder.end.reason})" if recorder.end.reason else ""
        raise InterruptedRunError(
            f"Stopped in epoch {recorder.end.epoch}, after step {recorder.end.step}{why}. "
            f"Continue with: cutaway resume {run.id}"
        )
    return run


def _note_failure(run: Run, error: BaseException) -> None:
    """Write down why a training broke off, if the store can be written at all."""
    try:
        run.ledger.set_status(run.id, "failed", str(error) or type(error).__name__)
    except Exception as second:  # noqa: BLE001  the first error is the one to tell
        error.add_note(f"It could not be noted in the ledger either: {second}")
