"""``cutaway look judge``."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from tests.cli.arrays import named

from cutaway.look.features import sample
from cutaway.look.judging import CHANCE, CRITERIA, Judgement, Questions, judge
from cutaway.store import Run

Command = Callable[..., tuple[int, str, str]]

NAMES = ["saliency", "gradient-input"]
LINE = ("look", "judge", "last", "--images", "4", "--seed", "5", "--method", NAMES[0], "--method", NAMES[1])
SHORT = ("look", "judge", "last", "--images", "1", "--method", "saliency")


@pytest.fixture
def store(trained: Run) -> Path:
    return trained.ledger.path.parent


@pytest.fixture(scope="session")
def wanted(trained: Run) -> Judgement:
    """What the commands below should say."""
    images = sample(trained.images().split("test"), 4, 5)
    return judge(trained.subject(), images, NAMES, questions=Questions(seed=5))


def test_the_numbers_are_those_of_judge(
    cutaway: Command, wanted: Judgement, store: Path, tmp_path: Path
) -> None:
    path = tmp_path / "judge.npz"
    code, out, err = cutaway(*LINE, "-o", path, "--store", store)
    assert (code, err) == (0, "")
    parts = ("deletion", "insertion", "sensitivity", "correlation", "structure", "seconds")
    with np.load(path, allow_pickle=False) as found:
        rows = {f"{name}.{part}" for name in wanted.rows for part in parts}
        assert named(found) == {"agreement", "overlap", "classes", "shares"} | rows
        np.testing.assert_allclose(found["agreement"], wanted.agreement, atol=1e-6)
        np.testing.assert_allclose(found["classes"], wanted.classes)
        assert found["shares"].tolist() == wanted.rows[CHANCE].deletion.shares.tolist()
        for name, row in wanted.rows.items():
            np.testing.assert_allclose(found[f"{name}.deletion"], row.deletion.values, atol=1e-6)
            np.testing.assert_allclose(found[f"{name}.insertion"], row.insertion.values, atol=1e-6)
            for part in ("sensitivity", "correlation", "structure"):
                np.testing.assert_allclose(found[f"{name}.{part}"], getattr(row, part), atol=1e-5)
    first, head, *lines, last = out.splitlines()
    assert first.startswith("4 test images; ")
    assert head.split() == ["place", *CRITERIA, "ms", "an", "image"]
    assert last == str(path)
    order = wanted.order()
    for line, name in zip(lines, (*order, CHANCE), strict=True):
        told = line.split()
        assert told[:2] == [name, f"{order[name]:.2f}" if name in order else "–"]
        means = [wanted.rows[name].mean(criterion).mean for criterion in CRITERIA]
        assert [float(value) for value in told[2:6]] == pytest.approx(means, abs=6e-4)


def test_json_has_means_intervals_and_agreement(
    cutaway: Command, wanted: Judgement, trained: Run, tmp_path: Path
) -> None:
    folder = tmp_path / "runs"
    shutil.copytree(trained.ledger.path.parent, folder)
    code, out, err = cutaway(*LINE, "--json", "--store", folder)
    assert (code, err) == (0, "")
    facts = json.loads(out, parse_constant=pytest.fail)
    file = Path(facts.pop("file"))
    assert file == folder / trained.id / "looks" / "judge-saliency-gradient-input.png"
    with Image.open(file) as picture:
        assert min(picture.size) > 300
    methods, agreement = facts.pop("methods"), facts.pop("agreement")
    assert facts == {
        "run": trained.id,
        "split": "test",
        "images": 4,
        "removed": "black",
        "ground": "blur",
        "stages": list(wanted.stages),
        "refused": {},
    }
    assert list(methods) == [*wanted.order(), CHANCE]
    for name, row in wanted.rows.items():
        assert methods[name].get("place") == wanted.order().get(name)
        for criterion in CRITERIA:
            one = row.mean(criterion)
            assert methods[name][criterion] == pytest.approx(
                {"mean": one.mean, "low": one.low, "high": one.high}, abs=1e-5
            )
        assert methods[name]["correlation"] == pytest.approx(row.correlation.mean(1).tolist(), abs=1e-5)
        assert methods[name]["zero"] == row.zero
    assert agreement["methods"] == [*NAMES, CHANCE]
    np.testing.assert_allclose(agreement["correlation"], wanted.agreement, atol=1e-6)


def test_what_was_asked_for_is_in_the_name_of_the_file(
    cutaway: Command, trained: Run, tmp_path: Path
) -> None:
    folder = tmp_path / "runs"
    shutil.copytree(trained.ledger.path.parent, folder)
    line = (*SHORT, "--class", "4", "--removed", "mean", "--weights", "last", "--json", "--store", folder)
    code, out, _ = cutaway(*line)
    assert code == 0
    facts = json.loads(out, parse_constant=pytest.fail)
    assert Path(facts["file"]).name == "judge-saliency-4-mean-blur-last.png"
    assert facts["removed"] == "mean"


def test_a_method_that_refuses_is_a_line(
    cutaway: Command, store: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from cutaway.errors import ConfigError
    from cutaway.look.backward.methods import METHODS, Method

    def refusing(*_: object) -> None:
        raise ConfigError("no rule for this.")

    monkeypatch.setitem(METHODS._entries, "lrp", Method(refusing, "signed"))  # type: ignore[arg-type]
    code, out, err = cutaway(*SHORT, "--method", "lrp", "-o", tmp_path / "a.png", "--store", store)
    assert (code, err) == (0, "")
    assert "lrp       not judged: no rule for this." in out.splitlines()


@pytest.mark.parametrize(
    ("options", "code", "told"),
    [
        (["--method", "saliencey"], 3, 'Did you mean "saliency'),
        (["--images", "0"], 2, "1 or more, not 0"),
        (["--removed", "pink"], 2, "pink"),
        (["--class", "eleven"], 3, "eleven"),
        (["--class", "11"], 3, "numbered from 0 to 9"),
        (["--split", "valid"], 3, "validation"),
    ],
)
def test_what_is_not_there_is_told(
    cutaway: Command, store: Path, tmp_path: Path, *, options: list[str], code: int, told: str
) -> None:
    line = ("look", "judge", "last", *options, "-o", tmp_path / "a.npz", "--store", store)
    found, out, err = cutaway(*line)
    assert (found, out) == (code, "")
    assert told in err
    assert list(tmp_path.iterdir()) == []
