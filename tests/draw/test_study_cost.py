"""Cost against error, by what must be true of it: values, the front, labels that cover nothing."""

from __future__ import annotations

import math
import random
from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.text import Annotation, Text
from matplotlib.transforms import Bbox

from cutaway.draw.studies import cost
from cutaway.draw.studies.costs import front
from cutaway.draw.studies.labels import Box, place
from cutaway.draw.studies.marks import MARKS
from cutaway.draw.studies.wording import brief, duration, ends, interval, p_value, points, value
from cutaway.errors import ConfigError
from cutaway.study import Difference, Effect, Estimate, Measure, StudyTable, TrialStatus

from .study_example import PLOTS, Plot, some_table

NET = "conv {n} 3x3 | relu | conv {n} 3x3 | relu | flatten | dense 10"


@pytest.fixture(scope="module")
def table() -> StudyTable:
    return some_table()


def crowd(count: int) -> list[Plot]:
    """Variants of a study that takes layers out: most of them cost the same and err alike."""
    draws = random.Random(5)
    effects = [Effect.WORSE, Effect.BETTER, Effect.NONE_SEEN]
    return [
        Plot(
            f"without relu{at} and pool{at}", NET.format(n=4 if at % 3 else at),
            0.2 + 0.05 * draws.random(), 0.003 * draws.random(), draws.choice(effects), 0.5,
        )
        for at in range(1, count + 1)
    ]  # fmt: skip


def marked(axes: Axes) -> dict[tuple[float, float], str]:
    """The marker at each place."""
    shapes = {mark.marker for mark in MARKS.values()} | {"*"}
    found = {}
    for line in axes.get_lines():
        if line.get_marker() in shapes:
            x, y = np.asarray(line.get_xydata())[0]
            found[(round(float(x), 6), round(float(y), 6))] = str(line.get_marker())
    return found


def labels(figure: Figure) -> list[Annotation]:
    return [text for text in figure.axes[0].texts if isinstance(text, Annotation)]


def foot(figure: Figure) -> list[str]:
    return [text.get_text() for text in figure.texts]


@pytest.mark.parametrize("measure", [Measure.MULTIPLY_ADDS, Measure.SECONDS, Measure.MEMORY])
def test_every_variant_stands_at_its_cost_and_its_error(table: StudyTable, measure: Measure) -> None:
    axes = cost(table, x=measure).axes[0]
    wanted = {}
    for row in (table.base, *table.rows[:5]):
        at = (round(row.estimates[measure].mean, 6), round(100 * row.estimates[Measure.TOP1].mean, 6))
        wanted[at] = "*" if row is table.base else MARKS[row.verdict.effect].marker
    assert marked(axes) == wanted
    assert axes.get_xscale() == ("log" if measure is Measure.MULTIPLY_ADDS else "linear")
    low, high = axes.get_xlim()
    assert all(low < x < high for x, _ in wanted)


def test_errors_have_their_intervals_and_times_too(table: StudyTable) -> None:
    axes = cost(table, x="seconds").axes[0]
    spans = [
        (np.asarray(line.get_xdata()).tolist(), np.asarray(line.get_ydata()).tolist())
        for line in axes.get_lines()
        if len(np.asarray(line.get_xdata())) == 2
    ]
    error, seconds = table.rows[0].estimates[Measure.TOP1], table.rows[0].estimates[Measure.SECONDS]
    assert ([seconds.mean] * 2, pytest.approx([100 * error.low, 100 * error.high])) in spans
    assert ([seconds.low, seconds.high], pytest.approx([100 * error.mean] * 2)) in spans


def test_with_one_seed_there_are_points_alone() -> None:
    axes = cost(some_table(1)).axes[0]
    assert all(line.get_linestyle() in ("None", "--") for line in axes.get_lines())


def test_what_has_no_error_or_no_cost_is_named_below(table: StudyTable) -> None:
    told = foot(cost(table))
    assert len(told) == 1
    assert told[0].startswith("not drawn: without conv1, can't be trained: dense1 works on")
    row = table.rows[3]
    gone = replace(
        row,
        trials=tuple(replace(trial, status=TrialStatus.DIVERGED) for trial in row.trials),
        estimates={Measure.MULTIPLY_ADDS: row.estimates[Measure.MULTIPLY_ADDS]},
    )
    waiting = replace(table.rows[0], trials=(), estimates={})
    told = foot(cost(replace(table, rows=(gone, waiting))))
    assert sorted(told) == [
        "not drawn: train.lr=0.5, 3 of 3 diverged: NaN at step 212 in conv1",
        "not drawn: without relu1, not trained yet",
    ]


def test_the_front_is_what_no_other_point_beats() -> None:
    draws = random.Random(2)
    for _ in range(300):
        found = [(draws.randint(0, 6), draws.randint(0, 6)) for _ in range(draws.randint(0, 12))]
        kept = front(found)
        beaten = {
            point
            for point in found
            for other in found
            if other != point and other[0] <= point[0] and other[1] <= point[1]
        }
        assert [found[at] for at in kept] == sorted(set(found) - beaten)
        # Of equal ones the first.
        assert all(found.index(found[at]) == at for at in kept)


def test_the_front_has_none_that_was_cut_short_or_diverged(table: StudyTable) -> None:
    axes = cost(table, x="seconds").axes[0]
    (line,) = (line for line in axes.get_lines() if line.get_linestyle() == "--")
    assert line.get_drawstyle() == "steps-post"
    whole = [table.base, *table.rows[:3]]
    found = [(row.estimates[Measure.SECONDS].mean, 100 * row.estimates[Measure.TOP1].mean) for row in whole]
    # All take as long: the one that errs least is the front.
    assert np.asarray(line.get_xydata()).tolist() == [pytest.approx(min(found, key=lambda one: one[1]))]


def extents(figure: Figure) -> tuple[dict[str, Bbox], Bbox]:
    """Where labels, without lines to their points, and the axes are on the drawn figure, in pixels."""
    figure.draw_without_rendering()
    found = {one.get_text(): Text.get_window_extent(one) for one in labels(figure)}
    return found, figure.axes[0].get_window_extent()


@pytest.mark.parametrize("plots", [PLOTS, crowd(20)], ids=["few", "many"])
@pytest.mark.parametrize("width", [7.0, 8.0])
def test_names_cover_neither_each_other_nor_points(plots: Sequence[Plot], width: float) -> None:
    figure = cost(some_table(plots=plots), width=width)
    found, frame = extents(figure)
    trained = [one.name for one in plots if not one.problem]
    assert list(found) == ["base", *trained]
    boxes = list(found.values())
    for at, one in enumerate(boxes):
        for other in boxes[:at]:
            assert not one.overlaps(other)
        assert frame.x0 <= one.x0 <= one.x1 <= frame.x1
        assert frame.y0 <= one.y0 <= one.y1 <= frame.y1
    axes = figure.axes[0]
    for x, y in marked(axes):
        place_of = axes.transData.transform((x, y))
        assert not any(one.contains(*place_of) for one in boxes)


def test_names_without_room_become_numbers_with_the_names_below() -> None:
    plots = [replace(one, net=NET.format(n=4), last=0.3) for one in crowd(40)]
    figure = cost(some_table(plots=plots))
    assert [one.get_text() for one in labels(figure)] == [str(number) for number in range(41)]
    assert foot(figure)[::-1] == ["0\u2002base", *(f"{at}\u2002{p.name}" for at, p in enumerate(plots, 1))]
    # Nothing below the axes covers anything else there.
    figure.draw_without_rendering()
    legend = figure.legends[0].get_window_extent()
    lines = [text.get_window_extent() for text in figure.texts]
    assert all(one.y1 <= legend.y0 + 1 for one in lines)
    assert all(upper.y0 >= lower.y1 - 1 for lower, upper in pairwise(lines))
    assert min(one.y0 for one in lines) >= 0


def test_numbers_can_be_asked_for(table: StudyTable) -> None:
    figure = cost(table, labels="numbers", width=4.0)
    assert [one.get_text() for one in labels(figure)] == ["0", "1", "2", "3", "4", "5"]
    assert len(foot(figure)) == 7


def test_unknown_choices_are_refused(table: StudyTable) -> None:
    with pytest.raises(ConfigError, match='x should be multiply_adds, seconds, memory, not "money"'):
        cost(table, x="money")
    with pytest.raises(ConfigError, match='x should be multiply_adds, seconds, memory, not "objective"'):
        cost(table, x="objective")
    with pytest.raises(ConfigError, match='labels should be names, numbers, not "stars"'):
        cost(table, labels="stars")


def test_an_empty_study_is_drawn_too(table: StudyTable) -> None:
    figure = cost(replace(table, base=replace(table.base, estimates={}), rows=()))
    figure.draw_without_rendering()
    assert foot(figure) == ["not drawn: base, not trained yet"]


def test_labels_are_placed_near_and_apart() -> None:
    draws = random.Random(7)
    frame = Box(0, 0, 400, 300)
    placed = 0
    for _ in range(30):
        anchors = [(draws.uniform(0, 400), draws.uniform(0, 300)) for _ in range(12)]
        sizes = [(draws.uniform(10, 80), 9.0) for _ in anchors]
        taken = [Box(x - 4, y - 4, x + 4, y + 4) for x, y in anchors]
        found = place(anchors, sizes, taken, frame)
        boxes: list[Box] = [box for box in found if box]
        placed += len(boxes)
        for at, box in enumerate(boxes):
            assert 0 <= box.left < box.right <= 400
            assert 0 <= box.bottom < box.top <= 300
            for other in (*boxes[:at], *taken):
                wide = min(box.right, other.right) - max(box.left, other.left)
                high = min(box.top, other.top) - max(box.bottom, other.bottom)
                assert wide <= 1e-9 or high <= 1e-9
        for one, size in zip(found, sizes, strict=True):
            assert one is None or (one.right - one.left, one.top - one.bottom) == pytest.approx(size)
    assert placed == 30 * 12
    assert place([(5.0, 5.0)], [(50.0, 9.0)], [], Box(0, 0, 40, 40)) == [None]


def test_alone_a_label_stands_at_the_right_of_its_point() -> None:
    (box,) = place([(50.0, 50.0)], [(20.0, 8.0)], [Box(46, 46, 54, 54)], Box(0, 0, 200, 100))
    assert box == Box(55.0, 46.0, 75.0, 54.0)


def test_numbers_in_words() -> None:
    assert [points(share) for share in (0.124, -0.0002, -0.00001, 0.0, math.nan)] == [
        "+12.40", "−0.02", "0.00", "0.00", "–",
    ]  # fmt: skip
    assert interval(Difference(0.1, -0.05, 0.25, 0.1, 0.1, 3)) == "[−5.00, +25.00]"
    assert interval(Difference(0.1, math.nan, math.nan, math.nan, math.nan, 1)) == ""
    assert [p_value(p) for p in (0.0004, 0.001, 0.04567, 1.0, math.nan)] == [
        "<0.001", "0.001", "0.046", "1.000", "–",
    ]  # fmt: skip
    assert [duration(seconds) for seconds in (8.14, 99.96, 3599.7, 11_100)] == [
        "8.1 s", "1 min 40 s", "1 h 00 min", "3 h 05 min",
    ]  # fmt: skip
    assert value(Measure.TOP5, 0.1234) == "12.34"
    assert value(Measure.OBJECTIVE, 1.23456) == "1.235"
    assert value(Measure.MULTIPLY_ADDS, 1234567) == "1,234,567"
    assert value(Measure.MEMORY, 1536) == "1.5 KiB"
    assert value(Measure.SECONDS, math.nan) == "–"
    assert ends(Measure.TOP1, Estimate(0.2, 0.15, 0.25, 3)) == "[15.00, 25.00]"
    assert ends(Measure.TOP1, Estimate(0.2, math.nan, math.nan, 1)) == ""
    assert ends(Measure.MEMORY, Estimate(5, 5, 5, 3)) == ""
    assert [brief(Measure.MULTIPLY_ADDS, n) for n in (12, 5760, 3.25e6, 2e9)] == [
        "12",
        "5.76 k",
        "3.25 M",
        "2 G",
    ]
    assert [brief(Measure.SECONDS, n) for n in (8.0, 150.0, -200.0)] == ["8 s", "2 min 30 s", ""]
