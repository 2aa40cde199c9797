"""Curves of a study's variants against its base, by what must be true of them."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
from matplotlib.axes import Axes
from matplotlib.collections import PolyCollection
from matplotlib.colors import same_color
from matplotlib.lines import Line2D

from cutaway.draw.studies import curves
from cutaway.draw.studies.epochs import COLOURS, LINES, MEASURES, course
from cutaway.draw.studies.marks import BASE_COLOUR
from cutaway.errors import ConfigError
from cutaway.study import StudyTable, Trial, TrialStatus

from .colours_seen import difference_seen
from .study_example import EPOCHS, PLOTS, some_table

STYLES = {"train": ":", "validation": "-", "test": "--"}


@pytest.fixture(scope="module")
def table() -> StudyTable:
    return some_table()


def drawn(axes: Axes, colour: str, split: str, *, mean: bool) -> list[Line2D]:
    """The mean lines of a colour and a split, or the faint ones of its seeds."""
    return [
        line
        for line in axes.get_lines()
        if same_color(line.get_color(), colour)
        and line.get_linestyle() == STYLES[split]
        and (line.get_linewidth() > 1) == mean
    ]


def values(trial: Trial, split: str, field: str) -> list[float]:
    """By hand: what is drawn of a trial, in percent but for the objective."""
    factor = 1 if field == "objective" else 100
    return [factor * getattr(epoch.scores[split], field) for epoch in trial.epochs]


@pytest.mark.parametrize("split", STYLES)
@pytest.mark.parametrize("field", MEASURES)
def test_a_line_is_the_mean_over_seeds(table: StudyTable, field: str, split: str) -> None:
    axes = curves(table, "without relu1", [field]).axes[0]
    for row, colour in ((table.base, BASE_COLOUR), (table.rows[0], COLOURS[0])):
        (line,) = drawn(axes, colour, split, mean=True)
        assert np.asarray(line.get_xdata()).tolist() == list(range(1, EPOCHS + 1))
        every = [values(trial, split, field) for trial in row.trials]
        wanted = [sum(column) / 3 for column in zip(*every, strict=True)]
        np.testing.assert_allclose(np.asarray(line.get_ydata(), dtype=float), wanted)
        faint = [np.asarray(one.get_ydata(), dtype=float) for one in drawn(axes, colour, split, mean=False)]
        np.testing.assert_allclose(faint, every)


def test_the_three_measures_stand_side_by_side(table: StudyTable) -> None:
    figure = curves(table, "without relu1")
    labels = [axes.get_ylabel() for axes in figure.axes]
    assert labels == ["objective (nats)", "top-1 error (%)", "top-5 error (%)"]
    assert figure.axes[0].get_title(loc="left") == "without relu1"
    legend = [text.get_text() for text in figure.legends[0].get_texts()]
    assert legend == ["base", "without relu1", "train", "validation", "test"]


def test_with_one_seed_there_are_lines_alone() -> None:
    axes = curves(some_table(1), "without relu1", ["top1_error"]).axes[0]
    assert len(axes.get_lines()) == 2 * 3
    assert not axes.collections


def test_with_many_seeds_a_band_is_from_the_least_to_the_largest() -> None:
    many = some_table(10)
    axes = curves(many, "without relu1", ["top1_error"]).axes[0]
    assert len(axes.get_lines()) == 2 * 3, "no line for each seed"
    bands = [one for one in axes.collections if isinstance(one, PolyCollection)]
    assert len(bands) == 2 * 2, "of validation and test"
    every = np.array([values(trial, "validation", "top1_error") for trial in many.base.trials])
    corners = bands[0].get_paths()[0].vertices
    for epoch in range(EPOCHS):
        heights = np.asarray(corners)[np.asarray(corners)[:, 0] == epoch + 1, 1]
        assert heights.min() == pytest.approx(every[:, epoch].min())
        assert heights.max() == pytest.approx(every[:, epoch].max())


def test_behind_the_end_of_the_first_trial_the_others_are_lines() -> None:
    many = some_table(10)
    first, *others = many.base.trials
    short = replace(first, status=TrialStatus.PLATEAU, epochs=first.epochs[:3])
    table = replace(many, base=replace(many.base, trials=(short, *others)))
    axes = curves(table, "without relu1", ["objective"]).axes[0]
    (mean,) = drawn(axes, BASE_COLOUR, "validation", mean=True)
    assert np.asarray(mean.get_xdata()).tolist() == [1, 2, 3]
    tails = drawn(axes, BASE_COLOUR, "validation", mean=False)
    wanted = [values(trial, "validation", "objective")[2:] for trial in others]
    np.testing.assert_allclose([np.asarray(line.get_ydata(), dtype=float) for line in tails], wanted)
    assert not drawn(axes, COLOURS[0], "validation", mean=False)


def test_a_split_that_was_not_scored_has_no_line() -> None:
    figure = curves(some_table(test=False), "without relu1", ["objective"])
    assert {line.get_linestyle() for line in figure.axes[0].get_lines()} == {":", "-"}
    legend = [text.get_text() for text in figure.legends[0].get_texts()]
    assert legend == ["base", "without relu1", "train", "validation"]


def test_what_diverged_is_in_no_mean_and_ends_in_a_cross(table: StudyTable) -> None:
    axes = curves(table, "train.lr=0.5", ["objective"]).axes[0]
    whole, *broken = table.rows[3].trials
    (mean,) = drawn(axes, COLOURS[0], "validation", mean=True)
    np.testing.assert_allclose(
        np.asarray(mean.get_ydata(), dtype=float), values(whole, "validation", "objective")
    )
    crosses = [line for line in axes.get_lines() if line.get_marker() == "x"]
    # Epoch 2 has no finite objective: the last point is that of epoch 1.
    ends = [(1, trial.epochs[0].scores["train"].objective) for trial in broken]
    assert [(line.get_xdata()[0], line.get_ydata()[0]) for line in crosses] == ends  # type: ignore[index]
    title = curves(table, "train.lr=0.5").axes[0].get_title(loc="left")
    assert title == "train.lr=0.5 (2 of 3 diverged: NaN at step 212 in conv1)"


def test_what_exploded_does_not_flatten_the_rest(table: StudyTable) -> None:
    row = table.rows[3]
    first, *rest = row.trials
    scores = {split: replace(score, objective=1e9) for split, score in rest[0].epochs[0].scores.items()}
    wild = replace(rest[0], epochs=(replace(rest[0].epochs[0], scores=scores),))
    changed = replace(table, rows=(replace(row, trials=(first, wild)),))
    axes = curves(changed, row.variant.name, ["objective"]).axes[0]
    assert axes.get_ylim()[1] < 10


def test_a_mean_is_over_the_epochs_that_all_seeds_have(table: StudyTable) -> None:
    trials = table.base.trials
    short = replace(trials[0], status=TrialStatus.PLATEAU, epochs=trials[0].epochs[:3])
    # Of an epoch that was not scored there is the training split alone.
    thin = replace(trials[1].epochs[1], scores={"train": trials[1].epochs[1].scores["train"]})
    gap = replace(trials[1], epochs=(trials[1].epochs[0], thin, *trials[1].epochs[2:]))
    found = course([short, gap, trials[2]], "validation", "top1_error")
    assert list(found.epochs) == [1, 3]
    wanted = [100 * sum(t.epochs[at].scores["validation"].top1_error for t in trials) / 3 for at in (0, 2)]
    assert found.mean == pytest.approx(wanted)
    assert found.low == pytest.approx([values(trials[0], "validation", "top1_error")[at] for at in (0, 2)])
    assert found.high == pytest.approx([values(trials[2], "validation", "top1_error")[at] for at in (0, 2)])
    assert [list(epochs) for epochs, _, _ in found.each] == [[1, 2, 3], [1, 3, 4, 5], [1, 2, 3, 4, 5]]


def test_without_a_whole_trial_there_is_no_mean(table: StudyTable) -> None:
    broken = [replace(trial, status=TrialStatus.DIVERGED) for trial in table.base.trials]
    found = course(broken, "train", "objective")
    assert (found.epochs, found.mean) == ((), ())
    assert len(found.each) == 3
    assert course([], "train", "objective").each == []


def test_a_trial_with_one_epoch_is_a_point() -> None:
    table = some_table(1)
    row = table.rows[0]
    short = replace(row, trials=(replace(row.trials[0], epochs=row.trials[0].epochs[:1]),))
    axes = curves(replace(table, rows=(short,)), row.variant.name, ["objective"]).axes[0]
    assert [line.get_marker() for line in drawn(axes, COLOURS[0], "train", mean=True)] == ["o"]


def test_three_variants_on_one_picture_have_colours_of_their_own(table: StudyTable) -> None:
    chosen = ["without relu1", "conv1 random", "conv2.filters=12"]
    axes = curves(table, chosen, ["objective"]).axes[0]
    for colour in (BASE_COLOUR, *COLOURS):
        assert len(drawn(axes, colour, "validation", mean=True)) == 1
    for at, one in enumerate((BASE_COLOUR, *COLOURS)):
        for other in (BASE_COLOUR, *COLOURS)[:at]:
            assert difference_seen(one, other) > 25, (one, other)
    with pytest.raises(ConfigError, match="3 variants can be told apart on one picture, not 4"):
        curves(table, [*chosen, "train.lr=0.5"])


def test_without_names_every_variant_that_was_trained_has_a_row(table: StudyTable) -> None:
    figure = curves(table)
    titles = [axes.get_title(loc="left").split(" (")[0] for axes in figure.axes[::3]]
    assert titles == [one.name for one in PLOTS if not one.problem]
    assert len(figure.axes) == 15
    legend = [text.get_text() for text in figure.legends[0].get_texts()]
    assert legend[:2] == ["base", "variant"]


def test_a_study_before_its_first_epoch_is_drawn_too(table: StudyTable) -> None:
    waiting = replace(table.base, trials=(Trial("base", 0),))
    figure = curves(replace(table, base=waiting, rows=()))
    figure.draw_without_rendering()
    assert all(not axes.get_lines() for axes in figure.axes)


def test_a_wide_span_is_on_a_logarithmic_scale(table: StudyTable) -> None:
    row = table.rows[0]
    low = [
        replace(epoch, scores={"train": replace(epoch.scores["train"], objective=3 * math.exp(-epoch.epoch))})
        for epoch in row.trials[0].epochs
    ]
    falls = replace(row, trials=(replace(row.trials[0], epochs=tuple(low)),))
    axes = curves(replace(table, rows=(falls,)), row.variant.name).axes
    assert [one.get_yscale() for one in axes] == ["log", "linear", "linear"]
    assert axes[1].get_ylim()[0] == 0


def test_unknown_names_are_refused(table: StudyTable) -> None:
    with pytest.raises(ConfigError, match='no variant "relu9"; it has without relu1, conv1 random'):
        curves(table, "relu9")
    with pytest.raises(ConfigError, match='objective, top1_error, top5_error, not "accuracy"'):
        curves(table, "without relu1", ["accuracy"])


def test_the_splits_have_lines_of_their_own() -> None:
    assert LINES == STYLES
