"""Labelled images: splits that share one store, and give the same whichever way they are asked."""

from __future__ import annotations

from dataclasses import FrozenInstanceError

import pytest
import torch
from torch import Tensor

from cutaway.data import Images, Split
from cutaway.data.images import make_split
from cutaway.errors import DataError, NotFoundError

STORE = (torch.arange(10 * 12) * 7 % 251).to(torch.uint8).view(10, 1, 3, 4)
NAMES = [f"{number}.png" for number in range(10)]

SPLITS = {
    "whole": list(range(10)),
    "some": [7, 2, 5],
    "reversed": list(range(9, -1, -1)),
    "repeated": [0, 0, 1, 2, 3, 4, 5, 6, 7, 8],
    "one": [4],
    "the first": [0, 1, 2],
}


def split_of(index: list[int], names: list[str] | None = None) -> Split:
    places = torch.tensor(index)
    return Split(STORE, places % 3, places, names or ())


@pytest.fixture(params=SPLITS)
def index(request: pytest.FixtureRequest) -> list[int]:
    found: list[int] = SPLITS[request.param]
    return found


def test_every_way_of_asking_gives_the_same_images(index: list[int]) -> None:
    split = split_of(index)
    wanted = [STORE[place].tolist() for place in index]
    assert len(split) == len(index)
    assert split.shape == (1, 3, 4)
    assert split.pixels.tolist() == wanted
    chosen = [*range(len(index) - 1, -1, -1), 0]
    assert split.batch(torch.tensor(chosen)).tolist() == [wanted[at] for at in chosen]
    for size in (1, 2, 3, 10, 99):
        parts = list(split.chunks(size))
        assert [image for pixels, _ in parts for image in pixels.tolist()] == wanted
        assert [label for _, labels in parts for label in labels.tolist()] == [place % 3 for place in index]
        assert [len(labels) for _, labels in parts] == [
            min(size, len(index) - start) for start in range(0, len(index), size)
        ]


def test_no_images_give_no_chunks() -> None:
    assert list(split_of(SPLITS["some"]).take(torch.tensor([], dtype=torch.int64)).chunks(3)) == []


def test_a_whole_store_is_not_copied() -> None:
    split = split_of(SPLITS["whole"])
    assert split.pixels is STORE
    pixels, _ = next(split.chunks(4))
    assert pixels.data_ptr() == STORE.data_ptr()
    for other in ("some", "reversed", "repeated", "the first"):
        assert split_of(SPLITS[other]).pixels.data_ptr() != STORE.data_ptr()


def test_taking_copies_no_pixels_and_may_be_repeated(index: list[int]) -> None:
    split = split_of(index, NAMES)
    chosen = [len(index) - 1, 0]
    taken = split.take(torch.tensor(chosen))
    assert taken.store is STORE
    assert taken.pixels.tolist() == [STORE[index[at]].tolist() for at in chosen]
    assert taken.labels.tolist() == [index[at] % 3 for at in chosen]
    assert [taken.name(at) for at in (0, 1)] == [NAMES[index[at]] for at in chosen]
    again = taken.take(torch.tensor([1]))
    assert again.name(0) == NAMES[index[0]]
    assert again.pixels.tolist() == [STORE[index[0]].tolist()]


def test_an_image_is_named_by_its_file_or_by_its_number(index: list[int]) -> None:
    assert [split_of(index, NAMES).name(at) for at in range(len(index))] == [NAMES[place] for place in index]
    assert [split_of(index).name(at) for at in range(len(index))] == [str(place) for place in index]


def test_on_another_device_a_split_has_a_store_of_its_own(index: list[int]) -> None:
    split = split_of(index, NAMES)
    assert split.to(torch.device("cpu")) is split
    moved = split.to(torch.device("meta"))  # a device without content, which is everywhere
    assert moved.store.shape == (len(index), 1, 3, 4)
    assert moved.store.device.type == moved.labels.device.type == moved.index.device.type == "meta"
    assert list(moved.names) == [NAMES[place] for place in index]
    assert split_of(index).to(torch.device("meta")).names == ()


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_on_a_gpu_a_split_gives_the_same(index: list[int]) -> None:
    split = split_of(index, NAMES)
    moved = split.to(torch.device("cuda"))
    assert torch.equal(moved.pixels.cpu(), split.pixels)
    assert torch.equal(moved.labels.cpu(), split.labels)
    assert [moved.name(at) for at in range(len(index))] == [split.name(at) for at in range(len(index))]
    chosen = torch.tensor([0, len(index) - 1])
    assert torch.equal(moved.batch(chosen.cuda()).cpu(), split.batch(chosen))


def test_values_are_frozen() -> None:
    split = split_of(SPLITS["some"])
    with pytest.raises(FrozenInstanceError):
        split.labels = torch.zeros(3)  # type: ignore[misc]


def test_a_dataset_s_shape_is_its_training_images() -> None:
    images = Images(("a", "b", "c"), {"train": split_of(SPLITS["some"])})
    assert images.shape == (1, 3, 4)
    assert images.split("train") is images.splits["train"]
    assert images.skipped == ()
    with pytest.raises(NotFoundError) as caught:
        images.split("trian")
    assert str(caught.value) == 'There is no split "trian". Did you mean "train"? Known: train.'


def test_a_split_is_made_of_images_and_labels_that_fit() -> None:
    split = make_split(STORE, torch.arange(10, dtype=torch.uint8) % 3, 3, "here", NAMES)
    assert split.labels.dtype == torch.int64
    assert split.index.tolist() == list(range(10))
    assert split.pixels is STORE
    assert split.name(3) == "3.png"


@pytest.mark.parametrize(
    ("pixels", "labels", "message"),
    [
        (STORE, torch.zeros(9), "here: 10 images but 9 labels. Take both files from one dataset."),
        (STORE[:0], torch.zeros(0), "here: there are no images in it."),
        (STORE[:3], torch.tensor([0, 3, 1]), "here: label 3 is out of range; there are 3 classes."),
        (STORE[:3], torch.tensor([0, -1, 1]), "here: label -1 is out of range; there are 3 classes."),
    ],
)
def test_images_and_labels_that_do_not_fit_are_refused(pixels: Tensor, labels: Tensor, message: str) -> None:
    with pytest.raises(DataError) as caught:
        make_split(pixels, labels, 3, "here")
    assert str(caught.value) == message
