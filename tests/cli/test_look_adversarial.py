"""``cutaway look adversarial``, ``unnatural`` and ``robustness``."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from cutaway.look.adversarial import fgsm, pgd
from cutaway.look.features import sample
from cutaway.look.robustness import robustness
from cutaway.look.unnatural import unnatural
from cutaway.store import Run

Command = Callable[..., tuple[int, str, str]]


@pytest.fixture
def store(trained: Run) -> Path:
    return trained.ledger.path.parent


@pytest.mark.parametrize(
    ("options", "find", "settings"),
    [
        (["--method", "fgsm", "--eps", "40"], fgsm, {"eps": 40}),
        (["--eps", "900", "--norm", "l2", "--steps", "3", "--seed", "2"], pgd, None),
        (["--method", "fgsm", "--eps", "90", "--toward", "3", "--whole"], fgsm, None),
    ],
)
def test_an_attack_is_that_of_the_function(
    cutaway: Command,
    trained: Run,
    store: Path,
    tmp_path: Path,
    *,
    options: list[str],
    find: Callable[..., Any],
    settings: dict[str, Any] | None,
) -> None:
    if settings is None:
        settings = {"eps": 900, "norm": "l2", "steps": 3, "seed": 2}
        if "--toward" in options:
            settings = {"eps": 90, "toward": 3, "whole": True}
    images = trained.images().split("test").pixels[[4, 9]]
    wanted = find(trained.subject(), images, **settings)
    line = ("look", "adversarial", "last", "--image", "4", "--image", "9", *options, "--store", store)
    path = tmp_path / "a.npz"
    code, out, err = cutaway(*line, "-o", path)
    assert (code, err) == (0, "")
    with np.load(path, allow_pickle=False) as found:
        for name in ("images", "changed", "before", "after", "success", "linf", "l2"):
            key = "image" if name == "images" else name
            np.testing.assert_allclose(found[key], getattr(wanted, name).numpy(), atol=1e-4)
    before, after = (taken.tolist() for taken in wanted.taken)
    first, second = out.splitlines()[:2]
    assert first.startswith(f"image 4: {before[0]} (")
    assert f"becomes {after[0]} (" in first
    for told, reached in ((first, wanted.success[0]), (second, wanted.success[1])):
        assert told.endswith("the attack failed") == (not reached)
    code, out, _ = cutaway(*line, "--json", "-o", tmp_path / "a.png")
    assert code == 0
    facts = json.loads(out, parse_constant=pytest.fail)
    assert [row["success"] for row in facts["images"]] == wanted.success.tolist()
    assert [int(row["after"]["class"]) for row in facts["images"]] == after
    assert [row["l2"] for row in facts["images"]] == pytest.approx(wanted.l2.tolist(), rel=1e-5)
    with Image.open(tmp_path / "a.png") as picture:
        assert min(picture.size) > 300


def test_unnatural_images_of_two_classes(cutaway: Command, trained: Run, store: Path, tmp_path: Path) -> None:
    line = ("look", "unnatural", "last", "--class", "4", "--class", "1", "--confidence", "0.9", "--step", "6")
    line = (*line, "--start", "noise", "--seed", "3", "--store", store)  # type: ignore[assignment]
    wanted = unnatural(trained.subject(), [4, 1], confidence=0.9, step=6, start="noise", seed=3)
    path = tmp_path / "a.npz"
    code, out, err = cutaway(*line, "-o", path)
    assert (code, err) == (0, "")
    with np.load(path, allow_pickle=False) as found:
        for name in ("images", "start", "classes", "before", "after", "steps", "confidence"):
            np.testing.assert_allclose(found[name], getattr(wanted, name).numpy(), atol=1e-4)
    assert out.startswith(f"4: {float(wanted.probability[0]):.2%} after {int(wanted.steps[0])} steps")
    code, out, _ = cutaway(*line, "--json", "-o", tmp_path / "a.png")
    assert code == 0
    facts = json.loads(out, parse_constant=pytest.fail)
    assert [(row["class"], row["reached"]) for row in facts["classes"]] == [("4", True), ("1", True)]
    assert [row["steps"] for row in facts["classes"]] == wanted.steps.tolist()


def test_robustness_by_attack(cutaway: Command, trained: Run, store: Path, tmp_path: Path) -> None:
    line = ("look", "robustness", "last", "--images", "20", "--eps", "0", "--eps", "60", "--attack", "fgsm")
    line = (*line, "--attack", "pgd", "--steps", "2", "--seed", "1", "--store", store)  # type: ignore[assignment]
    split = sample(trained.images().split("test"), 20, 1)
    wanted = robustness(trained.subject(), split, (0, 60), attacks=("fgsm", "pgd"), steps=2, seed=1)
    path = tmp_path / "a.npz"
    code, out, err = cutaway(*line, "-o", path)
    assert (code, err) == (0, "")
    with np.load(path, allow_pickle=False) as found:
        np.testing.assert_array_equal(found["eps"], [0, 60])
        for name, curve in wanted.curves.items():
            np.testing.assert_array_equal(found[f"{name}.wrong"], curve.wrong.numpy())
            np.testing.assert_allclose(found[f"{name}.errors"], curve.wrong.float().mean(1))
            np.testing.assert_allclose(found[f"{name}.intervals"], curve.intervals.numpy())
    errors = wanted.curves["pgd"].errors.tolist()
    assert f"pgd: 0: {errors[0]:.1%}, 60: {errors[1]:.1%}" in out.splitlines()
    code, out, _ = cutaway(*line, "--json", "-o", tmp_path / "a.png")
    assert code == 0
    facts = json.loads(out, parse_constant=pytest.fail)
    assert facts["attacks"]["pgd"]["errors"] == errors
    assert facts["attacks"]["pgd"]["half"] == wanted.half("pgd")


@pytest.mark.parametrize(
    ("line", "code", "told"),
    [
        (["adversarial", "--eps", "-1"], 2, "eps"),
        (["adversarial", "--toward", "ten"], 3, 'no class "ten"'),
        (["adversarial", "--steps", "0"], 2, "steps"),
        (["unnatural", "--class", "12"], 3, "numbered from 0 to 9"),
        (["unnatural", "--confidence", "1"], 2, "confidence"),
        (["robustness", "--attack", "cw"], 2, "cw"),
        (["robustness", "--images", "5", "--eps", "-3"], 2, "eps"),
    ],
)
def test_what_is_not_there_is_told(
    cutaway: Command, store: Path, tmp_path: Path, *, line: list[str], code: int, told: str
) -> None:
    method, *options = line
    found, out, err = cutaway("look", method, "last", *options, "-o", tmp_path / "a.npz", "--store", store)
    assert (found, out) == (code, "")
    assert told in err
    assert list(tmp_path.iterdir()) == []
