"""``cutaway look maximize``, ``invert``, ``caricature``, ``interpolate``, ``decode`` and ``train-prior``."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from tests.cli.arrays import named

from cutaway.look import (
    L2,
    Recipe,
    Target,
    TotalVariation,
    caricature,
    decode,
    invert,
    load,
    load_decoders,
    maximize,
    save_decoders,
    walk_images,
    walk_units,
)
from cutaway.look.optimising.caricature import DEFAULT
from cutaway.look.optimising.invert import DEFAULT as INVERTING
from cutaway.store import Run

Command = Callable[..., tuple[int, str, str]]

FEW = ["--steps", "2", "--rate", "0.03", "--seed", "4"]
RECIPE = Recipe(2, 0.03, seed=4)


@pytest.fixture
def store(trained: Run) -> Path:
    return trained.ledger.path.parent


@pytest.fixture
def look(cutaway: Command, store: Path, tmp_path: Path) -> Callable[..., dict[str, Any]]:
    """Run a look with its numbers written; what ``--json`` says and the numbers together."""

    def run(*words: str) -> dict[str, Any]:
        path = tmp_path / "found.npz"
        code, out, err = cutaway("look", *words, "--store", str(store), "-o", str(path), "--json")
        assert (code, err) == (0, "")
        with np.load(path) as arrays:
            return {
                **json.loads(out),
                "arrays": {name: torch.from_numpy(arrays[name]) for name in named(arrays.files)},
            }

    return run


def test_classes_with_priors(look: Callable[..., dict[str, Any]], trained: Run) -> None:
    told = look("maximize", "last", "--class", "3", "--class", "8", "--tv", "0.4", "--l2", "0.1", *FEW)
    recipe = Recipe(2, 0.03, seed=4, priors=(L2(0.1), TotalVariation(0.4)))
    found = maximize(trained.subject(), [3, 8], recipe, dataset=trained.images().split("test"))
    torch.testing.assert_close(told["arrays"]["images"], found.images)
    torch.testing.assert_close(told["arrays"]["values"], found.values)
    assert [row["target"] for row in told["images"]] == ["3", "8"]
    assert found.best_value is not None
    assert [row["dataset"] for row in told["images"]] == pytest.approx(found.best_value.tolist())


def test_units_of_a_layer_and_all_of_them(look: Callable[..., dict[str, Any]], trained: Run) -> None:
    chosen = look("maximize", "last", "--layer", "conv1", "--unit", "1", "--place", "2,3", *FEW)
    found = maximize(trained.subject(), Target({1: 1.0}, "conv1", (2, 3)), RECIPE)
    torch.testing.assert_close(chosen["arrays"]["images"], found.images)
    units = trained.subject().model.get_parameter("conv1.weight").shape[0]
    assert len(look("maximize", "last", "--layer", "conv1", *FEW)["images"]) == units


def test_priors_side_by_side(
    look: Callable[..., dict[str, Any]], cutaway: Command, store: Path, tmp_path: Path
) -> None:
    told = look("maximize", "last", "--class", "3", "--compare", "--tv", "0.4", "--l2", "0.1", *FEW)
    assert list(told["priors"]) == ["no prior", "l2", "tv", "all"]
    assert not torch.equal(told["arrays"]["no prior.images"], told["arrays"]["all.images"])
    path = tmp_path / "priors.png"
    code, out, _ = cutaway(
        "look",
        "maximize",
        "last",
        "--class",
        "3",
        "--compare",
        "--tv",
        "0.4",
        *FEW,
        "--store",
        str(store),
        "-o",
        str(path),
    )
    assert code == 0
    assert "no prior: 3: " in out
    with Image.open(path) as picture:
        assert picture.size[0] > 100


def test_invert(look: Callable[..., dict[str, Any]], trained: Run) -> None:
    told = look(
        "invert", "last", "--image", "0", "--image", "2", "--layer", "conv1", "--distance", "cosine", *FEW
    )
    pixels = trained.images().split("test").pixels[[0, 2]]
    recipe = replace(INVERTING, steps=2, rate=0.03, seed=4)
    found = invert(trained.subject(), pixels, ["conv1"], recipe, distance="cosine")
    torch.testing.assert_close(told["arrays"]["layer.conv1"], found.layers["conv1"])
    assert told["layers"]["conv1"]["pixel_error"] == pytest.approx(found.pixel_error["conv1"].tolist())


def test_caricature(look: Callable[..., dict[str, Any]], trained: Run) -> None:
    told = look("caricature", "last", "--image", "1", "--layer", "relu1", "--power", "1", *FEW)
    recipe = Recipe(2, 0.03, priors=DEFAULT.priors, seed=4)
    found = caricature(
        trained.subject(), trained.images().split("test").pixels[[1]], ["relu1"], recipe, power=1.0
    )
    torch.testing.assert_close(told["arrays"]["layer.relu1"], found.layers["relu1"])


def test_walks(look: Callable[..., dict[str, Any]], trained: Run) -> None:
    subject, pixels = trained.subject(), trained.images().split("test").pixels
    told = look("interpolate", "last", "--class", "3", "--class", "8", "--images", "3", *FEW)
    torch.testing.assert_close(told["arrays"]["images"], walk_units(subject, 3, 8, RECIPE, images=3).images)
    told = look(
        "interpolate", "last", "--layer", "conv1", "--image", "0", "--image", "1", "--images", "2", *FEW
    )
    recipe = replace(INVERTING, steps=2, rate=0.03, seed=4)
    found = walk_images(subject, pixels[:1], pixels[1:2], "conv1", recipe, images=2)
    torch.testing.assert_close(told["arrays"]["images"], found.images)


def test_decoders_are_trained_once_and_kept(
    look: Callable[..., dict[str, Any]], trained: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = look(
        "decode", "last", "--layer", "relu1", "--layer", "dense1", "--image", "0", "--steps", "2", "--train"
    )
    kept = load_decoders(Path(first["decoders"]))
    found = decode(trained.subject(), kept, trained.images().split("test").pixels[:1])
    torch.testing.assert_close(first["arrays"]["layer.dense1"], found.layers["dense1"])

    def refuse(*args: object, **kwargs: object) -> None:
        raise AssertionError("trained again")

    monkeypatch.setattr("cutaway.look.optimising.train_decoders", refuse)
    again = look("decode", "last", "--layer", "dense1", "--image", "0")
    torch.testing.assert_close(again["arrays"]["layer.dense1"], first["arrays"]["layer.dense1"])
    assert list(again["layers"]) == ["dense1"]
    look("decode", "last", "--layer", "dense1", "--image", "0", "--steps", "2", "--seed", "0")
    for asked in (("--steps", "3"), ("--seed", "1")):
        with pytest.raises(AssertionError, match="trained again"):
            look("decode", "last", "--layer", "dense1", "--image", "0", *asked)
    save_decoders(replace(kept, weights="of other weights"), Path(first["decoders"]))
    with pytest.raises(AssertionError, match="trained again"):
        look("decode", "last", "--layer", "dense1", "--image", "0")
    save_decoders(kept, Path(first["decoders"]))


def test_a_generator_is_trained_and_used(cutaway: Command, store: Path, trained: Run) -> None:
    path = trained.folder / "looks" / "prior.safetensors"
    path.unlink(missing_ok=True)
    code, _, err = cutaway("look", "maximize", "last", "--class", "3", "--generator", "--store", str(store))
    assert code == 3
    assert "train it first" in err
    code, out, err = cutaway(
        "look", "train-prior", "last", "--steps", "3", "--code", "4", "--store", str(store)
    )
    assert (code, err) == (0, "")
    assert f"{path}\n" in out
    assert out.endswith(f"{path.with_name('train-prior.png')}\n")
    with Image.open(path.with_name("train-prior.png")) as picture:
        assert min(picture.size) > 100
    words = ["look", "maximize", "last", "--class", "3", "--generator", "--steps", "2", "--json"]
    code, out, err = cutaway(*words, "--store", str(store))
    assert (code, err) == (0, "")
    assert json.loads(out)["images"][0]["target"] == "3"


def test_a_generator_can_be_drawn_again(look: Callable[..., dict[str, Any]], tmp_path: Path) -> None:
    told = look("train-prior", "last", "--steps", "2", "--code", "3")
    found = load(tmp_path / "found.npz")
    assert found.images.equal(told["arrays"]["images"])
    assert found.losses.shape == (2,)
    assert told["last_loss"] == pytest.approx(float(found.losses.mean()), rel=1e-6)


@pytest.mark.parametrize("words", [["invert", *FEW], ["decode", "--steps", "2", "--train"]])
def test_few_images_are_shown_and_all_are_measured(
    look: Callable[..., dict[str, Any]], tmp_path: Path, words: list[str]
) -> None:
    images = ["--image", "0", "--image", "1", "--image", "2"]
    told = look(words[0], "last", "--layer", "relu1", *images, "--shown", "1", *words[1:])
    assert told["arrays"]["image"].shape[0] == told["arrays"]["layer.relu1"].shape[0] == 1
    found = load(tmp_path / "found.npz")
    assert found.pixel_error["relu1"].shape == (3,)
    layer = told["layers"]["relu1"]
    errors = layer if isinstance(layer, list) else layer["pixel_error"]
    assert errors == pytest.approx(found.pixel_error["relu1"].tolist())


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["maximize", "last", "--unit", "1"], "--unit needs the --layer"),
        (["maximize", "last", "--class", "1", "--compare", "--diverse", "2"], "no --diverse, no --generator"),
        (["maximize", "last", "--layer", "conv1", "--class", "3"], "not for both"),
        (["maximize", "last", "--layer", "conv9"], "conv9"),
        (["maximize", "last", "--tv", "-1"], "should be 0 or more"),
        (["maximize", "last", "--steps", "0"], "steps should be"),
        (["maximize", "last", "--compare"], "no priors to compare"),
        (["maximize", "last", "--canvas", "fourier", "--blur", "1"], "do not go with"),
        (["interpolate", "last", "--class", "3"], "goes between two"),
        (["interpolate", "last", "--unit", "1", "--unit", "2"], "Give --layer"),
        (["invert", "last", "--image", "nowhere.png"], "nowhere.png"),
    ],
)
def test_bad_input(cutaway: Command, store: Path, words: list[str], told: str) -> None:
    code, _, err = cutaway("look", *words, "--store", str(store))
    assert code in (2, 3)
    assert told in err
    assert len(err.strip().splitlines()) <= 2
