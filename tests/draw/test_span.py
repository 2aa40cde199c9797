"""The vertical axis of curves: from 0, or logarithmic, with plain numbers at its ticks."""

from __future__ import annotations

import math

import pytest
from matplotlib.figure import Figure

from cutaway.draw.span import suit_span


def told(values: list[float]) -> tuple[str, tuple[float, float], list[str]]:
    """Scale, ends, and the labels that are seen, of both kinds of tick."""
    figure = Figure(figsize=(4.8, 3.2))
    axes = figure.add_subplot()
    axes.plot(range(len(values)), values)
    suit_span(axes, values)
    figure.draw_without_rendering()
    low, high = axes.get_ylim()
    ticks = [*axes.yaxis.get_major_ticks(), *axes.yaxis.get_minor_ticks()]
    labels = [tick.label1.get_text() for tick in ticks if low <= tick.get_loc() <= high]
    return axes.get_yscale(), (low, high), [label for label in labels if label]


@pytest.mark.parametrize(
    ("values", "labels"),
    [
        ([2.0, 60.0], ["2", "5", "10", "20", "50"]),
        ([0.04, 1.0], ["0.05", "0.1", "0.2", "0.5", "1"]),
        ([0.02, 90.0], ["0.1", "1", "10", "100"]),
    ],
)
def test_ticks_of_a_wide_span_are_plain_numbers(values: list[float], labels: list[str]) -> None:
    scale, (low, high), seen = told(values)
    assert scale == "log"
    assert low < min(values) < max(values) < high
    assert seen == labels


def test_a_narrow_span_starts_at_nought() -> None:
    scale, (low, high), _ = told([3.0, 60.0])
    assert (scale, low) == ("linear", 0)
    assert high > 60


@pytest.mark.parametrize("odd", [math.inf, -math.inf, math.nan, 0.0, -1.0])
def test_what_a_logarithm_has_not_leaves_the_scale_as_it_is(odd: float) -> None:
    assert told([1.0, odd, 2.0])[:2] == told([1.0, 2.0])[:2]


@pytest.mark.parametrize("values", [[], [0.0, 0.0], [math.nan]])
def test_an_axis_without_a_value_above_nought_is_drawn_too(values: list[float]) -> None:
    scale, (low, _), _ = told(values)
    assert (scale, low) == ("linear", 0)
