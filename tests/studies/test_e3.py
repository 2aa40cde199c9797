"""The page of E3: its claims flip when the numbers do, its tables have the figures of the results."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import build
import pytest
import torch
from page import Outcome, Results

from cutaway.config import load_experiment, load_study
from cutaway.data import gaussian_pyramid
from cutaway.data.examples import VARIED, Block, Examples
from cutaway.draw.sheet import Pyramid
from cutaway.look import save
from cutaway.store import EpochRow
from cutaway.study import StudyTable, Trial, TrialStatus, tabulate, to_json
from cutaway.study.expand import expand
from cutaway.training import Score

FOLDER = build.ROOT / "e3-ablation"


e3 = build.module(build.ROOT / "e3-ablation")

STAGE4 = "without conv4 and pool4"
LIKE_THE_REPORT = {
    "base": 0.35,
    "without relu1": 0.55,
    "without relu2": 0.50,
    "without relu3": 0.37,
    "without relu4": 0.36,
    "without pool1": 0.45,
    "without pool2": 0.60,
    "without relu2, relu3, relu4 and pool4": 0.70,
    STAGE4: math.nan,
    "without jitter": 0.42,
}
"""Top-1 errors; NaN for what diverges."""


def some_table(
    errors: Mapping[str, float], file: str = "ablation.toml", spread: Sequence[float] = (0.0, 0.01, -0.01)
) -> StudyTable:
    """A study of the folder with errors of our choosing: to each a seed adds its spread.

    At epoch 8 the error is 0.13 above that at the end, without pool2 0.16.
    """
    study = load_study(FOLDER / file)
    variants = expand(study, load_experiment(study.base), (1, 64, 64), 25, lambda _: 1650)
    trials = []
    for one in variants:
        for seed in study.every_seed:
            error = errors[one.name] + spread[seed]
            trials.append(_diverged(one.name, seed) if math.isnan(error) else _trial(one.name, seed, error))
    return tabulate(study, variants, trials, "abcd1234")


def _score(error: float) -> Score:
    return Score(3.4 * error, error, error / 2, 500)


def _trial(name: str, seed: int, error: float) -> Trial:
    epochs = []
    for number in range(1, 16):
        above = 0.0 if number == 15 else 0.16 if name == "without pool2" else 0.13
        scores = {split: _score(min(1.0, error + above)) for split in ("train", "test")}
        epochs.append(EpochRow(number, 0.01, 20.0, 80.0, number == 15, scores))
    end = {"test": _score(error)}
    return Trial(name, seed, f"{len(name):02d}run{seed}", TrialStatus.FINISHED, "", tuple(epochs), 300.0, end)


def _diverged(name: str, seed: int) -> Trial:
    reason = "NaN at step 12 in conv5"
    return Trial(name, seed, f"{len(name):02d}run{seed}", TrialStatus.DIVERGED, reason, (), 9.0)


RATES = {
    "base": 0.8,
    "train.lr 0.05": 0.75,
    "train.lr 0.1": 0.9,
    "train.lr 0.2": math.nan,
    "train.lr 0.5": math.nan,
    **{f"-conv4 -pool4, train.lr {rate}": 0.85 for rate in (0.02, 0.05)},
    **{f"-conv4 -pool4, train.lr {rate}": math.nan for rate in (0.1, 0.2, 0.5)},
}


def outcomes(errors: Mapping[str, float], **more: Any) -> list[Outcome]:
    return [claim.outcome for claim in e3.claims(some_table(LIKE_THE_REPORT | dict(errors), **more))]


def test_results_like_the_reports_hold_all_claims() -> None:
    worse, relus, pool2, stage4 = e3.claims(some_table(LIKE_THE_REPORT), rates())
    # A point more is told apart from nothing where three seeds agree in it.
    assert [one.outcome for one in (worse, relus, pool2, stage4)] == [Outcome.HELD] * 4
    # Means of 0.55 and 0.50, and of 0.37 and 0.36, against 0.35.
    assert "+17.5 points" not in relus.evidence
    assert "+17.5 (" in relus.evidence
    assert "+1.5 (" in relus.evidence
    assert "+16.0 (" in relus.evidence
    # 0.60 + 0.16 and 0.35 + 0.13, as published.
    assert pool2.evidence.startswith("0.76 against 0.48: +28.0 (")
    assert "3 of 3 trainings diverge at a learning rate of" in stage4.evidence
    assert "whole network diverges from 0.2 on, that one from 0.1 on" in stage4.evidence


def rates() -> StudyTable:
    return some_table(RATES, "nan.toml")


def test_every_network_is_worse_only_where_none_is_better_or_alike() -> None:
    clear = {"without relu3": 0.6, "without relu4": 0.6}
    assert outcomes(clear)[0] is Outcome.HELD
    assert outcomes(clear | {"without pool1": 0.351})[0] is Outcome.UNTOLD
    assert outcomes(clear | {"without pool1": 0.2})[0] is Outcome.FAILED
    # The one without jitter is no ablation of the report.
    assert outcomes(clear | {"without jitter": 0.2})[0] is Outcome.HELD


@pytest.mark.parametrize(
    ("errors", "wanted"),
    [
        ({}, Outcome.HELD),
        ({"without relu3": 0.55, "without relu4": 0.5}, Outcome.FAILED),  # as much in the last ones
        ({"without relu1": 0.36, "without relu2": 0.35}, Outcome.FAILED),  # hardly in the first ones
        ({"without relu1": 0.30, "without relu2": 0.30}, Outcome.FAILED),
        ({"without relu1": 0.40, "without relu2": 0.37}, Outcome.FAILED),  # more than in the last, but hardly
        ({"without relu1": math.nan, "without relu2": 0.5}, Outcome.UNTOLD),
    ],
)
def test_relu_in_first_and_last_stages(errors: Mapping[str, float], wanted: Outcome) -> None:
    assert outcomes(errors)[1] is wanted


@pytest.mark.parametrize("noisy", [(1, 2), (3, 4), (1, 2, 3, 4)])
def test_relu_is_left_open_where_seeds_disagree(noisy: tuple[int, ...]) -> None:
    # Noisy last ones have a mean above what is hardly, and what is hardly inside their interval.
    names = [f"without relu{number}" for number in noisy]
    late = {name: 0.42 for name in names if name[-1] in "34"}
    table = some_table(LIKE_THE_REPORT | late)
    trials = [trial for row in (table.base, *table.rows) for trial in row.trials]
    spread = 0.05 if late else 0.25
    changed = [
        _trial(one.variant, one.seed, one.scores["test"].top1_error + spread * (one.seed - 1))
        if one.variant in names
        else one
        for one in trials
    ]
    variants = [row.variant for row in (table.base, *table.rows)]
    assert e3.claims(tabulate(table.study, variants, changed))[1].outcome is Outcome.UNTOLD


@pytest.mark.parametrize(
    ("error", "wanted"), [(0.6, Outcome.HELD), (0.34, Outcome.FAILED), (0.2, Outcome.FAILED)]
)
def test_pool2_at_epoch_8(error: float, wanted: Outcome) -> None:
    assert outcomes({"without pool2": error})[2] is wanted


def test_pool2_needs_epoch_8() -> None:
    table = some_table(LIKE_THE_REPORT)
    rows = [table.base, *table.rows]
    short = [
        Trial(one.variant, one.seed, one.run, one.status, "", one.epochs[:5], 1.0, one.scores)
        for row in rows
        for one in row.trials
    ]
    found = e3.claims(tabulate(table.study, [row.variant for row in rows], short))
    assert found[2].outcome is Outcome.UNTOLD
    assert "epoch 8" in found[2].evidence


def test_nan_of_the_fourth_stage() -> None:
    assert outcomes({STAGE4: 0.5})[3] is Outcome.FAILED
    assert outcomes({"base": math.nan})[3] is Outcome.UNTOLD
    table = some_table(LIKE_THE_REPORT)
    rows = [table.base, *table.rows]
    trials = [one for row in rows for one in row.trials]
    some = [_trial(STAGE4, 0, 0.5) if (one.variant, one.seed) == (STAGE4, 0) else one for one in trials]
    found = e3.claims(tabulate(table.study, [row.variant for row in rows], some))[3]
    assert found.outcome is Outcome.UNTOLD
    assert found.evidence.startswith("2 of 3")


def test_rates_where_nothing_diverges() -> None:
    calm = some_table(dict.fromkeys(RATES, 0.5), "nan.toml")
    told = e3.claims(some_table(LIKE_THE_REPORT), calm)[3].evidence
    assert "whole network diverges at no rate up to 0.5, that one at no rate up to 0.5" in told


def test_tables_have_the_figures_of_the_results() -> None:
    found = some_table(LIKE_THE_REPORT)
    published = cells(e3.published_table(found))
    # Means over seeds of 0.35, 0.36 and 0.34; t is 4.303 and s 0.01, or 3.4 and a half of it.
    half = 4.3027 * 0.01 / math.sqrt(3)
    assert published["objective (nats)"] == ["about 1.2", f"{3.4 * 0.35:.2f} ±{3.4 * half:.2f}"]
    assert published["top-1 error"] == ["about 35 %", f"35.0 ±{100 * half:.1f} %"]
    assert published["top-5 error"] == ["about 17 %", f"17.5 ±{100 * half / 2:.1f} %"]
    variants = cells(e3.variants_table(found))
    assert list(variants) == [*(n for n in LIKE_THE_REPORT if n not in (STAGE4, "without jitter")),
                              f"{STAGE4} (diverges)", "without jitter"]  # fmt: skip
    assert variants["without pool2"][2].startswith("+25.0 (")
    assert variants[f"{STAGE4} (diverges)"][0] == "–"
    # conv1: 60 × 60 places, 20 kernels of 5 × 5; conv2 26², 50; conv3 10², 500 of 4 × 4; conv4 2²; conv5 1.
    macs = 3600 * 20 * 25 + 676 * 50 * 500 + 100 * 500 * 800 + 4 * 500 * 8000 + 500 * 25
    assert variants["base"][4] == f"{macs:,}"
    assert variants["base"][6] == "5 min 00 s"
    pools = cells(e3.pools_table(found))
    assert pools["base"][1] == pools["without pool1"][3] == "×1.0"
    assert float(pools["without pool1"][1][1:]) > 1.5


def test_what_is_seen_is_said_in_figures() -> None:
    found = some_table(LIKE_THE_REPORT)
    assert e3.seen("curves-stages", found) == (
        "Top-1 error of the test split at the end: base 35.0 ±2.5 %, "
        "without relu2, relu3, relu4 and pool4 70.0 ±2.5 %, without conv4 and pool4 3 of 3 diverged."
    )
    assert e3.seen("forest", found) == "Of 9 networks, compared with the whole one: 8 worse, 1 diverges."
    assert e3.seen("cost", found) == "No other network is both cheaper and better than base."
    cheap = some_table(LIKE_THE_REPORT | {STAGE4: 0.4})
    assert e3.seen("cost", cheap) == f"No other network is both cheaper and better than {STAGE4}, base."


def test_the_table_of_rates() -> None:
    lines = [line.strip("| ").split(" | ") for line in e3.rates_table(rates()).splitlines()[2:]]
    assert [line[:3] for line in lines[:2]] == [
        ["0.02", "whole", "0 of 2"],
        ["0.02", "without conv4 and pool4", "0 of 2"],
    ]
    broken = [(line[0], line[1]) for line in lines if line[2] == "2 of 2"]
    stage4 = "without conv4 and pool4"
    assert broken == [("0.1", stage4), ("0.2", "whole"), ("0.2", stage4), ("0.5", "whole"), ("0.5", stage4)]
    assert lines[-1][-1] == "NaN at step 12 in conv5"


def cells(table: str) -> dict[str, list[str]]:
    """A Markdown table by its first column."""
    lines = [[cell.strip() for cell in line.strip("|").split("|")] for line in table.splitlines()[2:]]
    return {line[0]: line[1:] for line in lines}


def test_the_page_is_made_of_an_export_alone_and_says_what_is_not_there(tmp_path: Path) -> None:
    folder = tmp_path / "results"
    folder.mkdir()
    text = (FOLDER / "README.md").read_text(encoding="utf-8")
    empty = e3.page(Results(tmp_path))
    assert not empty.pictures
    assert not empty.claims
    assert "not measured yet" in build.filled(text, empty)
    made = {"made": {"created": "2026-01-02T03:04:05", "versions": "cutaway 1", "machine": "a machine"}}
    for name, table in (("e3", some_table(LIKE_THE_REPORT)), ("e3-nan", rates())):
        (folder / f"{name}.json").write_text(json.dumps(to_json(table) | made), encoding="utf-8")
    pixels = torch.randint(0, 256, (2, 1, 64, 64), dtype=torch.uint8)
    block = Block(pixels, torch.tensor([0, 1]), 9)
    save(Examples(("a", "b"), 2, 1, {"train": block, VARIED: block}), folder / "textures.npz")
    save(Pyramid(gaussian_pyramid(pixels[0]), "one"), folder / "textures-pyramid.npz")
    full = e3.page(Results(tmp_path))
    assert len(full.claims) == 4
    filled = build.filled(text, full)
    assert "not measured yet" not in filled
    assert all(f"(pictures/{name}.png)" in filled for name in full.pictures)
    assert set(e3.CURVES) < set(full.pictures)
    assert "30 trials on one thread each" in full.tables["made"]


@pytest.mark.parametrize(("file", "count"), [("ablation.toml", 10), ("nan.toml", 4)])
def test_the_small_studies_can_be_planned(file: str, count: int) -> None:
    study = load_study(FOLDER / file, {}, quick=True)
    variants = expand(study, load_experiment(study.base), (1, 64, 64), 25, lambda _: 350)
    assert len(variants) == count
    assert not any(one.problem for one in variants)


def test_every_variant_is_on_one_picture() -> None:
    study = load_study(FOLDER / "ablation.toml")
    drawn = [name for names in e3.CURVES.values() for name in names]
    assert sorted(drawn) == sorted(one.name for one in study.variant)
