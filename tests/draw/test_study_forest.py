"""The forest plot of a study, by what must be true of it."""

from __future__ import annotations

import math
import random
from dataclasses import replace

import numpy as np
import pytest
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

import cutaway
from cutaway.draw.studies import forest
from cutaway.draw.studies.differences import MOST
from cutaway.draw.studies.marks import MARKS, note, shorten
from cutaway.draw.studies.scale import limits_of
from cutaway.errors import ConfigError
from cutaway.study import Difference, Effect, Measure, StudyTable, Trial, TrialStatus, VariantRow

from .colours_seen import cie_lab, difference_seen
from .study_example import PLOTS, Plot, some_table


def xs(line: Line2D) -> list[float]:
    return [float(value) for value in np.asarray(line.get_xdata(), dtype=float)]


def lines(axes: Axes, row: int) -> list[Line2D]:
    """Those that stand in a row."""
    return [line for line in axes.get_lines() if set(np.asarray(line.get_ydata()).tolist()) == {row}]


def marks(axes: Axes, row: int) -> list[Line2D]:
    shapes = {mark.marker for mark in MARKS.values()}
    return [line for line in lines(axes, row) if line.get_marker() in shapes]


def spans(axes: Axes, row: int) -> list[tuple[float, float]]:
    """The intervals of a row; the line that leads the eye spans the whole width instead."""
    found = [xs(line) for line in lines(axes, row) if line.get_linewidth() > 1]
    return [(line[0], line[1]) for line in found if len(line) == 2]


def texts(axes: Axes, row: int) -> list[str]:
    """What stands in a row at the right of the axes."""
    return [text.get_text() for text in axes.texts if getattr(text, "xy", (None, None))[1] == row]


def names(axes: Axes) -> list[str]:
    return [label.get_text().split("\n")[0] for label in axes.get_yticklabels()]


def with_difference(row: VariantRow, mean: float, half: float) -> VariantRow:
    difference = Difference(mean, mean - half, mean + half, 0.5, 0.5, 3)
    return replace(row, differences={Measure.TOP1: difference})


@pytest.fixture(scope="module")
def table() -> StudyTable:
    return some_table()


@pytest.fixture(scope="module")
def axes(table: StudyTable) -> Axes:
    return forest(table).axes[0]


def test_every_variant_has_its_difference_with_its_interval(table: StudyTable, axes: Axes) -> None:
    assert names(axes) == [row.variant.name for row in table.rows]
    assert axes.get_ylim()[0] > axes.get_ylim()[1], "the first one is on top"
    for at, row in enumerate(table.rows[:5]):
        difference = row.differences[Measure.TOP1]
        (mark,) = marks(axes, at)
        assert xs(mark)[0] == pytest.approx(100 * difference.mean)
        if math.isnan(difference.low):
            assert spans(axes, at) == []
        else:
            assert spans(axes, at) == [pytest.approx((100 * difference.low, 100 * difference.high))]


def test_numbers_stand_at_the_right(axes: Axes) -> None:
    # By hand: 0.35 0.354 0.358 minus 0.22 0.23 0.24 is 0.13 0.124 0.118: 12.4 ± 4.303 · 0.6 / √3.
    assert texts(axes, 0) == ["+12.40 [+10.91, +13.89]", "3", "<0.001"]
    assert texts(axes, 2) == ["−5.60 [−7.09, −4.11]", "3", "0.021"]
    # Two of three diverged: one pair has no interval.
    assert texts(axes, 3) == ["+2.00 ", "1", "–"]
    assert texts(axes, 5) == []
    assert [text.get_text() for text in axes.texts][-3:] == ["difference [95 %]", "pairs", "adjusted p"]


def test_a_verdict_is_told_by_colour_and_shape(table: StudyTable, axes: Axes) -> None:
    found = {}
    for at, row in enumerate(table.rows):
        (mark,) = marks(axes, at)
        found[row.verdict.effect] = (mark.get_color(), mark.get_marker())
    assert found == {effect: (mark.colour, mark.marker) for effect, mark in MARKS.items()}
    assert len({mark.marker for mark in MARKS.values()}) == len(MARKS) == len(Effect)


def test_ended_early_is_half_filled_and_said(axes: Axes) -> None:
    fills = [marks(axes, at)[0].get_fillstyle() for at in range(6)]
    assert fills == ["full"] * 4 + ["left", "full"]
    labels = [label.get_text() for label in axes.get_yticklabels()]
    assert labels[3].split("\n")[1] == "2 of 3 diverged: NaN at step 212 in conv1"
    assert labels[4].split("\n")[1] == "3 of 3 ended early at 40% of the budget"
    assert "\n" not in labels[0]


def test_what_cant_be_trained_says_why_at_the_edge(axes: Axes) -> None:
    (mark,) = marks(axes, 5)
    assert xs(mark) == [0.98]
    assert spans(axes, 5) == []
    told = [text.get_text() for text in axes.texts if text.get_position()[1] == 5]
    assert len(told) == 1
    assert told[0].startswith("can't be trained: dense1 works on")


def test_zero_is_marked(axes: Axes) -> None:
    (zero,) = (line for line in axes.get_lines() if xs(line) == [0, 0])
    assert zero.get_color() == "#333333"
    low, high = axes.get_xlim()
    assert low < 0 < high
    left, right = axes.get_xlabel().split("percentage points of top-1 error")
    assert "better" in left
    assert "worse" in right


def test_the_legend_names_the_verdicts_that_there_are(table: StudyTable) -> None:
    def legend(figure: Figure) -> list[str]:
        return [text.get_text() for text in figure.legends[0].get_texts()]

    assert legend(forest(table)) == [*(effect.value for effect in MARKS), "half filled: ended early"]
    assert legend(forest(some_table(plots=PLOTS[:2]))) == ["worse", "no effect seen"]


def test_by_effect_the_largest_rise_is_on_top_and_what_has_none_below(table: StudyTable) -> None:
    found = names(forest(table, order="effect").axes[0])
    assert found == [
        "without conv2 and relu2", "without relu1", "train.lr=0.5", "conv1 random", "conv2.filters=12",
        "without conv1",
    ]  # fmt: skip


def test_on_a_small_screen_names_stand_above(table: StudyTable) -> None:
    axes = forest(table, width=4.0).axes[0]
    assert list(axes.get_yticks()) == []
    above = [text for text in axes.texts if text.get_position() == (0, -0.4)]
    assert [text.get_text() for text in above] == ["without relu1"]
    told = [text.get_text() for text in axes.texts if text.get_position() == (1, -0.4)]
    assert [text.split("\u2002") for text in told] == [["+12.40", "n=3", "p<0.001"]]


def test_one_wide_interval_does_not_make_all_others_small(table: StudyTable) -> None:
    rows = [with_difference(table.rows[0], mean, 0.01) for mean in (0.02, -0.01, 0.03)]
    wide = with_difference(table.rows[0], 0.01, 0.9)
    axes = forest(replace(table, rows=(*rows, wide))).axes[0]
    low, high = axes.get_xlim()
    assert high - low < 15, "points; the wide one spans 180"
    assert spans(axes, 3) == [pytest.approx((low, high))]
    ends = {line.get_marker(): xs(line)[0] for line in lines(axes, 3)}
    assert (ends["<"], ends[">"]) == pytest.approx((low, high))
    assert not any(line.get_marker() in ("<", ">") for at in range(3) for line in lines(axes, at))


def test_one_seed_has_no_intervals() -> None:
    one = some_table(1)
    axes = forest(one).axes[0]
    assert all(spans(axes, at) == [] for at in range(6))
    (mark,) = marks(axes, 0)
    assert mark.get_marker() == MARKS[Effect.UNTOLD].marker
    assert texts(axes, 0)[1:] == ["1", "–"]
    # Its only trial diverged: there is no difference at all.
    assert xs(marks(axes, 3)[0]) == [0.98]
    assert [text.get_text() for text in axes.texts if text.get_position()[1] == 3] == [
        "1 of 1 diverged: NaN at step 212 in conv1"
    ]


def test_of_very_many_those_that_differ_most_are_drawn(table: StudyTable) -> None:
    rows = [with_difference(table.rows[0], 0.001 * at, 0.01) for at in range(MOST + 5)]
    named = tuple(replace(row, variant=replace(row.variant, name=f"v{at}")) for at, row in enumerate(rows))
    axes = forest(replace(table, rows=named)).axes[0]
    assert names(axes) == [f"v{at}" for at in range(5, MOST + 5)]
    assert f"the {MOST} of {MOST + 5} variants that differ most" in axes.get_title(loc="left")


def test_names_are_text_and_not_formulas() -> None:
    plots = [replace(PLOTS[0], name="lr $\\frac{a}{$ " + "x" * 100)]
    figure = forest(some_table(plots=plots))
    figure.draw_without_rendering()
    assert names(figure.axes[0])[0].startswith("lr $\\frac{a}{$ xx")
    assert len(names(figure.axes[0])[0]) <= 44


def test_a_study_without_variants_is_drawn_too() -> None:
    figure = forest(some_table(plots=()))
    figure.draw_without_rendering()
    assert figure.axes[0].get_xlim() == pytest.approx((-1, 1))


def test_an_unknown_order_is_refused(table: StudyTable) -> None:
    with pytest.raises(ConfigError, match='order should be study, effect, not "size"'):
        forest(table, order="size")


def test_plot_draws_any_picture_of_a_study(table: StudyTable) -> None:
    assert cutaway.plot(table).axes[0].get_xlabel() == forest(table).axes[0].get_xlabel()
    assert names(cutaway.plot(table, order="effect").axes[0])[0] == "without conv2 and relu2"
    assert len(cutaway.plot(table, which="curves", variants="without relu1").axes) == 3
    assert cutaway.plot(table, which="cost", x="memory").axes[0].get_xlabel() == "memory of a training step"
    with pytest.raises(ConfigError, match='which should be forest, curves, cost, not "pie"'):
        cutaway.plot(table, which="pie")


def test_a_note_counts_what_is_not_as_it_should_be(table: StudyTable) -> None:
    def noted(*trials: tuple[TrialStatus, str]) -> str:
        made = tuple(Trial("x", seed, "", status, reason) for seed, (status, reason) in enumerate(trials))
        return note(replace(table.rows[0], trials=made))

    fine, broken = (TrialStatus.FINISHED, ""), (TrialStatus.DIVERGED, "NaN at step 3 in conv1")
    assert noted(fine, (TrialStatus.PLATEAU, "no better for 3 epochs")) == ""
    assert noted(fine, broken) == "1 of 2 diverged: NaN at step 3 in conv1"
    assert noted(broken, (TrialStatus.DIVERGED, "NaN at step 9 in conv2"), fine) == "2 of 3 diverged"
    assert noted((TrialStatus.WAITING, ""), (TrialStatus.FAILED, "the disk is full"), fine, broken) == (
        "1 of 4 diverged: NaN at step 3 in conv1; 1 of 4 failed: the disk is full; 1 of 4 not ended"
    )


def test_a_shortened_text_keeps_both_ends() -> None:
    assert shorten("short", 5) == "short"
    assert shorten("without relu1 and relu2", 12) == "without…lu2"
    assert shorten("on two\n lines", 40) == "on two lines"
    for most in range(4, 60):
        assert len(shorten("a text of forty letters, give or take", most)) <= most


def test_all_means_are_inside_an_axis_and_so_are_intervals_of_one_width() -> None:
    draws = random.Random(3)
    for _ in range(200):
        half = draws.choice([0.0, 0.1, 3.0])
        means = [draws.uniform(-5, 5) for _ in range(draws.randint(1, 9))]
        low, high = limits_of([(mean, mean - half, mean + half) for mean in means])
        assert low < min(means) - half
        assert high > max(means) + half
        # One interval more, however wide, doubles the room at most, or adds three half widths a side.
        span = max(means) - min(means)
        wide_low, wide_high = limits_of([*((m, m - half, m + half) for m in means), (means[0], -1e6, 1e6)])
        if len(means) > 2:
            assert wide_high - wide_low <= 1.13 * (span + 2 * max(span, 3 * half)) + 2


def test_an_axis_without_anything_has_a_width() -> None:
    assert limits_of([]) == (-1, 1)
    assert limits_of([(math.nan, math.nan, math.nan)]) == (-1, 1)
    low, high = limits_of([(0.0, 0.0, 0.0)])
    assert low < 0 < high
    assert limits_of([(5.0, math.nan, math.nan)]) == pytest.approx((4.7, 5.3))


def test_the_distance_of_colours_is_the_known_one() -> None:
    assert cie_lab("#ffffff", "normal") == pytest.approx([100, 0, 0], abs=0.02)
    assert cie_lab("#ff0000", "normal") == pytest.approx([53.24, 80.09, 67.20], abs=0.02)
    # Red and green of one lightness are the classic confusion.
    assert difference_seen("#a04040", "#607030") < 20


def test_verdicts_are_told_apart_with_every_kind_of_colour_blindness() -> None:
    colours = sorted({mark.colour for mark in MARKS.values()})
    assert len(colours) == 4
    for at, one in enumerate(colours):
        for other in colours[:at]:
            assert difference_seen(one, other) > 25, (one, other)


def test_the_example_is_what_it_says() -> None:
    assert isinstance(PLOTS[0], Plot)
    assert [row.verdict.effect for row in some_table().rows] == [one.effect for one in PLOTS]
