"""The same training is not made twice: a new study takes over what another one of its store has trained."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from cutaway.config import Experiment, StoppingKind, parse_experiment
from cutaway.errors import ConfigError
from cutaway.store import Store
from cutaway.store.studybook import StudyRow, TrialRow
from cutaway.study.archive import read_study
from cutaway.study.images import pixels_of
from cutaway.study.prepared import Prepared
from cutaway.study.trial import ENDED, TrialStatus


def adopt(store: Store, row: StudyRow, made: Prepared) -> None:
    """Note trials of other studies as this one's, where they are the same: those that were not begun here.

    The same are trials of one experiment, seed and budget, on the same pixels, by the same versions of
    Cutaway, PyTorch and Python, that have ended and whose run is there. Where a study ends trials early,
    or minutes end a training, they depend on more than that, and all are trained.

    Args:
        store: where both are kept.
        row: the study in the ledger.
        made: its variants.
    """
    if made.study.stopping.rule is not StoppingKind.NONE:
        return
    begun = {(trial.variant, trial.seed) for trial in store.studies.trials(row.id)}
    # A variant with images of its own is left out: the ledger knows the pixels of the base alone.
    wanted = {
        (_key(variant.experiment), seed): variant.name
        for variant in made.variants
        for seed in made.study.every_seed
        if not variant.problem
        and not variant.experiment.train.minutes
        and pixels_of(variant.experiment) == pixels_of(made.base)
        and (variant.name, seed) not in begun
    }
    for key, trial in _trained(store, row, made):
        if key in wanted:
            store.studies.note(row.id, replace(trial, variant=wanted.pop(key)))


def _trained(store: Store, row: StudyRow, made: Prepared) -> Iterator[tuple[tuple[str, int], TrialRow]]:
    """Trials of other studies that were trained in the same way, by experiment and seed; the newest first."""
    for known in store.studies.rows():
        if known.id == row.id or (known.data, known.versions) != (row.data, row.versions):
            continue
        try:
            study, base = read_study(known), parse_experiment(known.base, known.id)
            experiments = {
                variant.name: parse_experiment(variant.experiment, variant.name)
                for variant in store.studies.variants(known.id)
            }
        except ConfigError:
            continue  # of a Cutaway that knew other fields
        alone = study.stopping.rule is StoppingKind.NONE
        if not alone or study.budget.images != made.study.budget.images:
            continue
        if pixels_of(base) != pixels_of(made.base):
            continue
        for trial in store.studies.trials(known.id):
            if trial.run and TrialStatus(trial.status) in ENDED:
                yield (_key(experiments[trial.variant]), trial.seed), trial


def _key(experiment: Experiment) -> str:
    """All of an experiment that decides a training but its seed, as a key of a table."""
    return experiment.model_dump_json(exclude={"name", "seed"})
