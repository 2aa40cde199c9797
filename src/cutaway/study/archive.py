"""A study in the ledger: written down when it begins, read back as values."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from cutaway.config import (
    Experiment,
    Study,
    dump_experiment,
    dump_study,
    parse_experiment,
    parse_study,
)
from cutaway.data import fingerprint
from cutaway.errors import ConfigError, NotFoundError
from cutaway.machine import available_cores, processor
from cutaway.nets import PlanError, Shape, plan_net
from cutaway.nets.zoo.find import written_out
from cutaway.store import Store
from cutaway.store.store import new_id, versions
from cutaway.store.studybook import WHOLE, StudyRow, TrialRow, VariantRow
from cutaway.study.findings.table import StudyTable, tabulate
from cutaway.study.prepared import Prepared
from cutaway.study.trial import Trial, TrialStatus
from cutaway.study.variant import Origin, Variant


def keep_study(store: Store, made: Prepared) -> StudyRow:
    """Write a study down; the one that is there already, where all that decides it is the same."""
    # Where its base lies does not decide a study, only what it says; nor does what is looked at afterwards.
    asked = _written_out(made.study).model_copy(update={"base": made.base.name, "look": ()})
    shape = "x".join(map(str, made.input_shape))
    data = fingerprint(made.shelf.images(made.base))
    base = made.base.model_copy(update={"net": written_out(made.base.net)})
    for known in reversed(store.studies.rows()):
        if known.data == data and _is_same(known, asked, base):
            return known
    row = StudyRow(
        new_id(), made.study.name, 0.0, versions(), dump_study(asked), dump_experiment(base), shape, data
    )
    return store.studies.add(row, [_written(variant) for variant in made.variants])


def _is_same(row: StudyRow, study: Study, base: Experiment) -> bool:
    """Whether a study in the ledger is one that is asked for, also when it was written before new fields."""
    try:
        known = read_study(row)
        return _deciding(known) == _deciding(study) and parse_experiment(row.base, row.id) == base
    except ConfigError:
        return False  # of a Cutaway that knew other fields


def _written_out(study: Study) -> Study:
    """A study with the texts of nets that stand in files: another text is another study."""

    def plain(value: Any) -> Any:
        return written_out(value) if isinstance(value, str) else value

    def fields(given: Mapping[str, Any]) -> dict[str, Any]:
        return {name: plain(value) if name == "net" else value for name, value in given.items()}

    variants = tuple(one.model_copy(update={"set": fields(one.set)}) for one in study.variant)
    grid = {
        name: [plain(value) for value in values] if name == "net" else values
        for name, values in study.grid.items()
    }
    changes = {"variant": variants, "grid": grid, "experiment": fields(study.experiment)}
    return study.model_copy(update=changes)


def _deciding(study: Study) -> Study:
    """What decides a study: what a small one of it would be does not."""
    return study.model_copy(update={"look": (), "quick": {}})


def find_study(store: Store, name: str) -> StudyRow:
    """The study with an id, a unique prefix of one, a name, or the newest for ``last``.

    Raises:
        NotFoundError: there is no such study, or several begin so.
    """
    rows = store.studies.rows()
    if not rows:
        raise NotFoundError(f"There are no studies in {store.folder}. Make one: cutaway study run FILE")
    if name == "last":
        return rows[0]
    found = (
        [row for row in rows if row.id == name]
        or [row for row in rows if row.name == name][:1]
        or [row for row in rows if name and row.id.startswith(name)]
    )
    if not found:
        raise NotFoundError(f'There is no study "{name}" in {store.folder}. See: cutaway study list')
    if len(found) > 1:
        ids = ", ".join(sorted(row.id for row in found)[:5])
        raise NotFoundError(f'"{name}" could be {ids}. Type one letter more.')
    return found[0]


def read_study(row: StudyRow) -> Study:
    """What was asked for."""
    return parse_study(row.definition, f"the study {row.id}")


def read_variants(store: Store, row: StudyRow) -> list[Variant]:
    """A study's variants, the base first."""
    shape = tuple(int(side) for side in row.input_shape.split("x"))
    return [_read(variant, shape) for variant in store.studies.variants(row.id)]


def read_trials(store: Store, row: StudyRow) -> list[Trial]:
    """All trials of a study, begun or not, variant by variant."""
    known = {(trial.variant, trial.seed): trial for trial in store.studies.trials(row.id)}
    study = read_study(row)
    found = []
    for variant in read_variants(store, row):
        if variant.problem:
            continue
        for seed in study.every_seed:
            trial = known.get((variant.name, seed))
            found.append(_trial(store, trial) if trial else Trial(variant.name, seed))
    return found


def read_table(store: Store, row: StudyRow) -> StudyTable:
    """A study's results so far."""
    return tabulate(read_study(row), read_variants(store, row), read_trials(store, row), row.id)


def _trial(store: Store, row: TrialRow) -> Trial:
    epochs = tuple(store.ledger.epochs(row.run)) if row.run else ()
    rungs = {share: scores for share, scores in row.scores.items() if share < WHOLE}
    status = TrialStatus(row.status)
    scores = row.scores.get(WHOLE, {})
    if status is TrialStatus.EARLY and rungs:
        scores = rungs[max(rungs)]
    before = math.fsum(one.seconds for one in store.ledger.pretrain_epochs(row.run)) if row.run else 0.0
    return Trial(
        row.variant, row.seed, row.run, status, row.reason, epochs, row.seconds, scores, rungs, before
    )


def _written(variant: Variant) -> VariantRow:
    description = {
        "edits": variant.edits,
        "changes": dict(variant.changes),
        "origin": variant.origin.value,
        "layers": variant.layers,
        "problem": variant.problem,
    }
    return VariantRow(variant.name, json.dumps(description, default=str), dump_experiment(variant.experiment))


def _read(row: VariantRow, shape: Shape) -> Variant:
    told = json.loads(row.description)
    experiment = parse_experiment(row.experiment, f'the variant "{row.name}"')
    try:
        planned = None if told["problem"] else plan_net(experiment.net, shape)
    except PlanError:
        planned = None
    return Variant(
        row.name,
        experiment,
        planned,
        told["edits"],
        told["changes"],
        Origin(told["origin"]),
        tuple(told["layers"]),
        told["problem"],
    )


def made_with(row: StudyRow) -> dict[str, Any]:
    """When a study was begun, with which versions, and the machine that this process runs on."""
    created = datetime.fromtimestamp(row.created).astimezone().isoformat(timespec="seconds")
    cores = available_cores()
    machine = f"{processor()}, {cores} {'core' if cores == 1 else 'cores'}"
    return {"created": created, "versions": row.versions, "machine": machine, "data": row.data}
