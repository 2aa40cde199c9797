"""The page of E4: its claims flip when the numbers do, its tables have the figures of the results."""

from __future__ import annotations

import json
from pathlib import Path

import build
import pytest
import torch
from page import Outcome, Results

from cutaway import Subject
from cutaway.config import load_experiment, load_study
from cutaway.data.examples import Block, Examples
from cutaway.look import Cell, cell, save
from cutaway.nets import parse_net, plan
from cutaway.nets.builder import build as build_net
from cutaway.store import EpochRow
from cutaway.study import StudyTable, Trial, TrialStatus, tabulate, to_json
from cutaway.study.expand import expand
from cutaway.training import Score

FOLDER = build.ROOT / "e4-cifar"


e4 = build.module(build.ROOT / "e4-cifar")


def some(base: float = 0.75, recipe: float = 0.85, glorot: float = 0.8) -> dict[str, Trial]:
    """Trainings with accuracies of our choosing after four epochs, which take 60 s each; 90 of our recipe."""
    return {
        "base": _trial("base", base, 60.0),
        e4.GLOROT: _trial(e4.GLOROT, glorot, 60.0),
        e4.OURS: _trial(e4.OURS, recipe, 90.0),
        e4.SHORT: _trial(e4.SHORT, 0.78, 20.0),
    }


def broken() -> dict[str, Trial]:
    """As ``some``, with a base that gave no figures."""
    return some() | {"base": Trial("base", 0, "r", TrialStatus.DIVERGED, "NaN at step 3 in conv1")}


def some_table() -> StudyTable:
    """The study with these trials."""
    study = load_study(FOLDER / "published.toml")
    variants = expand(study, load_experiment(study.base), (3, 32, 32), 10, lambda _: 45_000)
    return tabulate(study, variants, list(some().values()), "abcd1234")


def some_cell() -> Cell:
    """A value of a small net's first map."""
    net = build_net(plan(parse_net("conv 2 3x3 same | flatten | dense 10"), (3, 8, 8)), seed=0)
    return cell(Subject(net, (3, 8, 8), plan=net.plan), torch.rand(1, 3, 8, 8), "conv1", 0)


def _trial(name: str, end: float, seconds: float) -> Trial:
    """30, 20, 10 and 0 points below its end."""
    epochs = tuple(
        EpochRow(number, 0.01, seconds, 750.0, number == 4, _scores(end - 0.1 * (4 - number), number))
        for number in range(1, 5)
    )
    scores = {"test": _score(end)}
    return Trial(name, 0, f"run {name}", TrialStatus.FINISHED, "", epochs, 4 * seconds, scores)


def _scores(accuracy: float, number: int) -> dict[str, Score]:
    """Training is 4 points ahead; the validation loss is least at epoch 3."""
    validation = Score(0.8 if number != 3 else 0.75, 1 - accuracy, 0.1, 5000)
    return {"train": _score(accuracy + 0.04), "validation": validation, "test": _score(accuracy)}


def _score(accuracy: float) -> Score:
    return Score(0.7, 1 - accuracy, (1 - accuracy) / 5, 10_000)


@pytest.mark.parametrize(
    # √(2 × 0.75 × 0.25 / 10,000) × 1.96 = 0.012
    ("base", "wanted"),
    [
        (0.752, Outcome.HELD),
        (0.742, Outcome.HELD),
        (0.739, Outcome.FAILED),
        (0.5, Outcome.FAILED),
        (0.8, Outcome.HELD),
    ],
)
def test_the_published_accuracy_from_either_first_weights(base: float, wanted: Outcome) -> None:
    assert e4.claims(some(base=base))[0].outcome is wanted
    assert e4.claims(some(glorot=base))[1].outcome is wanted


@pytest.mark.parametrize(
    ("recipe", "wanted"), [(0.85, Outcome.HELD), (0.757, Outcome.UNTOLD), (0.7, Outcome.FAILED)]
)
def test_our_recipe(recipe: float, wanted: Outcome) -> None:
    assert e4.claims(some(0.75, recipe))[2].outcome is wanted


def test_a_base_that_diverged_tells_nothing() -> None:
    claim, other = e4.claims(broken())
    assert claim.outcome is Outcome.UNTOLD
    assert claim.evidence == "diverged: NaN at step 3 in conv1"
    assert other.outcome is Outcome.HELD
    assert "diverged: NaN" in e4.published_table(broken())


def cells(table: str) -> dict[str, list[str]]:
    """A Markdown table by its first column."""
    lines = [[cell.strip() for cell in line.strip("|").split("|")] for line in table.splitlines()[2:]]
    return {line[0]: line[1:] for line in lines}


def test_accuracies_have_wilsons_interval() -> None:
    found = cells(e4.published_table(some(0.75, 0.85)))
    # 0.75 ± 1.96 × √(0.75 × 0.25 / 10,000) = 0.75 ± 0.0085, and Wilson's is nearly that at 10,000.
    assert found["base"] == ["75.00 %", "74.1 to 75.8 %", "0.70000", "4", "4 min 00 s"]
    assert found["our recipe"] == ["85.00 %", "84.3 to 85.7 %", "0.70000", "4", "6 min 00 s"]
    assert found["published"] == ["75.24 %", "74.4 to 76.1 %", "0.71711", "40", ""]


def test_the_small_study_can_be_planned() -> None:
    study = load_study(FOLDER / "published.toml", {}, quick=True)
    base = load_experiment(study.base)
    assert len(expand(study, base, (3, 32, 32), 10, lambda _: 5000)) == 3


def test_the_summary_of_layers_adds_up() -> None:
    found = cells(e4.layers_table(e4._plan(some_table())))
    assert found["conv1"][1:3] == ["128×32×32", f"{3 * 9 * 128 + 128:,}"]
    assert found["conv2"][1:3] == ["128×14×14", f"{128 * 9 * 128 + 128:,}"]
    assert found["conv5"][1:3] == ["32×4×4", f"{32 * 4 * 32 + 32:,}"]
    assert found["dense1"][1:3] == ["64", f"{512 * 64 + 64:,}"]
    # What a Keras summary of the same layers says.
    whole = 3584 + 147_584 + 32_832 + 8224 + 4128 + 32_832 + 650
    assert found["all"][2] == f"{whole:,}"
    assert sum(int(line[2].replace(",", "")) for name, line in found.items() if name != "all") == whole


def test_time_to_the_published_accuracy() -> None:
    table = e4.pace_table(some(0.75, 0.96))
    assert table.startswith(
        "|  | 75.24 % (published): epoch | time | 75.00 % (the base's end): epoch | time |"
    )
    found = cells(table)
    assert found["base"] == ["never", "best 75.00 %", "4", "4 min 00 s"]
    # 66 %, 76 %, 86 %, 96 % after 90, 180, 270 and 360 seconds; Glorot's 80 % at the end, after 70 %.
    assert found["our recipe"] == ["2", "3 min 00 s", "2", "3 min 00 s"]
    assert found[e4.GLOROT] == ["4", "4 min 00 s", "4", "4 min 00 s"]
    assert cells(e4.pace_table(some(0.7524)))["base"][0] == "4"
    assert cells(e4.pace_table(broken()))["our recipe"] == ["4", "6 min 00 s"]


def test_accuracy_at_the_same_time() -> None:
    lines = list(cells(e4.same_time_table(some(0.75, 0.85))).items())
    # A quarter, a half and the whole of the base's 240 s: 1, 2 and 4 of its epochs; 0, 1 and 2 of ours.
    assert lines == [
        ("24.0 s", ["–", "–", "–", "48.00 %"]),
        ("60.0 s", ["45.00 %", "50.00 %", "–", "68.00 %"]),
        ("2 min 00 s", ["55.00 %", "60.00 %", "55.00 %", "78.00 %"]),
        ("4 min 00 s", ["75.00 %", "80.00 %", "65.00 %", "78.00 %"]),
    ]


def test_what_the_curves_show_is_said_in_figures() -> None:
    base, glorot, recipe, _ = e4.gaps(some()).split("; ")
    assert base == (
        "base: the validation loss is least at epoch 3 of 4, and at the end the validation error is "
        "+4.0 points to that of training"
    )
    assert glorot.startswith("Glorot's first weights: ")
    assert recipe.startswith("our recipe: ")


def test_the_picture_has_all_and_the_published_accuracy() -> None:
    (axes,) = e4.accuracy_figure(some(0.75, 0.85)).axes
    base, _, recipe, _, published = axes.lines
    assert len({line.get_color() for line in axes.lines}) == 5
    assert list(base.get_xdata()) == [1, 2, 3, 4]
    assert list(recipe.get_xdata()) == [1.5, 3, 4.5, 6]
    assert list(recipe.get_ydata()) == pytest.approx([55, 65, 75, 85])
    assert set(published.get_ydata()) == {75.24}


def test_the_page_is_made_of_an_export_alone_and_says_what_is_not_there(tmp_path: Path) -> None:
    folder = tmp_path / "results"
    folder.mkdir()
    text = (FOLDER / "README.md").read_text(encoding="utf-8")
    empty = e4.page(Results(tmp_path))
    assert not empty.pictures
    assert "not measured yet" in build.filled(text, empty)
    block = Block(torch.zeros(2, 3, 32, 32, dtype=torch.uint8), torch.tensor([0, 1]), 9)
    save(Examples(("a", "b"), 2, 1, {"train": block}), folder / "images.npz")
    made = {"made": {"created": "2026-01-02T03:04:05", "versions": "cutaway 1", "machine": "a machine"}}
    (folder / "e4.json").write_text(json.dumps(to_json(some_table()) | made), encoding="utf-8")
    part = e4.page(Results(tmp_path))
    assert set(part.pictures) == {"images", "curves", "accuracy"}
    assert part.tables["cell"] == "not measured yet"
    save(some_cell(), folder / "cell.npz")
    full = e4.page(Results(tmp_path))
    filled = build.filled(text, full)
    assert "not measured yet" not in filled
    assert all(f"(pictures/{name}.png)" in filled for name in full.pictures)
    assert set(full.pictures) == {"images", "curves", "accuracy", "cell"}
    assert len(full.claims) == 3


def test_a_variant_that_was_not_trained_yet_has_a_row_and_no_claim() -> None:
    few = {name: trial for name, trial in some().items() if name in {"base", e4.OURS}}
    assert len(e4.claims(few)) == 2
    assert cells(e4.published_table(few))[e4.GLOROT][0] == "not measured yet"
    assert e4.GLOROT not in e4.pace_table(few)
