"""``cutaway look maps | kernels``."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest
import torch
from PIL import Image

from cutaway.look import feature_maps, kernels
from cutaway.store import Run, Store
from cutaway.store.saved import save_weights

Command = Callable[..., tuple[int, str, str]]


@pytest.fixture
def store(trained: Run) -> Path:
    return trained.ledger.path.parent


def test_the_numbers_of_maps_are_those_of_feature_maps(
    cutaway: Command, trained: Run, store: Path, tmp_path: Path
) -> None:
    path = tmp_path / "deep" / "maps.npz"
    code, out, err = cutaway("look", "maps", trained.id, "--image", "42", "-o", path, "--store", store)
    assert (code, err) == (0, "")
    assert out.splitlines()[-1] == str(path)
    image = trained.images().split("test").pixels[42:43]
    wanted = feature_maps(trained.subject(), image)
    with np.load(path, allow_pickle=False) as found:
        assert set(found) == {"image"} | {f"layer.{name}" for name in wanted.layers}
        np.testing.assert_array_equal(found["image"], image.numpy())
        for name, values in wanted.layers.items():
            np.testing.assert_array_equal(found[f"layer.{name}"], values.numpy())


def test_the_numbers_of_kernels_are_the_weights(
    cutaway: Command, trained: Run, store: Path, tmp_path: Path
) -> None:
    path = tmp_path / "kernels.npz"
    code, out, _ = cutaway("look", "kernels", trained.id, "--output", path, "--json", "--store", store)
    assert code == 0
    assert json.loads(out) == {
        "run": trained.id,
        "layers": {"conv1": [4, 1, 5, 5], "conv2": [6, 4, 3, 3]},
        "file": str(path),
    }
    with np.load(path, allow_pickle=False) as found:
        for name, weights in kernels(trained.subject()).layers.items():
            np.testing.assert_array_equal(found[f"layer.{name}"], weights.numpy())


def test_best_and_last_weights_are_told_apart(cutaway: Command, trained: Run, tmp_path: Path) -> None:
    """Where the two differ, each is looked into as asked for."""
    store = Store(tmp_path / "runs")
    shutil.copytree(trained.ledger.path.parent, store.folder)
    run = store.find(trained.id)
    checkpoint, card = run.load("last")
    tensors = {
        name: torch.zeros_like(t) if t.is_floating_point() else t for name, t in checkpoint.tensors.items()
    }
    save_weights(run.folder / "last.safetensors", tensors, card)
    for which, wanted in (
        ("best", kernels(trained.subject()).layers["conv1"]),
        ("last", torch.zeros(4, 1, 5, 5)),
    ):
        path = tmp_path / f"{which}.npz"
        line = ("look", "kernels", "last", "--weights", which, "-o", path, "--store", store.folder)
        assert cutaway(*line)[0] == 0
        with np.load(path) as found:
            np.testing.assert_array_equal(found["layer.conv1"], wanted.numpy())


@pytest.mark.parametrize("method", ["maps", "kernels"])
@pytest.mark.parametrize("kind", ["png", "PNG", "svg", "pdf"])
def test_pictures_of_every_kind(
    cutaway: Command, store: Path, tmp_path: Path, method: str, kind: str
) -> None:
    path = tmp_path / f"picture.{kind}"
    code, out, _ = cutaway("look", method, "last", "--layer", "conv2", "-o", path, "--store", store)
    assert code == 0
    assert str(path) in out
    if kind.lower() == "png":
        with Image.open(path) as picture:
            assert picture.format == "PNG"
            assert min(picture.size) > 100
    elif kind == "svg":
        assert ElementTree.parse(path).getroot().tag.endswith("svg")
    else:
        assert path.read_bytes().startswith(b"%PDF")


@pytest.mark.parametrize(
    ("method", "name"), [("maps", "maps-7-conv1-dense1.png"), ("kernels", "kernels-conv1.png")]
)
def test_without_a_place_it_goes_to_the_looks_of_the_run(
    cutaway: Command, trained: Run, tmp_path: Path, method: str, name: str
) -> None:
    store = tmp_path / "runs"
    shutil.copytree(trained.ledger.path.parent, store)
    line = ["look", method, trained.id, "--layer", "conv1"]
    line += ["--layer", "dense1", "--image", "7"] if method == "maps" else []
    code, out, err = cutaway(*line, "--json", "--store", store)
    assert (code, err) == (0, "")
    path = store / trained.id / "looks" / name
    assert json.loads(out)["file"] == str(path)
    assert path.is_file()


def test_blank_maps_are_counted_as_feature_maps_finds_them(
    cutaway: Command, trained: Run, store: Path, tmp_path: Path
) -> None:
    path = tmp_path / "maps.npz"
    facts = json.loads(cutaway("look", "maps", "last", "-o", path, "--json", "--store", store)[1])
    wanted = feature_maps(trained.subject(), trained.images().split("test").pixels[:1])
    assert facts["layers"] == {name: list(v.shape[1:]) for name, v in wanted.layers.items()}
    assert facts["blank"] == {
        name: [unit for unit, blank in enumerate(wanted.blank(name)[0].tolist()) if blank]
        for name in wanted.layers
    }


def test_an_image_file_is_framed_like_the_training_images(
    cutaway: Command, trained: Run, store: Path, tmp_path: Path
) -> None:
    pixels = trained.images().split("test").pixels[7]
    Image.fromarray(pixels[0].numpy()).save(tmp_path / "seven.png")
    # Light digits on black need no change; what stands on the paper of a photograph does.
    sheet = np.full((90, 90), 255, np.uint8)
    sheet[40:68, 5:33] = 255 - pixels[0].numpy()
    Image.fromarray(sheet).save(tmp_path / "sheet.png")
    for name in ("seven", "sheet"):
        path = tmp_path / f"{name}.npz"
        line = ("look", "maps", "last", "--image", tmp_path / f"{name}.png", "-o", path, "--store", store)
        assert cutaway(*line)[0] == 0
    with np.load(tmp_path / "seven.npz") as found:
        np.testing.assert_array_equal(found["image"], pixels[None].numpy())
    with np.load(tmp_path / "sheet.npz") as found:
        image = found["image"][0, 0]
        assert image.shape == (28, 28)
        assert image[0].max() == 0
        # Once inverted, scaled and set, it is nearly the digit that it was.
        assert np.corrcoef(image.flatten(), pixels[0].numpy().flatten())[0, 1] > 0.8


@pytest.mark.parametrize("method", ["maps", "kernels"])
@pytest.mark.parametrize("name", ["picture.jpg", "picture", "picture.npy"])
def test_another_ending_is_refused_with_those_that_there_are(
    cutaway: Command, store: Path, tmp_path: Path, method: str, name: str
) -> None:
    code, out, err = cutaway("look", method, "last", "-o", tmp_path / name, "--store", store)
    assert (code, out) == (2, "")
    assert ".png, .svg, .pdf or .npz" in err
    assert not (tmp_path / name).exists()


@pytest.mark.parametrize(
    ("options", "code", "told"),
    [
        (["maps", "last", "--image", "10000"], 3, "from 0 to 9999"),
        (["maps", "last", "--image", "-1"], 3, "-1"),
        (["maps", "last", "--image", "gone.png"], 3, "gone.png"),
        (["maps", "last", "--layer", "conv9"], 3, 'Did you mean "conv'),
        (["kernels", "last", "--layer", "conv9"], 3, 'Did you mean "conv'),
        (["kernels", "last", "--layer", "relu1"], 2, "no kernels"),
        (["maps", "zzzz"], 3, 'no run "zzzz"'),
        (["kernels", "zzzz"], 3, 'no run "zzzz"'),
    ],
)
def test_what_is_not_there_is_told(
    cutaway: Command, store: Path, tmp_path: Path, *, options: list[str], code: int, told: str
) -> None:
    found, out, err = cutaway("look", *options, "-o", tmp_path / "a.npz", "--store", store)
    assert (found, out) == (code, "")
    assert told in err
    assert 1 <= err.count("\n") <= 2
    assert list(tmp_path.iterdir()) == []
