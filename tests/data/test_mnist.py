"""The embedded MNIST: the canonical files, complete and checked."""

from __future__ import annotations

import hashlib
import shutil
from pathlib import Path

import pytest
import torch

from cutaway.config import DataConfig
from cutaway.data import Images, load_source, pixel_statistics
from cutaway.data.sources import mnist
from cutaway.errors import ConfigError, DataError, NotFoundError

LABELS = "t10k-labels-idx1-ubyte.gz"


STATISTICS = [("train", 33.3184, 78.5675), ("test", 33.7912, 79.1725)]


@pytest.fixture(scope="module")
def digits() -> Images:
    return load_source(DataConfig())


@pytest.fixture
def copied(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of the files, which the source reads in this test."""
    folder = tmp_path / "mnist"
    shutil.copytree(mnist.FOLDER, folder)
    monkeypatch.setattr(mnist, "FOLDER", folder)
    return folder


def test_sixty_thousand_for_training_and_ten_thousand_for_testing(digits: Images) -> None:
    assert digits.classes == tuple("0123456789")
    assert digits.shape == (1, 28, 28)
    assert {name: tuple(split.pixels.shape) for name, split in digits.splits.items()} == {
        "train": (60_000, 1, 28, 28),
        "test": (10_000, 1, 28, 28),
    }


@pytest.mark.parametrize(
    ("split", "mean", "deviation"), [("train", 33.3184, 78.5675), ("test", 33.7912, 79.1725)]
)
def test_the_pixels_have_the_canonical_mean(
    digits: Images, split: str, mean: float, deviation: float
) -> None:
    """0.1307 and 0.3081 of 255 for the training images, as every tutorial has them."""
    pixels = digits.split(split).pixels
    assert pixels.double().mean().item() == pytest.approx(mean, abs=5e-5)
    (found_mean,), (found_deviation,) = pixel_statistics(digits.split(split))
    assert found_mean == pytest.approx(mean, abs=5e-5)
    assert found_deviation == pytest.approx(deviation, abs=5e-5)


def test_the_classes_have_their_canonical_sizes(digits: Images) -> None:
    train, test = (digits.split(name).labels.bincount().tolist() for name in ("train", "test"))
    assert train == [5923, 6742, 5958, 6131, 5842, 5421, 5918, 6265, 5851, 5949]
    assert test == [980, 1135, 1032, 1010, 982, 892, 958, 1028, 974, 1009]


def test_the_images_stand_in_their_canonical_order(digits: Images) -> None:
    test = digits.split("test")
    assert digits.split("train").labels[:10].tolist() == [5, 0, 4, 1, 9, 2, 1, 3, 1, 4]
    assert test.labels[:10].tolist() == [7, 2, 1, 0, 4, 1, 4, 9, 5, 9]
    assert int(test.labels[227]) == 4
    assert torch.equal(test.index, torch.arange(10_000))


def test_the_checksums_are_those_of_the_files() -> None:
    mnist.check_sums(mnist.FOLDER)
    stated = (mnist.FOLDER / "SHA256SUMS").read_text("ascii").splitlines()
    assert {line.split()[1] for line in stated} == {path.name for path in mnist.FOLDER.glob("*.gz")}
    assert len(stated) == 4


def test_the_licence_lies_beside_the_files() -> None:
    text = (mnist.FOLDER / "LICENCE.md").read_text("utf-8")
    assert "LeCun" in text
    assert "CC BY-SA 3.0" in text or "Attribution-ShareAlike 3.0" in text


@pytest.mark.parametrize("place", [0, 2000, -1])
def test_a_single_wrong_byte_is_noticed_and_the_file_is_named(copied: Path, place: int) -> None:
    path = copied / LABELS
    content = bytearray(path.read_bytes())
    wanted = hashlib.sha256(content).hexdigest()
    content[place] ^= 1
    path.write_bytes(content)
    with pytest.raises(DataError) as caught:
        load_source(DataConfig())
    assert (
        str(caught.value) == f"{path} is damaged: its SHA-256 is not {wanted[:12]}…. Install Cutaway again."
    )


def test_a_missing_file_is_named(copied: Path) -> None:
    (copied / LABELS).unlink()
    with pytest.raises(NotFoundError) as caught:
        load_source(DataConfig())
    assert str(caught.value) == f"{copied / LABELS} is missing. Install Cutaway again."


def test_it_reads_no_other_folder(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match='The source "mnist" is embedded'):
        load_source(DataConfig(path=str(tmp_path)))
