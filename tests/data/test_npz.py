"""Arrays of NumPy in one file: the layouts that are known, the axes, and what is refused."""

from __future__ import annotations

import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from cutaway.config import DataConfig
from cutaway.data import Images, load_source
from cutaway.errors import ConfigError, CutawayError, DataError, NotFoundError

RED, GREY = (4, 5, 6, 3), (4, 5, 6)
LABELS = np.array([0, 1, 2, 1])


def pixels(*shape: int) -> np.ndarray[Any, np.dtype[np.uint8]]:
    return (np.arange(np.prod(shape)) * 7 % 251).reshape(shape).astype(np.uint8)


def save(path: Path, **arrays: Any) -> Path:
    np.savez(path / "data.npz", **arrays)
    return path / "data.npz"


def load(path: Path) -> Images:
    return load_source(DataConfig(source="npz", path=str(path)))


def refused(path: Path, kind: type[CutawayError] = DataError) -> str:
    with pytest.raises(kind) as caught:
        load(path)
    assert len(str(caught.value).splitlines()) == 1
    return str(caught.value)


LAYOUTS = {
    "keras": {"train": ("x_train", "y_train"), "test": ("x_test", "y_test")},
    "medmnist": {
        "train": ("train_images", "train_labels"),
        "validation": ("val_images", "val_labels"),
        "test": ("test_images", "test_labels"),
    },
    "plain": {"train": ("images", "labels")},
}


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize("layout", LAYOUTS)
def test_each_layout_gives_its_splits(layout: str, packed: bool, tmp_path: Path) -> None:
    arrays: dict[str, Any] = {}
    for at, (images, labels) in enumerate(LAYOUTS[layout].values(), 2):
        arrays |= {images: pixels(at, 5, 6) + at, labels: np.arange(at)}
    (np.savez_compressed if packed else np.savez)(tmp_path / "a.npz", **arrays)
    found = load(tmp_path / "a.npz")
    assert list(found.splits) == list(LAYOUTS[layout])
    assert found.classes == tuple(str(n) for n in range(len(LAYOUTS[layout]) + 1))
    for at, (split, (images, _)) in enumerate(LAYOUTS[layout].items(), 2):
        assert found.split(split).pixels[:, 0].tolist() == arrays[images].tolist()
        assert found.split(split).labels.tolist() == list(range(at))
        assert found.split(split).pixels.dtype == torch.uint8
        assert found.split(split).labels.dtype == torch.int64


@pytest.mark.parametrize("layout", ["keras", "medmnist"])
def test_splits_after_the_first_may_be_missing(layout: str, tmp_path: Path) -> None:
    images, labels = LAYOUTS[layout]["train"]
    found = load(save(tmp_path, **{images: pixels(*GREY), labels: LABELS}))
    assert list(found.splits) == ["train"]


@pytest.mark.parametrize(
    ("shape", "wanted", "axes"),
    [
        ((4, 5, 6), (1, 5, 6), "NHW"),
        ((4, 5, 3), (1, 5, 3), "NHW"),  # three axes are always grey
        ((4, 5, 6, 1), (1, 5, 6), "NHWC"),
        ((4, 5, 6, 3), (3, 5, 6), "NHWC"),
        ((4, 1, 5, 6), (1, 5, 6), "NCHW"),
        ((4, 3, 5, 6), (3, 5, 6), "NCHW"),
        ((4, 3, 6, 3), (3, 3, 6), "NHWC"),  # both could be channels: the last is
        ((4, 1, 6, 3), (3, 1, 6), "NHWC"),
        ((4, 3, 6, 1), (1, 3, 6), "NHWC"),
        ((4, 4, 6, 3), (3, 4, 6), "NHWC"),
        ((4, 3, 6, 4), (3, 6, 4), "NCHW"),
    ],
)
def test_the_axes(shape: tuple[int, ...], wanted: tuple[int, int, int], axes: str, tmp_path: Path) -> None:
    array = pixels(*shape)
    found = load(save(tmp_path, images=array, labels=LABELS))
    assert found.shape == wanted
    stored = found.split("train").pixels
    assert stored.is_contiguous()
    for n, c, h, w in np.ndindex(4, *wanted):
        at = {"N": n, "C": c, "H": h, "W": w}
        assert int(stored[n, c, h, w]) == array[tuple(at[axis] for axis in axes)]


@pytest.mark.parametrize("kind", ["uint8", "int8", "int32", "uint16", "int64", "uint64", ">i4"])
@pytest.mark.parametrize("column", [False, True])
def test_labels_of_any_whole_kind(kind: str, column: bool, tmp_path: Path) -> None:
    labels = LABELS.astype(kind)
    found = load(save(tmp_path, images=pixels(*GREY), labels=labels[:, None] if column else labels))
    assert found.split("train").labels.tolist() == [0, 1, 2, 1]


def test_a_class_that_only_a_later_split_has_counts(tmp_path: Path) -> None:
    path = save(tmp_path, x_train=pixels(*GREY), y_train=LABELS, x_test=pixels(1, 5, 6), y_test=np.array([5]))
    assert load(path).classes == tuple("012345")


@pytest.mark.parametrize(
    "names", [np.array(["cat", "dög", "cow"]), np.array([b"cat", "dög".encode(), b"cow"])]
)
def test_named_classes(names: Any, tmp_path: Path) -> None:
    assert load(save(tmp_path, images=pixels(*GREY), labels=LABELS, classes=names)).classes == (
        "cat",
        "dög",
        "cow",
    )


REFUSED: dict[str, tuple[dict[str, Any], str]] = {
    "nothing": ({}, "has no arrays, but no x_train"),
    "other names": ({"a": LABELS, "b": LABELS}, "has a, b, but no x_train, train_images or images."),
    "no labels": ({"images": pixels(*GREY)}, "has no array labels, which belongs"),
    "test labels only": (
        {"x_train": pixels(*GREY), "y_train": LABELS, "y_test": LABELS},
        "has no array x_test",
    ),
    "floats": (
        {"images": pixels(*GREY) / 255, "labels": LABELS},
        "images is float64, but images are uint8 from 0 to 255. "
        'If 1 is white, save (x * 255).round().astype("uint8").',
    ),
    "wide numbers": (
        {"images": pixels(*GREY).astype(int), "labels": LABELS},
        'images is int64, but images are uint8 from 0 to 255. If 255 is white, save x.astype("uint8").',
    ),
    "signed bytes": ({"images": pixels(*GREY).astype(np.int8), "labels": LABELS}, "images is int8"),
    "transparency last": ({"images": pixels(4, 5, 6, 4), "labels": LABELS}, "images is 4×5×6×4. Leave trans"),
    "transparency first": ({"images": pixels(4, 4, 5, 6), "labels": LABELS}, "is 4×4×5×6. Leave trans"),
    "two channels": ({"images": pixels(4, 5, 6, 2), "labels": LABELS}, "4×5×6×2. Give it as (N, H, W)"),
    "flat": ({"images": pixels(4, 30), "labels": LABELS}, "images is 4×30. Give it as (N, H, W)"),
    "five axes": ({"images": pixels(4, 2, 5, 6, 3), "labels": LABELS}, "images is 4×2×5×6×3. Give it as"),
    "no pixels": ({"images": pixels(4, 0, 6), "labels": LABELS}, "images without pixels"),
    "no images": ({"images": pixels(0, 5, 6), "labels": LABELS[:0]}, "(train): there are no images in it."),
    "a number": ({"images": np.uint8(3), "labels": LABELS}, "images is a single number. Give it as"),
    "float labels": ({"images": pixels(*GREY), "labels": LABELS / 1}, 'Save y.astype("int64").'),
    "one-hot": ({"images": pixels(*GREY), "labels": np.eye(4, 3, dtype=int)}, "take labels.argmax(1)"),
    "a cube of labels": ({"images": pixels(*GREY), "labels": LABELS[:, None, None]}, "Give it as (N,)."),
    "fewer labels": ({"images": pixels(*GREY), "labels": LABELS[:3]}, "(train): 4 images but 3 labels."),
    "negative": ({"images": pixels(*GREY), "labels": LABELS - 1}, "label -1 is out of range; there are 2"),
    "more than named": (
        {"images": pixels(*GREY), "labels": LABELS, "classes": np.array(["a", "b"])},
        "label 2 is out of range; there are 2 classes",
    ),
    "a huge label": ({"images": pixels(*GREY), "labels": LABELS + 10**12}, "1000000000002 is too large"),
    "numbers for names": (
        {"images": pixels(*GREY), "labels": LABELS, "classes": np.arange(3)},
        "classes is int64 of 3, not a list of strings",
    ),
    "a table of names": (
        {"images": pixels(*GREY), "labels": LABELS, "classes": np.array([["a"], ["b"]])},
        "not a list of strings",
    ),
    "other sizes": (
        {"x_train": pixels(*GREY), "y_train": LABELS, "x_test": pixels(4, 6, 5), "y_test": LABELS},
        "training images are 1×5×6, test images 1×6×5. Give all splits one size.",
    ),
    "objects": (
        {"images": np.array([[1], [2, 3]], dtype=object), "labels": LABELS},
        "images holds Python objects. Save it as numbers or strings.",
    ),
    "names as objects": (
        {"images": pixels(*GREY), "labels": LABELS, "classes": np.array(["a"], dtype=object)},
        "classes holds Python objects.",
    ),
}  # fmt: skip


@pytest.mark.parametrize("fault", REFUSED)
def test_what_is_refused_is_told_in_a_line(fault: str, tmp_path: Path) -> None:
    arrays, message = REFUSED[fault]
    path = save(tmp_path, **arrays)
    told = refused(path)
    assert message in told
    assert told.startswith(str(path))


def test_files_that_are_none(tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy", pixels(*GREY))
    assert refused(tmp_path / "a.npy").endswith("a.npy is no .npz file. Save one with numpy.savez.")
    (tmp_path / "b.npz").write_bytes(b"\x80\x04}.")  # an empty dict, pickled
    assert "is no .npz file" in refused(tmp_path / "b.npz")
    with zipfile.ZipFile(tmp_path / "c.npz", "w") as file:
        file.writestr("images.npy", b"\x93NUMPY\1\0\x10\0{'descr': nonsense")
        file.writestr("labels.npy", b"")
    assert "can't be read" in refused(tmp_path / "c.npz")


def test_damaged_bytes_are_told_or_leave_the_pixels_right(tmp_path: Path) -> None:
    path = tmp_path / "a.npz"
    np.savez_compressed(path, images=pixels(*RED), labels=LABELS)
    right = load(path).split("train").pixels
    content = path.read_bytes()
    told = []
    for at in range(0, len(content), 3):
        path.write_bytes(content[:at] + bytes([content[at] ^ 0x55]) + content[at + 1 :])
        try:
            assert torch.equal(load(path).split("train").pixels, right)
        except DataError as error:
            told.append(str(error))
    assert len(told) > len(content) // 6
    assert all(len(message.splitlines()) == 1 for message in told)
    for length in range(0, len(content), 7):
        path.write_bytes(content[:length])
        refused(path)


def test_no_file(tmp_path: Path) -> None:
    assert "There is no file" in refused(tmp_path / "a.npz", NotFoundError)
    with pytest.raises(ConfigError, match='source "npz" reads a file'):
        load_source(DataConfig(source="npz"))


def test_keras_names_with_a_validation_split(tmp_path: Path) -> None:
    arrays = {
        f"{kind}_{split}": value
        for split in ("train", "val", "test")
        for kind, value in (("x", pixels(4, 5, 6)), ("y", LABELS))
    }
    assert list(load(save(tmp_path, **arrays)).splits) == ["train", "validation", "test"]


def test_classes_of_one_name_are_told_apart(tmp_path: Path) -> None:
    found = load(
        save(
            tmp_path,
            images=pixels(4, 5, 6),
            labels=LABELS,
            classes=np.array(["crane", "hat", "crane", "crane (2)"]),
        )
    )
    assert found.classes == ("crane", "hat", "crane (2)", "crane (2) (2)")
