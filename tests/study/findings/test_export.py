"""Results as plain values, and back."""

from __future__ import annotations

import csv
import io
import json
import math
from dataclasses import replace
from typing import Any

import pytest
from tests.study.tables import BASE_VARIANT, EXPERIMENT, epoch, trial, variant

from cutaway.config import BudgetConfig, Study, VariantConfig
from cutaway.errors import DataError
from cutaway.study import BASE, Origin, StudyTable, Trial, TrialStatus, Variant
from cutaway.study.findings.export import FORMAT, as_rows, from_json, to_json
from cutaway.study.findings.table import tabulate
from cutaway.training import Score

STUDY = Study(
    name="all",
    base="/home/somebody/studies/tiny.toml",
    variant=(VariantConfig(edits="-relu1"), VariantConfig(set={"train.lr": 0.05, "train.freeze": ["conv1"]})),
    grid={"train.momentum": [0.5, 0.9], "edits": ["", "-pool1"]},
    seeds=2,
    budget=BudgetConfig(epochs=3),
)
VARIANTS = [
    BASE_VARIANT,
    variant("without relu1", "-relu1", Origin.ABLATE, layers=("relu1",)),
    variant("slow", changes={"train.lr": 0.05, "train.freeze": ["conv1"]}),
    Variant("without conv1", EXPERIMENT, None, "-conv1", layers=("conv1",), problem="too small\nline 2"),
]
TRIALS = [
    *(
        trial(BASE, seed, 0.1 / 3, epochs=(epoch(1, 0.5), epoch(2, 0.1 / 3)), rungs={0.25: 0.7})
        for seed in (0, 1)
    ),
    *(
        trial("without relu1", seed, 0.3 + seed / 70, TrialStatus.EARLY, {0.25: 0.8 + seed / 70})
        for seed in (0, 1)
    ),
    Trial(
        "slow",
        0,
        "ab12",
        TrialStatus.DIVERGED,
        "NaN at step 212 in conv1",
        (epoch(1, 0.9),),
        3.5,
        {"train": Score(math.inf, 0.9, 0.5, 100)},
        pretraining=1.25,
    ),
]


@pytest.fixture(scope="module")
def table() -> StudyTable:
    return tabulate(STUDY, VARIANTS, TRIALS, "abcd1234")


def through_text(table: StudyTable) -> dict[str, Any]:
    values: dict[str, Any] = json.loads(json.dumps(to_json(table), allow_nan=False))
    return values


def test_what_was_written_without_the_time_of_pre_training_is_read(table: StudyTable) -> None:
    values = through_text(table)
    assert {trial.pop("pretraining") for trial in values["trials"]} == {0.0, 1.25}
    again = from_json(values)
    assert {trial.pretraining for row in (again.base, *again.rows) for trial in row.trials} == {0.0}


def test_a_table_comes_back_from_its_json(table: StudyTable) -> None:
    again = from_json(through_text(table))
    assert again.id == table.id
    # The folder of the base was somebody's own.
    assert again.study == STUDY.model_copy(update={"base": "tiny.toml"})
    pairs = list(zip((again.base, *again.rows), (table.base, *table.rows), strict=True))
    assert len(pairs) == 4
    for one, other in pairs:
        # Nets, edits, experiments, seeds, runs, scores, rungs, epochs.
        assert one.variant == other.variant
        assert one.trials == other.trials
        assert (one.parameters, one.budget, one.verdict) == (other.parameters, other.budget, other.verdict)
        assert repr(one.estimates) == repr(other.estimates)
        assert repr(one.differences) == repr(other.differences)
    assert to_json(again) == to_json(table)
    assert again.rows[0].budget == 0.25
    assert again.rows[1].trials[0].scores["train"].objective == math.inf


def test_nothing_of_the_machine_is_written(table: StudyTable) -> None:
    assert "somebody" not in json.dumps(to_json(table))
    path = "/home/somebody/photographs.tar"
    placed = EXPERIMENT.model_copy(update={"data": EXPERIMENT.data.model_copy(update={"path": path})})
    study = STUDY.model_copy(update={"experiment": {"data": {"path": path}, "data.path": path}})
    variants = [replace(one, experiment=placed) for one in VARIANTS]
    told = json.dumps(to_json(tabulate(study, variants, TRIALS, "abcd1234")))
    assert "somebody" not in told
    assert told.count("photographs.tar") == len(VARIANTS) + 2


def test_rows_are_flat_and_have_the_figures_of_the_table(table: StudyTable) -> None:
    rows = as_rows(table)
    assert [row["variant"] for row in rows] == [BASE, "without relu1", "slow", "without conv1"]
    text = io.StringIO()
    writer = csv.DictWriter(text, rows[0].keys())
    writer.writeheader()
    writer.writerows(rows)  # each has the same columns
    base, relu, slow, broken = csv.DictReader(io.StringIO(text.getvalue()))
    assert float(base["top1_error"]) == pytest.approx(0.1 / 3)
    assert (base["difference"], base["pairs"]) == ("", "0")
    assert float(relu["difference"]) == pytest.approx(0.1 + 0.5 / 70)
    assert float(relu["difference_low"]) < float(relu["difference"]) < float(relu["difference_high"])
    assert (relu["ended_early"], relu["budget"], relu["pairs"]) == ("2", "0.25", "2")
    assert (slow["diverged"], slow["waiting"], slow["top1_error"]) == ("1", "1", "")
    assert slow["effect"] == "diverges"
    assert (broken["layers"], broken["parameters"], broken["memory"]) == ("conv1", "0", "")
    assert all(row["sentence"].endswith(".") for row in rows)
    assert to_json(table)["results"] == rows


def test_what_is_no_export_is_refused(table: StudyTable) -> None:
    values = through_text(table)
    with pytest.raises(DataError, match=rf"no results of a study.*format {FORMAT + 1}, not {FORMAT}"):
        from_json(values | {"format": FORMAT + 1})
    with pytest.raises(DataError, match="format None"):
        from_json([1, 2])  # type: ignore[arg-type]
    for name in ("study", "variants", "trials", "id"):
        with pytest.raises(DataError, match=rf"damaged \(KeyError: '{name}'\). Export them again"):
            from_json({key: value for key, value in values.items() if key != name})
    values["trials"][0]["status"] = "asleep"
    with pytest.raises(DataError, match=r"damaged \(ValueError: 'asleep' is not a valid TrialStatus"):
        from_json(values)
    broken = through_text(table)
    broken["variants"][0]["net"] = "conv 2 99x99"
    with pytest.raises(DataError, match=r"damaged \(PlanError"):
        from_json(broken)
