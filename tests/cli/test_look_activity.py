"""``cutaway look activity``."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from tests.cli.arrays import named

from cutaway.look import activity, deaths
from cutaway.store import Run

Command = Callable[..., tuple[int, str, str]]


@pytest.fixture
def store(trained: Run) -> Path:
    return trained.ledger.path.parent


MEASURES = ("mean", "maximum", "minimum", "fires", "blank", "dead", "rare", "constant", "selectivity")


def test_the_numbers_are_those_of_activity(
    cutaway: Command, trained: Run, store: Path, tmp_path: Path
) -> None:
    path = tmp_path / "found.npz"
    line = ["look", "activity", "last", "--layer", "conv1", "--layer", "relu2", "--sample", "40"]
    code, out, err = cutaway(*line, "-o", path, "--json", "--store", store)
    assert (code, err) == (0, "")
    wanted = activity(trained.subject(), trained.images().split("train"), ["conv1", "relu2"], sample=40)
    facts = json.loads(out)
    assert (facts["split"], facts["images"], facts["sampled"]) == ("train", 1000, 40)
    assert facts["classes"] == list("0123456789")
    with np.load(path, allow_pickle=False) as found:
        assert len(named(found)) == 2 * (len(MEASURES) + 2)
        for name, layer in wanted.layers.items():
            own = facts["layers"][name]
            assert own["units"] == list(range(layer.units))
            assert own["rectified"] == (name == "relu2")
            assert own["blank_maps"] == layer.blanks
            for measure in MEASURES:
                values = getattr(layer, measure).numpy()
                np.testing.assert_array_equal(found[f"{name}.{measure}"], values)
                np.testing.assert_array_equal(np.array(own[measure], dtype=float), values.astype(float))
            np.testing.assert_array_equal(np.array(own["class_means"]), layer.class_means.numpy())
            assert layer.correlation is not None
            np.testing.assert_array_equal(found[f"{name}.correlation"], layer.correlation.numpy())
            assert own["duplicates"] == [list(pair) for pair in layer.duplicates()]
    counted = {epoch: found.units["relu2"].dead for epoch, found in trained.measured().items()}
    assert facts["layers"]["relu2"]["dead_counted"] == {str(epoch): dead for epoch, dead in counted.items()}
    assert "dead_counted" not in facts["layers"]["conv1"]
    assert "died" not in facts["layers"]["relu2"]


def test_epochs_tell_when_units_died(cutaway: Command, trained: Run, store: Path, tmp_path: Path) -> None:
    path = tmp_path / "found.npz"
    line = ["look", "activity", "last", "--layer", "relu2", "--split", "test", "--epochs"]
    code, out, _ = cutaway(*line, "-o", path, "--json", "--store", store)
    assert code == 0
    kept = sorted({0, *trained.kept()})
    assert kept[0] == 0
    assert len(kept) > 1
    subjects = {epoch: trained.subject(str(epoch) if epoch else "random") for epoch in kept}
    wanted = deaths(subjects, trained.images().split("test"), ["relu2"])
    assert json.loads(out)["layers"]["relu2"]["died"] == wanted.died("relu2").tolist()
    with np.load(path) as found:
        assert found["epochs"].tolist() == kept
        np.testing.assert_array_equal(found["relu2.dead_by_epoch"], wanted.dead["relu2"].numpy())


def test_units_are_told_one_by_one(cutaway: Command, trained: Run, store: Path, tmp_path: Path) -> None:
    line: list[str | Path] = ["look", "activity", "last", "--layer", "conv1", "--layer", "relu2"]
    line += ["--unit", "5", "--unit", "1"]
    line += ["--split", "validation", "-o", tmp_path / "a.png", "--store", store]
    code, out, err = cutaway(*line)
    assert (code, err) == (0, "")
    wanted = activity(trained.subject(), trained.images().split("validation"), ["relu2"]).layers["relu2"]
    told = [line.strip() for line in out.splitlines()]
    assert sum(line.startswith("unit 1: ") for line in told) == 2
    (five,) = (line for line in told if line.startswith("unit 5: "))
    assert f"mean {wanted.mean[5]:.4g}, most {wanted.maximum[5]:.4g}, fires for {wanted.fires[5]:.1%}" in five
    if not wanted.dead[5]:
        assert (
            f"prefers {int(wanted.class_means[:, 5].argmax())} (selectivity {wanted.selectivity[5]:.2f})"
            in five
        )
    with Image.open(tmp_path / "a.png") as picture:
        assert min(picture.size) > 300
    facts = json.loads(cutaway(*line, "--json")[1])
    assert facts["layers"]["relu2"]["units"] == [5, 1]
    assert facts["layers"]["relu2"]["mean"] == wanted.mean[[5, 1]].tolist()
    assert facts["layers"]["conv1"]["units"] == [1]


@pytest.mark.parametrize(
    ("options", "code", "told"),
    [
        (["--layer", "conv9"], 3, 'Did you mean "conv'),
        (["--layer", "conv1", "--unit", "4"], 3, "those of conv1 are numbered from 0 to 3"),
        (["--sample", "0"], 2, "should be 1 or more"),
        (["--scheduler", "nonsense://here"], 3, "no Dask scheduler at nonsense://here"),
    ],
)
def test_what_is_wrong_is_told(
    cutaway: Command, store: Path, tmp_path: Path, *, options: list[str], code: int, told: str
) -> None:
    line = ["look", "activity", "last", "--split", "validation", "-o", tmp_path / "a.npz", "--store", store]
    found, out, err = cutaway(*line, *options)
    assert (found, out) == (code, "")
    assert told in err
    assert list(tmp_path.iterdir()) == []
