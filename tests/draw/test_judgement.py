"""The picture of judgements, by what must be true of it."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from matplotlib.axes import Axes
from matplotlib.colors import same_color
from matplotlib.figure import Figure

import cutaway
from cutaway.look.judging import CHANCE, Curves, Judged, Judgement

SHARES = torch.tensor([0.0, 0.5, 1.0]).double()


def row(gone: float, come: float, change: float, left: float, seconds: float = 0.01) -> Judged:
    """A method whose values differ a little between three images."""
    around = torch.tensor([-0.02, 0.0, 0.02]).double()
    one, other = (Curves(SHARES, (value + around)[:, None].expand(3, 3)) for value in (gone, come))
    stages = torch.stack([left + 0.1 + around, left + around])
    return Judged(one, other, change + around, stages, stages, seconds)


AGREEMENT = torch.tensor([[1.0, -0.7, 0.0], [-0.7, 1.0, 0.1], [0.0, 0.1, 1.0]]).double()
RESULT = Judgement(
    {
        "worse": row(0.4, 0.7, 0.5, 0.6, 0.002),
        "better": row(0.2, 0.9, 0.1, 0.1, 0.2),
        CHANCE: row(0.5, 0.5, 1.4, 0.03),
    },
    {"guided": "no rule for tanh."},
    AGREEMENT,
    AGREEMENT.abs() / 2,
    0.1,
    ("dense1", "conv1"),
    torch.zeros(3, dtype=torch.int64),
    ("black", "blur"),
    "mine",
)


def drawn(result: Judgement = RESULT) -> tuple[Figure, list[Axes]]:
    figure = cutaway.plot(result)
    figure.canvas.draw()
    return figure, figure.axes


def widths(axes: Axes) -> list[float]:
    return [bar.get_width() for bar in axes.patches]  # type: ignore[attr-defined]


def told(axes: Axes) -> list[str]:
    return [text.get_text() for text in axes.texts if text.get_horizontalalignment() == "right"]


def test_a_row_for_each_method_the_best_on_top_and_chance_below() -> None:
    figure, axes = drawn()
    labels = [label.get_text() for label in axes[0].get_yticklabels()]
    assert labels == ["better  1.0", "worse  2.0", CHANCE]
    assert axes[0].get_ylim()[0] > axes[0].get_ylim()[1], "the first one is on top"
    assert [one.get_title(loc="left").split()[0] for one in axes[:4]] == [
        "deletion",
        "insertion",
        "sensitivity",
        "sanity",
    ]
    assert "more is better" in axes[1].get_title(loc="left")
    assert "less is better" in axes[0].get_title(loc="left")
    assert figure.get_suptitle().startswith("mine: explanations judged by 3 images")


def test_bars_are_the_means() -> None:
    _, axes = drawn()
    assert widths(axes[0]) == pytest.approx([0.2, 0.4, 0.5])
    assert widths(axes[1]) == pytest.approx([0.9, 0.7, 0.5])
    assert widths(axes[3]) == pytest.approx([0.1, 0.6, 0.03])
    assert told(axes[0]) == ["0.20", "0.40", "0.50"]
    for at in range(4):
        best, other = (axes[at].patches[place].get_facecolor() for place in (0, 1))
        assert not same_color(best, other), "the best of a column is dark"


def test_lines_are_the_intervals_and_chance_is_dotted() -> None:
    _, axes = drawn()
    one = RESULT.rows["better"].mean("deletion")
    lines = [line.get_xdata() for line in axes[0].lines]
    np.testing.assert_allclose(np.asarray(lines[0], float), [one.low, one.high])
    assert axes[0].lines[-1].get_linestyle() == ":"
    np.testing.assert_allclose(np.asarray(lines[-1], float), [0.5, 0.5])


def test_a_bar_far_beyond_the_others_is_cut_and_says_so() -> None:
    _, axes = drawn()
    assert widths(axes[2])[:2] == pytest.approx([0.1, 0.5])
    assert widths(axes[2])[2] < 1
    assert told(axes[2]) == ["0.10", "0.50", "→ 1.40"]
    assert ":" not in [line.get_linestyle() for line in axes[2].lines]


def test_seconds_stand_on_a_scale_of_powers() -> None:
    _, axes = drawn()
    assert axes[4].get_xscale() == "log"
    assert [bar.get_x() + bar.get_width() for bar in axes[4].patches] == pytest.approx([200, 2])  # type: ignore[attr-defined]
    assert told(axes[4]) == ["200", "2"]


def test_heat_maps_have_the_rows_order() -> None:
    _, axes = drawn()
    agreement, overlap, left = (np.asarray(one.images[0].get_array()) for one in axes[5:])
    order = [1, 0, 2]
    np.testing.assert_allclose(agreement, AGREEMENT.numpy()[np.ix_(order, order)])
    np.testing.assert_allclose(overlap, np.abs(agreement) / 2)
    np.testing.assert_allclose(left, [[0.2, 0.1], [0.7, 0.6], [0.13, 0.03]])
    assert axes[5].images[0].get_clim() == (-1, 1)
    assert axes[6].images[0].get_clim() == axes[7].images[0].get_clim() == (0, 1)
    assert [label.get_text() for label in axes[5].get_xticklabels()] == ["better", "worse", CHANCE]
    assert [label.get_text() for label in axes[7].get_xticklabels()] == ["dense1", "conv1"]
    assert [text.get_text() for text in axes[5].texts][:3] == ["100", "-70", "10"]


def test_what_was_refused_is_written_below() -> None:
    figure, _ = drawn()
    assert figure.get_supxlabel() == "not judged\nguided: no rule for tanh."
    without, _ = drawn(replace(RESULT, refused={}))
    assert without.get_supxlabel() == ""
    assert without.get_figheight() < figure.get_figheight()


def test_a_mean_that_is_unknown_has_no_bar() -> None:
    nothing = torch.full((3,), math.nan).double()
    rows = {**RESULT.rows, "worse": replace(RESULT.rows["worse"], sensitivity=nothing)}
    _, axes = drawn(replace(RESULT, rows=rows))
    assert told(axes[2])[1] == "none"


def test_when_all_were_refused_chance_is_alone() -> None:
    one = torch.ones(1, 1).double()
    result = replace(RESULT, rows={CHANCE: RESULT.rows[CHANCE]}, agreement=one, overlap=one)
    _, axes = drawn(result)
    assert [label.get_text() for label in axes[0].get_yticklabels()] == [CHANCE]


def test_names_with_dollars_are_shown_as_they_are() -> None:
    rows = {"$a$": RESULT.rows["better"], "$b": RESULT.rows["worse"], CHANCE: RESULT.rows[CHANCE]}
    figure, axes = drawn(replace(RESULT, rows=rows, subject="$x$", refused={"$c$": "$d$"}))
    assert [label.get_text() for label in axes[5].get_yticklabels()] == ["$a$", "$b", CHANCE]
    assert figure.get_suptitle().startswith("$x$: ")
