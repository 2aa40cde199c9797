"""IDX files and folders of them: what is read, and what is said of damaged ones."""

from __future__ import annotations

import gzip
import math
import struct
from pathlib import Path

import pytest
import torch

from cutaway.config import DataConfig
from cutaway.data import SOURCES, load_images, load_source
from cutaway.data.idx import read_idx, write_idx
from cutaway.data.sources.idx import load_idx_folder
from cutaway.errors import ConfigError, CutawayError, DataError, NotFoundError

TRAIN_IMAGES, TRAIN_LABELS = "train-images-idx3-ubyte", "train-labels-idx1-ubyte"
TEST_IMAGES, TEST_LABELS = "t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte"


def _idx(*sizes: int, values: bytes | None = None, kind: int = 8) -> bytes:
    """An IDX file built from its description: zero, zero, type, axes, sizes, values."""
    body = bytes(n % 251 for n in range(math.prod(sizes))) if values is None else values
    return struct.pack(">BBBB", 0, 0, kind, len(sizes)) + struct.pack(f">{len(sizes)}I", *sizes) + body


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Six training and four test images of 5×4, three classes."""
    (tmp_path / TRAIN_IMAGES).write_bytes(_idx(6, 5, 4))
    (tmp_path / TRAIN_LABELS).write_bytes(_idx(6, values=bytes([0, 1, 2, 0, 1, 2])))
    (tmp_path / TEST_IMAGES).write_bytes(_idx(4, 5, 4))
    (tmp_path / TEST_LABELS).write_bytes(_idx(4, values=bytes([2, 2, 1, 0])))
    return tmp_path


@pytest.mark.parametrize("packed", [True, False])
def test_an_array_is_read_gzipped_or_not(tmp_path: Path, packed: bool) -> None:
    content = _idx(2, 3, 4)
    (tmp_path / "a").write_bytes(gzip.compress(content) if packed else content)
    found = read_idx(tmp_path / "a")
    assert found.dtype == torch.uint8
    assert found.tolist() == [[[12 * i + 4 * j + k for k in range(4)] for j in range(3)] for i in range(2)]


def test_what_is_written_is_read_and_is_the_same_bytes_each_time(tmp_path: Path) -> None:
    array = torch.arange(24, dtype=torch.uint8).view(2, 3, 4)
    write_idx(tmp_path / "a", array)
    write_idx(tmp_path / "b", array)
    assert torch.equal(read_idx(tmp_path / "a"), array)
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()
    assert gzip.decompress((tmp_path / "a").read_bytes()) == _idx(2, 3, 4)


PACKED = gzip.compress(_idx(2, 3, 4), mtime=0)

DAMAGED = {
    "nothing in it": (b"", "is no IDX file: it starts with nothing, not with two zero bytes."),
    "two bytes": (b"\0\0", "is no IDX file: it starts with 0000, not with two zero bytes."),
    "wrong magic number": (b"PK\3\4" + _idx(2), "is no IDX file: it starts with 504b0304, not with two zero"),
    "floats": (_idx(2, kind=13), "has elements of type 0x0d; images and labels have 0x08 (bytes)."),
    "no axes": (_idx(), "is damaged: its header is cut off. Fetch it again."),
    "header cut off": (_idx(2, 3, 4)[:11], "is damaged: its header is cut off. Fetch it again."),
    "values cut off": (_idx(2, 3, 4)[:-1], "is damaged: it states 2×3×4 bytes and has 23. Fetch it again."),
    "too many values": (_idx(2, 3, 4) + b"x", "is damaged: it states 2×3×4 bytes and has 25. Fetch it"),
    "impossible size": (_idx(2**32 - 1, values=b"x"), "is damaged: it states 4294967295 bytes and has 1."),
    "gzip cut off": (PACKED[:-12], "is damaged ("),
    "gzip without its end": (PACKED[:-4], "is damaged ("),
    "gzip with a wrong byte": (PACKED[:14] + b"\xff" + PACKED[15:], "is damaged ("),
    "gzip of nothing": (PACKED[:3], "is damaged ("),
    "gzip with a tail": (PACKED + b"tail", "is damaged ("),
}  # fmt: skip


@pytest.mark.parametrize("damage", DAMAGED)
def test_a_damaged_file_is_told_with_its_path(tmp_path: Path, damage: str) -> None:
    content, message = DAMAGED[damage]
    path = tmp_path / "images.gz"
    path.write_bytes(content)
    with pytest.raises(DataError) as caught:
        read_idx(path)
    assert str(caught.value).startswith(f"{path} {message}")
    assert "\n" not in str(caught.value)


def test_every_cut_of_a_gzipped_file_is_noticed(tmp_path: Path) -> None:
    path = tmp_path / "a.gz"
    for length in range(len(PACKED)):
        path.write_bytes(PACKED[:length])
        with pytest.raises(DataError):
            read_idx(path)


def test_a_file_that_is_no_gzip_although_it_is_called_so_is_read_as_it_is(tmp_path: Path) -> None:
    (tmp_path / "a.gz").write_bytes(_idx(3))
    assert read_idx(tmp_path / "a.gz").tolist() == [0, 1, 2]


@pytest.mark.parametrize("name", ["nowhere", "."])
def test_a_file_that_can_t_be_read(tmp_path: Path, name: str) -> None:
    with pytest.raises(DataError, match="can't be read: "):
        read_idx(tmp_path / name)


def test_a_folder_gives_two_splits_of_one_channel(folder: Path) -> None:
    images = load_idx_folder(folder)
    assert list(images.splits) == ["train", "test"]
    assert images.shape == (1, 5, 4)
    assert images.classes == ("0", "1", "2")
    train, test = images.split("train"), images.split("test")
    assert train.pixels.shape == (6, 1, 5, 4)
    assert train.pixels[1, 0].flatten().tolist() == list(range(20, 40))
    assert train.labels.tolist() == [0, 1, 2, 0, 1, 2]
    assert train.labels.dtype == torch.int64
    assert train.index.tolist() == [0, 1, 2, 3, 4, 5]
    assert test.labels.tolist() == [2, 2, 1, 0]


def test_a_class_that_only_the_test_images_have_counts(folder: Path) -> None:
    (folder / TEST_LABELS).write_bytes(_idx(4, values=bytes([2, 2, 1, 4])))
    assert load_idx_folder(folder).classes == ("0", "1", "2", "3", "4")


def test_the_files_may_be_gzipped_and_named_with_a_point(folder: Path) -> None:
    wanted = load_idx_folder(folder)
    for path in list(folder.iterdir()):
        (folder / f"{path.name.replace('-idx', '.idx')}.gz").write_bytes(gzip.compress(path.read_bytes()))
        path.unlink()
    found = load_idx_folder(folder)
    for name in wanted.splits:
        assert torch.equal(found.split(name).pixels, wanted.split(name).pixels)


def test_a_source_reads_the_folder_that_is_set(folder: Path) -> None:
    config = DataConfig(source="idx", path=str(folder), validation=3)
    assert len(load_source(config).split("train")) == 6
    assert [len(split) for split in load_images(config).splits.values()] == [3, 3, 4]


BAD_FOLDERS = {
    "more images than labels": (
        {TRAIN_LABELS: _idx(5)},
        "(train): 6 images but 5 labels. Take both files from one dataset.",
    ),
    "more labels than images": (
        {TEST_LABELS: _idx(9)},
        "(test): 4 images but 9 labels. Take both files from one dataset.",
    ),
    "images and labels swapped": (
        {TRAIN_IMAGES: _idx(6), TRAIN_LABELS: _idx(6, 5, 4)},
        "has 1 dimensions, not 3. Are images and labels swapped?",
    ),
    "colour images": ({TRAIN_IMAGES: _idx(6, 3, 5, 4)}, "has 4 dimensions, not 3."),
    "test images of another size": (
        {TEST_IMAGES: _idx(4, 4, 5)},
        "training images are 5×4, test images 4×5. Take all four files from one dataset.",
    ),
    "no training images": (
        {TRAIN_IMAGES: _idx(0, 5, 4), TRAIN_LABELS: _idx(0)},
        "(train): there are no images in it.",
    ),
    "no images at all": (
        {
            **dict.fromkeys((TRAIN_IMAGES, TEST_IMAGES), _idx(0, 5, 4)),
            **dict.fromkeys((TRAIN_LABELS, TEST_LABELS), _idx(0)),
        },
        "(train): there are no images in it.",
    ),
    "a damaged file": ({TEST_LABELS: _idx(4)[:-1]}, f"{TEST_LABELS} is damaged"),
    "a page that says that nothing was found": ({TEST_LABELS: b"<html>"}, f"{TEST_LABELS} is no IDX file"),
}  # fmt: skip


@pytest.mark.parametrize("fault", BAD_FOLDERS)
def test_files_that_do_not_belong_together_are_refused(folder: Path, fault: str) -> None:
    files, message = BAD_FOLDERS[fault]
    for name, content in files.items():
        (folder / name).write_bytes(content)
    with pytest.raises(DataError) as caught:
        load_idx_folder(folder)
    assert message in str(caught.value)
    assert str(folder) in str(caught.value)
    assert len(str(caught.value).splitlines()) == 1


def test_a_label_that_is_no_class_is_refused(folder: Path) -> None:
    with pytest.raises(DataError, match=r"\(train\): label 2 is out of range; there are 2 classes\."):
        load_idx_folder(folder, ("a", "b"))


def test_a_folder_that_is_not_there_or_lacks_a_file(folder: Path) -> None:
    with pytest.raises(NotFoundError, match=r"There is no folder .*nowhere\. Set data\.path"):
        load_idx_folder(folder / "nowhere")
    (folder / TEST_LABELS).unlink()
    with pytest.raises(NotFoundError, match=f"has no file {TEST_LABELS} or {TEST_LABELS}.gz"):
        load_idx_folder(folder)


@pytest.mark.parametrize(
    ("config", "kind", "message"),
    [
        (DataConfig(source="idx"), ConfigError, 'The source "idx" reads a folder: set data.path to it.'),
        (
            DataConfig(source="mnits"),
            NotFoundError,
            'There is no source "mnits". Did you mean "mnist"? Known: ' + ", ".join(sorted(SOURCES)) + ".",
        ),
    ],
)
def test_a_source_that_is_described_wrongly(
    config: DataConfig, kind: type[CutawayError], message: str
) -> None:
    with pytest.raises(kind) as caught:
        load_source(config)
    assert str(caught.value) == message
