"""From a folder of images to an experiment that trains untouched."""

from __future__ import annotations

import json
import tomllib
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from PIL import Image

from cutaway.training import proposal

Command = Callable[..., tuple[int, str, str]]


@pytest.fixture(autouse=True)
def _short_trial(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(proposal, "_TRIAL_SECONDS", 0.0)
    monkeypatch.setenv("CUTAWAY_STORE", str(tmp_path / "runs"))
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Red and blue pictures, forty each, with a little noise."""
    generator = torch.Generator().manual_seed(0)
    for number in range(80):
        pixels = torch.randint(0, 60, (12, 12, 3), generator=generator, dtype=torch.uint8)
        pixels[..., 2 * (number % 2)] += 150
        path = tmp_path / "colours" / ("red", "blue")[number % 2] / f"{number}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(pixels.numpy()).save(path)
    return tmp_path / "colours"


def test_what_it_writes_trains_untouched(cutaway: Command, folder: Path) -> None:
    code, out, err = cutaway("init", folder)
    assert code == 0, err
    path = Path("colours.toml")
    assert out.startswith("colours.toml: 60 epochs, about ")
    assert err.endswith("Next: cutaway train colours.toml\n")
    text = path.read_text("utf-8")
    values = tomllib.loads(text)
    assert values["data"] == {
        "source": "folder",
        "path": str(folder),
        "augment": {"shift": 2, "flip": True, "scale": 0.1},
    }
    # A comment above every value.
    lines = [line for line in text.splitlines() if line]
    for at, line in enumerate(lines):
        if " = " in line and not line.startswith("#"):
            assert lines[at - 1].startswith("# "), line
    code, out, err = cutaway("train", "colours.toml", "--train.epochs", "2", "--json")
    assert code == 0, err
    assert json.loads(out)["best"]["scores"]["validation"]["top1_error"] < 0.5


def test_json_tells_the_same(cutaway: Command, folder: Path) -> None:
    code, out, _ = cutaway("init", folder, "-o", "here/x.toml", "--size", "8x8", "--minutes", "0.5", "--json")
    facts = json.loads(out)
    assert code == 0
    assert facts["file"] == "here/x.toml"
    assert facts["experiment"]["data"]["size"] == "8x8"
    assert facts["images_per_second"] > 0
    assert facts["seconds"] > 0
    assert tomllib.loads(Path("here/x.toml").read_text("utf-8"))["data"]["size"] == "8x8"


def test_a_file_that_is_there_stays(cutaway: Command, folder: Path) -> None:
    Path("colours.toml").write_text("mine", "utf-8")
    code, out, err = cutaway("init", folder)
    assert (code, out) == (2, "")
    assert (
        err == "cutaway: colours.toml is there already and stays as it is. Name another one: -o FILE.toml\n"
    )
    assert Path("colours.toml").read_text("utf-8") == "mine"


def test_a_bad_file_stops_it_unless_it_is_skipped(cutaway: Command, folder: Path) -> None:
    (folder / "red" / "bad.png").write_bytes(b"text")
    code, out, err = cutaway("init", folder)
    assert (code, out) == (1, "")
    assert "red/bad.png: it is no image" in err
    assert not Path("colours.toml").exists()
    code, _, err = cutaway("init", folder, "--skip-bad")
    assert code == 0, err
    code, out, err = cutaway("train", "colours.toml", "--train.epochs", "1", "--json")
    assert code == 0, err
    assert "1 file was skipped, such as red/bad.png: it is no image." in err
    run = json.loads(out)["id"]
    shown = json.loads(cutaway("runs", "show", run, "--json")[1])
    assert shown["skipped"] == [{"file": "red/bad.png", "reason": "it is no image"}]
    assert "skipped red/bad.png: it is no image" in cutaway("runs", "show", run)[1]


def test_training_skips_bad_files_when_told(cutaway: Command, folder: Path) -> None:
    (folder / "red" / "bad.png").write_bytes(b"")
    fields = ("--data.source", "folder", "--data.path", str(folder), "--train.epochs", "1")
    net = "conv 4 3x3 | relu | globalpool | flatten | dense 2"
    code, _, err = cutaway("train", "digits", "--net", net, *fields, "--data.validation", "0.1")
    assert code == 1
    assert "--skip-bad" in err
    code, _, err = cutaway("train", "digits", "--net", net, *fields, "--data.validation", "0.1", "--skip-bad")
    assert code == 0, err


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (("nowhere",), 3, 'There is no file or folder and no source "nowhere".'),
        (("mnist", "--minutes", "0"), 2, "--minutes should be above 0, not 0."),
        (("mnist", "--size", "big"), 2, "should be height x width in pixels, such as 64x64"),
        ((".",), 1, "has no image files."),
    ],
)
def test_what_can_not_be(cutaway: Command, arguments: tuple[str, ...], code: int, message: str) -> None:
    found, out, err = cutaway("init", *arguments, "-o", "x.toml")
    assert (found, out) == (code, "")
    assert message in err
    assert len(err.splitlines()) <= 2
    assert not Path("x.toml").exists()
