"""Anybody's images: every layout and format, what counts as a class, and what is said of the rest."""

from __future__ import annotations

import io
import os
import tarfile
import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from cutaway.config import DataConfig, Fit
from cutaway.data import Images, load_images, load_source
from cutaway.errors import ConfigError, CutawayError, DataError, NotFoundError

pytestmark = pytest.mark.usefixtures("no_processes")

STRAY = "it lies in no class's folder"
EMPTY = "no image in this class's folder can be used"

FORMATS = ("folder", "zip", "tar", "tar.gz", "tar.xz", "tar.bz2")


@pytest.fixture(autouse=True)
def _cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CUTAWAY_CACHE", str(tmp_path / "cache"))


def picture(seed: int, size: tuple[int, int] = (4, 4)) -> bytes:
    """A small PNG that differs from all others."""
    buffer = io.BytesIO()
    Image.fromarray(np.random.default_rng(seed).integers(0, 256, (*size, 3), np.uint8)).save(buffer, "PNG")
    return buffer.getvalue()


def pack(path: Path, files: Mapping[str, bytes], kind: str = "folder", folders: Sequence[str] = ()) -> Path:
    """A dataset of these files, as a folder or packed."""
    if kind == "folder":
        for name in folders:
            (path / "data" / name).mkdir(parents=True, exist_ok=True)
        for name, content in files.items():
            (path / "data" / name).parent.mkdir(parents=True, exist_ok=True)
            (path / "data" / name).write_bytes(content)
        return path / "data"
    target = path / f"data.{kind}"
    if kind == "zip":
        with zipfile.ZipFile(target, "w") as archive:
            for name in folders:
                archive.writestr(f"{name}/", b"")
            for name, content in files.items():
                archive.writestr(name, content)
        return target
    modes: dict[str, Any] = {"tar": "w", "tar.gz": "w:gz", "tar.xz": "w:xz", "tar.bz2": "w:bz2"}
    with tarfile.open(target, modes[kind]) as tar:
        for name in folders:
            member = tarfile.TarInfo(name)
            member.type = tarfile.DIRTYPE
            tar.addfile(member)
        for name, content in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))
    return target


def some(*names: str) -> dict[str, bytes]:
    return {name: picture(seed) for seed, name in enumerate(names)}


def load(path: Path, **fields: Any) -> Images:
    return load_source(DataConfig.model_validate({"source": "folder", "path": str(path), **fields}))


def refused(path: Path, kind: type[CutawayError] = DataError, **fields: Any) -> str:
    with pytest.raises(kind) as caught:
        load(path, **fields)
    assert len(str(caught.value).splitlines()) <= 2
    return str(caught.value)


def bad(path: Path, *pairs: tuple[str, str], what: str = "") -> str:
    """What is said of files that can't be used."""
    first = "; ".join(f"{name}: {reason}" for name, reason in pairs)
    what = what or ("1 file" if len(pairs) == 1 else f"{len(pairs)} files")
    return (
        f"{path}: {what} can't be used: {first}.\n"
        "Mend or remove them, or leave them out with --skip-bad (data.skip_bad = true)."
    )


def told(images: Images) -> dict[str, list[tuple[str, str]]]:
    """The file and the class of each image, split by split."""
    return {
        name: [(split.name(at), images.classes[int(split.labels[at])]) for at in range(len(split))]
        for name, split in images.splits.items()
    }


def as_pillow(images: Images, files: Mapping[str, bytes], mode: str = "RGB") -> None:
    """Each image has the pixels that Pillow decodes of the file that it is named by."""
    for split in images.splits.values():
        for at in range(len(split)):
            wanted = np.asarray(Image.open(io.BytesIO(files[split.name(at)])).convert(mode))
            found = split.batch(torch.tensor([at]))[0].permute(1, 2, 0).numpy()
            assert found.tolist() == wanted.reshape(found.shape).tolist()


# Layouts.


def test_a_folder_for_each_class_is_one_training_split(tmp_path: Path) -> None:
    files = some("tulip/1.png", "rose/2.png", "rose/1.png", "rose/10.png")
    images = load(pack(tmp_path, files))
    assert images.classes == ("rose", "tulip")
    names = ["rose/1.png", "rose/10.png", "rose/2.png", "tulip/1.png"]
    assert told(images) == {"train": [(name, name.split("/")[0]) for name in names]}
    assert images.split("train").labels.dtype == torch.int64
    assert images.skipped == ()
    as_pillow(images, files)


@pytest.mark.parametrize(
    ("train", "validation", "test"),
    [("train", "validation", "test"), ("Train", "VALID", "Testing"), ("training", "val", "TEST")],
)
def test_splits_may_be_called_in_several_ways(tmp_path: Path, train: str, validation: str, test: str) -> None:
    files = some(
        f"{test}/b/1.png", f"{train}/a/1.png", f"{validation}/b/1.png", f"{train}/b/2.png", f"{test}/a/3.png"
    )
    images = load(pack(tmp_path, files))
    assert images.classes == ("a", "b")
    assert told(images) == {
        "train": [(f"{train}/a/1.png", "a"), (f"{train}/b/2.png", "b")],
        "validation": [(f"{validation}/b/1.png", "b")],
        "test": [(f"{test}/a/3.png", "a"), (f"{test}/b/1.png", "b")],
    }
    as_pillow(images, files)
    stores = {id(split.store) for split in images.splits.values()}
    assert len(stores) == 1  # no split copies pixels


@pytest.mark.parametrize("kind", FORMATS)
@pytest.mark.parametrize("wrapping", ["", "flowers/", "all/of/them/"])
def test_all_formats_give_the_same_images_wrapped_or_not(tmp_path: Path, kind: str, wrapping: str) -> None:
    files = some("train/a/1.png", "train/a/deep/er/2.png", "train/b/1.png", "test/a/1.png", "test/b/3.png")
    plain = load(pack(tmp_path / "plain", files))
    wrapped = {f"{wrapping}{name}": content for name, content in files.items()}
    litter = {"__MACOSX/train/a/1.png": b"", ".hidden/1.png": b"", f"{wrapping}train/.DS_Store": b""}
    (tmp_path / "packed").mkdir()
    images = load(pack(tmp_path / "packed", {**wrapped, **litter}, kind))
    assert images.classes == plain.classes == ("a", "b")
    assert images.skipped == ()
    assert list(images.splits) == list(plain.splits)
    for name, split in images.splits.items():
        assert torch.equal(split.pixels, plain.split(name).pixels)
        assert torch.equal(split.labels, plain.split(name).labels)
        assert [split.name(at) for at in range(len(split))] == [
            f"{wrapping}{plain.split(name).name(at)}" for at in range(len(split))
        ]
    as_pillow(images, wrapped)


def test_a_wrapping_folder_is_none_where_images_lie_right_in_it(tmp_path: Path) -> None:
    path = pack(tmp_path, some("rose/1.png", "rose/old/2.png"))
    assert refused(path) == (
        f'{path} has only the class "rose". Put the images into a folder for each class: '
        "train/<class>/… and test/<class>/…, or <class>/…"
    )


def test_folders_within_a_class_belong_to_it(tmp_path: Path) -> None:
    images = load(pack(tmp_path, some("a/x/1.png", "a/y/z/1.png", "a/1.png", "b/train/1.png")))
    assert told(images)["train"] == [
        ("a/1.png", "a"),
        ("a/x/1.png", "a"),
        ("a/y/z/1.png", "a"),
        ("b/train/1.png", "b"),
    ]


def test_a_class_with_one_image_stays_in_the_training_split(tmp_path: Path) -> None:
    names = [f"a/{n}.png" for n in range(10)] + ["b/1.png"]
    config = DataConfig(source="folder", path=str(pack(tmp_path, some(*names))))
    images = load_images(config)
    sizes = {name: len(split) for name, split in images.splits.items()}
    assert sizes == {"train": 8, "validation": 1, "test": 2}
    assert ("b/1.png", "b") in told(images)["train"]
    rows = sorted(name for split in told(images).values() for name, _ in split)
    assert rows == sorted(names)


def test_a_source_s_own_test_split_is_left_alone(tmp_path: Path) -> None:
    names = [f"train/{c}/{n}.png" for c in "ab" for n in range(10)] + ["test/a/1.png"]
    images = load_images(DataConfig(source="folder", path=str(pack(tmp_path, some(*names)))))
    assert told(images)["test"] == [("test/a/1.png", "a")]
    assert {name: len(split) for name, split in images.splits.items()} == {
        "train": 18,
        "validation": 2,
        "test": 1,
    }


# Classes that are none, or two.


@pytest.mark.parametrize("kind", ["folder", "zip", "tar"])
@pytest.mark.parametrize("prefix", ["", "train/", "Training/", "flowers/", "flowers/TRAIN/"])
def test_an_empty_class_is_told(tmp_path: Path, kind: str, prefix: str) -> None:
    files = some(f"{prefix}a/1.png", f"{prefix}b/1.png")
    path = pack(tmp_path, files, kind, [f"{prefix}lily", f"{prefix}lily/deep", f"{prefix}a/deep"])
    assert refused(path) == bad(path, ("lily", EMPTY))
    images = load(path, skip_bad=True)
    assert images.classes == ("a", "b")
    assert images.skipped == (("lily", EMPTY),)


def test_folders_beside_a_wrapping_one_are_no_classes(tmp_path: Path) -> None:
    path = pack(tmp_path, some("flowers/a/1.png", "flowers/b/1.png"), folders=["docs/html", "docs"])
    assert load(path).classes == ("a", "b")


def test_a_folder_without_a_class_s_folders_is_told(tmp_path: Path) -> None:
    path = pack(tmp_path, some("1.png", "2.png"))
    assert refused(path) == bad(path, ("1.png", STRAY), ("2.png", STRAY))
    assert refused(path, skip_bad=True) == (
        f"{path} has no class's folder. Put the images into a folder for each class: "
        "train/<class>/… and test/<class>/…, or <class>/…"
    )


@pytest.mark.parametrize("name", ["test", "Valid"])
def test_a_split_without_one_for_training_is_told(tmp_path: Path, name: str) -> None:
    path = pack(tmp_path, some(f"{name}/a/1.png", f"{name}/b/1.png"))
    assert refused(path) == f'{path} has images in "{name}", but none in train/<class>/…'
    path = pack(tmp_path / "two", some(f"{name}/a/1.png", "testing/b/1.png"))
    assert refused(path) == f'{path} has images in "{min(name, "testing")}", but none in train/<class>/…'


def test_a_class_that_only_the_test_split_has_is_told(tmp_path: Path) -> None:
    names = ("train/a/1.png", "train/b/1.png", "test/a/1.png", "test/lily/1.png")
    path = pack(tmp_path, some(*names), folders=["train/lily"])
    assert refused(path) == f'{path}: the class "lily" is in test but has no training images.'


def test_a_training_split_of_which_nothing_can_be_used_is_told(tmp_path: Path) -> None:
    files = some("train/a/1.png", "test/a/1.png", "test/b/1.png") | {"train/a/1.png": b"", "train/2.png": b""}
    path = pack(tmp_path, files)
    assert refused(path, skip_bad=True) == f'{path}: the class "a" is in test but has no training images.'


@pytest.mark.parametrize(
    ("names", "first", "second"),
    [
        (["Rose/1.png", "rose/1.png"], "Rose", "rose"),
        (["Rose/1.png", "Tulip/1.png", "tulip/1.png"], "Tulip", "tulip"),
        (["A/1.png", "B/1.png", "b/1.png", "c/1.png", "C/1.png"], "B", "b"),
        (["train/ÉTÉ/1.png", "train/a/1.png", "test/été/1.png"], "ÉTÉ", "été"),
    ],
)
def test_classes_that_differ_only_in_case_are_told(
    tmp_path: Path, names: list[str], first: str, second: str
) -> None:
    path = pack(tmp_path, some(*names), "tar")  # not every disk tells them apart
    assert (
        refused(path)
        == f'{path}: the classes "{first}" and "{second}" differ only in case. Give them one name.'
    )


@pytest.mark.parametrize("kind", ["folder", "tar"])
def test_names_that_are_no_utf_8_are_shown(tmp_path: Path, kind: str) -> None:
    files = some(os.fsdecode(b"caf\xe9/\xff.png"), "é/1.png")
    path = pack(tmp_path, files, kind)
    for _ in range(2):
        images = load(path)
        assert images.classes == (r"caf\xe9", "é")
        assert told(images)["train"] == [(r"caf\xe9/\xff.png", r"caf\xe9"), ("é/1.png", "é")]
    files[os.fsdecode(b"caf\xe9/2\xff.png")] = b""
    assert refused(pack(tmp_path, files, kind)) == bad(path, (r"caf\xe9/2\xff.png", "it is no image"))


# Bad files.


def _broken() -> dict[str, bytes]:
    whole = picture(99, (40, 40))
    return {
        **some("a/1.png", "a/2.png", "b/1.png", "b/2.png"),
        "a/0.png": b"",
        "b/3.png": b"just a text\n",
        "b/4.png": whole[: len(whole) // 2],
        "b/zz.png": b"\x89PNG",
    }


@pytest.mark.parametrize("kind", FORMATS)
def test_bad_files_are_told_the_first_two_and_how_many(tmp_path: Path, kind: str) -> None:
    path = pack(tmp_path, _broken(), kind)
    for _ in range(2):  # decoded, and from the cache
        assert refused(path) == bad(
            path, ("a/0.png", "it is no image"), ("b/3.png", "it is no image and 2 more"), what="4 files"
        )


@pytest.mark.parametrize("kind", FORMATS)
def test_bad_files_are_left_out_of_every_split_and_recorded(tmp_path: Path, kind: str) -> None:
    files = {f"{split}/{name}": content for split in ("train", "test") for name, content in _broken().items()}
    path = pack(tmp_path, files, kind)
    for _ in range(2):
        images = load(path, skip_bad=True)
        names = ("a/1.png", "a/2.png", "b/1.png", "b/2.png")
        assert told(images) == {
            split: [(f"{split}/{name}", name[0]) for name in names] for split in ("test", "train")
        }
        as_pillow(images, files)
        assert [name for name, _ in images.skipped] == [
            f"{split}/{name}"
            for split in ("test", "train")
            for name in ("a/0.png", "b/3.png", "b/4.png", "b/zz.png")
        ]
        assert dict(images.skipped)["test/b/4.png"].startswith("image file is truncated")
        assert dict(images.skipped)["train/b/3.png"] == "it is no image"
    config = DataConfig(source="folder", path=str(path), skip_bad=True, validation=1)
    assert load_images(config).skipped == images.skipped


def test_a_class_of_bad_files_only_is_told_too(tmp_path: Path) -> None:
    path = pack(tmp_path, {**some("a/1.png", "b/1.png"), "lily/1.png": b""})
    assert refused(path) == bad(path, ("lily/1.png", "it is no image"), ("lily", EMPTY))
    assert load(path, skip_bad=True).classes == ("a", "b")


def test_strays_beside_the_class_s_folders_are_told(tmp_path: Path) -> None:
    path = pack(tmp_path, {**some("a/1.png", "b/1.png", "cover.png"), "notes.txt": b"text"})
    assert refused(path) == bad(path, ("cover.png", STRAY))
    images = load(path, skip_bad=True)
    assert images.skipped == (("cover.png", STRAY),)
    assert told(images) == {"train": [("a/1.png", "a"), ("b/1.png", "b")]}
    path = pack(tmp_path / "split", some("train/a/1.png", "train/b/1.png", "test/1.png", "more/a/1.png"))
    assert refused(path) == bad(path, ("more/a/1.png", STRAY), ("test/1.png", STRAY))
    assert list(load(path, skip_bad=True).splits) == ["train"]


def test_links_are_followed_and_those_that_lead_nowhere_are_told(tmp_path: Path) -> None:
    elsewhere = pack(tmp_path / "elsewhere", some("1.png", "2.png"))
    path = pack(tmp_path, some("a/1.png"))
    (path / "b").symlink_to(elsewhere)
    assert load(path).classes == ("a", "b")
    (path / "a/loop").symlink_to("..")
    (path / "lily").symlink_to("gone")
    pairs = (
        ("a/loop", "the link leads back to a folder that it lies in"),
        ("lily", "the link leads nowhere"),
    )
    assert refused(path) == bad(path, *pairs)
    assert load(path, skip_bad=True).skipped == pairs


def test_members_of_archives_that_can_t_be_used_are_told(tmp_path: Path) -> None:
    path = pack(tmp_path, some("../x.png", "/abs/b/2.png", "a/1.png", "b/1.png"), "zip")
    out = "its name leads out of the archive"
    assert refused(path) == bad(path, ("../x.png", out), ("/abs/b/2.png", out))
    assert load(path, skip_bad=True).classes == ("a", "b")


def test_a_damaged_archive_is_refused(tmp_path: Path) -> None:
    for kind in FORMATS[1:]:
        path = pack(tmp_path, some("a/1.png", "b/1.png"), kind)
        path.write_bytes(path.read_bytes()[: min(700, path.stat().st_size // 2)])
        assert str(path) in refused(path)
        assert str(path) in refused(path, skip_bad=True)


# Sizes and channels.


def test_different_sizes_want_a_size_and_come_to_it(tmp_path: Path) -> None:
    files = {"a/1.png": picture(1, (8, 8)), "b/1.png": picture(2, (6, 12))}
    path = pack(tmp_path, files)
    assert refused(path, ConfigError) == (
        "The images have different sizes: b/1.png has 6×12 pixels (height × width), others 8×8. "
        "Set data.size, such as 64x64."
    )
    for fit in Fit:
        images = load(path, size="6x6", fit=fit, pad=1)
        assert images.shape == (3, 8, 8)
        # Six rows of twelve columns: cut in the middle at the same scale.
        if fit is Fit.CROP:
            wide = np.asarray(Image.open(io.BytesIO(files["b/1.png"])))[:, 3:9]
            assert images.split("train").pixels[1, :, 1:-1, 1:-1].permute(1, 2, 0).tolist() == wide.tolist()


def test_channels_are_as_asked_for(tmp_path: Path) -> None:
    files = some("a/1.png", "b/1.png")
    path = pack(tmp_path, files)
    for channels, mode in ((1, "L"), (3, "RGB"), (0, "RGB")):
        images = load(path, channels=channels)
        assert images.shape == (channels or 3, 4, 4)
        as_pillow(images, files, mode)


def test_the_second_time_the_pixels_are_the_same_and_mapped(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = pack(tmp_path, some(*(f"{c}/{n}.png" for c in "ab" for n in range(6))))
    first = load_images(DataConfig(source="folder", path=str(path)))

    def refuse(*_: object) -> None:
        raise AssertionError("decoded anew")

    monkeypatch.setattr("cutaway.pictures.cache.decode_all", refuse)
    second = load_images(DataConfig(source="folder", path=str(path)))
    for name, split in second.splits.items():
        assert torch.equal(split.pixels, first.split(name).pixels)
        assert torch.equal(split.labels, first.split(name).labels)
        assert torch.equal(split.index, first.split(name).index)
    lines = Path("/proc/self/maps").read_text("utf-8").splitlines()
    mapped = [line.split()[1] for line in lines if line.endswith("/pixels") and str(tmp_path) in line]
    assert mapped
    assert all("w" not in rights for rights in mapped)


# What is no dataset.


def test_a_path_is_wanted(tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as caught:
        load_source(DataConfig(source="folder"))
    assert str(caught.value) == 'The source "folder" reads a folder or an archive: set data.path to it.'
    gone = tmp_path / "gone"
    assert (
        refused(gone, NotFoundError)
        == f"There is no folder or archive {gone}. Set data.path to one with images."
    )
    gone.mkdir()
    assert refused(gone) == f"{gone} has no image files."


def test_the_home_folder_may_be_written_short(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pack(tmp_path, some("a/1.png", "b/1.png"))
    monkeypatch.setenv("HOME", str(tmp_path))
    assert load(Path("~/data")).classes == ("a", "b")


def test_splits_within_the_classes_are_those_of_their_owner(tmp_path: Path) -> None:
    files = some(
        *(
            f"{name}/{split}/{n}.png"
            for name in ("rose", "tulip")
            for split in ("train", "test")
            for n in "12"
        )
    )
    images = load(pack(tmp_path, files))
    assert {name: len(split) for name, split in images.splits.items()} == {"train": 4, "test": 4}
    assert images.classes == ("rose", "tulip")
    assert told(images)["test"] == [
        ("rose/test/1.png", "rose"),
        ("rose/test/2.png", "rose"),
        ("tulip/test/1.png", "tulip"),
        ("tulip/test/2.png", "tulip"),
    ]


def test_a_class_may_be_called_train(tmp_path: Path) -> None:
    images = load(
        pack(tmp_path, some(*(f"{name}/{n}.png" for name in ("bus", "car", "train") for n in "123")))
    )
    assert images.classes == ("bus", "car", "train")
    assert list(images.splits) == ["train"]
