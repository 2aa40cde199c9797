"""How layers learnt, as pictures: what is drawn is what was measured."""

from __future__ import annotations

import math

import numpy as np
import pytest
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from cutaway.draw.dynamics import DYNAMICS, plot_dynamic, plot_dynamics
from cutaway.training import LayerStep, LayerUnits, Measured


def measured(
    layers: int, epochs: int = 3, *, update: float | None = None, dead: int = 0
) -> dict[int, Measured]:
    """Two steps an epoch; a layer's update is 10 to the minus its place, a tenth in each second step."""
    found = {}
    for epoch in range(1, epochs + 1):
        steps = {
            step: {
                f"conv{at + 1}": LayerStep(
                    0.5 * (at + 1),
                    1.0,
                    math.nan,
                    math.nan,
                    1.0,
                    10.0 ** (-at - (step == 4)) if update is None else update,
                    0.1,
                )
                for at in range(layers)
            }
            for step in (1, 4)
        }
        units = {f"relu{at + 1}": LayerUnits(20, dead * epoch, 0, 0) for at in range(layers)}
        found[epoch] = Measured(steps, units)
    return found


def texts(axes: Axes) -> list[str]:
    return [text.get_text() for text in axes.texts]


def named(axes: Axes) -> list[str]:
    legend = axes.get_legend()
    return [] if legend is None else [text.get_text() for text in legend.get_texts()]


def drawn(epochs: dict[int, Measured], part: str) -> tuple[Figure, Axes]:
    figure = plot_dynamic(epochs, part)
    return figure, figure.axes[0]


def test_the_heat_map_has_a_row_a_layer_and_a_column_a_step() -> None:
    figure, axes = drawn(measured(3), "steps")
    (image,) = axes.get_images()
    expected = [[10.0 ** (-at - odd) for _ in range(3) for odd in (0, 1)] for at in range(3)]
    np.testing.assert_allclose(np.asarray(image.get_array()), expected)
    # From the beginning of the first epoch to the end of the last, the first layer on top.
    assert tuple(image.get_extent()) == (0, 3, 2.5, -0.5)
    assert [label.get_text() for label in axes.get_yticklabels()] == ["conv1", "conv2", "conv3"]
    assert image.norm.vmin == pytest.approx(1e-3)
    assert image.norm.vmax == 1
    assert len(figure.axes) == 2  # with a colour bar


def test_what_was_not_measured_is_said() -> None:
    _, axes = drawn(measured(2, update=math.nan), "steps")
    assert texts(axes) == ["not measured: memory was short"]
    assert not axes.get_images()
    assert texts(drawn({0: Measured({}, {})}, "steps")[1]) == ["none"]
    assert texts(drawn({0: Measured({}, {})}, "units")[1]) == ["no activations"]
    assert texts(drawn(measured(2), "biases")[1]) == ["none"]  # no layer has any


def test_curves_are_named_and_of_many_the_first_and_the_last() -> None:
    for part, word in (("weights", "conv"), ("units", "relu")):
        for layers in (1, 10, 11, 30):
            _, axes = drawn(measured(layers), part)
            wanted = range(1, layers + 1) if layers <= 10 else (1, layers)
            assert named(axes) == [f"{word}{at}" for at in wanted]
            assert len(axes.get_lines()) == layers
    line = drawn(measured(2), "weights")[1].get_lines()[1]
    assert np.asarray(line.get_xdata()).tolist() == [0, 0.5, 1, 1.5, 2, 2.5]
    assert np.asarray(line.get_ydata()).tolist() == [1.0] * 6


def test_dead_units_are_shares_and_none_is_said() -> None:
    _, axes = drawn(measured(2, dead=2), "units")
    assert np.asarray(axes.get_lines()[0].get_xdata()).tolist() == [1, 2, 3]
    assert np.asarray(axes.get_lines()[0].get_ydata()).tolist() == [10, 20, 30]
    assert texts(axes) == []
    assert texts(drawn(measured(2), "units")[1]) == ["none in any layer"]


def test_all_together_has_every_part() -> None:
    figure = plot_dynamics(measured(2))
    titles = [axes.get_title() for axes in figure.axes if axes.get_title()]
    assert len(titles) == len(DYNAMICS) == 4
