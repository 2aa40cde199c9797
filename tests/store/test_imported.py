"""Importing weights: a run that predicts as the plain model does, and refusals that leave nothing."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image
from safetensors.torch import save_file
from torch import nn

from cutaway.errors import ConfigError, DataError, NotFoundError
from cutaway.store import Store
from cutaway.store import store as store_module
from cutaway.store.imported import import_weights

Command = Callable[..., tuple[int, str, str]]

NET = "conv 6 3x3 pad 1 | relu | maxpool 2 | flatten | dense 9 | relu | dense 7"
SHAPE = (3, 8, 8)


@pytest.fixture
def model() -> nn.Module:
    """NET the plain way, with numbers for names."""
    torch.manual_seed(5)
    net = nn.Module()
    net.features = nn.Sequential(nn.Conv2d(3, 6, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2))
    net.classifier = nn.Sequential(nn.Linear(96, 9), nn.ReLU(), nn.Linear(9, 7))
    return net


@pytest.fixture
def weights(model: nn.Module, tmp_path: Path) -> Path:
    path = tmp_path / "weights.safetensors"
    save_file(model.state_dict(), path)
    return path


def test_the_run_predicts_as_the_model_does(model: Any, weights: Path, tmp_path: Path) -> None:
    mean, deviation = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
    run = import_weights(
        weights, NET, Store(tmp_path / "s"), input_shape=SHAPE, mean=mean, deviation=deviation
    )
    pixels = torch.randint(0, 256, (5, *SHAPE), dtype=torch.uint8)
    inputs = (pixels / 255 - torch.tensor(mean)[:, None, None]) / torch.tensor(deviation)[:, None, None]
    with torch.no_grad():
        wanted = model.classifier(model.features(inputs).flatten(1)).softmax(1)
    for which in ("best", "last"):
        subject = run.subject(which)
        torch.testing.assert_close(subject.predict(pixels), wanted, rtol=1e-5, atol=1e-6)
    assert subject.classes == tuple(f"class {number}" for number in range(7))
    assert (run.status, run.row.reason) == ("finished", "imported from weights.safetensors")


def test_a_net_of_the_zoo_brings_its_own_preprocessing(tmp_path: Path) -> None:
    from cutaway.nets import find_net, plan
    from cutaway.nets.builder import build

    net = build(plan(find_net("resnet18", 4), (3, 32, 32)), 0)
    renamed = {name: value.contiguous() for name, value in net.state_dict().items()}
    save_file(renamed, tmp_path / "own.safetensors")
    # Four classes are read off the last layer only in published layouts: here they must be 1 000.
    with pytest.raises(ConfigError, match=r"dense1\.weight is 4×512"):
        import_weights(tmp_path / "own.safetensors", "resnet18", Store(tmp_path / "s"))
    full = build(plan(find_net("resnet18"), (3, 32, 32)), 0).state_dict()
    save_file({name: value.contiguous() for name, value in full.items()}, tmp_path / "full.safetensors")
    run = import_weights(
        tmp_path / "full.safetensors", "resnet18", Store(tmp_path / "s"), input_shape=(3, 32, 32)
    )
    _, card = run.load("best")
    assert card.preprocess.shift == pytest.approx((123.675, 116.28, 103.53))
    assert card.preprocess.scale == pytest.approx((58.395, 57.12, 57.375))
    assert card.input_shape == (3, 32, 32)


def test_images_of_an_imported_run_are_told_to_be_missing(weights: Path, tmp_path: Path) -> None:
    run = import_weights(weights, NET, Store(tmp_path / "s"), input_shape=SHAPE)
    with pytest.raises(NotFoundError, match="imported and has no images"):
        run.images()


@pytest.mark.parametrize(
    ("changes", "error", "message"),
    [
        ({"net": "conv 5 3x3 pad 1 | flatten | dense 7"}, ConfigError, "another net's"),
        ({"input_shape": None}, ConfigError, "no input of its own"),
        ({"classes": ["cat", "dog"]}, ConfigError, "2 class names but the net has 7"),
        ({"mean": [0.5]}, ConfigError, "3 numbers"),
        ({"deviation": [1, 0, 1]}, ConfigError, "above 0"),
        ({"net": "vgg61"}, NotFoundError, "vgg16"),
    ],
)
def test_what_does_not_fit_is_refused_and_leaves_nothing(
    changes: dict[str, Any], error: type[Exception], message: str, weights: Path, tmp_path: Path
) -> None:
    given: dict[str, Any] = {"net": NET, "input_shape": SHAPE} | changes
    store = Store(tmp_path / "s")
    with pytest.raises(error, match=message):
        import_weights(weights, given.pop("net"), store, **given)
    assert not (tmp_path / "s").exists()


def test_pickles_and_broken_files_are_refused(model: nn.Module, tmp_path: Path) -> None:
    store = Store(tmp_path / "s")
    torch.save(model.state_dict(), tmp_path / "weights.pth")
    with pytest.raises(DataError, match="is a pickle, which can run code"):
        import_weights(tmp_path / "weights.pth", NET, store, input_shape=SHAPE)
    (tmp_path / "cut.safetensors").write_bytes(b"\x40\0\0\0\0\0\0\0{")
    with pytest.raises(DataError, match="can't be read as safetensors"):
        import_weights(tmp_path / "cut.safetensors", NET, store, input_shape=SHAPE)
    with pytest.raises(NotFoundError, match="no file"):
        import_weights(tmp_path / "none.safetensors", NET, store, input_shape=SHAPE)


def test_a_full_disk_leaves_no_run(weights: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from cutaway.errors import StoreError
    from cutaway.store import imported

    def full(*_: object) -> None:
        raise StoreError("The disk is full.")

    monkeypatch.setattr(imported, "save_weights", full)
    store = Store(tmp_path / "s")
    with pytest.raises(StoreError, match="full"):
        import_weights(weights, NET, store, input_shape=SHAPE)
    assert store.runs() == []
    assert [path for path in (tmp_path / "s").iterdir() if path.is_dir()] == []
    assert store_module.Store is Store


def test_the_command_and_what_follows_it(
    cutaway: Command, weights: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CUTAWAY_STORE", str(tmp_path / "s"))
    names = tmp_path / "names.txt"
    names.write_text("\n".join("abcdefg"), encoding="utf-8")
    code, out, err = cutaway(
        "import",
        weights,
        "--net",
        NET,
        "--input",
        "3x8x8",
        "--classes",
        names,
        "--mean",
        "0.5,0.5,0.5",
        "--json",
    )
    assert (code, err) == (0, "")
    run = json.loads(out)["id"]
    Image.new("RGB", (20, 14), (200, 30, 60)).save(tmp_path / "photo.png")
    code, out, err = cutaway("predict", run, tmp_path / "photo.png", "--json")
    assert code == 0, err
    assert set(json.loads(out)["images"][0]["probabilities"]) == set("abcdefg")
    assert cutaway("look", "maps", run, "--image", tmp_path / "photo.png")[0] == 0
    assert cutaway("runs", "show", run)[0] == 0
    assert cutaway("runs", "list")[0] == 0
    code, out, err = cutaway("evaluate", run)
    assert (code, out) == (3, "")
    assert "no images of its own" in err
    assert len(err.splitlines()) == 1
    assert cutaway("import", weights, "--net", NET, "--input", "3x8x8", "--mean", "grey")[0] == 2
