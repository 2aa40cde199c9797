"""Layer cards: every figure is that of its source, and what is not known says what would tell."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

import pytest
import torch
from tests.study.tables import BASE_VARIANT, EXPERIMENT, NET, SHAPE, trial, trials, variant

from cutaway.config import Study, TrainConfig
from cutaway.data import Split
from cutaway.data.images import make_split
from cutaway.errors import ConfigError, NotFoundError
from cutaway.look import activity, knockout, probe, rank, retention
from cutaway.look.activity import LayerActivity
from cutaway.look.features import sample
from cutaway.nets import Plan, apply_edits, parse_net, plan, training_memory
from cutaway.nets.builder import build
from cutaway.nets.subject import Subject
from cutaway.store import Run
from cutaway.study import BASE, Effect, Origin, StudyTable, Trial, TrialStatus, Variant
from cutaway.study.cards import timing as timing_module
from cutaway.study.cards.account import account
from cutaway.study.cards.card import LayerCards
from cutaway.study.cards.evidence import layer_cards, run_cards
from cutaway.study.cards.idle import count_idle, seen_behind
from cutaway.study.cards.looking import Looking, Part
from cutaway.study.cards.timing import forward_times
from cutaway.study.findings.table import tabulate
from cutaway.training import Measured
from cutaway.training.dynamics import LayerStep

NOTHING = Looking(parts=frozenset())
FEW = Looking(images=30, train_images=40, features=8)
DROPPING = "conv 2 3x3 | relu | maxpool 2 | dropout 0.1 | flatten | dense 10"


@pytest.fixture(scope="module", autouse=True)
def _one_thread() -> Iterator[None]:
    """Nothing here is large enough to be shared; on a busy machine that took ten times as long."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def net(text: str, seed: int = 0) -> Subject:
    planned = plan(parse_net(text), SHAPE)
    return Subject(build(planned, seed=seed).eval(), SHAPE, plan=planned, name="some net")


def some_images(count: int, seed: int) -> Split:
    """Noise that is a little brighter from class to class, ten of them: probes are fitted soon."""
    generator = torch.Generator().manual_seed(seed)
    labels = torch.arange(count) % 10
    noise = torch.randint(0, 200, (count, *SHAPE), generator=generator)
    pixels = (noise + 5 * labels.view(-1, 1, 1, 1)).to(torch.uint8)
    return make_split(pixels, labels, 10, "some images")


@pytest.fixture(scope="module")
def subject() -> Subject:
    return net(NET.text())


@pytest.fixture(scope="module")
def cards() -> LayerCards:
    """Of a small net, looked at as little as may be."""
    return layer_cards(
        net(DROPPING, seed=10),
        train=some_images(50, 0),
        validation=some_images(40, 1),
        random=net(DROPPING, seed=1),
        looking=FEW,
    )


# The planner ------------------------------------------------------------------------------------


def test_costs_are_the_planner_s(subject: Subject) -> None:
    """By hand: 2 filters of 9 weights and a bias on 6×6 places; 18 inputs and a bias for 10 units."""
    found = layer_cards(subject, looking=NOTHING).cards
    assert list(found) == ["conv1", "relu1", "pool1", "dense1"], "flatten only lays out anew"
    conv, dense = found["conv1"].size.value, found["dense1"].size.value
    assert conv
    assert dense
    assert (conv.parameters, conv.multiply_adds, conv.output_bytes) == (20, 648, 288)
    assert (dense.parameters, dense.multiply_adds, dense.output_bytes) == (190, 180, 40)
    assert conv.parameter_share == pytest.approx(20 / 210)
    assert dense.multiply_add_share == pytest.approx(180 / 828)
    assert found["conv1"].size.source == "planner, one image"
    assert (found["conv1"].argument, found["dense1"].argument, found["relu1"].argument) == (
        "filters",
        "units",
        "",
    )
    assert [card.removable for card in found.values()] == [True, True, True, False]


def test_memory_is_that_of_the_step_less_that_of_the_step_without_it(subject: Subject) -> None:
    recipe = TrainConfig(batch=64, momentum=0.9)
    found = layer_cards(subject, recipe=recipe, looking=NOTHING).cards
    whole = training_memory(plan(NET, SHAPE), 64, 1).total
    for name in ("relu1", "pool1"):
        without = training_memory(plan(apply_edits(NET, f"-{name}"), SHAPE), 64, 1).total
        memory = found[name].memory.value
        assert memory
        assert (memory.saved, memory.whole, memory.batch) == (whole - without, whole, 64)
    assert found["pool1"].memory.value
    assert found["pool1"].memory.value.saved < 0, "without the pool the dense layer is larger"
    assert "gives the logits" in found["dense1"].memory.missing


def test_memory_is_open_where_the_rest_can_not_be_planned() -> None:
    """Without the first pool the second one's output is no longer what a 1×1 kernel… of 5×5 fits."""
    found = layer_cards(net("conv 2 3x3 | flatten | dense 10"), ["flatten1"], looking=NOTHING).cards
    assert "can't be planned without it" in found["flatten1"].memory.missing


def test_blocks_have_cards_and_so_has_what_is_inside() -> None:
    found = layer_cards(net("residual 3 | globalpool | flatten | dense 10"), looking=NOTHING).cards
    inside = [name for name in found if name.startswith("residual1.")]
    assert next(iter(found)) == "residual1"
    assert len(inside) > 4
    assert found["residual1"].removable
    assert not any(found[name].removable or found[name].argument for name in inside)
    sums = [found[name].size.value for name in inside]
    whole = found["residual1"].size.value
    assert whole
    assert sum(one.parameters for one in sums if one) == whole.parameters
    assert "whole blocks" in found[inside[0]].ablated.missing


# The ledger -------------------------------------------------------------------------------------


def step(gradient: float, update: float, distance: float) -> LayerStep:
    return LayerStep(gradient, math.nan, math.nan, math.nan, 1.0, update, distance)


def test_learning_is_the_ledger_s(subject: Subject) -> None:
    measured = {
        1: Measured({1: {"conv1": step(0.4, 1.0, 0.1), "dense1": step(0.1, 1.0, 0.5)}}, {}),
        2: Measured({1: {"conv1": step(0.2, 0.01, 0.2), "dense1": step(0.1, 0.5, 2.0)}}, {}),
    }
    found = layer_cards(subject, measured=measured, looking=NOTHING).cards
    learned = found["conv1"].learning.value
    assert learned
    assert learned.own.weight_gradient == pytest.approx(0.3)
    assert learned.own.distance == 0.2
    assert (learned.farthest, learned.distance) == ("dense1", 2.0)
    assert learned.own.settled == 2
    assert found["conv1"].learning.source == "ledger, epochs 1 to 2"
    assert found["relu1"].learning.missing == "it has no weights"
    told = next(line for line in account(found["conv1"]) if line.label == "learning")
    assert told.text == (
        "mean |gradient| 0.3, steps from 1 to 0.01 of its weights' length, distance from the start 0.2 "
        "(dense1 2), from epoch 2 on its steps are a tenth of the largest or less"
    )


def test_a_net_that_was_not_trained_says_what_would_tell(subject: Subject) -> None:
    found = layer_cards(subject, looking=NOTHING).cards["conv1"]
    assert "train it for an epoch" in found.learning.missing
    assert found.readable.missing == "not looked for"
    for part in (found.ablated, found.frozen):
        assert "cutaway study run" in part.missing
    assert 'auto = "ablate"' in found.ablated.missing
    assert 'auto = "freeze"' in found.frozen.missing
    lines = account(found)
    assert [line.label for line in lines if line.source] == ["cost", "memory"]
    assert all(line.text for line in lines)


# Looks ------------------------------------------------------------------------------------------


def test_looks_are_the_looks_own_on_validation_images(cards: LayerCards) -> None:
    subject, random = net(DROPPING, seed=10), net(DROPPING, seed=1)
    train, held = some_images(50, 0), sample(some_images(40, 1), 30, 0)
    seen = ["conv1", "relu1", "pool1", "dense1"]
    read = probe(subject, train, held, seen, random=random, images=40, test_images=30, features=8)
    left = retention(subject, train, held, seen, random=random, images=40, test_images=30, features=8)
    used, lost = rank(subject, held.pixels, seen), knockout(subject, held, ["conv1"], value="mean")
    for name in seen:
        card = cards.cards[name]
        readable, kept, spectrum = card.readable.value, card.left.value, card.spectrum.value
        assert readable
        assert kept
        assert spectrum
        assert (readable.trained, readable.random, readable.chance) == (
            read.layers[name],
            read.random[name],
            read.chance,
        )
        assert (kept.trained, kept.random) == (left.layers[name], left.random[name])
        torch.testing.assert_close(spectrum.eigenvalues, used.layers[name].eigenvalues)
        assert card.readable.source == "probe on 30 validation images, learnt from 40, 8 features"
    knocked, units = cards.cards["conv1"].knocked.value, lost.lost("conv1")
    assert knocked
    assert knocked.lost == pytest.approx(lost.whole_lost("conv1"))
    assert knocked.dearest_lost == pytest.approx(float(units.max()))
    assert knocked.dearest_lost > 0, "or zero in place of the mean would not be told"
    assert float(units[knocked.dearest]) == pytest.approx(float(units.max()))
    assert (knocked.spare, knocked.units) == (int((units <= 0).sum()), 2)
    assert cards.cards["conv1"].knocked.source == "knockout to the mean on 30 validation images"
    counts = cards.cards["conv1"].units.value
    assert counts
    assert counts.seen == "relu1"
    assert counts == count_idle(activity(subject, held, ["relu1"]).layers["relu1"], "relu1")


def test_what_changes_no_value_and_what_gives_the_logits_say_so(cards: LayerCards) -> None:
    dropout = cards.cards["dropout1"]
    for part in (dropout.readable, dropout.left, dropout.spectrum, dropout.units):
        assert "changes no value" in part.missing
    assert "gives the logits" in cards.cards["dense1"].knocked.missing
    assert "cutaway look knockout RUN --layer pool1" in cards.cards["pool1"].knocked.missing


def test_a_run_s_cards_are_of_its_validation_images_and_never_of_test_images(
    trained: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    images = trained.images()
    splits = {name: images.splits[name] for name in ("train", "validation")}
    monkeypatch.setattr(Run, "images", lambda run: replace(images, splits=splits))
    units = Looking(images=40, parts=frozenset({Part.UNITS}))
    found = run_cards(trained, ["conv1"], looking=units).cards["conv1"]
    held = sample(images.split("validation"), 40, 0)
    wanted = activity(trained.subject(), held, ["relu1"]).layers["relu1"]
    assert found.units.value == count_idle(wanted, "relu1")
    assert found.units.source == "activity over 40 validation images"
    assert found.learning.source == "ledger, epochs 1 to 2"
    assert found.learning.value
    assert found.readable.missing == "not looked for"


def test_without_a_validation_split_looks_are_open(subject: Subject) -> None:
    found = layer_cards(subject, train=some_images(40, 0)).cards["conv1"]
    for part in (found.time, found.readable, found.left, found.spectrum, found.units, found.knocked):
        assert "data.validation above 0" in part.missing


def test_a_look_that_can_not_be_applied_says_why(subject: Subject) -> None:
    """Probes need two images of every class; the others go on."""
    looking = Looking(images=20, train_images=6, features=8)
    found = layer_cards(
        subject, ["conv1"], train=some_images(6, 0), validation=some_images(30, 1), looking=looking
    )
    card = found.cards["conv1"]
    assert "too few for a probe" in card.readable.missing
    assert card.spectrum.value
    assert card.spectrum.source == "rank over 20 validation images"


# Time -------------------------------------------------------------------------------------------


def test_times_are_of_each_layer_and_blocks_have_what_is_inside(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every look at the clock finds it a second later: a layer takes one, a block what is in it and one."""
    ticks = itertools.count()
    monkeypatch.setattr(timing_module, "_now", lambda value: float(next(ticks)))
    found = net("conv 2 3x3 | residual 3 | globalpool | flatten | dense 10")
    times = forward_times(found, some_images(4, 0).pixels)
    inside = [name for name in times if name.startswith("residual1.")]
    assert times["conv1"] == times[inside[0]] == 1 / 4
    assert times["residual1"] == (len(inside) + 1) / 4


def test_shares_of_time_are_of_the_whole_pass(cards: LayerCards) -> None:
    times = [card.time.value for card in cards.cards.values()]
    assert all(time and time.seconds > 0 for time in times)
    assert 0 < sum(time.share for time in times if time) <= 1 + 1e-9
    assert cards.cards["conv1"].time.source.startswith("measured here (CPU, ")


# Idle units -------------------------------------------------------------------------------------


def responses(
    correlation: list[list[float]], constant: Sequence[bool], fires: Sequence[float]
) -> LayerActivity:
    count = len(constant)
    zeros = torch.zeros(count)
    return LayerActivity(
        4,
        zeros.double(),
        zeros + 1,
        zeros,
        torch.tensor(constant),
        torch.tensor(fires, dtype=torch.float64),
        zeros.double(),
        torch.zeros(3, count, dtype=torch.float64),
        torch.tensor(correlation),
    )


def test_dead_units_and_duplicates_are_counted_once() -> None:
    """0 and 1 and 2 are alike; 3 never fires; 4 always gives the same; 5 is its own and rare."""
    nan = math.nan
    r = [
        [1.0, 0.99, 0.97, nan, nan, 0.1],
        [0.99, 1.0, 0.98, nan, nan, 0.2],
        [0.97, 0.98, 1.0, nan, nan, 0.3],
        [nan] * 6,
        [nan] * 6,
        [0.1, 0.2, 0.3, nan, nan, 1.0],
    ]
    found = count_idle(
        responses(r, [False, False, False, True, True, False], [1, 1, 1, 0, 1, 0.005]), "relu1"
    )
    assert (found.units, found.dead, found.duplicates, found.rare, found.idle) == (6, 2, 2, 1, 4)


def test_a_chain_of_alike_units_whose_ends_are_not_alike_keeps_two() -> None:
    r = [[1.0, 0.96, 0.5], [0.96, 1.0, 0.96], [0.5, 0.96, 1.0]]
    assert count_idle(responses(r, [False] * 3, [1, 1, 1]), "relu1").duplicates == 1


@pytest.mark.parametrize(
    ("text", "layer", "seen"),
    [
        ("conv 2 3x3 | maxpool 2 | batchnorm | relu | flatten | dense 10", "conv1", "relu1"),
        ("conv 2 3x3 | conv 2 3x3 | relu | flatten | dense 10", "conv1", "conv1"),
        ("conv 2 3x3 | tanh | relu | flatten | dense 10", "conv1", "conv1"),
        ("conv 2 3x3 | relu | flatten | dense 10", "relu1", "relu1"),
        ("conv 2 3x3 | relu | flatten | dense 10", "dense1", "dense1"),
        ("conv 2 3x3 | flatten | relu | dense 10", "conv1", "conv1"),
        ("conv 2 3x3 | residual 2 | relu | flatten | dense 10", "conv1", "conv1"),
    ],
)
def test_units_are_watched_behind_the_relu_that_is_theirs(text: str, layer: str, seen: str) -> None:
    planned = plan(parse_net(text), SHAPE)
    row = next(row for row in planned.rows if row.name == layer)
    assert seen_behind(row, planned) == seen


# Studies ----------------------------------------------------------------------------------------

ABLATED = variant("without relu1", "-relu1", Origin.ABLATE, layers=("relu1",))
FROZEN = variant("conv1 random", "", Origin.FREEZE, changes={"train.freeze": ["conv1"]}, layers=("conv1",))
UP_TO = variant(
    "conv1 to dense1 random",
    "",
    Origin.FREEZE_UP_TO,
    changes={"train.freeze": ["conv1", "dense1"]},
    layers=("conv1", "dense1"),
)
ERRORS = {BASE: [0.02, 0.021, 0.022], ABLATED.name: [0.12, 0.122, 0.121], FROZEN.name: [0.02, 0.022, 0.021]}


def table(*others: Variant, more: Sequence[Trial] = (), **study: Any) -> StudyTable:
    found = [one for name, errors in ERRORS.items() for one in trials(name, errors)]
    return tabulate(Study(seeds=3, **study), [BASE_VARIANT, *others], [*found, *more], "k3x9qabc")


def test_a_study_s_rows_stand_on_the_cards_of_their_layers(subject: Subject) -> None:
    results = table(ABLATED, FROZEN, UP_TO)
    found = layer_cards(subject, table=results, looking=NOTHING)
    assert (found.study, found.split) == ("study k3x9qabc", "test")
    relu, conv, dense = (found.cards[name] for name in ("relu1", "conv1", "dense1"))
    assert relu.ablated.value
    assert relu.ablated.value.row is results.row("without relu1")
    assert relu.ablated.value.base is results.base
    assert relu.ablated.source == "study k3x9qabc, 3 seeds, test split"
    top1 = relu.ablated.value.top1
    assert top1
    assert top1.mean == pytest.approx(0.1)
    assert relu.ablated.value.row.verdict.effect is Effect.WORSE
    assert conv.frozen.value
    assert conv.frozen.value.row is results.row("conv1 random")
    assert dense.frozen_up_to.value
    assert dense.frozen_up_to.value.row is results.row("conv1 to dense1 random")
    assert conv.frozen_up_to.missing == "no layer with weights stands before it"
    assert conv.ablated.missing.startswith(
        "study k3x9qabc, 3 seeds, test split, has no such variant: a study"
    )
    assert "the error" in next(
        line.text for line in account(relu) if line.label == "trained without"
    ).replace("top-1 ", "")


@pytest.mark.parametrize(
    ("given", "ablates", "freezes"),
    [
        (variant("", "-relu1", layers=("relu1",)), True, False),
        (variant("", "relu1=tanh", layers=("relu1",)), False, False),
        (variant("", "-relu1", layers=("relu1",), changes={"train.lr": 0.1}), False, False),
        (variant("", "-relu1 -pool1", layers=("relu1", "pool1")), False, False),
        (variant("rest", "", layers=("relu1",), changes={"train.freeze": ["relu1"]}), False, True),
        (
            variant("rest", "", layers=("relu1",), changes={"train.freeze": ["relu1"], "seed": 3}),
            False,
            False,
        ),
        (variant("grid", "-relu1", Origin.GRID, layers=("relu1",)), True, False),
    ],
)
def test_given_variants_count_where_they_do_just_that(
    subject: Subject, given: Variant, ablates: bool, freezes: bool
) -> None:
    found = layer_cards(subject, table=table(given), looking=NOTHING).cards
    assert (found["relu1"].ablated.value is not None, found["relu1"].frozen.value is not None) == (
        ablates,
        freezes,
    )
    assert found["pool1"].ablated.value is None


def test_what_can_not_be_trained_says_so(subject: Subject) -> None:
    broken = Variant(
        "without flatten1",
        EXPERIMENT,
        None,
        "-conv1",
        origin=Origin.ABLATE,
        layers=("conv1",),
        problem="no vector",
    )
    found = layer_cards(subject, table=table(broken), looking=NOTHING).cards
    assert found["conv1"].ablated.missing == "it can't be trained so: no vector"


def test_trials_that_end_early_or_diverge_tell_no_difference(subject: Subject) -> None:
    gone = [trial(ABLATED.name, 2, 0.02, TrialStatus.DIVERGED, reason="NaN at step 3 in conv1")]
    results = table(ABLATED, more=gone)
    found = layer_cards(subject, table=results, looking=NOTHING).cards["relu1"].ablated.value
    assert found
    assert found.diverged == 1
    assert found.top1 is None


def test_a_study_of_another_net_is_refused() -> None:
    with pytest.raises(ConfigError, match="another net"):
        layer_cards(
            net("conv 3 3x3 | relu | maxpool 2 | flatten | dense 10"), table=table(ABLATED), looking=NOTHING
        )


# What is asked for ------------------------------------------------------------------------------


def test_some_layers_come_in_the_net_s_order(subject: Subject) -> None:
    found = layer_cards(subject, ["dense1", "conv1"], looking=NOTHING)
    assert list(found.cards) == ["conv1", "dense1"]


def test_what_is_not_there_is_refused(subject: Subject) -> None:
    with pytest.raises(NotFoundError, match="Did you mean"):
        layer_cards(subject, ["conv2"], looking=NOTHING)
    with pytest.raises(ConfigError, match="1 or more"):
        layer_cards(subject, looking=Looking(images=0))
    strange = Subject(torch.nn.Linear(3, 2), (1, 8, 8))
    with pytest.raises(ConfigError, match="no plan"):
        layer_cards(strange, looking=NOTHING)


def test_a_plan_is_enough_for_the_costs(subject: Subject) -> None:
    planned = subject.plan
    assert isinstance(planned, Plan)
    assert {card.shape for card in layer_cards(subject, looking=NOTHING).cards.values()} <= {
        row.output_shape for row in planned.rows
    }
