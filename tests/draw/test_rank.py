"""Ranks as bars: shares of the units, and how many of how many."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from matplotlib.container import BarContainer

import cutaway
from cutaway.look import Rank, Spectrum


def some_rank(samples: int = 500) -> Rank:
    spectra = {
        "conv1": Spectrum(torch.tensor([5.0, 3.0, 1.0, 1e-9]).double(), 500),
        "dead": Spectrum(torch.zeros(6).double(), 500),
        "dense1": Spectrum(torch.ones(20).double(), samples),
    }
    return Rank(spectra, 50, "some net")


def test_bars_are_the_measures_as_shares_of_the_units() -> None:
    result = some_rank()
    axes = cutaway.plot(result).axes[0]
    bars = {str(bar.get_label()): bar for bar in axes.containers if isinstance(bar, BarContainer)}
    measures: dict[str, Callable[[Spectrum], float]] = {
        "99 % of the variance (saturation)": lambda s: s.dimensions(),
        "effective rank": lambda s: s.effective_rank,
        "participation ratio": lambda s: s.participation_ratio,
    }
    assert list(bars) == list(measures)
    for label, measure in measures.items():
        heights = [bar.get_height() for bar in bars[label]]
        assert heights == pytest.approx([100 * measure(s) / s.units for s in result.layers.values()])
        for place, bar in enumerate(bars[label]):
            assert abs(bar.get_x() + bar.get_width() / 2 - place) < 0.5
    assert [tick.get_text() for tick in axes.get_xticklabels()] == ["conv1", "dead", "dense1"]


def test_how_many_of_how_many_stands_above_its_bar() -> None:
    axes = cutaway.plot(some_rank()).axes[0]
    assert [text.get_text() for text in axes.texts] == ["3/4", "0/6", "20/20"]
    first = next(bar for bar in axes.containers if isinstance(bar, BarContainer))
    for text, bar in zip(axes.texts, first, strict=True):
        x, y = text.xy  # type: ignore[attr-defined]
        assert bar.get_x() <= x <= bar.get_x() + bar.get_width()
        assert y == pytest.approx(bar.get_height())
    assert axes.get_ylim()[1] > 100


def test_layers_with_too_few_images_are_marked_and_the_mark_explained() -> None:
    sound, short = cutaway.plot(some_rank()).axes[0], cutaway.plot(some_rank(20)).axes[0]
    assert sound.get_xlabel() == ""
    assert [tick.get_text() for tick in short.get_xticklabels()] == ["conv1", "dead", "dense1 *"]
    assert short.get_xlabel().startswith("* fewer")
