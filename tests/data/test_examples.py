"""Examples of classes, by the images that must be among them."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from cutaway.config import AugmentConfig
from cutaway.data import Augment, Images
from cutaway.data.examples import VARIED, choose_examples, evenly
from cutaway.data.images import make_split
from cutaway.errors import NotFoundError
from cutaway.look import load, save


def some(count: int = 12, side: int = 8) -> Images:
    """Images whose grey is their number; classes a, b and c in turn."""
    pixels = torch.arange(count, dtype=torch.uint8).view(-1, 1, 1, 1).expand(-1, 1, side, side).contiguous()
    train = make_split(pixels, torch.arange(count) % 3, 3, "numbered")
    return Images(("a", "b", "c"), {"train": train, "test": train.take(torch.tensor([4, 1]))})


def test_the_first_the_last_and_those_evenly_between() -> None:
    found = choose_examples(some(15), 3)
    train, test = found.blocks["train"], found.blocks["test"]
    assert train.pixels[:, 0, 0, 0].tolist() == [0, 6, 12, 1, 7, 13, 2, 8, 14]
    assert train.labels.tolist() == [0, 0, 0, 1, 1, 1, 2, 2, 2]
    assert (train.count, test.count) == (15, 2)
    assert test.pixels[:, 0, 0, 0].tolist() == [4, 1]
    assert test.labels.tolist() == [1, 1]
    assert evenly(7, 1) == [0]


def test_some_splits_alone() -> None:
    assert list(choose_examples(some(), 1, ["test"]).blocks) == ["test"]
    with pytest.raises(NotFoundError, match="no split"):
        choose_examples(some(), 1, ["tset"])


def test_training_images_as_a_step_sees_them_stand_beside_them() -> None:
    images = some()
    augment = Augment.fit(AugmentConfig(jitter=4, clutter=4), images.split("train"))
    found = choose_examples(images, 2, augment=augment)
    assert list(found.blocks) == ["train", VARIED, "test"]
    plain, varied = found.blocks["train"].pixels, found.blocks[VARIED].pixels
    assert found.blocks[VARIED].labels.equal(found.blocks["train"].labels)
    # An image of one grey is that grey where it still is, and the others' in the clutter around it.
    assert not varied.equal(plain)
    assert set(varied.flatten().tolist()) <= set(plain.flatten().tolist())
    idle = Augment.fit(AugmentConfig(), images.split("train"))
    assert list(choose_examples(images, 2, augment=idle).blocks) == ["train", "test"]


def test_large_images_are_shrunk_so_that_the_file_stays_small(tmp_path: Path) -> None:
    found = choose_examples(some(6, 192), 2)
    assert found.blocks["train"].pixels.shape == (6, 1, 96, 96)
    kept = load(save(found, tmp_path / "examples.npz"))
    assert (kept.classes, kept.total, kept.most) == (found.classes, 3, 2)
    assert kept.blocks["train"].pixels.equal(found.blocks["train"].pixels)
