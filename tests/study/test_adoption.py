"""A study takes over what another has trained in the same way, and nothing else."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from tests.study.inline import InlineClient, conducted, few_images

from cutaway.config import Study
from cutaway.store import Store
from cutaway.study import StudyTable, TrialStatus
from cutaway.study.session import run_study

FIELDS: dict[str, Any] = {
    "net": "conv 3 5x5 stride 2 | relu | maxpool 2 | flatten | dense 10",
    "data": {"train_images": 100, "validation": 50, "test": 50},
    "train": {"epochs": 1, "batch": 50, "lr": 0.05},
}

WITHOUT, FASTER = {"edits": "-relu1"}, {"name": "faster", "set": {"train.lr": 0.1}}


@pytest.fixture(autouse=True)
def _few_test_images(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("cutaway.study.images.load_images", few_images)


class Studies:
    """Runs studies into one store, and tells what was trained for each."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.store = Store(folder)
        self._patch = monkeypatch

    def run(self, **changes: Any) -> tuple[StudyTable, set[tuple[str, int]]]:
        values = {"name": "tiny", "base": "digits", "experiment": FIELDS, "variant": [WITHOUT], "seeds": 1}
        with conducted(self._patch, InlineClient()) as client:
            table = run_study(Study.model_validate(values | changes), store=self.store)
        tokens = [assignment.token.split(" ", 2) for assignment in client.assignments]
        return table, {(variant, int(seed)) for _, seed, variant in tokens}


@pytest.fixture
def studies(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Studies:
    return Studies(tmp_path / "one", monkeypatch)


def test_with_one_more_variant_and_seed_only_what_is_new_is_trained(
    studies: Studies, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, trained = studies.run()
    assert trained == {("base", 0), ("-relu1", 0)}
    grown, trained = studies.run(name="larger", variant=[FASTER, WITHOUT], seeds=2)
    assert trained == {("base", 1), ("-relu1", 1), ("faster", 0), ("faster", 1)}
    assert grown.id != first.id
    assert grown.base.trials[0] == first.base.trials[0]
    assert grown.row("-relu1").trials[0] == first.row("-relu1").trials[0]
    # Its figures are those of a study that trains all by itself.
    alone, trained = Studies(tmp_path / "two", monkeypatch).run(variant=[FASTER, WITHOUT], seeds=2)
    assert len(trained) == 6
    for row, other in zip((grown.base, *grown.rows), (alone.base, *alone.rows), strict=True):
        assert [trial.scores for trial in row.trials] == [trial.scores for trial in other.trials]


def test_a_variant_may_have_another_name_or_be_the_base_there(studies: Studies) -> None:
    first, _ = studies.run(variant=[FASTER])
    fields = {**FIELDS, "train": {**FIELDS["train"], "lr": 0.1}}
    table, trained = studies.run(experiment=fields, variant=[{"name": "slower", "set": {"train.lr": 0.05}}])
    assert not trained
    assert table.base.trials[0].run == first.row("faster").trials[0].run
    assert table.row("slower").trials[0].run == first.base.trials[0].run


OTHER = {
    "experiment": {"experiment": {**FIELDS, "train": {**FIELDS["train"], "batch": 25}}},
    "images": {"experiment": {**FIELDS, "data": {**FIELDS["data"], "train_images": 90}}},
    "budget": {"budget": {"images": 60}},
    "time limit": {"budget": {"minutes": 5}},
    "stopping": {"stopping": {"rule": "halving", "rungs": [0.5], "keep": 0.5}},
    "seed": {"first_seed": 7},
}


@pytest.mark.parametrize("changes", OTHER.values(), ids=OTHER)
def test_what_was_trained_otherwise_is_trained_here(studies: Studies, changes: dict[str, Any]) -> None:
    studies.run()
    _, trained = studies.run(**changes)
    assert {variant for variant, _ in trained} == {"base", "-relu1"}
    # Grown by a variant, that one is taken over where its trials stand alone.
    _, trained = studies.run(**changes, variant=[WITHOUT, FASTER])
    alone = "stopping" not in changes and "minutes" not in changes.get("budget", {})
    assert {variant for variant, _ in trained} == ({"faster"} if alone else {"base", "-relu1", "faster"})


def test_other_versions_train_for_themselves(studies: Studies, monkeypatch: pytest.MonkeyPatch) -> None:
    studies.run()
    monkeypatch.setattr("cutaway.store.store.__version__", "0.0.1")
    _, trained = studies.run(seeds=2)
    assert ("base", 0) in trained


def test_what_was_removed_is_trained(studies: Studies) -> None:
    table, _ = studies.run()
    studies.store.remove(studies.store.find(table.base.trials[0].run))
    grown, trained = studies.run(variant=[WITHOUT, FASTER])
    assert trained == {("base", 0), ("faster", 0)}
    assert grown.base.trials[0].scores == table.base.trials[0].scores


def test_a_variant_with_images_of_its_own_is_trained(studies: Studies) -> None:
    fewer = {"name": "fewer", "set": {"data.train_images": 60}}
    studies.run(variant=[fewer])
    _, trained = studies.run(variant=[fewer, FASTER])
    assert trained == {("fewer", 0), ("faster", 0)}


def test_a_variant_that_prepares_the_same_images_otherwise_is_taken_over(studies: Studies) -> None:
    other = {"name": "other", "set": {"data.preprocess": "mean", "data.augment.shift": 1}}
    studies.run(variant=[other])
    _, trained = studies.run(variant=[other, FASTER])
    assert trained == {("faster", 0)}


def test_one_removed_study_does_not_take_the_other_s_trials(studies: Studies) -> None:
    first, _ = studies.run()
    grown, _ = studies.run(seeds=2)
    studies.store.studies.remove(first.id)
    again, trained = studies.run(seeds=2)
    assert not trained
    assert again == grown
    assert {trial.status for trial in again.base.trials} == {TrialStatus.FINISHED}
