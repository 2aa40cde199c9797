"""Images of a study: mapped as they were, each loaded once."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from tests.data.three_splits import make
from tests.study.inline import few_images

from cutaway.config import Experiment, load_experiment
from cutaway.errors import StoreError
from cutaway.study.images import ImageShelf
from cutaway.study.shared import map_images, share_images


def test_mapped_images_are_those_that_were_shared(tmp_path: Path) -> None:
    images = make()
    share_images(images, tmp_path / "images.safetensors")
    mapped = map_images(tmp_path / "images.safetensors")
    assert (mapped.classes, mapped.skipped) == (images.classes, images.skipped)
    assert mapped.splits.keys() == images.splits.keys()
    for name, split in images.splits.items():
        assert torch.equal(mapped.splits[name].pixels, split.pixels)
        assert torch.equal(mapped.splits[name].labels, split.labels)
    # One store for both, so pixels lie in the file once.
    assert mapped.splits["train"].store.data_ptr() == mapped.splits["validation"].store.data_ptr()
    assert "images.safetensors" in Path("/proc/self/maps").read_text()


def test_a_folder_that_can_not_be_written(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="can't be written"):
        share_images(make(), tmp_path / "gone" / "images.safetensors")
    with pytest.raises(FileNotFoundError):
        map_images(tmp_path / "images.safetensors")


def test_a_shelf_loads_what_decides_images_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("cutaway.study.images.load_images", few_images)
    shelf = ImageShelf(tmp_path)
    fields = {"data": {"train_images": 50, "validation": 20}}
    base = load_experiment(Experiment(), fields)
    varied = load_experiment(base, {"data": {"augment": {"shift": 2}, "preprocess": "unit"}, "seed": 4})
    fewer = load_experiment(base, {"data": {"train_images": 40}})
    assert shelf.images(base) is shelf.images(varied)
    assert len(shelf.images(fewer).split("train")) == 40
    assert shelf.file(base) == shelf.file(varied) != shelf.file(fewer)
    assert len(list(tmp_path.iterdir())) == 2
    shelf.close()
    assert not list(tmp_path.iterdir())
