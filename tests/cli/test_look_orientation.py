"""``cutaway look orientation``."""

from __future__ import annotations

import json
import math
import shutil
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from tests.cli.arrays import named

from cutaway.look import orientation
from cutaway.store import Run, Store
from cutaway.store.saved import save_weights

Command = Callable[..., tuple[int, str, str]]
MEASURES = ("preferred", "width", "index", "circular_variance", "strength")


@pytest.fixture
def store(trained: Run) -> Path:
    return trained.ledger.path.parent


def test_the_numbers_are_those_of_orientation(
    cutaway: Command, trained: Run, store: Path, tmp_path: Path
) -> None:
    path = tmp_path / "orientation.npz"
    code, out, err = cutaway("look", "orientation", trained.id, "-o", path, "--store", store)
    assert (code, err) == (0, "")
    wanted = orientation(trained.subject())
    assert list(wanted.layers) == ["conv1", "conv2"]
    with np.load(path, allow_pickle=False) as found:
        parts = ("answers", "even", "curves", *MEASURES)
        assert named(found) == {"angles", "wavelengths"} | {
            f"{n}.{part}" for n in wanted.layers for part in parts
        }
        assert found["angles"].tolist() == list(range(0, 180, 15))
        np.testing.assert_allclose(found["wavelengths"], wanted.stimuli.wavelengths)
        for name, tuning in wanted.layers.items():
            for part in parts:
                np.testing.assert_array_equal(found[f"{name}.{part}"], getattr(tuning, part).numpy())
    *lines, last = out.splitlines()
    assert last == str(path)
    for name, tuning in wanted.layers.items():
        told = [line.split(": ", 2) for line in lines if line.startswith(f"{name}: ")]
        counts = {count.split(" ", 1)[1]: (int(count.split()[0]), units) for _, count, units in told}
        assert {word: number for word, (number, _) in counts.items()} == Counter(map(str, tuning.words))
        for word, (_, units) in counts.items():
            assert units == ", ".join(str(u) for u, own in enumerate(tuning.words) if own == word)


def test_json_has_words_and_null_where_there_is_nothing(
    cutaway: Command, trained: Run, tmp_path: Path
) -> None:
    """A unit whose kernel is zero answers nothing."""
    folder = tmp_path / "runs"
    shutil.copytree(trained.ledger.path.parent, folder)
    run = Store(folder).find(trained.id)
    checkpoint, card = run.load("last")
    tensors = dict(checkpoint.tensors)
    key = next(key for key in tensors if key.endswith("conv1.weight"))
    tensors[key] = tensors[key].clone()
    tensors[key][2] = 0
    save_weights(run.folder / "last.safetensors", tensors, card)
    line = (
        "look",
        "orientation",
        "last",
        "--layer",
        "conv1",
        "--weights",
        "last",
        "--json",
        "--store",
        folder,
    )
    code, out, err = cutaway(*line)
    assert (code, err) == (0, "")
    facts = json.loads(out, parse_constant=pytest.fail)
    assert Path(facts["file"]).name == "orientation-conv1-last.png"
    assert Path(facts["file"]).is_file()
    tuning = orientation(run.subject("last"), ["conv1"]).layers["conv1"]
    layer = facts["layers"]["conv1"]
    assert layer["words"] == list(map(str, tuning.words))
    assert layer["words"][2] == "none"
    assert layer["preferred"][2] is None
    assert layer["width"][2] is None
    assert layer["strength"][2] == 0
    assert layer["colour"] == ["all channels"] * 4
    for measure in MEASURES:
        values = [math.nan if value is None else value for value in layer[measure]]
        assert values == pytest.approx(getattr(tuning, measure).tolist(), nan_ok=True)
    scales = [math.inf if value is None else value for value in layer["wavelength"]]
    assert scales == [tuning.wavelengths[at] for at in tuning.scale.tolist()]


def test_a_picture(cutaway: Command, store: Path, tmp_path: Path) -> None:
    path = tmp_path / "picture.png"
    assert cutaway("look", "orientation", "last", "-o", path, "--store", store)[0] == 0
    with Image.open(path) as picture:
        assert min(picture.size) > 300
        assert len(picture.convert("RGB").getcolors(1 << 20) or []) > 50


@pytest.mark.parametrize(
    ("options", "code", "told"),
    [(["--layer", "conv9"], 3, 'Did you mean "conv'), (["--weights", "77"], 3, "77")],
)
def test_what_is_not_there_is_told(
    cutaway: Command, store: Path, tmp_path: Path, *, options: list[str], code: int, told: str
) -> None:
    line = ("look", "orientation", "last", *options, "-o", tmp_path / "a.npz", "--store", store)
    found, out, err = cutaway(*line)
    assert (found, out) == (code, "")
    assert told in err
    assert 1 <= err.count("\n") <= 2
    assert list(tmp_path.iterdir()) == []


def test_weights_that_diverged_are_told(cutaway: Command, trained: Run, tmp_path: Path) -> None:
    folder = tmp_path / "runs"
    shutil.copytree(trained.ledger.path.parent, folder)
    run = Store(folder).find(trained.id)
    checkpoint, card = run.load("last")
    tensors = {n: t * math.nan if t.is_floating_point() else t for n, t in checkpoint.tensors.items()}
    save_weights(run.folder / "last.safetensors", tensors, card)
    for look in ("orientation", "knockout"):
        code, out, err = cutaway("look", look, "last", "--weights", "last", "--store", folder)
        assert (code, out) == (1, "")
        assert "conv1.weight" in err
        assert "NaN" in err
        assert err.count("\n") <= 2
