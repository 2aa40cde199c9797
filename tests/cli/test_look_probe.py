"""``cutaway look probe`` and ``cutaway look retention``: learnt on training images, measured on others."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.cli.arrays import named

from cutaway.look import Reading, probe, retention
from cutaway.store import Run

Command = Callable[..., tuple[int, str, str]]


def told(reading: Reading) -> dict[str, Any]:
    """A reading as JSON has it."""
    return {
        "error": reading.error,
        "interval": pytest.approx(list(reading.interval)),
        "wrong": reading.wrong,
        "features": reading.features,
        "strength": reading.strength,
    }


def test_facts_numbers_and_lines_are_those_of_probe(cutaway: Command, trained: Run, tmp_path: Path) -> None:
    path, store, data = tmp_path / "a.npz", trained.ledger.path.parent, trained.images()
    line: tuple[str, ...] = (
        "look",
        "probe",
        "last",
        "--layer",
        "relu2",
        "--layer",
        "dense1",
        "--images",
        "60",
    )
    line += ("--test-images", "40", "--split", "validation", "--features", "30", "--seed", "2")
    facts = json.loads(cutaway(*line, "--json", "-o", path, "--store", store)[1])
    wanted = probe(
        trained.subject(),
        data.split("train"),
        data.split("validation"),
        ["relu2", "dense1"],
        random=trained.subject("random"),
        images=60,
        test_images=40,
        features=30,
        seed=2,
    )
    assert (facts["split"], facts["train_images"], facts["test_images"]) == ("validation", 60, 40)
    assert facts["chance"] == wanted.chance
    assert facts["pixels"] == told(wanted.pixels)
    for key, side in (("layers", wanted.layers), ("random", wanted.random)):
        assert facts[key] == {name: told(reading) for name, reading in side.items()}
    with np.load(path) as found:
        assert named(found) == {
            "pixels",
            *(f"{s}.{n}" for s in ("layer", "random") for n in wanted.layers),
        }
        for name in wanted.layers:
            for kind, readings in (("layer", wanted.layers), ("random", wanted.random)):
                reading = readings[name]
                np.testing.assert_allclose(found[f"{kind}.{name}"], [reading.error, *reading.interval])
    out = cutaway(*line, "-o", tmp_path / "a.png", "--store", store)[1].splitlines()
    assert [text.split()[0] for text in out[:3]] == ["pixels", "relu2", "dense1"]
    for text, name in zip(out[1:], wanted.layers, strict=False):
        mine, theirs = text.split("random weights")
        assert f"{wanted.layers[name].error:.2%}" in mine
        assert f"{wanted.random[name].error:.2%}" in theirs


def test_facts_numbers_and_lines_are_those_of_retention(
    cutaway: Command, trained: Run, tmp_path: Path
) -> None:
    path, store, data = tmp_path / "a.npz", trained.ledger.path.parent, trained.images()
    line: tuple[str, ...] = (
        "look",
        "retention",
        "last",
        "--layer",
        "conv2",
        "--layer",
        "dense1",
        "--images",
        "50",
    )
    line += ("--test-images", "30", "--features", "200", "--examples", "4", "--seed", "2")
    facts = json.loads(cutaway(*line, "--json", "-o", path, "--store", store)[1])
    wanted = retention(
        trained.subject(),
        data.split("train"),
        data.split("test"),
        ["conv2", "dense1"],
        random=trained.subject("random"),
        images=50,
        test_images=30,
        features=200,
        examples=4,
        seed=2,
    )
    assert (facts["split"], facts["train_images"], facts["test_images"]) == ("test", 50, 30)
    for key, side in (("layers", wanted.layers), ("random", wanted.random)):
        assert facts[key] == {
            name: {
                "error": pytest.approx(kept.error),
                "interval": pytest.approx(list(kept.interval)),
                "features": kept.features,
                "strength": kept.strength,
            }
            for name, kept in side.items()
        }
    assert facts["layers"]["conv2"]["features"] == 200
    assert facts["pixels"]["error"] == pytest.approx(wanted.pixels.error)
    with np.load(path) as found:
        np.testing.assert_array_equal(found["originals"], wanted.originals)
        assert len(found["originals"]) == 4
        for name, kept in wanted.layers.items():
            np.testing.assert_allclose(found[f"layer.{name}"], [kept.error, *kept.interval])
            np.testing.assert_allclose(
                found[f"reconstruction.{name}"], wanted.reconstructions[name], atol=1e-5
            )
    out = cutaway(*line, "-o", tmp_path / "a.png", "--store", store)[1].splitlines()
    assert [text.split()[0] for text in out[:3]] == ["pixels", "conv2", "dense1"]
    assert f"{wanted.layers['dense1'].error:.2%}" in out[2]
