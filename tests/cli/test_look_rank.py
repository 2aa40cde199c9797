"""``cutaway look rank``."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from cutaway.look import rank
from cutaway.look.features import sample
from cutaway.store import Run

Command = Callable[..., tuple[int, str, str]]


def test_facts_numbers_and_lines_are_those_of_rank(cutaway: Command, trained: Run, tmp_path: Path) -> None:
    path, store = tmp_path / "rank.npz", trained.ledger.path.parent
    line = ("look", "rank", "last", "--images", "30", "--split", "validation", "--seed", "4", "-o", path)
    facts = json.loads(cutaway(*line, "--json", "--store", store)[1])
    pixels = sample(trained.images().split("validation"), 30, 4).pixels
    wanted = rank(trained.subject(), pixels)
    assert (facts["images"], facts["split"]) == (30, "validation")
    assert facts["layers"] == {
        name: {
            "units": spectrum.units,
            "samples": spectrum.samples,
            "effective_rank": pytest.approx(spectrum.effective_rank),
            "participation_ratio": pytest.approx(spectrum.participation_ratio),
            "dimensions": spectrum.dimensions(),
            "saturation": pytest.approx(spectrum.saturation),
        }
        for name, spectrum in wanted.layers.items()
    }
    with np.load(path) as found:
        for name, spectrum in wanted.layers.items():
            np.testing.assert_allclose(found[f"layer.{name}"], spectrum.eigenvalues)
    out = cutaway(*line, "--store", store)[1].splitlines()
    for told, (name, spectrum) in zip(out, wanted.layers.items(), strict=False):
        assert told.split()[:4] == [name, str(spectrum.dimensions()), "of", str(spectrum.units)]
        assert told.endswith("(few images: a lower bound)") == spectrum.limited


def test_too_few_images_for_a_layer_are_told_in_its_line(
    cutaway: Command, trained: Run, tmp_path: Path
) -> None:
    line = ("look", "rank", "last", "--images", "5", "--layer", "dense1", "-o", tmp_path / "a.png")
    out = cutaway(*line, "--store", trained.ledger.path.parent)[1]
    assert "(few images: a lower bound)" in out
