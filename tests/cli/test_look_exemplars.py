"""``cutaway look exemplars``."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from tests.cli.arrays import named

from cutaway.look import exemplars
from cutaway.store import Run

Command = Callable[..., tuple[int, str, str]]


@pytest.fixture
def store(trained: Run) -> Path:
    return trained.ledger.path.parent


def test_the_numbers_are_those_of_exemplars(
    cutaway: Command, trained: Run, store: Path, tmp_path: Path
) -> None:
    path = tmp_path / "found.npz"
    line = ["look", "exemplars", "last", "--layer", "conv1", "--layer", "dense1", "--count", "3"]
    line += ["--sample", "40", "--quantile", "0.25"]
    code, out, err = cutaway(*line, "-o", path, "--json", "--store", store)
    assert (code, err) == (0, "")
    wanted = exemplars(
        trained.subject(),
        trained.images().split("train"),
        ["conv1", "dense1"],
        count=3,
        sample=40,
        quantile=0.25,
    )
    facts = json.loads(out)
    assert facts["run"] == trained.id
    assert (facts["split"], facts["images"], facts["sampled"], facts["quantile"]) == ("train", 1000, 40, 0.25)
    with np.load(path, allow_pickle=False) as found:
        assert len(named(found)) == 2 * (2 + 3 * 4)
        for name, layer in wanted.layers.items():
            assert found[f"{name}.units"].tolist() == list(range(len(layer.middles)))
            np.testing.assert_array_equal(found[f"{name}.middles"], layer.middles.numpy())
            for band in ("top", "middle", "bottom"):
                own = layer.band(band)
                for what in ("images", "values", "places", "boxes"):
                    values = getattr(own, what)
                    np.testing.assert_array_equal(found[f"{name}.{band}.{what}"], values.numpy())
                    assert torch.equal(torch.tensor(facts["layers"][name][band][what]), values)


def test_units_bands_and_split_are_chosen(cutaway: Command, store: Path, tmp_path: Path) -> None:
    path = tmp_path / "found.npz"
    line = ["look", "exemplars", "last", "--layer", "conv1", "--layer", "conv2", "--unit", "5", "--unit", "2"]
    line += ["--band", "top", "--split", "validation"]
    code, out, _ = cutaway(*line, "-o", path, "--json", "--store", store)
    assert code == 0
    facts = json.loads(out)
    assert facts["images"] == 500
    assert {name: layer["units"] for name, layer in facts["layers"].items()} == {
        "conv1": [2],
        "conv2": [5, 2],
    }
    with np.load(path) as found:
        assert named(found) == {
            f"{name}.{what}"
            for name in ("conv1", "conv2")
            for what in ("units", "top.images", "top.values", "top.places", "top.boxes")
        }
        assert found["conv2.top.images"].shape == (2, 9)


@pytest.mark.parametrize("options", [[], ["--whole"], ["--band", "middle"]])
def test_a_picture_goes_to_the_looks_of_the_run(
    cutaway: Command, store: Path, tmp_path: Path, options: list[str]
) -> None:
    path = tmp_path / "a.png"
    line = ["look", "exemplars", "last", "--layer", "conv2", "--split", "test", "-o", path]
    code, out, err = cutaway(*line, *options, "--store", store)
    assert (code, err) == (0, "")
    told = out.splitlines()
    assert told[0].startswith("conv2: ")
    assert "of 6 units have top images of one class" in told[0]
    with Image.open(path) as picture:
        assert min(picture.size) > 100


@pytest.mark.parametrize(
    ("options", "code", "told"),
    [
        (["--layer", "conv9"], 3, 'Did you mean "conv'),
        (["--layer", "conv1", "--unit", "4"], 3, "those of conv1 are numbered from 0 to 3"),
        (["--count", "0"], 2, "count should be 1 or more"),
        (["--quantile", "2"], 2, "quantile should be from 0 to 1"),
        (["--split", "tset"], 3, 'Did you mean "test"'),
        (["--band", "best"], 2, "best"),
    ],
)
def test_what_is_wrong_is_told(
    cutaway: Command, store: Path, tmp_path: Path, *, options: list[str], code: int, told: str
) -> None:
    line = ["look", "exemplars", "last", "-o", tmp_path / "a.npz", "--store", store]
    if "--split" not in options:
        line += ["--split", "validation"]
    found, out, err = cutaway(*line, *options)
    assert (found, out) == (code, "")
    assert told in err
    assert list(tmp_path.iterdir()) == []
