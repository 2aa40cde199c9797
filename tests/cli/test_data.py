"""``cutaway data list | show``."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest
import torch
from PIL import Image

from cutaway.config import DataConfig
from cutaway.config.data import Fit
from cutaway.data import SOURCES, Images, Source
from cutaway.data.idx import write_idx
from cutaway.data.images import make_split
from cutaway.look import load

Command = Callable[..., tuple[int, str, str]]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Twelve training images and six test images of 5×4 pixels in three classes."""
    for prefix, count, start in (("train", 12, 0), ("t10k", 6, 3)):
        pixels = (torch.arange(count * 20) + start).view(count, 5, 4).to(torch.uint8)
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
    code, out, err = cutaway("data", "show", "mnist", "--no-duplicates", "--json")
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
    pixels = (torch.arange(6 * 20) + 3).double()
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
    assert "test: mean 62.50" in out


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
        assert len(images) == 2  # a block for each split
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
        (["mnist", "--pyramid", "3"], 2, "-o sheet.png"),
        (["mnist", "--data.tset", "3"], 2, 'Did you mean "test"'),
        (["mnist", "--train.lr", "3"], 2, "--train is no field of [data]"),
        (["digits", "--data.size", "big"], 2, "data.size"),
        (["mnist", "--fit", "squeeze"], 2, "data.fit"),
        (["mnist", "--channels", "2"], 2, "data.channels"),
        (["nowhere.toml"], 3, "nowhere.toml"),
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


@pytest.fixture
def made(monkeypatch: pytest.MonkeyPatch) -> Callable[[Images], None]:
    """Puts a dataset in the place of what the source mnist gives."""

    def put(images: Images) -> None:
        monkeypatch.setitem(SOURCES._entries, "mnist", Source("made", lambda config: images))

    return put


def noise(count: int, seed: int) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randint(0, 256, (count, 3, 16, 16), generator=generator).to(torch.uint8)


def dataset(
    train: torch.Tensor, test: torch.Tensor, labels: torch.Tensor, *, classes: int, files: bool = True
) -> Images:
    """Images of these classes; the test split has class 0 alone."""
    splits = {
        name: make_split(p, given, classes, name, [f"{name}/{i}.png" for i in range(len(p))] if files else ())
        for name, p, given in (("train", train, labels), ("test", test, torch.zeros(len(test))))
    }
    return Images(tuple(f"c{i}" for i in range(classes)), splits, (("bad.jpg", "it is no image"),) * files)


def copies() -> Images:
    """Seven test images are in the training split, two more nearly are, one is on its own."""
    train = noise(20, 1)
    darker = (train[12:14].float() * 0.9).to(torch.uint8)
    test = torch.cat((train[:7], darker, noise(1, 2)))
    return dataset(train, test, (torch.arange(20) == 3).long(), classes=2)


def test_images_in_two_splits_and_files_left_out_are_warned_of(
    cutaway: Command, made: Callable[[Images], None]
) -> None:
    made(copies())
    code, out, err = cutaway("data", "show", "mnist")
    assert code == 0
    assert "png" not in out
    near = json.loads(cutaway("data", "show", "mnist", "--json")[1])["duplicates"]["near"]
    assert err.splitlines() == [
        "1 file was left out:",
        "  bad.jpg: it is no image",
        "7 test images are also in train:",
        "  test test/0.png = train train/0.png (c0)",
        "  test test/1.png = train train/1.png (c0)",
        "  test test/2.png = train train/2.png (c0)",
        "  test test/3.png = train train/3.png (c0, but c1 there)",
        "  test test/4.png = train train/4.png (c0)",
        "  … and 2 more",
        "2 test images are nearly the same in train:",
        *(
            f"  test {one['names'][1]} ≈ train {one['names'][0]} (c0), distance {one['distance']:.3f}"
            for one in near
        ),
        "What stands in two splits makes the scores look better than they are: take one of the two out.",
    ]


def test_duplicates_are_in_the_json_all_of_them(cutaway: Command, made: Callable[[Images], None]) -> None:
    made(copies())
    code, out, err = cutaway("data", "show", "mnist", "--json")
    assert (code, err) == (0, "")
    facts = json.loads(out)
    assert facts["skipped"] == [{"file": "bad.jpg", "reason": "it is no image"}]
    exact, near = facts["duplicates"]["exact"], facts["duplicates"]["near"]
    assert [one["positions"] for one in exact] == [[i, i] for i in range(7)]
    assert exact[3] == {
        "splits": ["train", "test"],
        "positions": [3, 3],
        "names": ["train/3.png", "test/3.png"],
        "classes": ["c1", "c0"],
        "distance": 0,
    }
    assert sorted(one["positions"] for one in near) == [[12, 7], [13, 8]]
    assert all(0 < one["distance"] < 0.01 for one in near)


def test_the_search_for_duplicates_can_be_left_out(
    cutaway: Command, made: Callable[[Images], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    made(dataclasses.replace(copies(), skipped=()))
    monkeypatch.setattr("cutaway.data.duplicates.find_duplicates", lambda images: pytest.fail("looked"))
    code, _, err = cutaway("data", "show", "mnist", "--no-duplicates")
    assert (code, err) == (0, "")
    assert json.loads(cutaway("data", "show", "mnist", "--no-duplicates", "--json")[1])["duplicates"] is None


def test_images_without_files_are_named_by_their_numbers(
    cutaway: Command, made: Callable[[Images], None]
) -> None:
    train = noise(20, 3)
    made(dataset(train, train[[8]], torch.arange(20) % 2, classes=2, files=False))
    assert cutaway("data", "show", "mnist")[2].splitlines()[:2] == [
        "1 test image is also in train:",
        "  test 0 = train 8 (c0)",
    ]


@pytest.mark.parametrize(
    ("counts", "told"),
    [
        ((3, 2), "imbalanced: c0 has 3 training images, c1 has 2\n"),
        ((2, 9), "imbalanced: c1 has 9 training images, c0 has 2\n"),
        ((4, 0), "imbalanced: c0 has 4 training images, c1 has 0\n"),
        ((4, 3), ""),
        ((5, 5), ""),
    ],
)
def test_imbalance_is_told_from_one_and_a_half_on(
    cutaway: Command, made: Callable[[Images], None], counts: tuple[int, int], told: str
) -> None:
    labels = torch.tensor([0] * counts[0] + [1] * counts[1])
    made(dataset(noise(len(labels), 4), noise(2, 5), labels, classes=2, files=False))
    out = cutaway("data", "show", "mnist")[1]
    assert ("imbalanced" in out) == bool(told)
    assert told in out
    imbalance = json.loads(cutaway("data", "show", "mnist", "--json")[1])["imbalance"]
    if told:
        assert imbalance["largest"]["images"] == max(counts)
        assert imbalance["smallest"] == {"class": f"c{counts.index(min(counts))}", "images": min(counts)}
    else:
        assert imbalance is None


def test_of_many_classes_the_largest_and_the_smallest_are_shown(
    cutaway: Command, made: Callable[[Images], None]
) -> None:
    labels = torch.cat([torch.full((2 + i,), (i * 7) % 50) for i in range(50)])
    pixels = torch.randint(0, 256, (len(labels), 1, 3, 3), dtype=torch.uint8)
    made(dataset(pixels, noise(1, 6)[:, :1, :3, :3], labels, classes=50, files=False))
    lines = [line.split() for line in cutaway("data", "show", "mnist")[1].splitlines()[1:] if line.strip()]
    order = [f"c{(i * 7) % 50}" for i in range(49, -1, -1)]
    assert [line[0] for line in lines[1:23]] == [*order[:10], "…", *order[-10:], "all"]
    assert [int(line[1]) for line in lines[1:11]] == list(range(51, 41, -1))
    assert " ".join(lines[23]) == "shown are the 10 largest and the 10 smallest classes; 30 are not"
    made(dataset(pixels[:40], pixels[:1], torch.arange(40), classes=40, files=False))
    assert len([word for word in cutaway("data", "show", "mnist")[1].split() if word[0] == "c"]) == 42


def test_an_experiment_s_data_is_shown_as_it_is_trained_on(
    cutaway: Command, folder: Path, tmp_path: Path
) -> None:
    path = tmp_path / "mine.toml"
    path.write_text(f'[data]\nsource = "idx"\npath = "{folder}"\nvalidation = 3\n', encoding="utf-8")

    def images(*arguments: str) -> dict[str, int]:
        code, out, err = cutaway("data", "show", path, "--json", *arguments)
        assert (code, err) == (0, "")
        return {name: split["images"] for name, split in json.loads(out)["splits"].items()}

    assert images() == {"train": 9, "validation": 3, "test": 6}
    assert images("--validation", "6") == {"train": 6, "validation": 6, "test": 6}
    assert images("--validation", "0") == {"train": 12, "test": 6}
    assert images("--data.validation", "6") == {"train": 6, "validation": 6, "test": 6}
    code, out, _ = cutaway("data", "show", "digits", "--no-duplicates", "--json")
    assert code == 0
    assert json.loads(out)["splits"]["validation"]["images"] > 0


def test_every_option_reaches_its_field(
    cutaway: Command, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    seen: list[DataConfig] = []

    def load(config: DataConfig) -> Images:
        seen.append(config)
        return dataset(noise(9, 7), noise(2, 8), torch.arange(9) % 2, classes=2)

    monkeypatch.setitem(SOURCES._entries, "mnist", Source("made", load))
    line = "--size 24x32 --fit pad --channels 1 --per-class 30 --characters 123 --validation 3 --skip-bad"
    path = tmp_path / "12"
    assert cutaway("data", "show", "mnist", *line.split(), "--path", path, "--data.split_seed", "4")[0] == 0
    assert seen[-1] == DataConfig(
        size="24x32",
        fit=Fit.PAD,
        channels=1,
        per_class=30,
        characters="123",
        validation=3,
        skip_bad=True,
        path=str(path),
        split_seed=4,
    )
    assert cutaway("data", "show", "mnist", "--path", "12")[0] == 0
    assert seen[-1] == DataConfig(path="12", validation=0)
    assert cutaway("data", "show", "mnist", "--data.validation", "2", "--data.size", "9")[0] == 0
    assert seen[-1] == DataConfig(size="9x9", validation=2)


@pytest.mark.parametrize("kind", ["png", "svg", "pdf"])
def test_a_pyramid_is_drawn_beside_the_sheet(
    cutaway: Command, made: Callable[[Images], None], tmp_path: Path, kind: str
) -> None:
    made(dataset(noise(9, 9), noise(2, 10), torch.arange(9) % 2, classes=2, files=False))
    path = tmp_path / f"sheet.{kind}"
    code, out, err = cutaway("data", "show", "mnist", "-o", path, "--pyramid", "7")
    assert (code, err) == (0, "")
    beside = tmp_path / f"sheet-pyramid.{kind}"
    assert out.splitlines()[-2:] == [str(path), str(beside)]
    assert sorted(tmp_path.iterdir()) == sorted([path, beside])
    if kind == "png":
        with Image.open(beside) as picture:
            shown = np.array(picture.convert("RGB"))
        # The first level, at fifteen pixels a pixel, is training image 7 itself.
        pixels = noise(9, 9)[7].permute(1, 2, 0).numpy()
        assert any(
            (shown[y::15, 16::15][:16, :16] == pixels).all() for y in range(120) if y + 240 < len(shown)
        )
    facts = json.loads(cutaway("data", "show", "mnist", "-o", path, "--pyramid", "0", "--json")[1])
    assert (facts["sheet"], facts["pyramid"]) == (str(path), str(beside))
    for number in ("9", "-1"):
        code, out, err = cutaway("data", "show", "mnist", "-o", path, "--pyramid", number)
        assert (code, out) == (2, "")
        assert f"from 0 to 8, not {number}" in err


def test_a_sheet_is_kept_to_be_drawn_again_with_what_training_does_to_its_images(
    cutaway: Command, made: Callable[[Images], None], tmp_path: Path
) -> None:
    made(dataset(noise(9, 9), noise(2, 10), torch.arange(9) % 2, classes=2, files=False))
    path = tmp_path / "sheet.npz"
    words = ["data", "show", "mnist", "-o", path, "--examples", "2", "--split", "train", "--pyramid", "3"]
    assert cutaway(*words, "--data.augment.jitter", "4")[0] == 0
    sheet = load(path)
    assert sorted(tmp_path.iterdir()) == [tmp_path / "sheet-pyramid.npz", path]
    assert list(sheet.blocks) == ["train", "train, varied"]
    assert sheet.blocks["train"].pixels.equal(noise(9, 9)[[0, 8, 1, 7]])
    assert not sheet.blocks["train, varied"].pixels.equal(sheet.blocks["train"].pixels)
    assert load(tmp_path / "sheet-pyramid.npz").levels[0].equal(noise(9, 9)[3])
    assert cutaway(*words)[0] == 0
    assert list(load(path).blocks) == ["train"]
    assert "no split" in cutaway("data", "show", "mnist", "-o", path, "--split", "none")[2]
    assert "1 or more" in cutaway("data", "show", "mnist", "-o", path, "--examples", "0")[2]


def test_nothing_needs_to_be_written_by_the_users_folder(cutaway: Command, folder: Path) -> None:
    before = sorted(path.name for path in folder.iterdir())
    assert cutaway("data", "show", "idx", "--path", folder)[0] == 0
    assert sorted(path.name for path in folder.iterdir()) == before
