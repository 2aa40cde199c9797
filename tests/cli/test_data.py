"""``cutaway data list | show``."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from xml.etree import ElementTree

import pytest
import torch
from PIL import Image

from cutaway.data import SOURCES
from cutaway.data.idx import write_idx

Command = Callable[..., tuple[int, str, str]]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Twelve training images and six test images of 5×4 pixels in three classes."""
    for prefix, count in (("train", 12), ("t10k", 6)):
        pixels = torch.arange(count * 20).view(count, 5, 4).to(torch.uint8)
        write_idx(tmp_path / f"{prefix}-images-idx3-ubyte.gz", pixels)
        write_idx(tmp_path / f"{prefix}-labels-idx1-ubyte.gz", (torch.arange(count) % 3).to(torch.uint8))
    return tmp_path


def test_the_list_has_every_source(cutaway: Command) -> None:
    code, out, err = cutaway("data", "list")
    assert (code, err) == (0, "")
    for name in SOURCES:
        assert name in out
        assert SOURCES[name].summary in out
    sources = json.loads(cutaway("data", "list", "--json")[1])["sources"]
    assert [source["name"] for source in sources] == list(SOURCES)


def test_mnist_has_the_published_sizes_and_statistics(cutaway: Command) -> None:
    code, out, err = cutaway("data", "show", "mnist", "--json")
    assert (code, err) == (0, "")
    facts = json.loads(out)
    assert facts["shape"] == [1, 28, 28]
    assert facts["classes"] == list("0123456789")
    train, test = facts["splits"]["train"], facts["splits"]["test"]
    assert (train["images"], test["images"]) == (60_000, 10_000)
    # The mean and deviation that everybody normalises MNIST by: 0.1307 and 0.3081 of 255.
    assert train["mean"] == [pytest.approx(0.1307 * 255, abs=0.02)]
    assert train["deviation"] == [pytest.approx(0.3081 * 255, abs=0.02)]
    # Counts of the test split as published.
    assert test["counts"] == [980, 1135, 1032, 1010, 982, 892, 958, 1028, 974, 1009]
    assert sum(train["counts"]) == 60_000


def test_a_folder_is_read_and_divided(cutaway: Command, folder: Path) -> None:
    line = ("data", "show", "idx", "--path", folder, "--validation", "3", "--json")
    facts = json.loads(cutaway(*line)[1])
    assert facts["shape"] == [1, 5, 4]
    assert {name: split["counts"] for name, split in facts["splits"].items()} == {
        "train": [3, 3, 3],
        "validation": [1, 1, 1],
        "test": [2, 2, 2],
    }
    pixels = torch.arange(6 * 20).double()
    assert facts["splits"]["test"]["mean"] == [pytest.approx(float(pixels.mean()))]
    assert facts["splits"]["test"]["deviation"] == [pytest.approx(float(pixels.std(correction=0)))]


def test_the_table_has_a_row_for_each_class_and_adds_up(cutaway: Command, folder: Path) -> None:
    code, out, err = cutaway("data", "show", "idx", "--path", folder, "--validation", "0.25")
    assert (code, err) == (0, "")
    assert out.startswith("idx: 3 classes of 1×5×4\n")
    rows = [line.split() for line in out.splitlines()[1:] if line.strip()]
    assert rows[0] == ["class", "train", "validation", "test"]
    assert rows[1:5] == [
        ["0", "3", "1", "2"],
        ["1", "3", "1", "2"],
        ["2", "3", "1", "2"],
        ["all", "9", "3", "6"],
    ]
    assert "test: mean 59.50" in out


@pytest.mark.parametrize("kind", ["png", "svg", "pdf"])
def test_the_sheet_of_examples(cutaway: Command, folder: Path, tmp_path: Path, kind: str) -> None:
    path = tmp_path / "new" / f"sheet.{kind}"
    code, out, err = cutaway("data", "show", "idx", "--path", folder, "-o", path)
    assert (code, err) == (0, "")
    assert out.splitlines()[-1] == str(path)
    if kind == "png":
        with Image.open(path) as sheet:
            assert min(sheet.size) > 200
    elif kind == "svg":
        images = [e for e in ElementTree.parse(path).iter() if e.tag.endswith("}image")]
        assert len(images) == 18  # all images there are: twelve to train on, six to test
    else:
        assert path.read_bytes().startswith(b"%PDF")


@pytest.mark.parametrize(
    ("arguments", "code", "told"),
    [
        (["mnits"], 3, 'Did you mean "mnist"'),
        (["idx"], 2, "data.path"),
        (["idx", "--path", "/nowhere/at/all"], 3, "/nowhere/at/all"),
        (["mnist", "--path", "/tmp"], 2, "embedded"),
        (["mnist", "--validation", "60000"], 2, "data.validation"),
        (["mnist", "--validation", "-1"], 2, "data.validation"),
        (["mnist", "-o", "sheet.gif"], 2, ".png, .svg or .pdf"),
    ],
)
def test_what_can_not_be_shown_is_told(cutaway: Command, arguments: list[str], code: int, told: str) -> None:
    found, out, err = cutaway("data", "show", *arguments)
    assert (found, out) == (code, "")
    assert told in err
    assert 1 <= err.count("\n") <= 2


def test_a_damaged_file_is_told_by_name(cutaway: Command, folder: Path) -> None:
    path = folder / "train-images-idx3-ubyte.gz"
    path.write_bytes(path.read_bytes()[:-20])
    code, out, err = cutaway("data", "show", "idx", "--path", folder)
    assert (code, out) == (1, "")
    assert str(path) in err


def test_nothing_needs_to_be_written_by_the_users_folder(cutaway: Command, folder: Path) -> None:
    before = sorted(path.name for path in folder.iterdir())
    assert cutaway("data", "show", "idx", "--path", folder)[0] == 0
    assert sorted(path.name for path in folder.iterdir()) == before
