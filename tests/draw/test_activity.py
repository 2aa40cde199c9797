"""The picture of activity: its shares, its bars and its heat maps are the result's."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch

from cutaway.draw import plot
from cutaway.draw.activity import MOST
from cutaway.look import Activity, Deaths, LayerActivity


def layer(units: int = 6, **changes: Any) -> LayerActivity:
    generator = torch.Generator().manual_seed(units)
    means = torch.rand(3, units, generator=generator, dtype=torch.float64)
    means[2] = math.nan
    means[:2, 1] = 0
    fires = torch.linspace(0.2, 1, units, dtype=torch.float64)
    fires[1] = 0
    fires[2] = 0.005
    blank = torch.zeros(units, dtype=torch.float64)
    blank[:2] = torch.tensor([0.5, 1.0])
    correlation = torch.eye(units)
    correlation[3, 4] = correlation[4, 3] = 0.99
    constant = torch.arange(units) == 1
    values: dict[str, Any] = {
        "places": 9,
        "mean": means[:2].mean(0),
        "maximum": torch.ones(units),
        "minimum": torch.zeros(units),
        "constant": constant,
        "fires": fires,
        "blank": blank,
        "class_means": means,
        "correlation": correlation,
    }
    return LayerActivity(**(values | changes))


def made(**changes: Any) -> Activity:
    layers = {"conv1": layer(), "relu $ 1": layer(8)}
    return Activity(layers, ("a", "b $ c", "none"), 1200, 500, subject="net", **changes)


def test_shares_by_depth_are_in_percent() -> None:
    lines = {line.get_label(): np.asarray(line.get_ydata(), float) for line in plot(made()).axes[0].lines}
    np.testing.assert_allclose(lines["blank maps"], [100 * 1.5 / 6, 100 * 1.5 / 8])
    np.testing.assert_allclose(lines["dead units"], [100 / 6, 100 / 8])
    np.testing.assert_allclose(lines["rare units"], [100 / 6, 100 / 8])
    np.testing.assert_allclose(lines["units that double another"], [100 / 6, 100 / 8])


def test_units_stand_by_the_class_that_they_prefer() -> None:
    result = made()
    figure = plot(result)
    bars, heat = figure.axes[1], figure.axes[2]
    found = result.layers["conv1"]
    order = [int(label.get_text()) for label in heat.get_xticklabels()]
    assert sorted(order) == list(range(6))
    best = found.class_means[:2].argmax(0)[order]
    assert best.tolist() == sorted(best.tolist())
    for which in (0, 1):
        own = [
            found.selectivity[unit].nan_to_num(0).item() for unit in order if best[order.index(unit)] == which
        ]
        assert own == sorted(own, reverse=True)
    heights = [bar.get_height() for bar in bars.patches]  # type: ignore[attr-defined]
    np.testing.assert_allclose(heights, 100 * found.fires[order])
    assert [round(text.get_position()[0]) for text in bars.texts] == [order.index(1)]
    shown = heat.images[0].get_array()
    assert isinstance(shown, np.ma.MaskedArray)
    assert np.ma.getmaskarray(shown)[2].all()  # no images of this class
    for place, unit in enumerate(order):
        means = found.class_means[:2, unit].numpy()
        apart = means - means.mean()
        np.testing.assert_allclose(shown[:2, place], apart / (abs(apart).max() or 1), atol=1e-12)


def test_the_title_of_a_layer_has_its_counts() -> None:
    title = plot(made()).axes[1].get_title("left")
    assert title == "conv1  6 units: 1 dead, 1 rare, 1 constant, 1 pairs alike, 25.0% of maps blank"
    below = layer(minimum=torch.full((6,), -1.0))
    title = plot(Activity({"conv1": below}, ("a", "b", "c"), 10, 10)).axes[1].get_title("left")
    assert "6 units: 1 never above zero, " in title


def test_of_many_units_the_most_selective_are_drawn() -> None:
    wide = layer(100)
    heat = plot(Activity({"dense1": wide}, ("a", "b", "c"), 10, 10)).axes[2]
    drawn = {int(label.get_text()) for label in heat.get_xticklabels()}
    assert len(drawn) == MOST
    rest = set(range(100)) - drawn
    strength = wide.selectivity.nan_to_num(0)
    assert strength[sorted(drawn)].min() >= strength[sorted(rest)].max()


def test_dead_units_by_epoch_as_counted_or_with_kept_weights() -> None:
    assert len(plot(made()).axes) == 1 + 2 * 2
    counted = plot(made(counted={"conv1": {1: 0, 2: 3}}))
    assert len(counted.axes) == 1 + 1 + 2 * 2
    (line,) = counted.axes[1].lines
    assert (np.asarray(line.get_xdata()).tolist(), np.asarray(line.get_ydata()).tolist()) == ([1, 2], [0, 50])
    assert "500 training images" in counted.axes[1].get_title("left")
    dead = torch.zeros(2, 8, dtype=torch.bool)
    dead[1, :2] = True
    kept = plot(made(counted={"conv1": {1: 0}}, deaths=Deaths([0, 5], {"relu $ 1": dead}, 1200)))
    (line,) = kept.axes[1].lines
    assert (np.asarray(line.get_xdata()).tolist(), np.asarray(line.get_ydata()).tolist()) == ([0, 5], [0, 25])
    assert "1,200 images" in kept.axes[1].get_title("left")
    kept.draw_without_rendering()


@pytest.mark.parametrize("classes", [3, 60])
def test_it_is_drawn_with_a_place_for_each_class(classes: int) -> None:
    means = torch.rand(classes, 6, dtype=torch.float64)
    found = Activity({"conv1": layer(class_means=means)}, tuple(map(str, range(classes))), 10, 10)
    figure = plot(found)
    figure.draw_without_rendering()
    array = figure.axes[2].images[0].get_array()
    assert array is not None
    assert array.shape == (classes, 6)
