"""A study's looks, and its export: all that pages are made of without the runs."""

from __future__ import annotations

import json
import os
import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from tests.study.inline import InlineClient, conducted, few_images

import cutaway as package
from cutaway.config import load_study
from cutaway.errors import ConfigError
from cutaway.look import feature_maps, load
from cutaway.store import Store
from cutaway.study import dynamics_from_json, dynamics_to_json, find_study, from_json, read_table

Command = Callable[..., tuple[int, str, str]]

STUDY = """
name = "looked into"
base = "digits"
seeds = 2

[experiment]
net = "conv 3 5x5 stride 2 | relu | maxpool 2 | flatten | dense 10"
data = { train_images = 200, validation = 100 }
train = { epochs = 2, batch = 50, lr = 0.05, dynamics = 2 }

[[variant]]
edits = "-relu1"

[[look]]
name = "four"
look = "maps --image 4 --layer conv1"

[[look]]
look = "kernels --layer conv1"
of = "-relu1"
"""


@pytest.fixture
def study(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr("cutaway.study.images.load_images", few_images)
    monkeypatch.setattr("cutaway.store.run.load_images", few_images)
    path = tmp_path / "looks.toml"
    path.write_text(STUDY)
    return path


@pytest.fixture
def ran(
    cutaway: Command, study: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> tuple[Store, Path, str]:
    with conducted(monkeypatch, InlineClient()):
        code, _, err = cutaway("study", "run", study, "--store", tmp_path / "runs")
    assert code == 0
    store = Store(tmp_path / "runs")
    return store, store.folder / "studies" / find_study(store, "last").id / "looks", err


def test_each_look_leaves_numbers_arrays_and_a_picture_of_its_variant(
    ran: tuple[Store, Path, str],
) -> None:
    store, folder, err = ran
    assert "look four: maps --image 4 --layer conv1" in err
    names = {path.name for path in folder.iterdir()}
    assert names == {
        f"{name}.{end}" for name in ("four", "kernels_--layer_conv1") for end in ("npz", "json", "png")
    }
    table = read_table(store, find_study(store, "last"))
    runs = [row.trials[0].run for row in (table.base, *table.rows)]
    facts = [json.loads((folder / f"{n}.json").read_text()) for n in ("four", "kernels_--layer_conv1")]
    assert [fact["run"] for fact in facts] == runs
    assert facts[0]["look"] == "maps --image 4 --layer conv1"
    assert "file" not in facts[0]
    run = store.find(runs[0])
    wanted = feature_maps(run.subject(), run.images().split("test").pixels[4:5], ["conv1"])
    assert load(folder / "four.npz").layers["conv1"].equal(wanted.layers["conv1"])


def test_what_is_there_is_not_made_again(
    ran: tuple[Store, Path, str], cutaway: Command, study: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store, folder, _ = ran
    before = {path.name: path.stat().st_mtime_ns for path in folder.iterdir()}
    study.write_text(STUDY.replace("--image 4", "--image 5") + "[quick]\nseeds = 1\n")
    with conducted(monkeypatch, InlineClient()) as client:
        code, _, err = cutaway("study", "run", study, "--store", store.folder)
    assert (code, len(client.assignments)) == (0, 0)  # other looks, or a quick one, are no other study
    changed = {path.name for path in folder.iterdir() if before[path.name] != path.stat().st_mtime_ns}
    assert changed == {"four.npz", "four.json", "four.png"}
    assert "kernels" not in err


def test_a_study_of_before_a_field_was_new_is_the_same(
    ran: tuple[Store, Path, str], cutaway: Command, study: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store, _, _ = ran
    row = find_study(store, "last")
    older = "\n".join(line for line in row.base.splitlines() if not line.startswith("patience"))
    assert older != row.base
    with sqlite3.connect(store.folder / "ledger.sqlite") as database:
        database.execute("UPDATE study SET base = ?", (older,))
    with conducted(monkeypatch, InlineClient()) as client:
        code, _, _ = cutaway("study", "run", study, "--store", store.folder)
    assert (code, len(client.assignments), len(store.studies.rows())) == (0, 0, 1)
    with sqlite3.connect(store.folder / "ledger.sqlite") as database:
        database.execute("UPDATE study SET base = ?", (older + "\nwhat_is_not_known = 1\n",))
    with conducted(monkeypatch, InlineClient()) as client:
        code, _, _ = cutaway("study", "run", study, "--store", store.folder)
    assert (code, len(client.assignments), len(store.studies.rows())) == (0, 4, 2)


def test_a_look_that_fails_is_told_and_the_others_are_made(
    ran: tuple[Store, Path, str], cutaway: Command, study: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store, folder, _ = ran
    for path in folder.iterdir():
        path.unlink()
    study.write_text(STUDY.replace("--image 4", "--image 400000"))
    with conducted(monkeypatch, InlineClient()):
        code, _, err = cutaway("study", "run", study, "--store", store.folder)
    assert code == 1
    assert "There is no test image 400000" in err
    assert "1 of 2 looks were not made: four." in err
    assert (folder / "kernels_--layer_conv1.json").is_file()
    assert not (folder / "four.json").exists()


@pytest.mark.parametrize(
    ("look", "told"),
    [
        ("mops --image 4", "there is no look mops"),
        ("maps --pixel 4", "--pixel"),
        ("maps --image", "--image"),
        ("maps 'unclosed", "No closing quotation"),
        ("   ", "names no look"),
    ],
)
def test_words_are_checked_before_anything_is_trained(
    cutaway: Command, study: Path, tmp_path: Path, look: str, told: str
) -> None:
    study.write_text(STUDY.replace("maps --image 4 --layer conv1", look))
    code, _, err = cutaway("study", "run", study, "--store", tmp_path / "runs")
    assert code == 2
    assert told in err
    assert len(err.splitlines()) <= 2
    assert not (tmp_path / "runs").exists()


def test_a_look_at_no_variant_is_refused(
    cutaway: Command, study: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    study.write_text(STUDY.replace('of = "-relu1"', 'of = "-relu9"'))
    with conducted(monkeypatch, InlineClient()) as client:
        code, _, err = cutaway("study", "run", study, "--store", tmp_path / "runs")
    assert (code, client.assignments) == (3, [])
    assert 'there is no variant "-relu9"' in err


def test_two_looks_of_one_file_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "twice.toml"
    path.write_text('look = [{ name = "One", look = "maps" }, { name = "one", look = "kernels" }]')
    with pytest.raises(ConfigError, match='two looks for the file "one"'):
        load_study(path)


def test_an_export_has_all_that_tables_and_pictures_are_made_of(
    ran: tuple[Store, Path, str], cutaway: Command, tmp_path: Path
) -> None:
    store, folder, _ = ran
    code, out, _ = cutaway("study", "export", "last", tmp_path / "new" / "out", "--store", store.folder)
    files = {path.name for path in (tmp_path / "new" / "out").iterdir()}
    assert code == 0
    assert {Path(line).name for line in out.splitlines()} == files
    assert files == {"looked_into.json", "looked_into-dynamics.json"} | {
        path.name for path in folder.iterdir() if path.suffix != ".png"
    }
    values = json.loads((tmp_path / "new/out/looked_into.json").read_text())
    assert from_json(values) == read_table(store, find_study(store, "last"))
    assert set(values["made"]) == {"created", "versions", "machine", "data"}
    assert f"{os.sched_getaffinity(0).__len__()} cores" in values["made"]["machine"]
    assert package.plot(tmp_path / "new/out/four.npz").axes


def test_dynamics_are_the_means_of_an_epochs_steps(ran: tuple[Store, Path, str]) -> None:
    store, _, _ = ran
    table = read_table(store, find_study(store, "last"))
    told: Any = json.loads(json.dumps(dynamics_to_json(store, table)))
    found = dynamics_from_json(told)
    assert {(name, seed) for name, seeds in found.items() for seed in seeds} == {
        (name, seed) for name in ("base", "-relu1") for seed in (0, 1)
    }
    trial = table.base.trials[1]
    for epoch, measured in store.ledger.measured(trial.run).items():
        ours = found["base"][1][epoch]
        assert ours.units == measured.units
        for layer, step in ours.steps[1].items():
            rows = [layers[layer] for layers in measured.steps.values()]
            assert len(rows) == 2
            assert step.weight_gradient == pytest.approx(
                (rows[0].weight_gradient + rows[1].weight_gradient) / 2, rel=1e-3
            )
            assert step.distance == pytest.approx(rows[1].distance, rel=1e-3)
