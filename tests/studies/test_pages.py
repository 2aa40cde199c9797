"""The pages of the repeated experiments say what their committed results say, and each can be repeated."""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import cache
from pathlib import Path

import build
import numpy as np
import pytest
from page import Page
from PIL import Image
from tests.study.inline import InlineClient, conducted, few_images

from cutaway.config import load_study
from cutaway.store import Store
from cutaway.study import TrialStatus, find_study, read_trials

FOLDERS = build.folders()

Command = Callable[..., tuple[int, str, str]]


@cache
def made(folder: Path) -> Page:
    return build.make(folder)


@pytest.mark.parametrize("folder", FOLDERS, ids=lambda folder: folder.name)
def test_a_page_says_what_its_results_say(folder: Path) -> None:
    text = (folder / "README.md").read_text(encoding="utf-8")
    assert build.filled(text, made(folder)) == text, "python studies/build.py"


@pytest.mark.parametrize("folder", FOLDERS, ids=lambda folder: folder.name)
def test_a_page_shows_all_its_pictures_and_no_others(folder: Path) -> None:
    text = (folder / "README.md").read_text(encoding="utf-8")
    shown = set(re.findall(r"\]\(pictures/([\w.-]+)\)", text))
    there = {path.name for path in (folder / "pictures").iterdir()}
    assert shown == there == {f"{name}.png" for name in made(folder).pictures}


@pytest.mark.parametrize("folder", FOLDERS, ids=lambda folder: folder.name)
def test_a_page_is_small(folder: Path) -> None:
    files = [path for path in folder.rglob("*") if path.is_file() and "__pycache__" not in path.parts]
    assert sum(path.stat().st_size for path in files) < 5e6


def test_a_stale_page_is_noticed(tmp_path: Path) -> None:
    page = Page({"errors": "| a |"}, {})
    text = "head\n<!-- errors -->\n| b |\n<!-- end -->\ntail\n"
    assert build.filled(text, page) == "head\n<!-- errors -->\n| a |\n<!-- end -->\ntail\n"
    with pytest.raises(KeyError, match="no place"):
        build.filled("nothing", page)
    with pytest.raises(KeyError, match="other"):
        build.filled(text.replace("errors", "other"), page)


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[str]]:
    """By the beginning of a folder's name the options that make its images few."""
    textures, colours = tmp_path_factory.mktemp("textures"), tmp_path_factory.mktemp("colours")
    _photographs(textures)
    _colours(colours)
    small = ["--data.validation", "25", "--data.test", "25"]
    few = ["--data.source", "folder", "--data.path", str(colours), "--data.validation", "20"]
    return {
        "e3": ["--data.path", str(textures), "--data.per_class", "4", "--train.batch", "20", *small],
        **{name: [*few, "--data.train_images", "0"] for name in ("e2", "e4")},
        **{name: ["--data.train_images", "200"] for name in ("e1", "e5")},
    }


def _photographs(folder: Path) -> None:
    """One texture for each of 25 classes, 512×512 grey."""
    generator = np.random.default_rng(0)
    for number in range(25):
        noise = generator.integers(0, 256, (64, 64), dtype=np.uint8)
        Image.fromarray(noise).resize((512, 512)).save(folder / f"class{number:02d}.png")


def _colours(folder: Path) -> None:
    """A few images of 32×32 pixels for each of CIFAR-10's classes."""
    generator = np.random.default_rng(0)
    names = ["airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"]
    for split, count in (("train", 12), ("test", 4)):
        for place, name in enumerate(names):
            (folder / split / name).mkdir(parents=True)
            for number in range(count):
                pixels = generator.integers(0, 200, (32, 32, 3), dtype=np.uint8)
                pixels[..., place % 3] = 20 * place
                Image.fromarray(pixels).save(folder / split / name / f"{number:04d}.png")


def studies() -> list[Path]:
    """Every study of every folder."""
    return sorted(path for path in build.ROOT.glob("*/*.toml") if path.name != "experiment.toml")


@pytest.mark.parametrize("path", studies(), ids=lambda path: f"{path.parent.name}-{path.stem}")
def test_the_quick_study_runs(
    path: Path,
    cutaway: Command,
    data: dict[str, list[str]],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    study = load_study(path, quick=True)
    if not study.look:
        monkeypatch.setattr("cutaway.study.images.load_images", few_images)  # MNIST has many test images
    fields = data[path.parent.name[:2]]
    with conducted(monkeypatch, InlineClient()) as client:
        code, out, err = cutaway("study", "run", path, "--quick", *fields, "--store", tmp_path)
    assert code == 0, err
    store = Store(tmp_path)
    trials = read_trials(store, find_study(store, "last"))
    assert len(client.assignments) == len(trials) >= study.seeds * (1 + len(study.variant))
    assert {trial.status for trial in trials} <= {TrialStatus.FINISHED, TrialStatus.DIVERGED}
    assert "quick" in out
    looks = {file.stem for file in tmp_path.glob("studies/*/looks/*.npz")}
    assert looks == {look.file for look in study.look}
