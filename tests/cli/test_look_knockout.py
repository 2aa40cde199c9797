"""``cutaway look knockout``."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from tests.cli.arrays import named

from cutaway.look import Knockout, knockout
from cutaway.look.features import sample
from cutaway.store import Run

Command = Callable[..., tuple[int, str, str]]


@pytest.fixture
def store(trained: Run) -> Path:
    return trained.ledger.path.parent


@pytest.fixture(scope="session")
def wanted(trained: Run) -> Knockout:
    """What the commands below should say."""
    return knockout(trained.subject(), sample(trained.images().split("test"), 60, 5))


LINE = ("look", "knockout", "last", "--images", "60", "--seed", "5")


def test_the_numbers_are_those_of_knockout(
    cutaway: Command, wanted: Knockout, store: Path, tmp_path: Path
) -> None:
    path = tmp_path / "knockout.npz"
    code, out, err = cutaway(*LINE, "-o", path, "--store", store)
    assert (code, err) == (0, "")
    with np.load(path, allow_pickle=False) as found:
        parts = ("units", "accuracy", "class_accuracy", "objective", "values")
        whole = ("whole_accuracy", "whole_class_accuracy", "whole_objective")
        assert named(found) == {"accuracy", "class_accuracy", "objective"} | {
            f"{name}.{part}" for name in wanted.layers for part in (*parts, *whole)
        }
        for part in ("accuracy", "class_accuracy", "objective"):
            np.testing.assert_allclose(found[part], getattr(wanted, part))
        for name, row in wanted.layers.items():
            for part in (*parts, *whole):
                np.testing.assert_allclose(found[f"{name}.{part}"], getattr(row, part))
    first, *lines, last = out.splitlines()
    assert first == f"{wanted.accuracy:.2%} of 60 test images are right, objective {wanted.objective:.4f}"
    assert last == str(path)
    for line, name in zip(lines, wanted.layers, strict=True):
        lost = wanted.lost(name).tolist()
        best = sorted(range(len(lost)), key=lambda unit: (-lost[unit], unit))[:3]
        told = ", ".join(f"{unit} ({100 * lost[unit]:.1f})" for unit in best)
        whole_lost = 100 * wanted.whole_lost(name)
        assert line == f"{name}: {whole_lost:.1f} points lost without it; dearest units {told}"


def test_json_has_all_and_each_class(
    cutaway: Command, wanted: Knockout, trained: Run, tmp_path: Path
) -> None:
    folder = tmp_path / "runs"
    shutil.copytree(trained.ledger.path.parent, folder)
    code, out, err = cutaway(*LINE, "--layer", "conv2", "--json", "--store", folder)
    assert (code, err) == (0, "")
    facts = json.loads(out, parse_constant=pytest.fail)
    file = Path(facts.pop("file"))
    assert file == folder / trained.id / "looks" / "knockout-conv2.png"
    with Image.open(file) as picture:
        assert min(picture.size) > 300
    row = wanted.layers["conv2"]
    layer = facts.pop("layers")
    assert list(layer) == ["conv2"]
    assert facts == {
        "run": trained.id,
        "split": "test",
        "images": 60,
        "value": "zero",
        "classes": list(wanted.classes),
        "accuracy": wanted.accuracy,
        "class_accuracy": wanted.class_accuracy.tolist(),
        "objective": wanted.objective,
    }
    for part in ("units", "accuracy", "class_accuracy", "objective", "whole_class_accuracy"):
        np.testing.assert_allclose(layer["conv2"][part], getattr(row, part))
    assert layer["conv2"]["whole_accuracy"] == row.whole_accuracy
    assert (layer["conv2"]["method"], layer["conv2"]["reason"]) == ("suffix", "")


def test_a_class_without_images_has_null(cutaway: Command, store: Path, tmp_path: Path) -> None:
    """Three images are of three classes at most."""
    line = ("look", "knockout", "last", "--images", "3", "--layer", "conv1", "--unit", "2", "--unit", "0")
    code, out, _ = cutaway(*line, "--to", "mean", "--json", "-o", tmp_path / "a.npz", "--store", store)
    assert code == 0
    facts = json.loads(out, parse_constant=pytest.fail)
    assert facts["value"] == "mean"
    assert facts["layers"]["conv1"]["units"] == [2, 0]
    empty = [value is None for value in facts["class_accuracy"]]
    assert 7 <= sum(empty) < 10
    for row in (
        *facts["layers"]["conv1"]["class_accuracy"],
        facts["layers"]["conv1"]["whole_class_accuracy"],
    ):
        assert [value is None for value in row] == empty


def test_what_was_asked_for_is_in_the_name_of_the_file(
    cutaway: Command, trained: Run, tmp_path: Path
) -> None:
    folder = tmp_path / "runs"
    shutil.copytree(trained.ledger.path.parent, folder)
    line = ("look", "knockout", "last", "--images", "5", "--layer", "conv1", "--unit", "3", "--to", "mean")
    code, out, _ = cutaway(*line, "--weights", "last", "--store", folder)
    assert code == 0
    assert Path(out.splitlines()[-1]).name == "knockout-conv1-3-mean-last.png"


@pytest.mark.parametrize(
    ("options", "code", "told"),
    [
        (["--images", "20", "--layer", "conv9"], 3, 'Did you mean "conv'),
        (["--images", "20", "--layer", "conv1", "--unit", "4"], 3, "numbered from 0 to 3"),
        (["--images", "20", "--layer", "conv1", "--unit", "-1"], 3, "no unit -1"),
        (["--images", "0"], 2, "1 or more, not 0"),
        (["--to", "half"], 2, "half"),
        (["--split", "valid"], 3, "validation"),
    ],
)
def test_what_is_not_there_is_told(
    cutaway: Command, store: Path, tmp_path: Path, *, options: list[str], code: int, told: str
) -> None:
    line = (
        "look",
        "knockout",
        "last",
        *options,
        "-o",
        tmp_path / "a.npz",
        "--store",
        store,
    )
    found, out, err = cutaway(*line)
    assert (found, out) == (code, "")
    assert told in err
    assert list(tmp_path.iterdir()) == []
