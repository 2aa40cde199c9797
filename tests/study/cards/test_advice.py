"""Advice: what follows from hand-made evidence, word for word, and what must not follow."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import pytest
import torch

from cutaway.config import Experiment
from cutaway.errors import ConfigError
from cutaway.look import Reading, Spectrum
from cutaway.study import (
    Difference,
    Effect,
    Estimate,
    Measure,
    Origin,
    Trial,
    TrialStatus,
    Variant,
    VariantRow,
    Verdict,
)
from cutaway.study.cards.advice import CARRIED, MARGIN, Advice, AdviceKind, advise
from cutaway.study.cards.card import (
    Evidence,
    Knocked,
    LayerCard,
    LayerCards,
    Learned,
    Readable,
    Retrained,
    UnitCounts,
)
from cutaway.training.learning import LayerLearning

STUDY = "study k3x9qabc, 5 seeds, test split"


def difference(mean: float, half: float, adjusted: float = 1.0, count: int = 5) -> Difference:
    """In the measure's own unit: 0.01 is a point of an error."""
    return Difference(mean, mean - half, mean + half, adjusted, adjusted, count)


def exactly(value: float) -> Estimate:
    return Estimate(value, value, value, 5)


def some_row(
    mean: float,
    half: float,
    effect: Effect = Effect.NONE_SEEN,
    *,
    estimates: Mapping[Measure, float] | None = None,
    seconds: Difference | None = None,
    parameters: int = 1000,
    statuses: Sequence[TrialStatus] = (TrialStatus.FINISHED,) * 5,
    budget: float = 1.0,
    layers: tuple[str, ...] = ("conv1",),
    pretrained: bool = False,
) -> Retrained:
    """A variant that has so many points more than a base of 1000 parameters, 100 s, 2000 multiply-adds."""
    experiment = Experiment.model_validate({"pretrain": {"layers": ["conv1"]}} if pretrained else {})
    trials = tuple(
        Trial(
            "some",
            seed,
            status=status,
            reason="NaN at step 212 in conv3" if status is TrialStatus.DIVERGED else "",
        )
        for seed, status in enumerate(statuses)
    )
    differences = {Measure.TOP1: difference(mean / 100, half / 100)}
    if seconds is not None:
        differences[Measure.SECONDS] = seconds
    costs = {Measure.SECONDS: 100.0, Measure.MULTIPLY_ADDS: 2000.0, Measure.MEMORY: 4000.0}
    own = {measure: exactly(value) for measure, value in (costs | dict(estimates or {})).items()}
    variant = Variant("some", experiment, None, layers=layers, origin=Origin.ABLATE)
    base = VariantRow(
        Variant("base", experiment, None, origin=Origin.BASE),
        trials,
        1000,
        {measure: exactly(value) for measure, value in costs.items()},
        {},
        Verdict(Effect.UNTOLD, ""),
    )
    return Retrained(
        VariantRow(variant, trials, parameters, own, differences, Verdict(effect, "told"), budget), base
    )


def some_card(layer: str = "conv1", **parts: Any) -> LayerCard:
    """A card on which nothing is known but some parts."""
    sources = {"ablated": STUDY, "frozen": STUDY, "frozen_up_to": STUDY}
    names = (
        *("size", "memory", "time", "learning", "readable", "left", "spectrum", "units", "knocked"),
        *("ablated", "frozen", "frozen_up_to"),
    )
    argument = parts.pop("argument", "filters")
    removable = parts.pop("removable", True)
    evidence = {
        name: Evidence(parts[name], sources.get(name, f"{name} seen"))
        if name in parts
        else Evidence(missing="none")
        for name in names
    }
    return LayerCard(layer, "conv 4 3x3", (4, 6, 6), argument, removable, **evidence)


def advice(*cards: LayerCard, margin: float = MARGIN) -> list[Advice]:
    return advise(LayerCards({card.layer: card for card in cards}, "some net"), margin)


def only(*cards: LayerCard, margin: float = MARGIN) -> tuple[AdviceKind, str]:
    """The single piece of advice."""
    (piece,) = advice(*cards, margin=margin)
    return piece.kind, piece.sentence


def test_nothing_known_gives_no_advice() -> None:
    assert advice(some_card()) == []


def test_a_layer_may_go_where_the_whole_interval_lies_below_the_margin() -> None:
    costs = {Measure.MULTIPLY_ADDS: 1760.0, Measure.MEMORY: 3000.0}
    found = some_row(0.1, 0.3, estimates=costs, parameters=700)
    (piece,) = advice(some_card("relu3", ablated=found))
    assert piece == Advice(
        "relu3",
        AdviceKind.REMOVE,
        "relu3 may go: +0.1 points (±0.3 with 5 seeds), 12 % fewer multiply-adds, 25 % less memory, "
        "30 % fewer parameters.",
        STUDY,
    )


@pytest.mark.parametrize(
    ("mean", "half", "margin", "kind"),
    [
        (0.1, 0.39, 0.5, AdviceKind.REMOVE),
        (0.1, 0.41, 0.5, AdviceKind.OPEN),
        (-0.2, 0.69, 0.5, AdviceKind.REMOVE),
        (-0.2, 0.71, 0.5, AdviceKind.OPEN),
        (0.1, 0.41, 1.0, AdviceKind.REMOVE),
        (0.1, 0.39, 0.2, AdviceKind.OPEN),
        (-1.0, 0.2, 0.5, AdviceKind.REMOVE),
        (0.9, 0.2, 0.5, AdviceKind.OPEN),  # no effect by the corrected p-value: no claim
    ],
)
def test_no_effect_seen_is_no_reason_to_remove(
    mean: float, half: float, margin: float, kind: AdviceKind
) -> None:
    assert only(some_card(ablated=some_row(mean, half)), margin=margin)[0] is kind


def test_what_is_not_decided_asks_for_more_seeds() -> None:
    assert only(some_card("relu2", ablated=some_row(0.3, 0.9))) == (
        AdviceKind.OPEN,
        "Without relu2 +0.3 points (±0.9 with 5 seeds): more seeds would tell whether it costs more than "
        "0.5 points.",
    )


def test_a_layer_is_needed_where_the_whole_interval_lies_above_the_margin() -> None:
    found = some_row(12.4, 1.1, Effect.WORSE)
    assert only(some_card("conv2", ablated=found)) == (
        AdviceKind.NEEDED,
        "conv2 is needed: without it +12.4 points (±1.1 with 5 seeds).",
    )


def test_a_layer_that_surely_helps_a_little_is_not_called_needed() -> None:
    found = some_row(0.6, 0.4, Effect.WORSE)
    assert only(some_card("conv2", ablated=found))[1] == (
        "conv2 helps: without it +0.6 points (±0.4 with 5 seeds)."
    )


def test_a_surely_worse_one_within_the_margin_may_go() -> None:
    """Worse by a tenth of a point is worse, and it is what the margin is for."""
    kind, told = only(some_card(ablated=some_row(0.1, 0.05, Effect.WORSE)))
    assert (kind, told) == (AdviceKind.REMOVE, "conv1 may go: +0.10 points (±0.05 with 5 seeds).")


def test_figures_are_so_fine_that_they_show_the_side_of_the_margin() -> None:
    """0.2 ± 0.3 would reach 0.5."""
    assert only(some_card(ablated=some_row(0.21, 0.28)))[1] == (
        "conv1 may go: +0.21 points (±0.28 with 5 seeds)."
    )


def test_figures_are_so_fine_that_they_show_the_side_of_zero() -> None:
    told = only(some_card(ablated=some_row(0.74, 0.66, Effect.WORSE)))[1]
    assert told == "conv1 helps: without it +0.74 points (±0.66 with 5 seeds)."


def test_a_layer_may_stay_random_with_the_time_that_it_saves() -> None:
    found = some_row(-0.02, 0.05, seconds=difference(-6.0, 1.0, adjusted=0.001))
    assert only(some_card(frozen=found)) == (
        AdviceKind.RANDOM,
        "conv1 may stay random: −0.02 points (±0.05 with 5 seeds), 6 % less time (±1).",
    )


@pytest.mark.parametrize(
    "seconds",
    [
        difference(-6.0, 7.0, adjusted=0.2),
        difference(-6.0, 1.0, adjusted=0.2),  # not once corrected for all variants
        difference(-6.0, math.nan, adjusted=math.nan),
    ],
)
def test_time_is_not_claimed_where_its_interval_does_not_tell(seconds: Difference) -> None:
    found = some_row(-0.02, 0.05, seconds=seconds)
    assert "time" not in only(some_card(frozen=found))[1]


def test_a_layer_has_to_learn() -> None:
    assert only(some_card(frozen=some_row(3.1, 0.4, Effect.WORSE))) == (
        AdviceKind.LEARNS,
        "conv1 has to learn: random +3.1 points (±0.4 with 5 seeds).",
    )


def test_what_was_pretrained_is_not_called_random() -> None:
    found = some_row(0.0, 0.1, pretrained=True)
    assert only(some_card(frozen=found))[1].startswith("conv1 may stay as pre-trained: 0.0 points (±0.1")


def test_a_pool_that_makes_the_rest_cheaper_is_not_told_to_go() -> None:
    costs = {Measure.MULTIPLY_ADDS: 10_000.0, Measure.MEMORY: 8000.0}
    kind, told = only(some_card("pool1", ablated=some_row(0.02, 0.04, estimates=costs, parameters=2000)))
    assert kind is AdviceKind.SAVES
    assert told == (
        "pool1 saves cost: without it +0.02 points (±0.04 with 5 seeds), 400 % more multiply-adds, "
        "100 % more memory, 100 % more parameters."
    )


@pytest.mark.parametrize(
    "found",
    [
        some_row(0.0, math.nan),  # one seed
        some_row(0.0, 0.1, budget=0.5),
        some_row(0.0, 0.1, statuses=[TrialStatus.EARLY] * 5),
        some_row(-5.0, 0.1, Effect.BETTER, budget=0.25),
    ],
)
def test_no_interval_and_no_equal_terms_give_no_advice(found: Retrained) -> None:
    assert advice(some_card(ablated=found, frozen=found, frozen_up_to=found)) == []


def test_a_variant_that_diverges_is_said_to_and_nothing_else() -> None:
    """Its other seeds look harmless, and are not all of it."""
    found = some_row(0.0, 0.1, Effect.DIVERGES, statuses=[TrialStatus.DIVERGED, *[TrialStatus.FINISHED] * 4])
    assert only(some_card("batchnorm1", ablated=found)) == (
        AdviceKind.DIVERGES,
        "Without batchnorm1 1 of 5 trainings diverge (NaN at step 212 in conv3).",
    )


def test_the_most_first_layers_that_may_stay_random() -> None:
    names = ("conv1", "conv2", "conv3", "conv4")
    found = [some_row(mean, 0.1, layers=names[: at + 2]) for at, mean in enumerate((0.0, 0.1, 3.0))]
    cards = [
        some_card(name, frozen_up_to=row)
        for name, row in zip(("conv2", "conv3", "conv4"), found, strict=True)
    ]
    assert only(some_card("conv1"), *cards) == (
        AdviceKind.RANDOM,
        "conv1 to conv3 may all stay random: +0.1 points (±0.1 with 5 seeds).",
    )


def test_layers_behind_one_that_has_to_learn_are_not_told_to_stay_random() -> None:
    """The fourth looks harmless by luck; of the third it is known that it is not."""
    rows = {"conv2": 3.0, "conv3": 0.0}
    cards = [some_card(name, frozen_up_to=some_row(mean, 0.1)) for name, mean in rows.items()]
    assert advice(*cards) == []


def test_idle_units_suggest_fewer() -> None:
    counts = UnitCounts(50, dead=10, duplicates=7, rare=3, seen="relu2")
    (piece,) = advice(some_card("conv2", units=counts))
    assert piece == Advice(
        "conv2",
        AdviceKind.TRY,
        "17 of 50 units of conv2 are dead or duplicates: try conv2.filters=33 "
        '(a study with edits = "conv2.filters=33" tells).',
        "units seen",
    )
    assert piece.kind not in CARRIED


@pytest.mark.parametrize(
    "card",
    [
        some_card(units=UnitCounts(50, 2, 2, 0, "relu2")),  # less than a tenth
        some_card(units=UnitCounts(50, 20, 2, 0, "conv1"), argument=""),  # a pool
        some_card(units=UnitCounts(10, 5, 0, 0, "dense2"), removable=False),  # the logits
    ],
)
def test_units_that_are_few_or_can_not_be_fewer_are_left_alone(card: LayerCard) -> None:
    assert advice(card) == []


def test_dimensions_that_are_not_used_suggest_fewer() -> None:
    used = Spectrum(torch.tensor([5.0, 4.0, *[1e-6] * 8], dtype=torch.float64), 1000)
    assert only(some_card(spectrum=used))[1].startswith(
        "conv1 uses 2 of its 10 dimensions (99 % of the variance): try conv1.filters=2 "
    )
    assert advice(some_card(spectrum=Spectrum(used.eigenvalues, 10))) == [], "too few images to tell"


def learned(distance: float, farthest: float = 2.4) -> Learned:
    return Learned(LayerLearning("dense1", distance, 0.1, 0.1, (0.1,), 0), "conv2", farthest)


def test_a_layer_that_hardly_learns_suggests_freezing() -> None:
    assert only(some_card("dense1", argument="units", learning=learned(0.003))) == (
        AdviceKind.TRY,
        "dense1 hardly learns (distance 0.3 %; conv2: 240 %): try freezing it: "
        'train.freeze = ["dense1"]; a study with auto = "freeze" tells.',
    )


@pytest.mark.parametrize(
    "card",
    [
        some_card(learning=learned(0.3)),
        some_card(learning=learned(math.nan)),
        some_card(learning=learned(0.0)),  # frozen already
        some_card("batchnorm1", learning=learned(0.003), argument=""),
    ],
)
def test_what_learns_or_is_a_norm_is_not_suggested_to_be_frozen(card: LayerCard) -> None:
    assert advice(card) == []


def test_what_a_study_tells_is_not_suggested_again() -> None:
    """That it hardly learns is no matter once it was frozen and had to learn."""
    found = some_row(3.1, 0.4, Effect.WORSE)
    kinds = [piece.kind for piece in advice(some_card(learning=learned(0.003), frozen=found))]
    assert kinds == [AdviceKind.LEARNS]


def test_a_probe_that_reads_as_well_behind_random_weights() -> None:
    same = Readable(Reading(144, 1000, 10, 1.0), Reading(142, 1000, 10, 1.0), 0.9)
    better = Readable(Reading(39, 1000, 10, 1.0), Reading(63, 1000, 10, 1.0), 0.9)
    assert only(some_card(readable=same, learning=learned(1.0)))[1].startswith(
        "From conv1 the class is read no better than behind random weights (14.4 % wrong and 14.2 %): try"
    )
    assert advice(some_card(readable=better, learning=learned(1.0))) == []
    assert advice(some_card(readable=same)) == [], "of a net that has not learnt it is no news"


def test_a_knockout_that_costs_nothing_suggests_an_ablation() -> None:
    cheap = Knocked(0.99, 0.001, 3, 0.0, 4, 4, 1000, 0.1)
    dear = Knocked(0.99, 0.88, 3, 0.1, 4, 4, 1000, 0.1)
    assert only(some_card(knocked=cheap))[1] == (
        '0.1 points are lost when conv1 tells nothing: try -conv1 (a study with edits = "-conv1" tells).'
    )
    assert advice(some_card(knocked=dear)) == []
    assert advice(some_card(knocked=cheap, removable=False)) == []
    by_chance = Knocked(0.11, 0.001, 3, 0.0, 4, 4, 1000, 0.1)
    assert advice(some_card(knocked=by_chance)) == [], "a net that knows nothing has nothing to lose"


def test_what_a_study_carries_comes_first() -> None:
    cards = [
        some_card("conv1", units=UnitCounts(10, 5, 0, 0, "relu1"), ablated=some_row(0.3, 0.9)),
        some_card("conv2", ablated=some_row(12.4, 1.1, Effect.WORSE)),
        some_card("conv3", ablated=some_row(0.0, 0.1)),
    ]
    found = advice(*cards)
    assert [piece.layer for piece in found] == ["conv3", "conv2", "conv1", "conv1"]
    assert [piece.kind in CARRIED for piece in found] == [True, True, False, False]


@pytest.mark.parametrize("margin", [0.0, -1.0, 100.0, math.nan, math.inf])
def test_a_margin_that_is_none_is_refused(margin: float) -> None:
    with pytest.raises(ConfigError, match="points above 0"):
        advice(some_card(), margin=margin)


def test_a_net_that_names_the_commonest_class_knows_nothing() -> None:
    """Nine of ten images are of one class: to be right of nine of ten takes no knowledge."""
    always = Knocked(0.90, 0.0, 3, 0.0, 4, 4, 1000, 0.9)
    assert not always.knows
    assert advice(some_card(knocked=always)) == []
    assert Knocked(0.95, 0.0, 3, 0.0, 4, 4, 1000, 0.9).knows
