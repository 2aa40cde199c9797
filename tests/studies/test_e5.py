"""E5's page: verdicts flip when numbers do, and tables say what their results say."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import build
import pytest
import torch
from flow import flow
from page import Outcome, Results
from tests.study.tables import BASE_VARIANT, trials, variant

from cutaway.config import Study, VariantConfig
from cutaway.look import Activity, FeatureMaps, Kept, LayerActivity, Orientation, Probe, Reading, Retention
from cutaway.look.stimuli import Stimuli
from cutaway.look.tuning import Tuning
from cutaway.nets import parse_net, plan, plan_net
from cutaway.study import BASE, StudyTable, tabulate, to_json

e5 = build.module(build.ROOT / "e5-filters")

PLAN = plan_net("filters-32-64-64", (1, 28, 28))
ANGLES = tuple(range(0, 180, 15))


def kept(*errors: float, half: float = 0.005) -> Retention:
    found = {
        layer: Kept(error, (error - half, error + half), 8, 0.1)
        for layer, error in zip(e5.STAGES, errors, strict=True)
    }
    return Retention(Kept(0.001, (0, 0.002), 8, 0.1), found, found, torch.zeros(0), {}, 50, 1000)


def read(*wrong: int, images: int = 1000) -> Probe:
    found = {layer: Reading(one, images, 8, 0.1) for layer, one in zip(e5.STAGES, wrong, strict=True)}
    return Probe(Reading(90, images, 8, 0.1), found, found, 0.9, 50)


def tuned(angles: Sequence[int | None]) -> Orientation:
    """Filters that answer one angle alone, or nothing."""
    answers = torch.zeros(len(angles), 1, len(ANGLES), 1)
    for unit, angle in enumerate(angles):
        if angle is not None:
            answers[unit, 0, ANGLES.index(angle), 0] = 1
    tuning = Tuning(answers, torch.zeros(len(angles), 1), ANGLES, (8.0,), ("grey",))
    return Orientation({"conv1": tuning}, {}, Stimuli((1, 28, 28), ANGLES, (8.0,), 4))


def maps(blanks: Sequence[int], units: int = 10) -> FeatureMaps:
    """Layers whose first maps are blank."""
    layers = {}
    for layer, blank in zip(e5.STAGES, blanks, strict=True):
        values = torch.arange(4.0).view(1, 1, 2, 2).repeat(1, units, 1, 1)
        values[:, :blank] = 0
        layers[layer] = values
    return FeatureMaps(torch.zeros(1, 1, 2, 2, dtype=torch.uint8), layers)


def activity(shares: Sequence[Sequence[float]]) -> Activity:
    """By layer the share of images for which each unit is blank."""
    layers = {}
    for layer, blank in zip(e5.STAGES, shares, strict=True):
        values = torch.tensor(blank, dtype=torch.float64)
        some = torch.zeros(len(blank))
        layers[layer] = LayerActivity(
            4, values, some, some, some > 0, 1 - values, values, torch.zeros(2, len(blank)), None
        )
    return Activity(layers, ("a", "b"), 500, 10)


def test_the_parameters_are_counted() -> None:
    claim = e5.counted(PLAN)
    assert claim.outcome is Outcome.HELD
    assert claim.evidence.startswith("320 + 18,496 + 36,928 = 55,744,")
    smaller = plan(parse_net("conv 3 3x3 same | relu | conv 6 3x3 | conv 12 3x3 | flatten"), (1, 28, 28))
    assert e5.counted(smaller).outcome is Outcome.FAILED


def test_the_planners_table_stands_beside_the_published_shapes() -> None:
    lines = e5.net_table(PLAN).splitlines()
    assert "| conv1 | `conv 32 3x3 same` | 28×28×32 | 320 | 320 | 320 |" in lines
    assert "| relu3 | `relu` | 7×7×64 |  | 55,744 | 7×7×64 |" in lines
    assert len(lines) == 2 + len(PLAN.rows)


@pytest.mark.parametrize(
    ("error", "outcome"), [(0.03, Outcome.HELD), (0.08, Outcome.FAILED), (0.052, Outcome.UNTOLD)]
)
def test_the_first_layer_keeps_the_digit(error: float, outcome: Outcome) -> None:
    claim = e5.keeps_the_digit(kept(error, 0.2, 0.3))
    assert claim.outcome is outcome
    assert f"{error:.1%}" in claim.evidence


@pytest.mark.parametrize(
    ("errors", "outcome"),
    [
        ((0.1, 0.2, 0.3), Outcome.HELD),
        ((0.3, 0.2, 0.1), Outcome.FAILED),
        ((0.1, 0.5, 0.105), Outcome.UNTOLD),
    ],
)
def test_deeper_maps_carry_less_of_the_image(errors: tuple[float, ...], outcome: Outcome) -> None:
    assert e5.carries_less(kept(*errors)).outcome is outcome


@pytest.mark.parametrize(
    ("wrong", "outcome"),
    [((90, 50, 20), Outcome.HELD), ((20, 50, 90), Outcome.FAILED), ((30, 20, 25), Outcome.UNTOLD)],
)
def test_deeper_maps_carry_more_of_the_class(wrong: tuple[int, ...], outcome: Outcome) -> None:
    claim = e5.carries_more(read(*wrong))
    assert claim.outcome is outcome
    assert f"{wrong[2] / 1000:.1%}" in claim.evidence


@pytest.mark.parametrize(
    ("edges", "outcome"), [(28, Outcome.HELD), (4, Outcome.FAILED), (17, Outcome.UNTOLD)]
)
def test_edges_are_counted(edges: int, outcome: Outcome) -> None:
    angles = [*[(0, 45, 90, 135)[at % 4] for at in range(edges)], *[None] * (32 - edges)]
    claim = e5.detects_edges({"trained": tuned(angles), "random weights": tuned([0, None, None])})
    assert claim.outcome is outcome
    assert claim.evidence.startswith(f"{edges} of 32 filters")
    assert claim.evidence.endswith("random weights: 1 of 3")


def test_every_filter_stands_under_its_word() -> None:
    text = e5.orientation_table({"trained": tuned([90, 0, 90, None]), "random weights": tuned([45])})
    lines = text.splitlines()
    assert lines[0] == "| answers | trained: filters | trained | random weights |"
    assert "| `vertical` | 0, 2 | 2 | 0 |" in lines
    assert "| `diagonal /` | – | 0 | 1 |" in lines
    assert "| `none` | 3 | 1 | 0 |" in lines


@pytest.mark.parametrize(
    ("blanks", "outcome"),
    [((0, 3, 9), Outcome.HELD), ((9, 3, 0), Outcome.FAILED), ((1, 2, 3), Outcome.UNTOLD)],
)
def test_blank_maps_of_an_image(blanks: tuple[int, ...], outcome: Outcome) -> None:
    claim = e5.blank_for_the_image(maps(blanks))
    assert claim.outcome is outcome
    assert f"`relu3` {blanks[2]} of 10" in claim.evidence


def test_blank_maps_of_all_images() -> None:
    low, high, wide = [0.0, 0.0, 0.01], [0.5, 0.5, 0.51], [0.0, 0.0, 1.0]
    assert e5.blank_for_all(activity([low, low, high])).outcome is Outcome.HELD
    assert e5.blank_for_all(activity([high, low, low])).outcome is Outcome.FAILED
    assert e5.blank_for_all(activity([low, low, wide])).outcome is Outcome.UNTOLD
    # mean 1/3, s = 1/√3, t(0.975, 2) = 4.303: ±1.43, cut to shares
    assert e5.around(e5.blank_share(activity([low, low, wide]), "relu3")) == "33.3% (0.0% to 100.0%)"


def test_blank_maps_in_the_table_and_the_picture() -> None:
    shares = [[0.0, 0.0], [0.5, 0.5], [1.0, 1.0]]
    lines = e5.blank_table(maps((0, 1, 2)), maps((1, 1, 3), 3), activity(shares)).splitlines()
    assert lines[4].startswith("| relu3 | 2 of 10 | 0, 1 | 3 of 3 | 100.0% ")
    assert lines[4].endswith("| 2 |")
    (axes,) = e5.blank_picture(activity(shares)).axes
    dots = [line for line in axes.lines if line.get_marker() == "."]
    assert [sorted(line.get_ydata()) for line in dots] == [[0, 0], [50, 50], [100, 100]]


def test_nothing_is_blank_as_surely_as_the_images_tell() -> None:
    share = e5.blank_share(activity([[0.0, 0.0], [0.0, 0.0], [0.0, 0.0]]), "relu1")
    # s is at least 1/500: ±12.71 · 0.002 / √2
    assert (share.mean, share.high) == (0, pytest.approx(12.706 * 0.002 / 2**0.5, rel=1e-3))


def test_the_pictures_have_the_published_layers() -> None:
    layers = dict.fromkeys(("conv1", "relu1", "pool1", "dense1"), torch.rand(1, 3, 2, 2))
    found = FeatureMaps(torch.zeros(1, 1, 2, 2), layers, "net", {"relu1": [4, 5, 7], "dense1": [0, 1, 2]})
    shown = e5.published(found)
    assert list(shown.layers) == ["relu1", "pool1"]
    assert list(shown.numbers("relu1")) == [4, 5, 7]


def test_each_layer_has_its_two_errors_three_times() -> None:
    lines = e5.layers_table(kept(0.1, 0.2, 0.3), kept(0.4, 0.5, 0.6), read(90, 50, 20), read(91, 51, 21))
    cells = [cell.strip() for cell in lines.splitlines()[3].split("|")[1:-1]]
    assert [cell.split(" ")[0] for cell in cells] == [
        "relu1",
        "10.0%",
        "10.0%",
        "40.0%",
        "9.0%",
        "9.0%",
        "9.1%",
    ]


def studied() -> StudyTable:
    study = Study(
        name="e5",
        base="experiment.toml",
        seeds=2,
        variant=(VariantConfig(name=e5.SMALL, edits="conv1.filters=1"),),
    )
    variants = [BASE_VARIANT, variant(e5.SMALL, "conv1.filters=1")]
    return tabulate(
        study, variants, [*trials(BASE, [0.010, 0.012]), *trials(e5.SMALL, [0.030, 0.033])], "abcdefgh"
    )


def test_errors_and_differences(tmp_path: Path) -> None:
    (tmp_path / "results").mkdir()
    (tmp_path / "results" / "e5.json").write_text(json.dumps(to_json(studied())))
    lines = e5.errors_table(Results(tmp_path)).splitlines()
    assert lines[2].startswith("| 32, 64 and 64 filters |")
    assert "| 1.10 ±" in lines[2]
    # differences 0.020 and 0.021: mean 0.0205
    assert "| +2.05 (" in lines[3]


def test_nothing_is_claimed_without_results(tmp_path: Path) -> None:
    made = e5.page(Results(tmp_path))
    assert not made.pictures
    assert set(made.tables.values()) == {"not measured yet"}


def test_the_flow_diagram_has_a_block_for_each_layer() -> None:
    (axes,) = flow(PLAN, "conv3").axes
    assert len(axes.patches) == 1 + len(PLAN.rows)
    told = [text.get_text() for text in axes.texts]
    assert "conv2: conv 64 3x3 same" in told
    assert "14×14×64 · 18,496 parameters" in told
    assert "55,744 parameters up to here" in told
