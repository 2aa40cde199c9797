"""E1's page: verdicts flip when numbers do, and tables say what their results say."""

from __future__ import annotations

import json
import math
import random
import shlex
import statistics
import tomllib
from collections.abc import Mapping, Sequence
from pathlib import Path

import build
import pytest
import torch
from hidden import Hidden, neighbours, purity
from learning import READINGS, agreed, in_order, layer_values, ranked, ratio, spread
from page import Outcome, Page, Results
from scores import best_epoch, epochs_table, share
from sizes import shrinking, sizes_table
from tests.study.tables import BASE_VARIANT, trial, trials, variant

from cutaway.config import Study, VariantConfig
from cutaway.data import Split
from cutaway.look import Exemplars
from cutaway.look.exemplars import Band, LayerExemplars
from cutaway.nets import parse_net, plan
from cutaway.store import EpochRow
from cutaway.study import BASE, Difference, Estimate, StudyTable, tabulate, to_json
from cutaway.training import Measured, Score
from cutaway.training.dynamics import LayerStep

e1 = build.module(build.ROOT / "e1-layers")

STAGES = "conv 20 5x5 | maxpool 2 | tanh | conv 50 5x5 | maxpool 2 | tanh"
LENET = plan(parse_net(f"{STAGES} | flatten | dense 500 | tanh | dense 10"), (1, 28, 28))


def epoch(number: int, test: float, *, validation: float = 0.5, train: float = 0.0, best: bool) -> EpochRow:
    scores = {name: Score(0.1, error, 0.0, 10_000) for name, error in
              (("train", train), ("validation", validation), ("test", test))}  # fmt: skip
    return EpochRow(number, 0.1, 2.0, 900.0, best, scores)


# Claim (a).


def runs(rates: Sequence[Mapping[str, float]], bias: float = 1.0) -> dict[int, dict[int, Measured]]:
    """A run for each of some rates: gradients of layers in one epoch, and twice them in another."""
    found = {}
    for seed, rate in enumerate(rates):
        found[seed] = {
            number: Measured(
                {1: {layer: step(times * size, bias * times / size) for layer, size in rate.items()}}, {}
            )
            for number, times in ((1, 1.0), (2, 2.0))
        }
    return found


def step(weight: float, bias: float) -> LayerStep:
    return LayerStep(weight, weight, bias, bias, 1.0, 0.1, weight / 10)


RIGHT = {"conv1": 1.0, "conv2": 4.0, "dense1": 2.0, "dense2": 0.5}


def test_a_layers_value_is_the_mean_over_the_whole_training() -> None:
    found = layer_values(
        runs([RIGHT, {**RIGHT, "conv2": 8.0}]), READINGS["weights: mean size of ∂E/∂w"], ["conv2"]
    )
    assert found == {"conv2": [6.0, 12.0]}
    distance = READINGS["‖w − w₀‖ / ‖w₀‖ at the end"]
    assert layer_values(runs([RIGHT]), distance, ["conv2"]) == {"conv2": [pytest.approx(0.8)]}


def test_a_ratio_has_the_interval_of_its_logarithms() -> None:
    over, under = [2.0, 3.0, 2.5, 2.2, 2.9], [1.0, 1.1, 0.9, 1.0, 1.2]
    logs = [math.log(a / b) for a, b in zip(over, under, strict=True)]
    half = 2.7764451 * statistics.stdev(logs) / math.sqrt(5)  # t(0.975, 4), from a table
    middle = statistics.fmean(logs)
    found = ratio(over, under)
    assert found.mean == pytest.approx(math.exp(middle))
    assert (found.low, found.high) == pytest.approx(
        (math.exp(middle - half), math.exp(middle + half)), rel=1e-6
    )


def test_the_order_of_layers_holds_fails_or_is_unclear() -> None:
    wobbling = [1.0, 1.1, 0.9, 1.05, 0.95]
    right = {layer: [size * times for times in wobbling] for layer, size in RIGHT.items()}
    # The same wobble in all layers would leave the ratios without any.
    right["dense1"] = [size * times for size, times in zip(right["dense1"], reversed(wobbling), strict=True)]
    assert in_order(right, e1.ORDER) is Outcome.HELD
    assert in_order(right | {"dense2": [9.0, 9.1, 9.2, 9.0, 9.3]}, e1.ORDER) is Outcome.FAILED
    assert in_order(right | {"dense2": [0.1, 9.1, 2.2, 3.0, 1.3]}, e1.ORDER) is Outcome.UNTOLD
    one_run = {layer: values[:1] for layer, values in right.items()}
    assert in_order(one_run, e1.ORDER) is Outcome.UNTOLD
    assert ranked(right) == "conv2 > dense1 > conv1 > dense2"


def wobbled(rate: Mapping[str, float]) -> list[dict[str, float]]:
    draw = random.Random(3)
    return [{layer: size * draw.uniform(0.95, 1.05) for layer, size in rate.items()} for _ in range(4)]


def even(found: Measured) -> Measured:
    """The same with biases that learn as weights do."""
    layers = found.steps[1].items()
    return Measured({1: {layer: step(one.weight_gradient, one.weight_gradient) for layer, one in layers}}, {})


def test_claim_a_is_judged_in_all_readings() -> None:
    parted = runs(wobbled(RIGHT))  # biases are the other way round
    assert e1.most_learnt(parted).outcome is Outcome.UNTOLD
    right = {seed: {at: even(found) for at, found in run.items()} for seed, run in parted.items()}
    claim = e1.most_learnt(right)
    assert claim.outcome is Outcome.HELD
    ranks = "conv2 > dense1 > conv1 > dense2, held"
    assert claim.evidence.startswith(f"4 seeds. weights: mean size of ∂E/∂w: {ranks}")
    assert claim.evidence.count(ranks) == len(READINGS) == 5
    assert e1.most_learnt({0: right[0]}).outcome is Outcome.UNTOLD
    wrong = runs(wobbled({**RIGHT, "conv1": 9.0}))
    assert e1.most_learnt(wrong).outcome is Outcome.FAILED


def test_readings_agree_or_nobody_can_tell() -> None:
    held, failed, untold = Outcome.HELD, Outcome.FAILED, Outcome.UNTOLD
    assert agreed([held, held]) is held
    assert agreed([failed, untold]) is failed
    assert [agreed(some) for some in ([held, failed], [held, untold], [untold])] == [untold] * 3


def test_the_layers_have_a_row_each() -> None:
    lines = e1.layers_table(runs([RIGHT, RIGHT, {**RIGHT, "conv1": 1.36}]), runs([RIGHT])).splitlines()
    assert [line.split(" | ")[0] for line in lines[2:]] == ["| conv1", "| conv2", "| dense1", "| dense2"]
    values = [1.5, 1.5, 2.04]
    half = 4.3026527 * statistics.stdev(values) / math.sqrt(3)
    assert spread(values) == f"1.7 ±{half:.1g}"
    assert lines[2].startswith(f"| conv1 | {spread(values)}; 1.5 |")


# Claim (b).


def off(low: float, high: float) -> Difference:
    return Difference((low + high) / 2, low, high, 0.5, 0.5, 5)


def test_good_enough_is_below_half_the_published_interval() -> None:
    # Wilson's interval of 90 in 10 000 by hand: 0.7328 to 1.1049 %.
    assert pytest.approx((0.011049 - 0.007328) / 2, abs=2e-6) == e1.MARGIN
    assert e1.never_trained(off(-0.001, 0.0018)).outcome is Outcome.HELD
    assert e1.never_trained(off(-0.001, 0.0020)).outcome is Outcome.UNTOLD
    assert e1.never_trained(off(0.0019, 0.0030)).outcome is Outcome.FAILED
    both = {"10": off(-0.001, 0.0010), "20": off(0.0019, 0.0030)}
    assert e1.briefly_trained(both).outcome is Outcome.FAILED
    assert e1.briefly_trained({"10": both["10"]}).outcome is Outcome.HELD
    assert e1.never_trained(off(math.nan, math.nan)).outcome is Outcome.UNTOLD
    assert "+0.05 points (−0.10 to +0.20, 5 seeds)" in e1.never_trained(off(-0.001, 0.0020)).evidence


# Claim (c).


def test_ten_digits_are_right_by_luck_too() -> None:
    good, bad = epoch(1, 0.0090, best=True), epoch(1, 0.09, best=True)
    held = e1.ten_right("0123456789", "0123456789", good)
    assert held.outcome is Outcome.HELD
    # (1 − 0.009)¹⁰, and at the ends 0.73 and 1.10 % of the error.
    assert "10 of the 10 drawn are right" in held.evidence
    assert "91 % (89 to 93)" in held.evidence
    assert e1.ten_right("0123456789", "0123456780", bad).outcome is Outcome.FAILED
    assert e1.ten_right("0123456789", "0123456780", good).outcome is Outcome.UNTOLD
    half = epoch(1, 1 - 0.5**0.1, best=True)  # ten are right as often as not
    assert e1.ten_right("0123456789", "0123456780", half).outcome is Outcome.UNTOLD
    assert e1.ten_right("0123456789", "0123456789", bad).outcome is Outcome.UNTOLD
    # 0.934¹⁰ is 0.505, but the interval of the error ends at 7.1 %, where it is 0.479.
    assert e1.ten_right("0123456789", "0123456789", epoch(1, 0.066, best=True)).outcome is Outcome.UNTOLD


def test_nobody_chose_the_ten_digits() -> None:
    looks = tomllib.loads((build.ROOT / "e1-layers" / "published.toml").read_text(encoding="utf-8"))["look"]
    words = shlex.split(next(look["look"] for look in looks if look["name"] == "ten-digits"))
    wanted = [str(number) for number in random.Random(0).sample(range(10_000), 10)]
    assert [word for word in words[1:] if word != "--image"] == wanted


def test_each_digit_is_drawn_with_its_class() -> None:
    told = {"label": list("0123456789"), "predicted": list("0123456780")}
    figure = e1.digits_figure(torch.zeros(10, 1, 6, 6, dtype=torch.uint8), told)
    assert [axes.get_title(loc="left") for axes in figure.axes][8:] == [
        "8, taken for 8",
        "9, taken for 0",
    ]


# Claim (d).


def test_neighbours_are_all_pairs_side_by_side_and_above() -> None:
    weights = torch.rand(3, 2, 3, 4, generator=torch.Generator().manual_seed(0))
    for unit, found in zip(weights.tolist(), neighbours(weights), strict=True):
        pairs = [
            (kernel[y][x], kernel[y + dy][x + dx])
            for dy, dx in ((0, 1), (1, 0))
            for kernel in unit
            for y in range(3 - dy)
            for x in range(4 - dx)
        ]
        assert len(pairs) == 2 * (3 * 3 + 2 * 4)
        assert found == pytest.approx(statistics.correlation(*zip(*pairs, strict=True)))
    ramp = torch.arange(16.0).view(1, 1, 4, 4)
    assert neighbours(ramp)[0] > 0.7


def test_purity_is_the_share_of_the_commonest_class() -> None:
    labels = torch.tensor([0, 0, 1, 1, 1, 2])
    split = Split(torch.zeros(6, 1, 4, 4, dtype=torch.uint8), labels, torch.arange(6))
    images = torch.tensor([[0, 1, 2], [2, 3, 4], [0, 2, 5]])
    band = Band(images, images.float(), torch.zeros(3, 3, 2), torch.zeros(3, 3, 4))
    layer = LayerExemplars(band, band, band, torch.zeros(3))
    found = Exemplars({"tanh3": layer}, split, "abc", 3)
    assert purity(found, "tanh3") == [pytest.approx(2 / 3), 1.0, pytest.approx(1 / 3)]


def about(middle: float, half: float = 0.01) -> Estimate:
    return Estimate(middle, middle - half, middle + half, 20)


@pytest.mark.parametrize(
    ("smooth", "purer", "outcome"),
    [
        (0.1, 0.0, Outcome.HELD),
        (0.6, 0.3, Outcome.FAILED),
        (0.1, 0.3, Outcome.UNTOLD),
        (0.6, 0.0, Outcome.UNTOLD),
        (0.316, 0.0, Outcome.UNTOLD),  # the line is within the interval
    ],
)
def test_a_pattern_is_one_in_weights_and_in_answers(smooth: float, purer: float, outcome: Outcome) -> None:
    sides = {"trained": about(smooth), "random": about(0.0), "what training added": about(0.7)}
    pure = {"trained": about(0.8), "random": about(0.8 - purer)}
    hidden = Hidden(sides, pure, about(purer), {"trained": (0.01, 0.0, 0.02), "random": (0.05, 0.04, 0.06)})
    assert e1.no_pattern(hidden).outcome is outcome
    lines = e1.hidden_table(hidden).splitlines()
    assert lines[2].endswith("| 0.00 (−0.01 to 0.01) |")
    assert lines[3] == "| the same, of what training added (w − w₀) | 0.70 (0.69 to 0.71) |  |"
    assert lines[5] == "| error of a linear probe on the layer | 1.0 % (0.0 to 2.0) | 5.0 % (4.0 to 6.0) |"


# Claim (e).


def test_maps_shrink_and_values_do_not() -> None:
    assert shrinking(LENET) == (28, 4, 784, 800)
    claim = e1.shrunk(LENET)
    assert claim.outcome is Outcome.HELD
    assert "86 % shorter, places 98 % fewer; but there are 50 maps" in claim.evidence
    assert "from 784 to 800 (+2 %)" in claim.evidence
    half = plan(parse_net("conv 3 3x3 same | maxpool 2 | flatten | dense 10"), (1, 28, 28))
    assert e1.shrunk(half).outcome is Outcome.FAILED
    quarter = plan(parse_net("conv 3 3x3 same | maxpool 4 | flatten | dense 10"), (1, 28, 28))
    assert e1.shrunk(quarter).outcome is Outcome.UNTOLD  # 75 % of the side, 94 % of the places
    lines = sizes_table(LENET).splitlines()
    assert lines[3] == "| conv1 | 20×24×24 | 11520 | 520 |"
    assert [line.split(" | ")[0].strip("| ") for line in lines[-3:]] == ["dense1", "tanh3", "dense2"]


# Errors and the future.


def test_errors_are_those_of_the_best_validation_score() -> None:
    epochs = [
        epoch(1, 0.05, validation=0.04, train=0.2, best=True),
        epoch(2, 0.0090, validation=0.0092, train=0.01, best=True),
        epoch(3, 0.0080, validation=0.0095, best=False),
    ]
    assert best_epoch(epochs) is epochs[1]
    assert share(epochs[1], "test") == "0.90 % (0.73 to 1.10)"
    lines = e1.published_table(trial(BASE, 0, epochs=tuple(epochs), seconds=600.0)).splitlines()
    assert lines[2:6] == [
        "| training error in the last epoch | 0 % | 0.00 % (0.00 to 0.04) |",
        "| best validation error | 0.92 % | 0.92 % (0.75 to 1.13) |",
        "| at iteration | 22,100 of 25,000 | 200 of 300 (epoch 2) |",
        "| test error there | 0.90 % | 0.90 % (0.73 to 1.10) |",
    ]
    assert lines[7].endswith("| 10 min on one thread |")
    assert epochs_table(epochs, (1,)).splitlines()[2:] == [
        "| 1 | 20.00 | 4.00 | 5.00 |",
        "| 3 | 0.00 | 0.95 | 0.80 |",
    ]


@pytest.fixture
def future() -> StudyTable:
    study = Study(name="e1-future-work", variant=(VariantConfig(edits="-relu1"),), seeds=3)
    found = [*trials(BASE, [0.1, 0.2, 0.3]), *trials("-relu1", [0.11, 0.22, 0.33], pretraining=7.0)]
    return tabulate(study, [BASE_VARIANT, variant(edits="-relu1")], found, "abcd1234")


def test_the_time_of_pre_training_is_told(future: StudyTable) -> None:
    lines = e1.future_table(future).splitlines()
    base, other = ([cell.strip() for cell in line.strip("|").split(" | ")] for line in lines[2:])
    assert base[:2] == ["base", "20.00 ±24.84 %"]
    assert base[2] == "–"
    # t(0.975, 2) · 0.01 / √3 around 0.02
    assert other[2] == "+2.00 (−0.48 to +4.48)"
    # Trials of 10, 11 and 12 s.
    assert other[4:6] == ["11", "7"]
    assert other[7] == f"{future.rows[0].parameters:,}"


def test_what_was_not_run_yet_waits(future: StudyTable, tmp_path: Path) -> None:
    (tmp_path / "results").mkdir()
    told = {**to_json(future), "made": {"created": "2026-01-02T03:04", "versions": "1", "machine": "one"}}
    (tmp_path / "results" / "e1-future-work.json").write_text(json.dumps(told))
    page = e1.page(Results(tmp_path))
    assert page.tables.keys() == {"future", "made", "runs"}
    assert page.pictures.keys() == {"future"}
    assert page.waiting == {"published", "epochs", "layers", "first-layer", "hidden", "sizes"}
    place = "<!-- sizes -->\n{}\n<!-- end -->\n"
    text = build.filled(place.format("old"), Page({}, {}, waiting=frozenset({"sizes"})))
    assert text == place.format("not measured yet")
