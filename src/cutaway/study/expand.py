"""From a study to its variants: each applied to the base, planned, and unlike every other."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from fnmatch import fnmatchcase
from typing import Any

from cutaway.config import Experiment, Study, differences, load_experiment, nested
from cutaway.errors import ConfigError, NotFoundError
from cutaway.nets import Plan, Shape, edited_plan, parse_edits, plan_net
from cutaway.study.automatic import Change, automatic
from cutaway.study.variant import BASE, Origin, Variant
from cutaway.training import check_outputs
from cutaway.training.freezing import Freezing

EDITS = "edits"
"""The field of a grid that stands for edits of the net."""


def expand(
    study: Study,
    base: Experiment,
    input_shape: Shape,
    classes: int,
    images: Callable[[Experiment], int],
) -> list[Variant]:
    """All variants of a study, the base first.

    A variant whose net can't work on the images is among them, with the reason: a study says so and
    goes on with the others.

    Args:
        study: what was asked for.
        base: its experiment, complete.
        input_shape: ``(C, H, W)`` of its images.
        classes: how many there are.
        images: training images in an epoch of an experiment, for a budget of images.

    Raises:
        ConfigError: the base itself can't be trained, a field or edit fits nothing, a variant changes
            nothing, or two are alike.
        NotFoundError: an edit names a layer that the base has not, or there is no such net.
    """
    replaced = load_experiment(base, nested(study.experiment))
    common = _terms(replaced, study, images)
    planned = plan_net(common.net, input_shape, classes)
    check_outputs(planned, classes)
    Freezing(common.train, planned)
    common = common.model_copy(update={"net": planned.spec.text()})
    found = [Variant(BASE, common, planned, origin=Origin.BASE)]
    for change in _changes(study, planned):
        variant = _budgeted(_apply(change, common, planned, study), study, images)
        if variant.origin is Origin.GRID and not differences(variant.experiment, common):
            continue  # the base is one of a grid's points
        _check_new(variant, found)
        found.append(variant)
    if len(found) == 1 and not study.look:
        raise ConfigError(
            f'The study "{study.name}" has no variants. Give it [[variant]] tables, a [grid] or auto; '
            "or a [[look]], to train its base alone and look into it."
        )
    _check_looks(study, found)
    return found


def _check_looks(study: Study, variants: Sequence[Variant]) -> None:
    """What is looked into is one of the variants, and can be trained."""
    able = {variant.name for variant in variants if not variant.problem}
    for look in study.look:
        if look.of and look.of not in able:
            raise NotFoundError(f'look "{look.file}": there is no variant "{look.of}" that can be trained.')


def _changes(study: Study, base: Plan) -> Iterator[Change]:
    for given in study.variant:
        yield Change(given.name, given.edits, dict(given.set), Origin.GIVEN)
    names = list(study.grid)
    for values in itertools.product(*study.grid.values()) if names else ():
        fields = dict(zip(names, values, strict=True))
        edits = fields.pop(EDITS, "")
        if not isinstance(edits, str):
            raise ConfigError(f'grid.edits should have texts such as "-relu1", not {edits!r}.')
        yield Change("", edits, fields, Origin.GRID)
    yield from automatic(study.auto, base)


def _terms(base: Experiment, study: Study, images: Callable[[Experiment], int]) -> Experiment:
    """The base under the terms of the study: its budget, and one thread for each trial."""
    recipe: dict[str, Any] = {"threads": 1}
    if study.budget.epochs:
        recipe["epochs"] = study.budget.epochs
    if study.budget.images:
        recipe["epochs"] = math.ceil(study.budget.images / images(base))
    if study.budget.minutes:
        recipe["minutes"] = study.budget.minutes
    return load_experiment(base, {"train": recipe})


def _budgeted(variant: Variant, study: Study, images: Callable[[Experiment], int]) -> Variant:
    """A variant with as many epochs of its own training images as a budget of images takes."""
    if not study.budget.images or variant.problem:
        return variant
    epochs = math.ceil(study.budget.images / images(variant.experiment))
    return replace(variant, experiment=load_experiment(variant.experiment, {"train": {"epochs": epochs}}))


def _apply(change: Change, base: Experiment, base_plan: Plan, study: Study) -> Variant:
    """A change put into the base."""
    name = change.name or _named(change)
    where = f'variant "{name}"'
    if "net" in change.fields and change.edits:
        raise ConfigError(f"{where}: give it a net of its own or edits, not both.")
    if any(field in change.fields for field in ("seed", "name", "train.threads")):
        raise ConfigError(f"{where}: seed, name and train.threads are the study's own, for equal terms.")
    if (study.budget.epochs or study.budget.images) and "train.epochs" in change.fields:
        raise ConfigError(f"{where}: train.epochs is the study's budget. Leave one of the two out.")
    try:
        experiment = load_experiment(base, nested(change.fields))
    except ConfigError as error:
        raise ConfigError(f"{where}: {str(error).removeprefix('experiment: ')}") from None
    layers = change.layers or _about(change, base_plan)
    problem, planned = "", None
    try:
        if change.edits:
            planned = edited_plan(base_plan.spec, change.edits, base_plan.input_shape)
        else:
            planned = plan_net(experiment.net, base_plan.input_shape, base_plan.output_shape[0])
        experiment = experiment.model_copy(update={"net": planned.spec.text()})
        check_outputs(planned, base_plan.output_shape[0])
        Freezing(experiment.train, planned)
    except NotFoundError as error:
        raise NotFoundError(f"{where}: {error}") from None
    except ConfigError as error:
        if change.edits and not _parses(change.edits):
            raise ConfigError(f"{where}: {error}") from None
        problem = str(error)
    return Variant(name, experiment, planned, change.edits, change.fields, change.origin, layers, problem)


def _parses(edits: str) -> bool:
    try:
        parse_edits(edits)
    except ConfigError:
        return False
    return True


def _named(change: Change) -> str:
    """A name from what is changed: its edits, then its fields."""
    fields = [f"{name} {_shown(value)}" for name, value in change.fields.items()]
    return ", ".join([*([change.edits] if change.edits else []), *fields]) or "nothing"


def _shown(value: object) -> str:
    return " ".join(map(str, value)) if isinstance(value, list | tuple) else str(value)


def _about(change: Change, base: Plan) -> tuple[str, ...]:
    """The base's layers that edits or freezing name."""
    patterns = [edit.name for edit in parse_edits(change.edits)] if _parses(change.edits) else []
    for field in ("train.freeze", "train.train_only"):
        value = change.fields.get(field, [])
        patterns += [value] if isinstance(value, str) else list(value) if isinstance(value, list) else []
    names = [row.name for row in base.rows]
    return tuple(name for name in names if any(fnmatchcase(name, pattern) for pattern in patterns))


def _check_new(variant: Variant, others: Sequence[Variant]) -> None:
    """A variant differs from all before it, in its name and in what it is."""
    for other in others:
        if other.name == variant.name:
            raise ConfigError(
                f'Two variants are called "{variant.name}". Give each a name of its own, or leave one out.'
            )
        if (
            not variant.problem
            and not other.problem
            and not differences(variant.experiment, other.experiment)
        ):
            if other.origin is Origin.BASE:
                raise ConfigError(
                    f'The variant "{variant.name}" changes nothing: it is the base itself. Leave it out.'
                )
            raise ConfigError(
                f'The variants "{other.name}" and "{variant.name}" are alike. Leave one of them out.'
            )
