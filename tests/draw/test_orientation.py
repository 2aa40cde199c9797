"""The picture of orientations, by what must be true of it."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import pytest
import torch
from matplotlib.axes import Axes
from matplotlib.colors import same_color
from matplotlib.patches import Polygon

import cutaway
from cutaway.draw.orientation import COLOURS
from cutaway.look import Orientation, Tuning
from cutaway.look.stimuli import Stimuli
from cutaway.look.tuning import Word

ANGLES = tuple(range(0, 180, 15))
PEAKS = [None, 90, 0, 90, 45, 135]


def some_tuning(peaks: Sequence[int | None] = PEAKS) -> Tuning:
    """Units that prefer some orientations, each stronger than the one before it; None answers nothing."""
    curves = [
        [0.0 if peak is None else math.exp(3 * (math.cos(2 * math.radians(a - peak)) - 1)) for a in ANGLES]
        for peak in peaks
    ]
    strengths = torch.arange(1, len(peaks) + 1)[:, None]
    answers = (torch.tensor(curves) * strengths)[:, None, :, None]
    return Tuning(answers, torch.zeros(len(peaks), 1), ANGLES, (4.0,), ("all channels",))


def result(layers: int = 1, kernels: bool = True) -> Orientation:
    weights = torch.randn(6, 3, 5, 5, generator=torch.Generator().manual_seed(1))
    return Orientation(
        {f"conv{at + 1}": some_tuning() for at in range(layers)},
        {"conv1": weights} if kernels else {},
        Stimuli((3, 16, 16), ANGLES, (4.0,)),
        "mine",
    )


def labels(axes: Axes) -> list[str]:
    return [text.get_text() for text in axes.texts]


def test_units_stand_by_their_word_and_then_by_their_strength() -> None:
    axes = cutaway.plot(result()).axes[0]
    assert labels(axes) == [
        "2  horizontal",
        "4  diagonal /",
        "3  vertical",
        "1  vertical",
        "5  diagonal \\",
        "0  none",
    ]
    for text in axes.texts:
        word = Word(text.get_text().split("  ")[1])
        assert same_color(text.get_color(), COLOURS[word])
    title = axes.get_title(loc="left")
    assert title == "conv1  6 units: 1 horizontal, 1 diagonal /, 2 vertical, 1 diagonal \\, 1 none"


def test_a_curve_reaches_along_the_lines_that_its_unit_answers() -> None:
    axes = cutaway.plot(result()).axes[0]
    curves = [np.asarray(patch.get_xy()) for patch in axes.patches if isinstance(patch, Polygon)]
    units = [int(label.split()[0]) for label in labels(axes)]
    assert len(curves) == 6
    for unit, points in zip(units, curves, strict=True):
        middle = (points[:-1].max(0) + points[:-1].min(0)) / 2
        across, down = points[:, 0] - middle[0], points[:, 1] - middle[1]
        radius = np.hypot(across, down)
        peak = PEAKS[unit]
        if peak is None:
            assert radius.max() < 1e-6
            continue
        assert radius.max() == pytest.approx(0.5, abs=1e-3)
        furthest = int(radius.argmax())
        # Downwards is positive in a picture, and angles grow counter-clockwise.
        angle = math.degrees(math.atan2(-down[furthest], across[furthest])) % 180
        assert min(abs(angle - peak), 180 - abs(angle - peak)) < 1


def test_kernels_stand_beside_their_units_where_the_layer_sees_the_image() -> None:
    one = result(layers=2)
    axes = cutaway.plot(one).axes
    shown = [np.asarray(image.get_array()) for image in axes[0].images]
    units = [int(label.split()[0]) for label in labels(axes[0])]
    assert len(shown) == 6
    for unit, picture in zip(units, shown, strict=True):
        kernel = one.kernels["conv1"][unit].numpy()
        strongest = kernel[np.abs(kernel).sum((1, 2)).argmax()]
        mean = kernel.mean(0)
        cancels = np.abs(mean).sum() < np.abs(strongest).sum() / 2
        np.testing.assert_allclose(picture, strongest if cancels else mean)
    for image in axes[0].images:
        low, high = image.get_clim()
        assert low == -high < 0
    assert not axes[1].images


def test_every_unit_is_inside_of_its_axes() -> None:
    axes = cutaway.plot(result()).axes[0]
    (left, right), (bottom, top) = axes.get_xlim(), axes.get_ylim()
    assert bottom > top, "rows go downwards"
    for line in axes.lines:
        x, y = np.asarray(line.get_xydata()).T
        assert left <= x.min() <= x.max() <= right
        assert top <= y.min() <= y.max() <= bottom


def test_of_many_units_the_strongest_of_all_words_are_shown() -> None:
    tuning = some_tuning([0, 45, 90, 135, None] * 20)
    axes = cutaway.plot(Orientation({"c": tuning}, {}, Stimuli((3, 16, 16), ANGLES, (4.0,)))).axes[0]
    found = [int(label.split()[0]) for label in labels(axes)]
    answering = [unit for unit in range(99, -1, -1) if unit % 5 < 4]
    assert sorted(found) == sorted(answering[:64])
    assert found == sorted(found, key=lambda unit: (unit % 5, -unit))


@pytest.mark.parametrize(
    ("layers", "units", "shown"), [(1, 100, 64), (4, 100, 64), (8, 100, 32), (60, 40, 8)]
)
def test_of_many_units_the_strongest_are_shown_and_the_title_says_so(
    layers: int, units: int, shown: int
) -> None:
    tuning = some_tuning([90] * units)
    figure = cutaway.plot(
        Orientation({f"c{at}": tuning for at in range(layers)}, {}, Stimuli((3, 16, 16), ANGLES, (4.0,)))
    )
    for axes in (figure.axes[0], figure.axes[-1]):
        # The strongest ones, which are the last.
        assert [int(label.split()[0]) for label in labels(axes)] == list(
            range(units - 1, units - 1 - shown, -1)
        )
        assert axes.get_title(loc="left").endswith(f"(the {shown} strongest are shown)")
    assert figure.get_figheight() * 150 < 2**15, "too high for a picture"
