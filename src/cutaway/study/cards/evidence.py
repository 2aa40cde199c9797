"""What is known of a net's layers, gathered: from the planner, the ledger, the looks and a study."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import fields

from cutaway.config import TrainConfig
from cutaway.data import Split
from cutaway.errors import ConfigError, NotFoundError, nearest
from cutaway.look.features import refuse_below_1
from cutaway.nets import LayerPlan, Plan, edited_plan, training_memory
from cutaway.nets.subject import Subject
from cutaway.nets.words import Flatten
from cutaway.store import Run
from cutaway.study.cards.card import Evidence, LayerCard, LayerCards, Learned, Size, StepMemory
from cutaway.study.cards.looking import PLAINLY, Looking, Looks, Part
from cutaway.study.cards.retrained import check_same_net, retrained
from cutaway.study.findings.table import StudyTable
from cutaway.training import Measured
from cutaway.training.learning import learning
from cutaway.training.room import optimiser_states


def run_cards(
    run: Run,
    layers: Sequence[str] | None = None,
    *,
    weights: str = "best",
    table: StudyTable | None = None,
    looking: Looking = PLAINLY,
) -> LayerCards:
    """The cards of a run's layers.

    Args:
        run: trained or not.
        layers: names; all but those that only lay out anew when not given.
        weights: that are looked at, as :meth:`Run.subject` takes them.
        table: of a study whose base has the run's net.
        looking: how closely images are looked at. They are validation images: the test split never
            chooses, and a card is there to choose by.

    Raises:
        NotFoundError: the run has no such weights, or there is no such layer.
        ConfigError: the study is of another net, or a number is out of its range.
    """
    subject = run.subject(weights)
    images = run.images() if looking.parts else None
    splits = images.splits if images else {}
    return layer_cards(
        subject,
        layers,
        train=splits.get("train"),
        validation=splits.get("validation"),
        recipe=run.experiment.train,
        measured=run.measured(),
        random=run.subject("random") if looking.parts & {Part.PROBE, Part.RETENTION} else None,
        table=table,
        looking=looking,
    )


def layer_cards(
    subject: Subject,
    layers: Sequence[str] | None = None,
    *,
    train: Split | None = None,
    validation: Split | None = None,
    recipe: TrainConfig | None = None,
    measured: Mapping[int, Measured] | None = None,
    random: Subject | None = None,
    table: StudyTable | None = None,
    looking: Looking = PLAINLY,
) -> LayerCards:
    """The cards of a net's layers; what is not given leaves its part of them open, with what would fill it.

    Args:
        subject: a net that Cutaway built.
        layers: names; all but those that only lay out anew when not given.
        train: images that probes and reconstructions learn from.
        validation: images that everything is measured on.
        recipe: whose batch and optimiser decide the memory of a step; the usual one when not given.
        measured: how the layers learnt, by epoch: ``run.measured()``.
        random: the same net with random weights; drawn when not given.
        table: of a study whose base has this net.
        looking: how closely images are looked at.

    Raises:
        NotFoundError: there is no such layer.
        ConfigError: the subject has no plan, the study is of another net, or a number is out of its range.
    """
    planned = subject.plan
    if planned is None:
        raise ConfigError(f"{subject.name} has no plan: cards are of nets in Cutaway's own notation.")
    for count in (looking.images, looking.train_images, looking.features):
        refuse_below_1("images, train_images and features", count)
    if table is not None:
        check_same_net(table, planned)
    rows = _chosen(planned, layers)
    names = [row.name for row in rows]
    looks = Looks(subject, planned, names, train=train, validation=validation, random=random, looking=looking)
    learnt = _learned(measured or {})
    cards = {
        row.name: LayerCard(
            row.name,
            row.layer.word.text(),
            row.output_shape,
            _argument(row),
            row in planned.rows[:-1],
            _size(row, planned),
            _memory(row, planned, recipe or TrainConfig()),
            looks.time(row.name),
            _learning(row, learnt, measured or {}),
            looks.readable(row.name),
            looks.left(row.name),
            looks.spectrum(row.name),
            looks.units(row),
            looks.knocked(row.name),
            *retrained(table, row, planned),
        )
        for row in rows
    }
    named = f"{table.study.name} {table.id}".strip() if table else ""
    return LayerCards(cards, subject.name, named, table.study.split if table else "")


def _chosen(planned: Plan, layers: Sequence[str] | None) -> list[LayerPlan]:
    """The rows of the layers asked for, blocks before what is inside them."""
    every = [inner for row in planned.rows for inner in ([row] if row.branches else []) + [*row.leaves()]]
    known = {row.name: row for row in every}
    if layers is None:
        return [row for row in every if not isinstance(row.layer.word, Flatten)]
    for name in layers:
        if name not in known:
            raise NotFoundError(f'There is no layer "{name}".{nearest(name, known)}')
    return [row for row in every if row.name in layers]


def _argument(row: LayerPlan) -> str:
    """The argument that says how many units a layer has, where an edit can change it."""
    names = [] if row.prefix else [one.name for one in fields(row.layer.word)]
    return next((name for name in ("filters", "units") if name in names), "")


def _size(row: LayerPlan, planned: Plan) -> Evidence[Size]:
    parameters, multiply_adds = max(1, planned.parameters), max(1, planned.multiply_adds)
    value = Size(
        row.parameters,
        row.parameters / parameters,
        row.multiply_adds,
        row.multiply_adds / multiply_adds,
        row.output_bytes,
    )
    return Evidence(value, "planner, one image")


def _memory(row: LayerPlan, planned: Plan, recipe: TrainConfig) -> Evidence[StepMemory]:
    if row not in planned.rows[:-1]:
        why = "it gives the logits" if not row.prefix else "edits don't reach into a block"
        return Evidence(missing=f"{why}: its output takes what is said under cost")
    try:
        without = edited_plan(planned.spec, f"-{row.name}", planned.input_shape)
    except (ConfigError, NotFoundError):
        return Evidence(
            missing="the net can't be planned without it: its output takes what is said under cost"
        )
    batch, states = min(recipe.microbatch or recipe.batch, recipe.batch), optimiser_states(recipe)
    whole = training_memory(planned, batch, states).total
    saved = whole - training_memory(without, batch, states).total
    return Evidence(
        StepMemory(saved, whole, batch), f"planner, a step of {batch:,} images with and without it"
    )


def _learned(measured: Mapping[int, Measured]) -> dict[str, Learned]:
    found = learning(measured)
    known = [one for one in found if not math.isnan(one.distance)]
    most = max(known, key=lambda one: one.distance, default=None)
    name, distance = (most.layer, most.distance) if most else ("", math.nan)
    return {one.layer: Learned(one, name, distance) for one in found}


def _learning(
    row: LayerPlan, learnt: Mapping[str, Learned], measured: Mapping[int, Measured]
) -> Evidence[Learned]:
    if row.name in learnt:
        epochs = [epoch for epoch, found in sorted(measured.items()) if found.steps]
        told = f"epoch {epochs[0]}" if len(epochs) == 1 else f"epochs {epochs[0]} to {epochs[-1]}"
        return Evidence(learnt[row.name], f"ledger, {told}")
    if not row.parameters:
        return Evidence(missing="it has no weights")
    if row.branches:
        return Evidence(missing="the cards of the layers inside tell")
    return Evidence(missing="nothing was measured: train it for an epoch, with train.dynamics above 0")
