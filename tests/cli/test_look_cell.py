"""``cutaway look cell``."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from cutaway.look import cell, feature_maps
from cutaway.store import Run

Command = Callable[..., tuple[int, str, str]]


@pytest.mark.parametrize("layer", ["conv1", "conv2", "dense1"])
def test_facts_and_numbers_are_those_of_cell_and_add_up(
    cutaway: Command, trained: Run, tmp_path: Path, layer: str
) -> None:
    path = tmp_path / "cell.npz"
    line = ("look", "cell", "last", "--layer", layer, "--unit", "3", "--image", "9", "--json", "-o", path)
    code, out, err = cutaway(*line, "--store", trained.ledger.path.parent)
    assert (code, err) == (0, "")
    facts = json.loads(out)
    image = trained.images().split("test").pixels[9:10]
    wanted = cell(trained.subject(), image, layer, 3)
    top, left, bottom, right = wanted.field
    assert facts == {
        "run": trained.id,
        "image": "9",
        "layer": layer,
        "unit": 3,
        "row": wanted.row,
        "column": wanted.column,
        "value": wanted.value,
        "bias": wanted.bias,
        "products": pytest.approx(wanted.total - wanted.bias, abs=1e-5),
        "channels": list(wanted.channels),
        "field": {"top": top, "left": left, "bottom": bottom, "right": right},
        "file": str(path),
    }
    assert facts["products"] + facts["bias"] == pytest.approx(facts["value"], abs=1e-5)
    values = feature_maps(trained.subject(), image, [layer]).layers[layer][0, 3]
    assert facts["value"] == pytest.approx(float(values.max()), abs=1e-6)
    with np.load(path) as found:
        np.testing.assert_array_equal(found["patch"] * found["kernel"], found["products"])
        assert float(found["products"].sum() + found["bias"]) == pytest.approx(
            float(found["value"]), abs=1e-4
        )
        np.testing.assert_array_equal(found["image"], image[0])
        np.testing.assert_array_equal(found["places"], wanted.places)
        assert found["field"].tolist() == [top, left, bottom, right]


def test_a_place_is_taken_as_asked_for_and_told(cutaway: Command, trained: Run, tmp_path: Path) -> None:
    path = tmp_path / "cell.png"
    line = (
        "look",
        "cell",
        "last",
        "--layer",
        "conv1",
        "--unit",
        "1",
        "--row",
        "4",
        "--column",
        "7",
        "-o",
        path,
    )
    code, out, _ = cutaway(*line, "--store", trained.ledger.path.parent)
    assert code == 0
    first, second, third, file = out.splitlines()
    assert first.startswith("conv1, unit 1 at row 4, column 7: ")
    assert second.startswith("products ")
    assert third == "from rows 4 to 8 and columns 7 to 11 of the image"
    assert file == str(path)


def test_the_file_in_the_looks_is_named_by_what_was_asked_for(
    cutaway: Command, trained: Run, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    import shutil

    shutil.copytree(trained.ledger.path.parent, tmp_path / "runs")
    line = ("look", "cell", "last", "--layer", "conv1", "--unit", "1", "--row", "4", "--column", "7")
    out = cutaway(*line, "--store", tmp_path / "runs")[1]
    assert Path(out.splitlines()[-1]).name == "cell-0-conv1-1-4-7.png"
