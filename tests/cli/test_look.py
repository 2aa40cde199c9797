"""``cutaway look``: what all looks answer alike; maps and kernels in full."""

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
from tests.cli.arrays import named

from cutaway.look import feature_maps, kernels
from cutaway.store import Run, Store
from cutaway.store.saved import save_weights

Command = Callable[..., tuple[int, str, str]]

OVER_IMAGES = {
    "probe": ["--images", "40", "--test-images", "20", "--layer", "dense1", "--features", "9"],
    "similarity": ["--images", "20"],
    "rank": ["--images", "20"],
    "retention": ["--images", "40", "--test-images", "20", "--layer", "dense1", "--features", "9"],
}
"""Looks over many images, with options that make them fast."""

LOOKS = {
    "maps": [],
    "kernels": [],
    "cell": ["--layer", "conv1", "--unit", "0"],
    **OVER_IMAGES,
}
"""Looks with the options that they can't do without."""


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
        assert named(found) == {"image"} | {f"layer.{name}" for name in wanted.layers}
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


@pytest.mark.parametrize(
    ("method", "kind"),
    [*(("kernels", kind) for kind in ("png", "PNG", "svg", "pdf")), *((look, "png") for look in LOOKS)],
)
def test_pictures_of_every_kind(
    cutaway: Command, store: Path, tmp_path: Path, method: str, kind: str
) -> None:
    path = tmp_path / f"picture.{kind}"
    code, out, err = cutaway("look", method, "last", *LOOKS[method], "-o", path, "--store", store)
    assert (code, err) == (0, "")
    assert str(path) in out
    if kind.lower() == "png":
        with Image.open(path) as picture:
            assert picture.format == "PNG"
            assert min(picture.size) > 100
    elif kind == "svg":
        assert ElementTree.parse(path).getroot().tag.endswith("svg")
    else:
        assert path.read_bytes().startswith(b"%PDF")


def test_other_weights_than_there_are_are_refused(cutaway: Command, store: Path) -> None:
    code, out, err = cutaway("look", "maps", "last", "--weights", "middle", "--store", store)
    assert (code, out) == (2, "")
    assert 'best, last, random or the number of an epoch, not "middle"' in err


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


@pytest.mark.parametrize(
    ("method", "name"),
    [*((look, "picture.jpg") for look in LOOKS), ("maps", "picture"), ("kernels", "picture.npy")],
)
def test_another_ending_is_refused_with_those_that_there_are(
    cutaway: Command, store: Path, tmp_path: Path, method: str, name: str
) -> None:
    line = ("look", method, "last", *LOOKS[method], "-o", tmp_path / name, "--store", store)
    code, out, err = cutaway(*line)
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
        (
            ["maps", "last", "--unit", "10"],
            3,
            "There is no unit 10: those of dense1 are numbered from 0 to 9.",
        ),
        (
            ["kernels", "last", "--unit", "6"],
            3,
            "There is no unit 6: those of conv2 are numbered from 0 to 5.",
        ),
        (["kernels", "last", "--unit", "-1"], 3, "There is no unit -1"),
        (["maps", "last", "--beside", "7"], 3, "7"),
        (["maps", "last", "--scale", "channel"], 2, "channel"),
        (["kernels", "last", "--order", "size"], 2, "size"),
        (["maps", "last", "--split", "exam"], 3, "exam"),
        (["cell", "last", "--layer", "cnov1", "--unit", "0"], 3, 'Did you mean "conv1"'),
        (["cell", "last", "--layer", "relu1", "--unit", "0"], 2, "relu1 is no convolution"),
        (["cell", "last", "--layer", "conv1", "--unit", "4"], 3, "conv1 has no unit 4; they are numbered"),
        (["cell", "last", "--layer", "conv1", "--unit", "0", "--row", "24"], 3, "conv1 has no row 24"),
        (["cell", "last", "--unit", "0"], 2, "--layer"),
        *[([look, "last", "--layer", "cnov1"], 3, 'Did you mean "conv1"') for look in OVER_IMAGES],
        *[([look, "last", "--images", "-5"], 2, "1 or more, not -5") for look in OVER_IMAGES],
        *[([look, "last", "--images", "1"], 1, "too few") for look in ("similarity", "retention")],
        (["probe", "last", "--images", "1"], 1, "of one class"),
        (["rank", "last", "--images", "1"], 1, "1 images have no covariance"),
        (["similarity", "last", "--with", "zzzz"], 3, 'no run "zzzz"'),
        (["similarity", "last", "--with", "7"], 3, "7"),
        (["probe", "last", "--split", "train"], 2, "train"),
        (["retention", "last", "--split", "train"], 2, "train"),
        (["probe", "last", "--features", "0"], 2, "features should be 1 or more"),
        (["retention", "last", "--examples", "0"], 2, "examples should be 1 or more"),
        *[([look, "zzzz", *needed], 3, 'no run "zzzz"') for look, needed in LOOKS.items()],
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


@pytest.mark.parametrize("method", LOOKS)
def test_json_is_one_object_and_numbers_are_whole(
    cutaway: Command, trained: Run, store: Path, tmp_path: Path, method: str
) -> None:
    path = tmp_path / "found.npz"
    line = ("look", method, "last", *LOOKS[method], "--json", "-o", path, "--store", store)
    code, out, err = cutaway(*line)
    assert (code, err) == (0, "")
    facts = json.loads(out)
    assert (facts["run"], facts["file"]) == (trained.id, str(path))
    with np.load(path, allow_pickle=False) as found:
        assert named(found)
        assert all(np.isfinite(found[name]).all() for name in named(found))


def with_epochs(trained: Run, folder: Path) -> tuple[Path, Run]:
    """A store with a run that kept an epoch, whose kernels of the first layer are all 2."""
    store = Store(folder)
    shutil.copytree(trained.ledger.path.parent, store.folder)
    run = store.find(trained.id)
    checkpoint, card = run.load("1")
    tensors = dict(checkpoint.tensors)
    for key in [key for key in tensors if key.endswith("conv1.weight")]:
        tensors[key] = torch.full_like(tensors[key], 2.0)
    save_weights(run.folder / "epoch-1.safetensors", tensors, card)
    return store.folder, run


def test_other_weights_stand_beside_and_are_in_the_numbers(
    cutaway: Command, trained: Run, tmp_path: Path
) -> None:
    store, run = with_epochs(trained, tmp_path / "runs")
    beside = ("--beside", "random", "--beside", "1", "--store", store)
    path = tmp_path / "kernels.npz"
    assert cutaway("look", "kernels", "last", *beside, "-o", path)[0] == 0
    wanted = {name: kernels(run.subject(name)).layers["conv1"] for name in ("best", "random", "1")}
    with np.load(path) as found:
        np.testing.assert_array_equal(found["layer.conv1"], wanted["best"])
        np.testing.assert_array_equal(found["random.layer.conv1"], wanted["random"])
        np.testing.assert_array_equal(found["epoch 1.layer.conv1"], np.full((4, 1, 5, 5), 2.0))
    path = tmp_path / "maps.npz"
    assert cutaway("look", "maps", "last", "--layer", "conv1", *beside, "-o", path)[0] == 0
    image = trained.images().split("test").pixels[:1]
    with np.load(path) as found:
        for name, key in (("best", ""), ("random", "random."), ("1", "epoch 1.")):
            wanted = feature_maps(run.subject(name), image).layers  # type: ignore[assignment]
            np.testing.assert_array_equal(found[f"{key}layer.conv1"], wanted["conv1"])
    for look in ("maps", "kernels"):
        code, out, _ = cutaway("look", look, "last", "--layer", "conv1", *beside)
        assert code == 0
        picture = Path(out.splitlines()[-1])
        assert picture.parent == run.folder / "looks"
        assert picture.is_file()
        with Image.open(picture) as shown:
            assert shown.width > 1500  # three columns


def test_a_unit_is_followed_and_the_others_are_left_out(
    cutaway: Command, trained: Run, store: Path, tmp_path: Path
) -> None:
    path = tmp_path / "maps.npz"
    line = ("look", "maps", "last", "--unit", "5", "--unit", "2", "--image", "3", "--image", "8", "-o", path)
    facts = json.loads(cutaway(*line, "--json", "--store", store)[1])
    images = trained.images().split("test").pixels[[3, 8]]
    whole = feature_maps(trained.subject(), images)
    assert facts["image"] == ["3", "8"]
    with np.load(path) as found:
        np.testing.assert_array_equal(found["image"], images)
        for name, values in whole.layers.items():
            units = [unit for unit in (5, 2) if unit < values.shape[1]]
            np.testing.assert_array_equal(found[f"layer.{name}"], values[:, units])
            both = [unit for unit in units if whole.blank(name)[:, unit].all()]
            assert facts["blank"][name] == both
    assert cutaway("look", "maps", "last", "--unit", "5", "-o", tmp_path / "a.png", "--store", store)[0] == 0
    path = tmp_path / "kernels.npz"
    assert cutaway("look", "kernels", "last", "--unit", "5", "-o", path, "--store", store)[0] == 0
    with np.load(path) as found:  # the first layer has four
        assert named(found) == {"layer.conv2"}
        np.testing.assert_array_equal(found["layer.conv2"], kernels(trained.subject()).layers["conv2"][[5]])


@pytest.mark.parametrize("scale", ["unit", "layer", "global"])
@pytest.mark.parametrize("options", [["maps"], ["kernels"], ["kernels", "--order", "norm"]])
def test_every_scale_and_order_is_drawn(
    cutaway: Command, store: Path, tmp_path: Path, options: list[str], scale: str
) -> None:
    path = tmp_path / "a.svg"
    assert cutaway("look", *options, "last", "--scale", scale, "-o", path, "--store", store)[0] == 0
    assert path.stat().st_size > 1000


def test_a_dense_layers_kernels_are_those_of_the_maps_it_weighs(
    cutaway: Command, trained: Run, store: Path
) -> None:
    line = ("look", "kernels", "last", "--layer", "dense1", "--json", "--store", store)
    maps = feature_maps(trained.subject(), trained.images().split("test").pixels[:1]).layers["pool2"]
    assert json.loads(cutaway(*line)[1])["layers"] == {"dense1": [10, *maps.shape[1:]]}


def test_layers_are_listed_as_the_other_looks_name_them(cutaway: Command, trained: Run, store: Path) -> None:
    code, out, err = cutaway("look", "layers", "last", "--store", store)
    assert (code, err) == (0, "")
    facts = json.loads(cutaway("look", "layers", "last", "--json", "--store", store)[1])
    names = [row["name"] for row in facts["layers"]]
    assert names == list(dict(trained.subject().model.named_children()))
    assert [line.split()[0] for line in out.splitlines()[1:]] == names
    found = feature_maps(trained.subject(), trained.images().split("test").pixels[:1], names).layers
    assert {row["name"]: row["shape"] for row in facts["layers"]} == {
        name: list(values.shape[1:]) for name, values in found.items()
    }
