"""``cutaway train`` and ``cutaway resume``."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any, Literal

from cyclopts import Parameter

from cutaway.cli.console import Fields, Json, RunName, StoreOption, note, say, say_json, say_line
from cutaway.errors import ConfigError
from cutaway.machine import processes

Text = Annotated[str | None, Parameter(negative="")]
Number = Annotated[int | None, Parameter(negative="")]
Logs = Annotated[list[Literal["csv", "tensorboard"]] | None, Parameter(negative="")]
Events = Annotated[Literal["jsonl"] | None, Parameter(negative="")]


def train(
    experiment: str,
    /,
    *,
    name: Text = None,
    seed: Number = None,
    net: Text = None,
    memory: Text = None,
    skip_bad: Annotated[bool, Parameter(negative="")] = False,
    log: Logs = None,
    events: Events = None,
    store: StoreOption = StoreOption(),
    json: Json = False,
    **fields: Fields,
) -> None:
    """Train an experiment and record the run.

    Parameters
    ----------
    experiment
        a TOML file, or the name of a built-in experiment such as digits
    name
        what the run is called
    seed
        the one seed of weights, data order and dropout
    net
        another net: a name of the zoo, a file with notation, or notation
    memory
        the most that training may take, such as 2GiB; a batch that does not fit goes through in parts
    skip_bad
        leave files out that can't be read, and record which
    log
        csv keeps a table of the epochs, log.csv, in the run's folder; tensorboard keeps event files there;
        give it twice for both
    events
        jsonl prints every event as a line of JSON, in place of the result
    """
    from cutaway.cli.progress import TrainingProgress
    from cutaway.store import train as train_experiment

    overrides: dict[str, Any] = dict(fields)
    overrides |= {k: v for k, v in {"name": name, "seed": seed, "net": net}.items() if v is not None}
    if memory is not None:
        train_fields = overrides.get("train")
        overrides["train"] = {**(train_fields if isinstance(train_fields, dict) else {}), "memory": memory}
    if skip_bad:
        data_fields = overrides.get("data")
        overrides["data"] = {**(data_fields if isinstance(data_fields, dict) else {}), "skip_bad": True}
    with TrainingProgress() as progress:
        follow = _Following(progress, log, events)
        run = train_experiment(
            experiment, overrides, store=store.open(), observers=follow.observers, announce=follow.announce
        )
    if not events and leads():
        _tell(run, json)


def resume(
    run: RunName,
    /,
    *,
    extend: Annotated[int, Parameter(negative="")] = 0,
    log: Logs = None,
    events: Events = None,
    store: StoreOption = StoreOption(),
    json: Json = False,
) -> None:
    """Continue a run that was stopped or killed, to the weights that it would have had anyway.

    Parameters
    ----------
    extend
        epochs to train beyond those of the experiment; a finished run can be extended too
    log
        csv keeps a table of the epochs, log.csv, in the run's folder; tensorboard keeps event files there;
        give it twice for both
    events
        jsonl prints every event as a line of JSON, in place of the result
    """
    from cutaway.cli.progress import TrainingProgress
    from cutaway.store import resume as resume_run

    if extend < 0:
        raise ConfigError(f"--extend should be 1 or more epochs, not {extend}.")
    with TrainingProgress() as progress:
        follow = _Following(progress, log, events)
        found = resume_run(
            store.open().find(run),
            extend=extend,
            observers=follow.observers,
            announce=follow.announce,
            say=note,
        )
    if not events and leads():
        _tell(found, json)


class _Following:
    """Who listens to a training, besides the ledger."""

    def __init__(self, progress: Any, logs: Sequence[str] | None, events: str | None) -> None:
        from cutaway.store.logs import LineLog, TableLog
        from cutaway.store.tensorboard import BoardLog

        self.run: Any = None
        self.observers = [progress]
        kinds = {"csv": TableLog, "tensorboard": BoardLog}
        self.observers += [kinds[log](lambda: self.run) for log in dict.fromkeys(logs or ())]
        if events:
            self.observers.append(LineLog(say_line))

    def announce(self, run: Any, task: Any) -> None:
        """Tell which run begins, and remember it."""
        self.run = run
        announce(run, task)


def leads() -> bool:
    """Whether this process tells: of several that train together the first does."""
    return processes()[0] == 0


def announce(run: Any, task: Any) -> None:
    """Tell on stderr which run begins, with how many parameters and images."""
    sizes = ", ".join(f"{len(split):,} {name}" for name, split in task.images.splits.items())
    note(f"run {run.id}: {task.experiment.name}, {task.plan.parameters:,} parameters, images: {sizes}")
    count = processes()[1]
    if count > 1:
        split = task.experiment.train.split_batchnorm
        over = "its own share" if split else "the whole batch"
        note(f"{count} processes share every batch; batch norm takes its means over {over}")
    skipped = task.images.skipped
    if skipped:
        what = "1 file was" if len(skipped) == 1 else f"{len(skipped):,} files were"
        note(f"{what} skipped, such as {skipped[0][0]}: {skipped[0][1]}. All: {run.folder / 'skipped.json'}")


def _tell(run: Any, json: bool) -> None:
    from cutaway.cli.runs import summary

    facts = summary(run)
    if json:
        say_json(facts)
        return
    best = facts["best"] or {}
    errors = ", ".join(
        f"{split} {values['top1_error']:.2%}" for split, values in best.get("scores", {}).items()
    )
    before = facts["pretraining_seconds"]
    told = f"{facts['seconds']:.1f} s" + (f", after {before:.1f} s of pre-training" if before else "")
    say(f"{run.id}  best epoch {best.get('epoch')}: error {errors}  ({told})")
