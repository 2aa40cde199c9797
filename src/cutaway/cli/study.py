"""``cutaway study run | show | list | export``."""

from __future__ import annotations

import json as json_
import math
from collections import Counter
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from cyclopts import App, Parameter

from cutaway.cli.console import Fields, Json, Output, StoreOption, note, say, say_json, say_table
from cutaway.cli.looking import check_looks, looks_folder, make_looks
from cutaway.errors import ConfigError, NotFoundError

if TYPE_CHECKING:
    from cutaway.config import Study
    from cutaway.store.studybook import StudyRow
    from cutaway.study import Prepared, StudyTable, Variant, VariantRow

app = App(name="study", help="What each layer and each choice is worth: variants trained under equal terms.")

StudyName = Annotated[str, Parameter(help="an id, a unique prefix of one, a study's name, or last")]


@app.command
def run(
    study: str,
    /,
    *,
    workers: Annotated[int, Parameter(negative="")] = 0,
    scheduler: Annotated[str, Parameter(negative="")] = "",
    quick: Annotated[bool, Parameter(negative="")] = False,
    dry_run: Annotated[bool, Parameter(negative="")] = False,
    store: StoreOption = StoreOption(),
    json: Json = False,
    **fields: Fields,
) -> None:
    """Train what is missing of a study, make its looks, and say what each change did.

    What has ended is not done again: run it again to go on after Ctrl-C or a crash. Any field of
    the experiment can be replaced in all trials: --data.path DIR. docs/studies.md says how it is written.

    Parameters
    ----------
    study
        a study's TOML file, or a folder with some
    workers
        processes of this machine, one thread each; as many as there are cores when not given
    scheduler
        the address of a Dask cluster to train on, such as tcp://10.0.0.1:8786
    quick
        the small one that the study's file describes
    dry_run
        only say which trials there would be, and about how long they take
    """
    from cutaway.config import load_study

    if workers < 0:
        raise ConfigError(f"--workers should be 0 (as many as there are cores) or more, not {workers}.")
    if workers and scheduler:
        raise ConfigError(
            "--workers are processes of this machine, --scheduler has its own. Give one of the two."
        )
    told = []
    for path in _files(study):
        asked = load_study(path, fields, quick=quick)
        check_looks(asked)
        if dry_run:
            told.append(_plan(asked, workers, store, quiet=json))
        else:
            told.append(_run(asked, workers, scheduler, store, quiet=json))
    if json:  # of a folder, one object all the same
        say_json({"studies": told} if Path(study).is_dir() else told[0])


def _run(study: Study, workers: int, scheduler: str, store: StoreOption, *, quiet: bool) -> dict[str, Any]:
    """Train what is missing, and tell the results unless they are printed otherwise."""
    from cutaway.store.store import versions
    from cutaway.study import ENDED, read_trials, to_json
    from cutaway.study.session import run_study

    opened = store.open()

    def announce(row: StudyRow, variants: Sequence[Variant]) -> None:
        trials = read_trials(opened, row)
        ended = sum(trial.status in ENDED for trial in trials)
        known = f"; {ended} of {len(trials)} trials are there already" if ended else ""
        note(f"study {row.id}: {row.name}, {_counted(variants)}{known}")
        if row.versions != versions() and ended < len(trials):
            note(f"It was begun with {row.versions}; what is missing is trained with {versions()}.")

    table = run_study(study, store=opened, scheduler=scheduler, workers=workers, announce=announce)
    make_looks(study, table, opened)
    if not quiet:
        _say_results(table)
        note(f"\nMore: cutaway study show {table.id}; cutaway report {table.id}")
    return to_json(table)


@app.command
def show(
    study: StudyName,
    /,
    *,
    trials: Annotated[bool, Parameter(negative="")] = False,
    output: Output = None,
    store: StoreOption = StoreOption(),
    json: Json = False,
) -> None:
    """A study's results so far: a sentence for each variant, with its interval.

    Parameters
    ----------
    trials
        every trial with its run and its errors
    output
        where to draw the differences, .png, .svg or .pdf; or .json, all that tables and pictures are made of
    """
    from cutaway.study import find_study, read_table, to_json

    opened = store.open()
    table = read_table(opened, find_study(opened, study))
    if output:
        _write(table, output)
        note(f"Wrote {output}")
    if trials and not json:
        _say_trials(table)
        return
    if json:
        say_json(to_json(table))
    else:
        _say_results(table)


@app.command(name="list")
def list_studies(*, store: StoreOption = StoreOption(), json: Json = False) -> None:
    """All studies, the newest first."""
    from cutaway.study import read_trials

    opened = store.open()
    facts: list[dict[str, Any]] = []
    for row in opened.studies.rows():
        counted = Counter(trial.status.value for trial in read_trials(opened, row))
        created = datetime.fromtimestamp(row.created).astimezone().isoformat(timespec="seconds")
        facts.append({"id": row.id, "name": row.name, "created": created, "trials": dict(counted)})
    if json:
        say_json({"studies": facts})
        return
    if not facts:
        say("No studies yet. Make one: cutaway study run FILE")
        return
    rows = []
    for fact in facts:
        told = ", ".join(f"{count} {status}" for status, count in fact["trials"].items())
        rows.append([fact["id"], fact["name"], fact["created"][:16].replace("T", " "), told])
    say_table(["study", "name", "created", "trials"], rows)


@app.command
def export(study: StudyName, folder: Path, /, *, store: StoreOption = StoreOption()) -> None:
    """Write all that a study's tables and pictures are made of into a folder.

    NAME.json has the study, its trials and results, NAME-dynamics.json how their layers learnt; the looks
    are copied. docs/studies.md says how they are read again.

    Parameters
    ----------
    study
        an id, a unique prefix of one, a study's name, or last
    folder
        where to; files of these names are replaced
    """
    from cutaway.disk import make_folder, write_file
    from cutaway.study import dynamics_to_json, find_study, made_with, read_table, to_json

    opened = store.open()
    row = find_study(opened, study)
    table = read_table(opened, row)
    values = to_json(table) | {"made": made_with(row)}
    contents = {
        f"{table.study.file}.json": _json_bytes(values),
        f"{table.study.file}-dynamics.json": _json_bytes(dynamics_to_json(opened, table), indent=None),
    }
    for path in sorted(looks_folder(opened, row.id).glob("*.*")):
        if path.suffix in (".npz", ".json"):
            contents[path.name] = path.read_bytes()
    make_folder(folder.absolute())
    for file, data in contents.items():
        write_file(folder.absolute() / file, data)
        say(str(folder / file))


def _files(study: str) -> list[Path]:
    """A study's file, or all those of a folder but the experiments that they vary."""
    from cutaway.config import load_study

    path = Path(study)
    if not path.is_dir():
        return [path]
    found = sorted(path.glob("*.toml"))
    bases = {_base(file) for file in found}
    studies = [file for file in found if file.resolve() not in bases]
    if not studies:
        raise NotFoundError(f"There is no study, a .toml file, in {path}.")
    for file in studies:
        load_study(file)  # a mistake in the last one is told before the first is trained
    return studies


def _base(file: Path) -> Path | None:
    """The experiment beside a study's file that it varies; None for a built-in one, or no study."""
    import tomllib

    try:
        base = tomllib.loads(file.read_text(encoding="utf-8")).get("base", "")
    except (OSError, ValueError):
        return None  # told when the file is loaded
    beside = file.parent / str(base)
    return beside.resolve() if beside.is_file() else None


def _plan(study: Study, workers: int, store: StoreOption, *, quiet: bool) -> dict[str, Any]:
    """What a study would train, without training it."""
    from cutaway.config import show_bytes
    from cutaway.machine import available_cores
    from cutaway.study import estimate_study, prepare_study

    made = prepare_study(study, store.open().folder / "studies")
    found = estimate_study(made, workers or available_cores())
    facts = {
        "study": made.study.name,
        "trials": found.trials,
        "workers": found.workers,
        "seconds": found.seconds,
        "memory": found.memory,
        "images_per_second": found.images_per_second,
        "variants": [_planned(variant, made) for variant in made.variants],
    }
    if quiet:
        return facts
    rows = []
    for variant in made.variants:
        cost = f"{variant.plan.multiply_adds:,}" if variant.plan else ""
        rows.append([variant.name, cost, str(made.study.seeds if not variant.problem else 0)])
    say_table(["variant", "multiply-adds>", "trials>"], rows)
    for variant in made.variants:
        if variant.problem:
            say(f"\n{variant.name} can't be trained: {variant.problem}")
    say(
        f"\n{found.trials} trials, about {_duration(found.seconds)} on {found.workers} workers and "
        f"{show_bytes(found.memory)} of memory; "
        f"the base trains {found.images_per_second:,.0f} images/s on one thread."
    )
    return facts


def _planned(variant: Variant, made: Prepared) -> dict[str, Any]:
    return {
        "name": variant.name,
        "edits": variant.edits,
        "changes": dict(variant.changes),
        "multiply_adds": variant.plan.multiply_adds if variant.plan else None,
        "trials": 0 if variant.problem else made.study.seeds,
        "problem": variant.problem,
    }


def _say_results(table: StudyTable) -> None:
    rows = [_row(row) for row in (table.base, *table.rows)]
    head = [
        "variant",
        "seeds>",
        f"{table.study.split.value} error>",
        "objective>",
        "seconds>",
        "multiply-adds>",
    ]
    say(f"study {table.id}: {table.study.name}")
    say_table(head, rows)
    say("")
    for row in (table.base, *table.rows):
        say(row.verdict.sentence)


def _row(row: VariantRow) -> list[str]:
    from cutaway.study import Measure, TrialStatus

    found = row.estimates
    top1, objective, seconds = (found.get(m) for m in (Measure.TOP1, Measure.OBJECTIVE, Measure.SECONDS))
    is_early = any(trial.status is TrialStatus.EARLY for trial in row.trials)
    return [
        row.variant.name + (" (ended early)" if is_early else ""),
        str(top1.count if top1 else 0),
        _with_interval(100 * top1.mean, 100 * (top1.high - top1.low) / 2, "%") if top1 else "",
        _with_interval(objective.mean, (objective.high - objective.low) / 2) if objective else "",
        f"{seconds.mean:.1f}" if seconds else "",
        f"{row.variant.plan.multiply_adds:,}" if row.variant.plan else "",
    ]


def _with_interval(mean: float, half: float, unit: str = "") -> str:
    places = 2 if unit else 3
    told = f"{mean:.{places}f}"
    # One seed has no interval: it is NaN.
    return f"{told} {unit}".rstrip() if math.isnan(half) else f"{told} ±{half:.{places}f} {unit}".rstrip()


def _say_trials(table: StudyTable) -> None:
    rows = []
    for row in (table.base, *table.rows):
        for trial in row.trials:
            score = trial.scores.get(table.study.split.value)
            error = f"{score.top1_error:.2%}" if score else ""
            told = [trial.status.value + (f": {trial.reason}" if trial.reason else "")]
            rows.append([row.variant.name, str(trial.seed), trial.run, error, f"{trial.seconds:.1f}", *told])
    say_table(["variant", "seed>", "run", "error>", "seconds>", "status"], rows)


def _write(table: StudyTable, path: Path) -> None:
    """A picture of the differences, or everything as JSON."""
    from cutaway.disk import write_file
    from cutaway.study import to_json

    if path.suffix == ".json":
        write_file(path, _json_bytes(to_json(table)))
        return
    from cutaway.cli.picture import write_figure
    from cutaway.draw import plot

    write_figure(plot(table), path)


def _json_bytes(value: Any, indent: int | None = 1) -> bytes:
    return (json_.dumps(value, indent=indent, ensure_ascii=False, allow_nan=False) + "\n").encode()


def _counted(variants: Sequence[Variant]) -> str:
    able = sum(1 for variant in variants if not variant.problem)
    many = "1 variant and its base" if able == 2 else f"{able - 1} variants and their base"
    told = many if len(variants) > 1 else "the base alone"
    return told if able == len(variants) else f"{told}; {len(variants) - able} can't be trained"


def _duration(seconds: float) -> str:
    if seconds < 100:
        return f"{seconds:.0f} s"
    if seconds < 6000:
        return f"{seconds / 60:.0f} min"
    return f"{seconds / 3600:.1f} h"
