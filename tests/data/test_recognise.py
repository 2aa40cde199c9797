"""What a path or a name means, told by what lies there."""

from __future__ import annotations

import zipfile
from pathlib import Path

import pytest
from PIL import Image

from cutaway.data import Recognised, recognise
from cutaway.errors import DataError, NotFoundError


def _picture(path: Path, width: int = 10, height: int = 12) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (width, height), "red").save(path)


@pytest.mark.parametrize("name", ["mnist", "textures", "hf:beans"])
def test_a_source_by_its_name(name: str) -> None:
    found = recognise(name)
    assert (found.source, found.path, found.size) == (name, "", "")


@pytest.mark.parametrize(
    ("files", "source"),
    [
        (["train-images-idx3-ubyte.gz"], "idx"),
        (["t10k-images.idx3-ubyte"], "idx"),
        (["data_batch_1.bin", "batches.meta.txt"], "cifar10"),
        (["cifar-10-binary.tar.gz"], "cifar10"),
        (["train.bin", "test.bin"], "cifar100"),
        (["cifar-100-binary.tar.gz"], "cifar100"),
    ],
)
def test_a_folder_of_a_known_dataset(tmp_path: Path, files: list[str], source: str) -> None:
    for name in files:
        (tmp_path / name).write_bytes(b"")
    assert recognise(str(tmp_path)).source == source


def test_arrays(tmp_path: Path) -> None:
    path = tmp_path / "x.npz"
    path.write_bytes(b"")
    assert recognise(str(path)) == Recognised("npz", str(path), "", "arrays in a NumPy file", "")


@pytest.mark.parametrize(
    ("sizes", "size"),
    [
        ([(20, 20), (20, 20)], ""),  # all the same and small: as they are
        ([(64, 40), (64, 40)], ""),
        ([(65, 65), (65, 65)], "64x64"),
        ([(50, 60), (70, 55), (49, 90)], "48x48"),
        ([(500, 400), (300, 200)], "64x64"),
        ([(20, 21), (21, 20)], "32x32"),
    ],
)
def test_a_folder_for_each_class(tmp_path: Path, sizes: list[tuple[int, int]], size: str) -> None:
    for number, (width, height) in enumerate(sizes):
        _picture(tmp_path / f"class{number % 2}" / f"{number}.png", width, height)
    found = recognise(str(tmp_path))
    assert (found.source, found.path, found.size) == ("folder", str(tmp_path), size)
    assert bool(found.why_size) == bool(size)


def test_an_archive(tmp_path: Path) -> None:
    _picture(tmp_path / "a.png")
    with zipfile.ZipFile(tmp_path / "x.zip", "w") as archive:
        for name in ("train/a/1.png", "train/b/1.png"):
            archive.write(tmp_path / "a.png", name)
    assert recognise(str(tmp_path / "x.zip")).source == "folder"


def test_photographs_without_folders_are_cut_into_patches(tmp_path: Path) -> None:
    for name in ("bark", "brick"):
        _picture(tmp_path / f"{name}.jpg", 200, 100)
    found = recognise(str(tmp_path))
    assert (found.source, found.size) == ("patches", "64x64")
    assert "100x200" in found.why_size


def test_bad_pictures_do_not_disturb(tmp_path: Path) -> None:
    for name in ("a/1.png", "b/1.png"):
        _picture(tmp_path / name)
    (tmp_path / "a" / "0.png").write_bytes(b"nothing")
    assert recognise(str(tmp_path)).size == ""


def test_nothing_to_be_read(tmp_path: Path) -> None:
    with pytest.raises(NotFoundError) as missing:
        recognise("minst")
    assert str(missing.value).startswith(
        'There is no file or folder and no source "minst". Did you mean "mnist"?'
    )
    with pytest.raises(DataError) as empty:
        recognise(str(tmp_path))
    assert str(empty.value) == f"{tmp_path} has no image files."
    (tmp_path / "a.png").write_bytes(b"text")
    with pytest.raises(DataError) as bad:
        recognise(str(tmp_path))
    assert str(bad.value) == f"{tmp_path}: none of the images that were looked at can be read."
