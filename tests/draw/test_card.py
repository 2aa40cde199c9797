"""The picture of layer cards, by what must be true of it."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch
from matplotlib.axes import Axes
from matplotlib.colors import same_color

import cutaway
from cutaway.config import Experiment
from cutaway.draw.studies.marks import MARKS
from cutaway.look import Kept, Reading, Spectrum
from cutaway.study import Difference, Effect, Measure, Origin, Variant, VariantRow, Verdict
from cutaway.study.cards.advice import advise
from cutaway.study.cards.card import (
    Evidence,
    Knocked,
    LayerCard,
    LayerCards,
    LayerTime,
    Learned,
    Left,
    Readable,
    Retrained,
    Size,
    StepMemory,
    UnitCounts,
)
from cutaway.training.learning import LayerLearning


def retrained(mean: float, half: float, effect: Effect) -> Retrained:
    """A variant that has so many points more than its base."""
    variant = Variant("some", Experiment(), None, origin=Origin.ABLATE, layers=("conv1",))
    top1 = Difference(mean / 100, (mean - half) / 100, (mean + half) / 100, 0.5, 0.5, 5)
    base = VariantRow(variant, (), 0, {}, {}, Verdict(Effect.UNTOLD, ""))
    return Retrained(
        VariantRow(variant, (), 0, {}, {Measure.TOP1: top1}, Verdict(effect, f"It has {mean}.")), base
    )


def some_card(layer: str, **parts: Any) -> LayerCard:
    names = (
        *("size", "memory", "time", "learning", "readable", "left", "spectrum", "units", "knocked"),
        *("ablated", "frozen", "frozen_up_to"),
    )
    evidence = {
        name: Evidence(parts[name], f"{name} of {layer}") if name in parts else Evidence(missing=f"no {name}")
        for name in names
    }
    return LayerCard(layer, "conv 4 3x3", (4, 6, 6), "filters", removable=True, **evidence)


FULL = some_card(
    "conv1",
    size=Size(20, 0.25, 648, 0.75, 288),
    memory=StepMemory(1024, 4096, 64),
    time=LayerTime(2e-6, 0.5),
    learning=Learned(LayerLearning("conv1", 0.4, 0.3, math.nan, (1.0, 0.5), 0), "conv1", 0.4),
    readable=Readable(Reading(10, 100, 8, 1.0), Reading(40, 100, 8, 1.0), 0.9),
    left=Left(Kept(0.2, (0.1, 0.3), 8, 1.0), Kept(0.5, (0.4, 0.6), 8, 1.0)),
    spectrum=Spectrum(torch.tensor([1.0, 1.0, 0.5, 0.0], dtype=torch.float64), 1000),
    units=UnitCounts(4, 1, 1, 0, "relu1"),
    knocked=Knocked(0.9, 0.8, 3, 0.25, 1, 4, 1000, 0.1),
    ablated=retrained(12.4, 1.1, Effect.WORSE),
    frozen=retrained(-0.02, 0.05, Effect.NONE_SEEN),
)


def figure_axes(*cards: LayerCard, **options: Any) -> list[Axes]:
    result = LayerCards({card.layer: card for card in cards}, "some $net$")
    return list(cutaway.plot(result, **options).axes)


def widths(axes: Axes) -> list[float]:
    return [bar.get_width() for bar in axes.patches]  # type: ignore[attr-defined]


def test_a_row_a_layer_and_a_column_a_kind_of_evidence() -> None:
    *columns, text = figure_axes(FULL, some_card("relu1", size=Size(0, 0.0, 0, 0.0, 288)))
    assert [axes.get_title(loc="left").split(":")[0].split(",")[0] for axes in columns] == [
        *("cost", "learning", "class", "image", "units", "knocked out", "trained anew"),
    ]
    assert [label.get_text() for label in columns[0].get_yticklabels()] == ["conv1", "relu1"]
    for axes in columns:
        bottom, top = axes.get_ylim()
        assert (bottom, top) == (1.5, -0.5), "the first layer is on top of every column"
    assert text.texts


def test_bars_are_shares_in_percent() -> None:
    costs, learning, _, _, units, knocked, *_ = figure_axes(FULL, some_card("relu1"))
    known = [value for value in widths(costs) if not math.isnan(value)]
    assert known == pytest.approx([25, 75, 50])
    assert [value for value in widths(learning) if not math.isnan(value)] == pytest.approx([40])
    assert [value for value in widths(units) if not math.isnan(value)] == pytest.approx([75, 50])
    assert [value for value in widths(knocked) if not math.isnan(value)] == pytest.approx([80])
    assert [text.get_text().strip() for text in knocked.texts] == ["80.0; unit 3: 25.0"]


def test_probes_and_differences_have_their_intervals() -> None:
    axes = figure_axes(FULL, some_card("relu1"), margin=0.7)
    read, anew = axes[2], axes[6]
    ends = [tuple(segment[:, 0]) for line in read.collections for segment in line.get_segments()]  # type: ignore[attr-defined]
    wanted = [tuple(100 * end for end in reading.interval) for reading in _readings()]
    assert ends == [pytest.approx(pair) for pair in wanted]
    spans = [tuple(segment[:, 0]) for line in anew.collections for segment in line.get_segments()]  # type: ignore[attr-defined]
    assert spans == [pytest.approx((11.3, 13.5)), pytest.approx((-0.07, 0.03))]
    colours = [line.get_color() for line in anew.collections]  # type: ignore[attr-defined]
    assert same_color(colours[0][0], MARKS[Effect.WORSE].colour)
    assert [0.7, 0.7] in [np.asarray(line.get_xdata()).tolist() for line in anew.lines], "the margin"


def _readings() -> list[Reading]:
    assert FULL.readable.value
    return [FULL.readable.value.trained, FULL.readable.value.random]


def test_what_nothing_is_known_of_has_no_column() -> None:
    *columns, text = figure_axes(
        some_card("conv1", size=Size(1, 0.5, 1, 0.5, 4)), some_card("relu1", size=Size(1, 0.5, 1, 0.5, 4))
    )
    assert [axes.get_title(loc="left") for axes in columns] == ["cost, % of the net's"]
    assert [line.get_text() for line in text.texts] == ["No advice follows from this evidence."]


def test_a_variant_without_an_interval_has_its_verdict_s_word() -> None:
    diverging = retrained(0.0, math.nan, Effect.UNTOLD)
    anew = figure_axes(some_card("conv1", ablated=diverging), some_card("relu1"))[0]
    assert [text.get_text().strip() for text in anew.texts] == ["can't be told"]


def test_all_advice_stands_below_with_its_sources() -> None:
    result = LayerCards({"conv1": FULL, "relu1": some_card("relu1")}, "net")
    told = " ".join(text.get_text() for text in cutaway.plot(result).axes[-1].texts)
    pieces = advise(result)
    assert len(pieces) == 3
    for piece in pieces:
        assert piece.sentence in told
        assert piece.source in told


def test_one_layer_has_its_card_in_words_with_every_source() -> None:
    (axes,) = figure_axes(FULL)
    told = [text.get_text() for text in axes.texts]
    joined = " ".join(told)
    for name in ("size", "memory", "time", "learning", "readable", "left", "spectrum", "units", "knocked"):
        assert f"{name} of conv1" in told
    assert "It has 12.4." in told
    assert "not known: no frozen_up_to" in told
    assert "80.0 of 90.0 points are lost when it tells nothing" in joined
    bold = [text.get_text() for text in axes.texts if text.get_fontweight() == "bold"]
    assert bold == [
        *("cost", "memory", "time", "learning", "class", "image", "rank", "units", "knocked out"),
        *("trained without", "random", "random up to it", "advice"),
    ]
    places = [round(text.get_position()[1], 6) for text in axes.texts if text.get_fontweight() != "bold"]
    assert places == sorted(set(places), reverse=True), "no line stands on another"


def test_figures_can_be_drawn_and_names_are_taken_as_they_are() -> None:
    for cards in ([FULL], [FULL, some_card("$odd$")]):
        figure = cutaway.plot(LayerCards({card.layer: card for card in cards}, "$net$", "a $study"))
        figure.canvas.draw()
        assert "$net$" in figure.get_suptitle()
        assert "a $study" in figure.get_suptitle()
