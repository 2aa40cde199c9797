"""CIFAR-10 and CIFAR-100 in their binary version, archived and unpacked; damaged, pickled, missing."""

from __future__ import annotations

import gzip
import io
import tarfile
from collections.abc import Mapping
from pathlib import Path

import pytest
import torch

from cutaway.config import DataConfig
from cutaway.data import Images, load_images, load_source
from cutaway.errors import CutawayError, DataError, NotFoundError

BATCHES = {
    "cifar10": [*(f"data_batch_{n}.bin" for n in (1, 2, 3, 4, 5)), "test_batch.bin"],
    "cifar100": ["train.bin", "test.bin"],
}
FOLDERS = {"cifar10": "cifar-10-batches-bin", "cifar100": "cifar-100-binary"}
ARCHIVES = {"cifar10": "cifar-10-binary.tar.gz", "cifar100": "cifar-100-binary.tar.gz"}
NAMES = {"cifar10": "batches.meta.txt", "cifar100": "fine_label_names.txt"}
COUNTS = {"cifar10": 10, "cifar100": 100}


def pixel(image: int, channel: int, row: int, column: int) -> int:
    """What each pixel of each image is, so that no two axes can be mistaken for each other."""
    return (97 * image + 61 * channel + 5 * row + 3 * column + image * row) % 256


def record(source: str, image: int, label: int) -> bytes:
    """One record, written from the description of the format."""
    values = bytes(
        pixel(image, channel, row, column)
        for channel in range(3)
        for row in range(32)
        for column in range(32)
    )
    # A superclass that is no class of the image, so that the two can't be confused.
    return (bytes([19 - label % 20]) if source == "cifar100" else b"") + bytes([label]) + values


def files(source: str, each: int = 2) -> dict[str, bytes]:
    """All batches, ``each`` records in every one; image n has label 3 n + 1, wrapped at the classes."""
    found = {}
    for at, name in enumerate(BATCHES[source]):
        images = range(at * each, (at + 1) * each)
        found[name] = b"".join(record(source, n, (3 * n + 1) % COUNTS[source]) for n in images)
    return found


def pack(path: Path, folder: str, content: Mapping[str, bytes]) -> None:
    """A .tar.gz as the official ones are: a folder with files."""
    with tarfile.open(path, "w:gz") as archive:
        head = tarfile.TarInfo(folder)
        head.type = tarfile.DIRTYPE
        archive.addfile(head)
        for name, values in content.items():
            info = tarfile.TarInfo(f"{folder}/{name}")
            info.size = len(values)
            archive.addfile(info, io.BytesIO(values))


def unpack(folder: Path, content: Mapping[str, bytes]) -> None:
    folder.mkdir(parents=True)
    for name, values in content.items():
        (folder / name).write_bytes(values)


def lay(place: str, source: str, root: Path, content: Mapping[str, bytes]) -> Path:
    """The dataset in one of the places it may be in; the path that is given for it."""
    if place == "archive":
        pack(root / "renamed.tar.gz", FOLDERS[source], content)
        return root / "renamed.tar.gz"
    if place == "folder with the archive":
        pack(root / ARCHIVES[source], FOLDERS[source], content)
        return root
    unpack(root / FOLDERS[source], content)
    return root / FOLDERS[source] if place == "unpacked" else root


PLACES = ["archive", "folder with the archive", "unpacked", "folder with the unpacked"]


def load(source: str, path: Path) -> Images:
    return load_source(DataConfig(source=source, path=str(path)))


def refused(source: str, path: Path, kind: type[CutawayError] = DataError) -> str:
    with pytest.raises(kind) as caught:
        load(source, path)
    assert len(str(caught.value).splitlines()) <= 2
    return str(caught.value)


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("source", BATCHES)
def test_every_image_is_where_the_format_says(source: str, place: str, tmp_path: Path) -> None:
    images = load(source, lay(place, source, tmp_path, files(source)))
    assert list(images.splits) == ["train", "test"]
    assert images.shape == (3, 32, 32)
    training = 2 * len(BATCHES[source]) - 2
    for split, numbers in (("train", range(training)), ("test", range(training, training + 2))):
        found = images.split(split)
        assert found.pixels.dtype == torch.uint8
        assert found.labels.tolist() == [(3 * n + 1) % COUNTS[source] for n in numbers]
        assert found.index.tolist() == list(range(len(numbers)))
        for at, image in enumerate(numbers):
            assert found.pixels[at].tolist() == [
                [[pixel(image, c, row, column) for column in range(32)] for row in range(32)]
                for c in range(3)
            ]


def test_the_pixels_can_be_written_to_and_lie_in_one_piece(tmp_path: Path) -> None:
    pixels = load("cifar10", lay("archive", "cifar10", tmp_path, files("cifar10"))).split("train").pixels
    assert pixels.is_contiguous()
    pixels += 1


@pytest.mark.parametrize("source", BATCHES)
def test_the_classes_have_the_names_that_lie_beside_them(source: str, tmp_path: Path) -> None:
    names = [f"name {n}" for n in range(COUNTS[source])]
    text = "".join(f"{name}\n" for name in names) + "\n"  # the official file ends in an empty line
    path = lay("archive", source, tmp_path, {**files(source), NAMES[source]: text.encode()})
    assert load(source, path).classes == tuple(names)


def test_the_known_names_where_there_are_none(tmp_path: Path) -> None:
    ten = load("cifar10", lay("archive", "cifar10", tmp_path, files("cifar10"))).classes
    assert ten == tuple("airplane automobile bird cat deer dog frog horse ship truck".split())  # noqa: SIM905
    hundred = load("cifar100", lay("unpacked", "cifar100", tmp_path, files("cifar100"))).classes
    # The order is that of the alphabet; a few labels that are often quoted.
    assert len(set(hundred)) == 100
    assert list(hundred) == sorted(hundred)
    assert [hundred[n] for n in (0, 1, 8, 49, 52, 99)] == [
        *("apple", "aquarium_fish", "bicycle", "mountain", "oak_tree", "worm"),
    ]  # fmt: skip


@pytest.mark.parametrize("place", ["archive", "unpacked"])
@pytest.mark.parametrize("source", BATCHES)
def test_what_does_not_fit_is_told_with_its_file(source: str, place: str, tmp_path: Path) -> None:
    labels = 1 if source == "cifar10" else 2
    name = BATCHES[source][-1]
    right = files(source)
    out_of_range = bytearray(right[name])
    out_of_range[labels - 1] = COUNTS[source]
    cases = {
        "too short": (
            right[name][:-1],
            f"{name} has {2 * (labels + 3072) - 1:,} bytes, which are no records",
        ),
        "too long": (right[name] + b"x", f"{name} has {2 * (labels + 3072) + 1:,} bytes"),
        "empty": (b"", f"{name} has 0 bytes"),
        "label": (bytes(out_of_range), f"{name} has label {COUNTS[source]}, but there are {COUNTS[source]}"),
        "missing": (None, f"has no {name}. Fetch it again: cutaway data fetch {source}"),
    }
    for at, (content, message) in enumerate(cases.values()):
        root = tmp_path / str(at)
        root.mkdir()
        changed = {k: v for k, v in {**right, name: content}.items() if v is not None}
        path = lay(place, source, root, changed)
        told = refused(source, path)
        assert message in told
        assert str(path) in told


def test_the_largest_label_is_no_mistake(tmp_path: Path) -> None:
    content = files("cifar10") | {"test_batch.bin": record("cifar10", 0, 9)}
    assert load("cifar10", lay("archive", "cifar10", tmp_path, content)).split("test").labels.tolist() == [9]


def test_a_wrong_number_of_names(tmp_path: Path) -> None:
    path = lay("archive", "cifar10", tmp_path, {**files("cifar10"), "batches.meta.txt": b"cat\ndog\n"})
    assert "batches.meta.txt has 2 class names, not 10" in refused("cifar10", path)


def test_a_damaged_archive_is_noticed_wherever_it_is_cut(tmp_path: Path) -> None:
    path = lay("archive", "cifar10", tmp_path, files("cifar10", each=1))
    content = path.read_bytes()
    for length in [0, 1, 10, 100, len(content) // 2, len(content) - 9, len(content) - 4, len(content) - 1]:
        path.write_bytes(content[:length])
        assert f"{path} is damaged" in refused("cifar10", path)


def test_a_changed_byte_is_noticed_by_the_checksum(tmp_path: Path) -> None:
    """Stored without compression, the change does no other harm than to a pixel."""
    plain, path = io.BytesIO(), tmp_path / "a.tar.gz"
    pack(path, "cifar-10-batches-bin", files("cifar10", each=1))
    plain.write(gzip.decompress(path.read_bytes()))
    stored = bytearray(gzip.compress(plain.getvalue(), compresslevel=0))
    path.write_bytes(stored)
    assert len(load("cifar10", path).split("train")) == 5
    stored[2000] ^= 1
    path.write_bytes(stored)
    assert "is damaged" in refused("cifar10", path)


def test_a_file_that_is_no_archive(tmp_path: Path) -> None:
    (tmp_path / "a.zip").write_bytes(b"PK\3\4 and so on")
    assert "is damaged, or no .tar.gz archive" in refused("cifar10", tmp_path / "a.zip")
    (tmp_path / "b.gz").write_bytes(gzip.compress(b"no archive" * 100))
    assert "is damaged, or no .tar.gz archive" in refused("cifar10", tmp_path / "b.gz")


@pytest.mark.parametrize("place", ["the archive", "another name", "in a folder", "folder", "unpacked"])
@pytest.mark.parametrize("source", BATCHES)
def test_the_pickled_version_is_refused_with_the_reason(source: str, place: str, tmp_path: Path) -> None:
    archive, folder, name = {
        "cifar10": ("cifar-10-python.tar.gz", "cifar-10-batches-py", "data_batch_1"),
        "cifar100": ("cifar-100-python.tar.gz", "cifar-100-python", "train"),
    }[source]
    path = tmp_path
    if place in {"the archive", "another name"}:
        path = tmp_path / (archive if place == "the archive" else "a.tar.gz")
        pack(path, folder, {name: b"\x80\x02}."})
    elif place == "in a folder":
        pack(tmp_path / archive, folder, {name: b"\x80\x02}."})
    else:
        unpack(tmp_path / folder, {name: b"\x80\x02}."})
        path = tmp_path / folder if place == "unpacked" else tmp_path
    message = refused(source, path)
    assert str(path) in message
    assert "a pickle can run any code" in message
    assert message.endswith(f"cutaway data fetch {source}")


def test_the_binary_version_is_read_although_the_pickled_one_lies_beside_it(tmp_path: Path) -> None:
    path = lay("folder with the archive", "cifar10", tmp_path, files("cifar10"))
    (path / "cifar-10-python.tar.gz").write_bytes(b"")
    assert len(load("cifar10", path).split("train")) == 10
    path = lay("unpacked", "cifar10", tmp_path, files("cifar10"))
    (path / "data_batch_1").write_bytes(b"\x80\x02}.")
    assert len(load("cifar10", path).split("train")) == 10


@pytest.mark.parametrize("source", BATCHES)
def test_nothing_there(source: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(NotFoundError) as caught:
        load_source(DataConfig(source=source))
    assert f"There is no data/{source}. Fetch it: cutaway data fetch {source}" in str(caught.value)
    message = refused(source, tmp_path, NotFoundError)
    assert ARCHIVES[source] in message
    assert f"cutaway data fetch {source}" in message


@pytest.mark.parametrize("source", BATCHES)
def test_what_was_fetched_is_found_without_a_path(
    source: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "data" / source).mkdir(parents=True)
    lay("folder with the archive", source, tmp_path / "data" / source, files(source))
    images = load_images(DataConfig(source=source, validation=1))
    assert [len(images.split(name)) for name in ("validation", "test")] == [1, 2]
