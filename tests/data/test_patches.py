"""Crops of photographs: each is what stands at its place, and no pixel is in two splits."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from PIL import Image

from cutaway.config import DataConfig
from cutaway.data import Images, Split, load_source
from cutaway.data.sources.patches import load_patches
from cutaway.errors import ConfigError, DataError, NotFoundError

WIDTH, HEIGHT = 100, 40
SIDE = 16


def _photograph(seed: int, size: tuple[int, int] = (WIDTH, HEIGHT), mode: str = "L") -> Image.Image:
    """Noise, in which every crop is at one place only."""
    shape = (size[1], size[0], 3) if mode == "RGB" else (size[1], size[0])
    return Image.fromarray(np.random.default_rng(seed).integers(0, 256, shape, np.uint8))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Three classes: two with a photograph, one with three in a folder."""
    _photograph(0).save(tmp_path / "bark.png")
    _photograph(1).save(tmp_path / "sand.png")
    (tmp_path / "moss").mkdir()
    for number in range(3):
        _photograph(2 + number).save(tmp_path / f"moss/{number}.png")
    (tmp_path / "README.txt").write_text("no photograph")
    (tmp_path / ".hidden.png").write_bytes(b"")
    return tmp_path


def _config(folder: Path, **fields: object) -> DataConfig:
    return DataConfig.model_validate({"source": "patches", "path": str(folder), "size": SIDE, **fields})


def _corners(split: Split) -> list[tuple[str, int, int]]:
    """File, left and top of every crop, from its name."""
    found = []
    for at in range(len(split)):
        file, place = split.name(at).rsplit("@", 1)
        left, top = map(int, place.split(","))
        found.append((file, left, top))
    return found


def _columns(split: Split, file: str, side: int = SIDE) -> set[int]:
    """The columns of a photograph that a split's crops have pixels of."""
    return {x for name, left, _ in _corners(split) if name == file for x in range(left, left + side)}


def _files(images: Images) -> set[str]:
    return {file for split in images.splits.values() for file, _, _ in _corners(split)}


def test_every_crop_is_what_stands_at_its_place(folder: Path) -> None:
    images = load_source(_config(folder, per_class=20))
    assert images.classes == ("bark", "moss", "sand")
    assert list(images.splits) == ["train", "validation", "test"]
    assert images.shape == (1, SIDE, SIDE)
    for split in images.splits.values():
        for at, (file, left, top) in enumerate(_corners(split)):
            whole = np.array(Image.open(folder / file))
            crop = whole[top : top + SIDE, left : left + SIDE]
            assert split.pixels[at, 0].tolist() == crop.tolist()
            assert images.classes[int(split.labels[at])] == file.split("/")[0].removesuffix(".png")
    assert _files(images) == {"bark.png", "sand.png", "moss/0.png", "moss/1.png", "moss/2.png"}


def test_training_is_on_the_left_validation_beside_it_and_testing_on_the_right(folder: Path) -> None:
    """A fifth of 100 columns is for testing; a tenth would be less than a crop, so it is a crop's 16."""
    images = load_source(_config(folder, per_class=400))
    assert _columns(images.split("train"), "bark.png") == set(range(64))
    assert _columns(images.split("validation"), "bark.png") == set(range(64, 80))
    assert _columns(images.split("test"), "bark.png") == set(range(80, 100))
    # All rows are used, to the last.
    assert {top for _, _, top in _corners(images.split("train"))} == set(range(HEIGHT - SIDE + 1))


@settings(deadline=None, max_examples=60)
@given(
    width=st.integers(20, 90),
    height=st.integers(16, 30),
    test=st.one_of(st.just(0), st.floats(0.01, 0.5), st.integers(1, 30)),
    validation=st.one_of(st.just(0), st.floats(0.01, 0.49), st.integers(1, 30)),
    per_class=st.integers(1, 30),
    seed=st.integers(0, 9),
)
def test_no_pixel_is_in_two_splits(
    tmp_path_factory: pytest.TempPathFactory,
    *,
    width: int,
    height: int,
    test: float,
    validation: float,
    per_class: int,
    seed: int,
) -> None:
    shares = [test if test < 1 else 0.25, validation if validation < 1 else 0.1]
    assume(width - sum(max(8, share * width) for share in shares if share) > 9)
    folder = tmp_path_factory.mktemp("photographs")
    _photograph(seed, (width, height)).save(folder / "a.png")
    _photograph(seed + 100, (width + 7, height)).save(folder / "b.png")
    fields = {"test": test, "validation": validation, "per_class": per_class, "split_seed": seed, "size": 8}
    images = load_patches(_config(folder, **fields))
    for file in ("a.png", "b.png"):
        columns = [_columns(split, file, 8) for split in images.splits.values()]
        assert sum(map(len, columns)) == len(set().union(*columns))
        assert max(set().union(*columns)) < width + 7
    assert ("test" in images.splits) == bool(test)
    assert ("validation" in images.splits) == bool(validation)


def test_200_crops_of_each_class_and_shares_in_proportion(folder: Path) -> None:
    images = load_source(_config(folder))
    counts = {name: split.labels.bincount().tolist() for name, split in images.splits.items()}
    assert counts == {"train": [200] * 3, "validation": [20] * 3, "test": [40] * 3}


def test_64_by_64_pixels_unless_it_is_said_otherwise(tmp_path: Path) -> None:
    _photograph(0, (300, 64)).save(tmp_path / "a.png")
    images = load_source(DataConfig(source="patches", path=str(tmp_path), per_class=2))
    assert images.shape == (1, 64, 64)


@pytest.mark.parametrize(
    ("asked", "validation", "test"),
    [
        ({"validation": 0, "test": 0}, None, None),
        ({"validation": 0.2, "test": 0.3}, [2, 2, 2], [3, 3, 3]),
        ({"validation": 0.001, "test": 0.001}, [1, 1, 1], [1, 1, 1]),
        ({"validation": 7, "test": 12}, [3, 2, 2], [4, 4, 4]),
        ({"validation": 1, "test": 2}, [1, 0, 0], [1, 1, 0]),
    ],
)
def test_counts_are_over_all_classes_and_shares_of_each(
    folder: Path, asked: dict[str, float], validation: list[int] | None, test: list[int] | None
) -> None:
    images = load_source(_config(folder, per_class=10, **asked))
    found = {name: split.labels.bincount(minlength=3).tolist() for name, split in images.splits.items()}
    wanted = {"train": [10, 10, 10], "validation": validation, "test": test}
    assert found == {name: counts for name, counts in wanted.items() if counts}


def test_where_numbers_are_asked_for_a_quarter_is_for_testing(folder: Path) -> None:
    images = load_source(_config(folder, per_class=300, validation=0, test=600))
    assert _columns(images.split("train"), "sand.png") == set(range(75))
    assert _columns(images.split("test"), "sand.png") == set(range(75, 100))
    images = load_source(_config(folder, per_class=300, validation=600, test=0, size=8))
    assert _columns(images.split("validation"), "sand.png", 8) == set(range(90, 100))


def test_crops_are_dealt_evenly_among_a_class_s_photographs(folder: Path) -> None:
    """25 crops of each photograph of a class with three: 75 of the class."""
    images = load_source(_config(folder, per_class=75, test=0.2))
    files = [file for file, _, _ in _corners(images.split("train"))]
    assert [files.count(f"moss/{number}.png") for number in range(3)] == [25, 25, 25]
    assert files.count("bark.png") == 75
    images = load_source(_config(folder, per_class=8, test=0.25))
    files = [file for file, _, _ in _corners(images.split("train"))]
    assert [files.count(f"moss/{number}.png") for number in range(3)] == [3, 3, 2]
    files = [file for file, _, _ in _corners(images.split("test"))]
    assert [files.count(f"moss/{number}.png") for number in range(3)] == [1, 1, 0]


def test_no_place_is_taken_twice_before_all_are(tmp_path: Path) -> None:
    _photograph(0, (30, 20)).save(tmp_path / "a.png")
    # Training has 30 columns: 15 by 5 places.
    for count in (1, 30, 74, 75):
        corners = _corners(
            load_source(_config(tmp_path, per_class=count, test=0, validation=0)).split("train")
        )
        assert len(corners) == len(set(corners)) == count
    corners = _corners(load_source(_config(tmp_path, per_class=160, test=0, validation=0)).split("train"))
    counts = {corner: corners.count(corner) for corner in corners}
    assert len(counts) == 75
    assert sorted(counts.values()) == [2] * 65 + [3] * 10


def test_places_are_spread_over_the_whole_part(tmp_path: Path) -> None:
    _photograph(0, (216, 116)).save(tmp_path / "a.png")
    config = _config(tmp_path, per_class=400, test=0, validation=0)
    corners = _corners(load_source(config).split("train"))
    for axis, most in ((1, 200), (2, 100)):
        places = np.array([corner[axis] for corner in corners])
        quarters = np.histogram(places, 4, (0, most))[0]
        assert quarters.min() > 70  # 100 each, with a deviation of 9


def test_the_choice_is_the_seed_s_and_the_file_s_alone(folder: Path) -> None:
    first, second = (load_source(_config(folder, per_class=5)) for _ in range(2))
    other = load_source(_config(folder, per_class=5, split_seed=1))
    for name, split in first.splits.items():
        assert _corners(split) == _corners(second.split(name))
        assert torch.equal(split.pixels, second.split(name).pixels)
    assert _corners(first.split("train")) != _corners(other.split("train"))
    _photograph(9).save(folder / "a new one.png")
    more = load_source(_config(folder, per_class=5))
    assert set(_corners(first.split("train"))) < set(_corners(more.split("train")))


def test_grey_where_all_photographs_are_grey_else_colour(folder: Path) -> None:
    assert load_source(_config(folder)).shape[0] == 1
    colour = load_source(_config(folder, channels=3, per_class=2))
    assert colour.shape[0] == 3
    assert (colour.split("train").pixels[:, 0] == colour.split("train").pixels[:, 2]).all()
    _photograph(7, mode="RGB").save(folder / "bark.png")
    mixed = load_source(_config(folder, per_class=4))
    assert mixed.shape[0] == 3
    for split in mixed.splits.values():
        for at, (file, left, top) in enumerate(_corners(split)):
            whole = np.array(Image.open(folder / file).convert("RGB")).transpose(2, 0, 1)
            crop = whole[:, top : top + SIDE, left : left + SIDE]
            assert split.pixels[at].tolist() == crop.tolist()
    assert load_source(_config(folder, channels=1)).shape[0] == 1


def test_photographs_beside_a_folder_of_the_same_name_are_of_one_class(folder: Path) -> None:
    _photograph(9).save(folder / "moss.png")
    images = load_source(_config(folder, per_class=4))
    assert images.classes == ("bark", "moss", "sand")
    assert {file for file, _, _ in _corners(images.split("train")) if "moss" in file} == {
        "moss.png",
        "moss/0.png",
        "moss/1.png",
        "moss/2.png",
    }


def test_photographs_of_different_sizes(tmp_path: Path) -> None:
    _photograph(0, (90, 20)).save(tmp_path / "a.png")
    _photograph(1, (200, 60)).save(tmp_path / "b.png")
    images = load_source(_config(tmp_path, per_class=2000, validation=0, test=0.25))
    assert _columns(images.split("test"), "a.png") == set(range(68, 90))  # round(22.5) is 22
    assert _columns(images.split("test"), "b.png") == set(range(150, 200))


@pytest.mark.parametrize(
    ("size", "fields", "splits", "wanted"),
    [
        ((47, 40), {}, "train, validation, test", "48×16"),
        ((100, 15), {}, "train, validation, test", "48×16"),
        ((31, 40), {"validation": 0}, "train, test", "32×16"),
        ((60, 40), {"test": 0.7}, "train, validation, test", "106×16"),
        ((15, 40), {"test": 0, "validation": 0}, "train", "16×16"),
        ((60, 40), {"size": "8x40", "test": 0.5, "validation": 0.4}, "train, validation, test", "400×8"),
    ],
)
def test_a_photograph_that_is_too_small_is_named_with_what_would_do(
    tmp_path: Path, size: tuple[int, int], fields: dict[str, object], splits: str, wanted: str
) -> None:
    _photograph(0, size).save(tmp_path / "a.png")
    config = _config(tmp_path, **fields)
    with pytest.raises(DataError) as caught:
        load_source(config)
    assert config.sides
    tall, wide = config.sides
    assert str(caught.value) == (
        f"{tmp_path / 'a.png'} has {size[0]}×{size[1]} pixels, too few for crops of {wide}×{tall} in parts "
        f"of their own for {splits}.\nTake one of {wanted} or more, or make data.size smaller."
    )
    width, height = map(int, wanted.split("×"))
    _photograph(0, (width, height)).save(tmp_path / "a.png")
    assert load_source(config).shape == (1, tall, wide)
    # Rounded shares may let a pixel less do, but not much less.
    _photograph(0, (width - max(1, width // 40), height)).save(tmp_path / "a.png")
    with pytest.raises(DataError):
        load_source(config)


def test_a_bad_file_is_named_or_left_out(folder: Path) -> None:
    (folder / "moss/1.png").write_bytes(b"this is a text")
    with pytest.raises(DataError) as caught:
        load_source(_config(folder))
    assert str(caught.value) == f"{folder / 'moss/1.png'} can't be read as an image: it is no image."
    images = load_source(_config(folder, per_class=10, skip_bad=True))
    assert images.skipped == (("moss/1.png", "it is no image"),)
    files = [file for file, _, _ in _corners(images.split("train"))]
    assert [files.count(f"moss/{number}.png") for number in range(3)] == [5, 0, 5]
    (folder / "sand.png").write_bytes(b"")
    with pytest.raises(DataError) as caught:
        load_source(_config(folder, skip_bad=True))
    assert str(caught.value) == (
        f'{folder}: no photograph of the class "sand" can be read. Put another one there.'
    )


def test_a_folder_that_is_not_there_or_has_no_photographs(tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as unset:
        load_source(DataConfig(source="patches"))
    assert str(unset.value) == (
        'The source "patches" cuts up photographs: set data.path to a folder with them.'
    )
    with pytest.raises(NotFoundError) as missing:
        load_source(_config(tmp_path / "nowhere"))
    assert (
        str(missing.value)
        == f"There is no folder {tmp_path / 'nowhere'}. Set data.path to one with photographs."
    )
    (tmp_path / "notes.txt").write_text("nothing here")
    with pytest.raises(DataError) as empty:
        load_source(_config(tmp_path))
    assert str(empty.value) == f"{tmp_path} has no photographs: put <class>.jpg or <class>/….jpg there."
    (tmp_path / "moss").mkdir()
    with pytest.raises(DataError) as hollow:
        load_source(_config(tmp_path))
    assert (
        str(hollow.value) == f"{tmp_path / 'moss'} has no photographs. Put some there, or remove the folder."
    )


@pytest.mark.parametrize("shares", [(0.5, 0.5), (0.9, 0.2)])
def test_shares_that_leave_nothing_to_train_on(folder: Path, shares: tuple[float, float]) -> None:
    with pytest.raises(ConfigError) as caught:
        load_source(_config(folder, validation=shares[0], test=shares[1]))
    assert str(caught.value) == (
        "data.validation and data.test take all of each photograph; leave some to train on."
    )
