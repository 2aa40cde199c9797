"""``cutaway look saliency`` and the other looks that go backwards."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from tests.cli.arrays import named
from torch import Tensor

from cutaway import look
from cutaway.look import Target, difference
from cutaway.look.backward.occlusion import occlusion
from cutaway.look.backward.rise import rise
from cutaway.nets.subject import Subject
from cutaway.store import Run

Command = Callable[..., tuple[int, str, str]]


@pytest.fixture
def store(trained: Run) -> Path:
    return trained.ledger.path.parent


@pytest.fixture(scope="module")
def subject(trained: Run) -> Subject:
    return trained.subject()


def pictures(trained: Run, *numbers: int) -> Tensor:
    return trained.images().split("test").pixels[list(numbers)]


METHODS: dict[str, tuple[Callable[..., look.Attribution], list[str], dict[str, Any]]] = {
    "saliency": (look.saliency, [], {}),
    "gradient-input": (look.gradient_input, [], {}),
    "smoothgrad": (
        look.smoothgrad,
        ["--samples", "3", "--noise", "0.3", "--seed", "2"],
        {"samples": 3, "noise": 0.3, "seed": 2},
    ),
    "integrated-gradients": (
        look.integrated_gradients,
        ["--steps", "4", "--baseline", "random", "--seed", "5"],
        {"steps": 4, "baseline": "random", "seed": 5},
    ),
    "guided": (look.guided, ["--otherwise", "gradient"], {"otherwise": "gradient"}),
    "deconvnet": (look.deconvnet, [], {"otherwise": "refuse"}),
    "deeplift": (
        look.deeplift,
        ["--baseline", "blur"],
        {"baseline": "blur", "otherwise": "refuse", "seed": 0},
    ),
    "guided-gradcam": (
        look.guided_gradcam,
        ["--layer", "conv1"],
        {"layer": "conv1", "otherwise": "refuse"},
    ),
    "occlusion": (
        occlusion,
        ["--size", "9", "--stride", "7", "--baseline", "mean"],
        {"size": 9, "stride": 7, "baseline": "mean", "seed": 0},
    ),
    "rise": (
        rise,
        ["--samples", "8", "--grid", "3", "--shown", "0.4", "--of", "logit", "--seed", "6"],
        {"samples": 8, "grid": 3, "shown": 0.4, "of": "logit", "baseline": "black", "seed": 6},
    ),
    "lrp": (look.lrp, ["--rules", "z-plus"], {"rules": "z-plus", "otherwise": "refuse"}),
}
"""By command: its function, options, and the same as arguments."""


@pytest.mark.parametrize("name", METHODS)
def test_the_numbers_are_those_of_the_function(
    cutaway: Command, trained: Run, subject: Subject, store: Path, tmp_path: Path, *, name: str
) -> None:
    find, options, settings = METHODS[name]
    path = tmp_path / "a.npz"
    line = ("look", name, "last", "--class", "4", "--class", "9", "--image", "6", "--image", "3", *options)
    code, out, err = cutaway(*line, "-o", path, "--store", store)
    assert (code, err) == (0, "")
    images = pictures(trained, 6, 3)
    wanted = find(subject, images, [4, 9], **settings)
    with np.load(path, allow_pickle=False) as found:
        np.testing.assert_array_equal(found["image"], images.numpy())
        np.testing.assert_allclose(found["maps"], wanted.maps.numpy(), atol=1e-6)
        np.testing.assert_allclose(found["values"], wanted.values.numpy(), atol=1e-6)
        assert ("gap" in found) == (wanted.gap is not None)
        if wanted.gap is not None:
            np.testing.assert_allclose(found["gap"], wanted.gap.numpy(), atol=1e-5)
    first, *others, last = out.splitlines()
    assert last == str(path)
    assert first.startswith(f"image 6, 4: {float(wanted.values[0, 0]):.4g}")
    assert [line.partition(":")[0] for line in others[:3]] == ["image 3, 4", "image 6, 9", "image 3, 9"]
    assert ("the map adds up to" in first) == (wanted.gap is not None)


@pytest.mark.parametrize("name", METHODS)
def test_json_and_a_picture_of_the_predicted_class(
    cutaway: Command, trained: Run, subject: Subject, *, name: str, tmp_path: Path
) -> None:
    find, options, settings = METHODS[name]
    folder = tmp_path / "runs"
    shutil.copytree(trained.ledger.path.parent, folder)
    code, out, err = cutaway("look", name, "last", "--image", "7", *options, "--json", "--store", folder)
    assert (code, err) == (0, "")
    facts = json.loads(out, parse_constant=pytest.fail)
    image = pictures(trained, 7)
    predicted = int(subject.predict(image).argmax())
    wanted = find(subject, image, predicted, **settings)
    assert facts["run"] == trained.id
    assert (facts["image"], facts["predicted"]) == (["7"], [str(predicted)])
    assert facts["label"] == [str(int(trained.images().split("test").labels[7]))]
    assert (facts["method"], facts["settings"]) == (wanted.method, settings)
    (target,) = facts["targets"]
    assert target["target"] == str(predicted)
    assert target["value"] == pytest.approx(wanted.values[0].tolist(), abs=1e-6)
    assert target["sum"] == pytest.approx([float(wanted.maps.double().sum())], abs=1e-5)
    if wanted.gap is not None:
        assert target["gap"] == pytest.approx(wanted.gap[0].tolist(), abs=1e-5)
    called = "lrp-z-plus" if name == "lrp" else name
    assert Path(facts["file"]) == folder / trained.id / "looks" / f"{called}-7.png"
    with Image.open(facts["file"]) as picture:
        assert min(picture.size) > 200


def test_several_images_are_each_asked_for_what_they_are_taken_for(
    cutaway: Command, trained: Run, subject: Subject, store: Path, tmp_path: Path
) -> None:
    path = tmp_path / "a.npz"
    line = ("look", "saliency", "last", "--image", "2", "--image", "7", "-o", path, "--store", store)
    code, out, _ = cutaway(*line)
    assert code == 0
    images = pictures(trained, 2, 7)
    wanted = look.saliency(subject, images)
    with np.load(path) as found:
        np.testing.assert_allclose(found["maps"], wanted.maps.numpy(), atol=1e-6)
    names = subject.predict(images).argmax(1).tolist()
    assert [line.partition(":")[0] for line in out.splitlines()[:2]] == [
        f"image 2, predicted {names[0]}",
        f"image 7, predicted {names[1]}",
    ]


@pytest.mark.parametrize(
    ("options", "place", "called"),
    [
        (["--unit", "3"], "max", "saliency-0-conv2-3"),
        (["--unit", "3", "--place", "sum"], "sum", "saliency-0-conv2-3-sum"),
        (["--unit", "3", "--unit", "1", "--place", "2,1"], (2, 1), "saliency-0-conv2-3-1-2_1"),
    ],
)
def test_units_of_a_layer(
    cutaway: Command,
    trained: Run,
    subject: Subject,
    tmp_path: Path,
    *,
    options: list[str],
    place: Any,
    called: str,
) -> None:
    folder = tmp_path / "runs"
    shutil.copytree(trained.ledger.path.parent, folder)
    line = ("look", "saliency", "last", "--layer", "conv2", *options, "--store", folder, "--json")
    code, out, _ = cutaway(*line)
    assert code == 0
    units = [int(one) for at, one in enumerate(options) if at and options[at - 1] == "--unit"]
    wanted = look.saliency(
        subject, pictures(trained, 0), [Target({unit: 1.0}, "conv2", place) for unit in units]
    )
    facts = json.loads(out)
    assert [one["target"] for one in facts["targets"]] == list(wanted.targets)
    for one, sums in zip(facts["targets"], wanted.maps, strict=True):
        assert one["sum"] == pytest.approx([float(sums.double().sum())], abs=1e-5)
    assert Path(facts["file"]).stem == called


def test_why_one_class_and_not_the_other(
    cutaway: Command, trained: Run, subject: Subject, store: Path, tmp_path: Path
) -> None:
    image = pictures(trained, 0)
    predicted = int(subject.predict(image).argmax())
    other = (predicted + 1) % 10
    path = tmp_path / "a.npz"
    line = ("look", "gradient-input", "last", "--against", other, "-o", path, "--store", store)
    code, out, _ = cutaway(*map(str, line))
    assert code == 0
    wanted = look.gradient_input(subject, image, difference(subject, predicted, other))
    with np.load(path) as found:
        np.testing.assert_allclose(found["maps"], wanted.maps.numpy(), atol=1e-6)
    assert out.startswith(f"image 0, {predicted} − {other}: ")


def test_relevance_by_layer_is_told_and_written(
    cutaway: Command, trained: Run, subject: Subject, store: Path, tmp_path: Path
) -> None:
    path = tmp_path / "a.npz"
    line = ("look", "lrp", "last", "--layers", "--class", "1", "--class", "2", "-o", path, "--store", store)
    code, out, _ = cutaway(*line)
    assert code == 0
    names = ["conv1", "pool1", "relu1", "conv2", "relu2", "pool2", "dropout1", "flatten1", "dense1"]
    wanted = look.lrp(subject, pictures(trained, 0), [1, 2], layers=names)
    assert wanted.layers is not None
    lines = out.splitlines()
    rows = [line.split() for line in lines[lines.index("relevance in all, from the pixels up:") + 1 : -1]]
    assert [row[0] for row in rows] == ["pixels", *names]
    totals = [wanted.total(), *(wanted.total(name) for name in names)]
    for row, total in zip(rows, totals, strict=True):
        assert row[1:] == [f"{float(one):.4g}" for one in total.flatten()]
    with np.load(path) as found:
        assert {key for key in found if key.startswith("layer.")} == {f"layer.{name}" for name in names}
        for name in names:
            np.testing.assert_allclose(found[f"layer.{name}"], wanted.layers[name].numpy(), atol=1e-6)


def test_gradcam_of_all_layers_and_of_some(
    cutaway: Command, trained: Run, subject: Subject, store: Path, tmp_path: Path
) -> None:
    path = tmp_path / "a.npz"
    image = pictures(trained, 5)
    all_of_them = look.gradcam(subject, image)
    line = ("look", "gradcam", "last", "--image", "5", "-o", path, "--store", store)
    code, out, err = cutaway(*line)
    assert (code, err) == (0, "")
    with np.load(path, allow_pickle=False) as found:
        assert named(found) == {"image", "values", *(f"layer.{name}" for name in all_of_them.layers)}
        for name, maps in all_of_them.layers.items():
            np.testing.assert_allclose(found[f"layer.{name}"], maps.numpy(), atol=1e-6)
    predicted = int(subject.predict(image).argmax())
    assert out.startswith(f"image 5, {predicted}: {float(all_of_them.values):.4g}\n")
    some = ("--layer", "relu2", "--layer", "conv1", "--of", "conv2", "--unit", "1")
    code, out, _ = cutaway(*line[:-3], *some, tmp_path / "b.png", "--json", "--store", store)
    assert code == 2
    code, out, _ = cutaway(*line[:-4], *some, "-o", tmp_path / "b.png", "--json", "--store", store)
    assert code == 0
    facts = json.loads(out, parse_constant=pytest.fail)
    wanted = look.gradcam(subject, image, Target({1: 1.0}, "conv2"), ["relu2", "conv1"])
    assert list(facts["layers"]) == ["relu2", "conv1"]
    for name, row in facts["layers"].items():
        assert row["shape"] == list(wanted.layers[name].shape[2:])
        assert row["largest"] == [pytest.approx([float(wanted.layers[name].max())], abs=1e-6)]
    assert facts["targets"][0]["target"] == "conv2 unit 1"


def test_gradcam_says_where_there_is_nothing(cutaway: Command, store: Path, tmp_path: Path) -> None:
    """relu2 stands behind conv2: nothing of it leads there."""
    line = ("look", "gradcam", "last", "--layer", "relu2", "--layer", "conv1", "--of", "conv2", "--unit", "0")
    code, out, _ = cutaway(*line, "-o", tmp_path / "a.npz", "--store", store)
    assert code == 0
    assert out.splitlines()[1].startswith("nothing speaks for it in relu2")


@pytest.mark.parametrize(
    ("line", "code", "told"),
    [
        (["saliency", "--class", "ten"], 3, 'no class "ten"'),
        (["saliency", "--class", "10"], 3, "numbered from 0 to 9"),
        (["saliency", "--against", "3", "--class", "3"], 2, "another class than 3 itself"),
        (["saliency", "--against", "3", "--image", "0", "--image", "1"], 2, "--against needs the --class"),
        (["saliency", "--unit", "3"], 2, "--unit needs the --layer"),
        (["saliency", "--place", "sum"], 2, "--place is of a unit's map: give its --layer"),
        (["gradcam", "--unit", "3"], 2, "--unit needs the --of"),
        (["saliency", "--layer", "conv2"], 2, "Which unit of conv2"),
        (["saliency", "--layer", "conv2", "--unit", "0", "--class", "1"], 2, "not for both"),
        (["saliency", "--layer", "conv9", "--unit", "0"], 3, 'Did you mean "conv'),
        (["saliency", "--layer", "conv2", "--unit", "6"], 3, "numbered from 0 to 5"),
        (["saliency", "--layer", "conv2", "--unit", "0", "--place", "here"], 2, "ROW,COLUMN"),
        (["saliency", "--layer", "conv2", "--unit", "0", "--place", "99,0"], 3, "no place 99, 0 in conv2"),
        (["saliency", "--image", "10000"], 3, "numbered from 0 to 9999"),
        (["saliency", "--scale", "layer"], 2, "layer"),
        (["smoothgrad", "--samples", "0"], 2, "samples should be 1 or more"),
        (["integrated-gradients", "--steps", "0"], 2, "steps should be 1 or more"),
        (["integrated-gradients", "--baseline", "white"], 2, "white"),
        (["occlusion", "--size", "29"], 2, "size should be 1 to"),
        (["rise", "--shown", "1"], 2, "shown"),
        (["lrp", "--rules", "epsilon-pluss"], 3, 'Did you mean "epsilon-plus'),
        (["gradcam", "--layer", "dense1"], 2, "choose a layer with maps"),
    ],
)
def test_what_is_not_there_is_told(
    cutaway: Command, store: Path, tmp_path: Path, *, line: list[str], code: int, told: str
) -> None:
    method, *options = line
    found, out, err = cutaway("look", method, "last", *options, "-o", tmp_path / "a.npz", "--store", store)
    assert (found, out) == (code, "")
    assert told in err
    assert list(tmp_path.iterdir()) == []
