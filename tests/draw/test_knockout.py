"""The picture of knockouts, by what must be true of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest
import torch
from matplotlib.axes import Axes
from matplotlib.colors import same_color

import cutaway
from cutaway.draw.knockout import BLOCKS, MOST
from cutaway.look import Knockout, LayerKnockout
from cutaway.look.knockout import Value


def some_layer(lost: Sequence[float], whole: float = 0.1) -> LayerKnockout:
    """Units that lose so much of an accuracy of 0.9; class 1 has no images."""
    accuracy = 0.9 - torch.tensor(lost, dtype=torch.float64)
    by_class = torch.stack([accuracy - 0.05, torch.full_like(accuracy, torch.nan), accuracy + 0.05], 1)
    units = torch.arange(len(lost))
    return LayerKnockout(
        units,
        accuracy,
        by_class,
        accuracy,
        whole,
        by_class.new_zeros(3),
        2.0,
        torch.zeros(len(lost)),
        "suffix",
    )


def result(**layers: LayerKnockout) -> Knockout:
    classes = torch.tensor([0.8, torch.nan, 1.0], dtype=torch.float64)
    return Knockout(layers, 0.9, classes, 0.3, ("cat", "dog", "owl"), 1234, Value.ZERO, "mine")


LOST = [0.1, -0.05, 0.4, 0.0]


def panels(one: Knockout) -> list[Axes]:
    """All axes but the bars of colours."""
    return [axes for axes in cutaway.plot(one).axes if axes.get_label() != "<colorbar>"]


def test_whole_layers_are_bars_in_their_order() -> None:
    found = panels(result(conv1=some_layer(LOST), dense1=some_layer(LOST, 0.85)))
    axes = found[0]
    assert [label.get_text() for label in axes.get_yticklabels()] == ["conv1", "dense1"]
    assert axes.get_ylim()[0] > axes.get_ylim()[1], "the first one is on top"
    assert [bar.get_width() for bar in axes.patches] == pytest.approx([80, 5])  # type: ignore[attr-defined]
    assert [text.get_text().strip() for text in axes.texts] == ["80.0", "5.0"]
    title = axes.get_title(loc="left")
    assert title.startswith("mine: 90.0% of 1,234 images right")
    assert len(found) == 5


def test_units_are_bars_from_the_dearest_down() -> None:
    _, bars, heat = panels(result(conv1=some_layer(LOST)))
    assert [bar.get_height() for bar in bars.patches] == pytest.approx([40, 10, 0, -5], abs=1e-9)  # type: ignore[attr-defined]
    assert [label.get_text() for label in heat.get_xticklabels()] == ["2", "0", "3", "1"]
    gain, loss = bars.patches[3].get_facecolor(), bars.patches[0].get_facecolor()
    assert not same_color(gain, loss)
    assert bars.get_title(loc="left").startswith("conv1  4 units set to zero")


def test_of_units_that_lose_as_much_the_one_with_the_larger_objective_is_dearer() -> None:
    layer = replace(some_layer([0.1, 0.2, 0.1, 0.1]), objective=torch.tensor([0.3, 0.2, 0.5, 0.4]).double())
    heat = panels(result(conv1=layer))[2]
    assert [label.get_text() for label in heat.get_xticklabels()] == ["1", "2", "3", "0"]


def test_classes_are_rows_and_one_without_images_is_left_grey() -> None:
    one = result(conv1=some_layer(LOST))
    _, bars, heat = panels(one)
    shown: np.ma.MaskedArray = np.ma.asarray(heat.images[0].get_array())
    wanted = 100 * one.class_lost("conv1").numpy()[[2, 0, 3, 1]].T
    assert shown.mask.tolist() == np.isnan(wanted).tolist()
    np.testing.assert_allclose(shown.compressed(), wanted[~np.isnan(wanted)])
    assert [label.get_text() for label in heat.get_yticklabels()] == ["cat", "dog", "owl"]
    assert bars.get_xlim() == heat.get_xlim(), "a unit's bar stands over its column"


def test_all_heat_maps_share_one_signed_scale() -> None:
    one = result(conv1=some_layer(LOST), conv2=some_layer([0.01, 0.7]))
    found = panels(one)
    limit = 100 * max(float(one.class_lost(name).nan_to_num().abs().max()) for name in one.layers)
    for axes in (found[2], found[4]):
        assert axes.images[0].get_clim() == pytest.approx((-limit, limit))


def test_nothing_lost_is_drawn_neutral() -> None:
    layer = some_layer([0.0, 0.0], whole=0.9)
    same = torch.tensor([[0.8, torch.nan, 1.0]] * 2, dtype=torch.float64)
    flat = LayerKnockout(
        layer.units, layer.accuracy, same, layer.objective, 0.9, same[0], 0.3, layer.values, "suffix"
    )
    low, high = panels(result(conv1=flat))[2].images[0].get_clim()
    assert low == -high < 0


def test_of_many_units_the_dearest_are_shown_and_the_title_says_so() -> None:
    lost = torch.rand(100, generator=torch.Generator().manual_seed(3)).tolist()
    _, bars, heat = panels(result(conv1=some_layer(lost)))
    assert len(bars.patches) == MOST
    wanted = sorted(range(100), key=lambda unit: -lost[unit])[:MOST]
    assert [int(label.get_text()) for label in heat.get_xticklabels()] == wanted
    assert f"the {MOST} of 100 units that cost most" in bars.get_title(loc="left")


def test_of_many_layers_those_with_the_dearest_units_have_blocks() -> None:
    worth = {f"conv{at}": some_layer([0.3 if at % 2 else 0.001 * at, 0.0]) for at in range(2 * BLOCKS)}
    found = panels(result(**worth))
    assert [label.get_text() for label in found[0].get_yticklabels()] == list(worth)
    titles = [axes.get_title(loc="left").split()[0] for axes in found[1::2]]
    assert titles == [f"conv{at}" for at in range(1, 2 * BLOCKS, 2)]


def test_a_layer_without_units_has_only_its_bar() -> None:
    found = panels(result(conv1=some_layer([])))
    assert len(found) == 1
    assert [text.get_text().strip() for text in found[0].texts] == ["80.0"]


def test_names_with_dollars_are_shown_as_they_are() -> None:
    one = result(conv1=some_layer(LOST))
    odd = Knockout(one.layers, 0.9, one.class_accuracy, 0.3, ("$a$", "$b", "c" * 30), 3, Value.MEAN, "$x$")
    figure = cutaway.plot(odd)
    figure.canvas.draw()
    names = [label.get_text() for label in figure.axes[2].get_yticklabels()]
    assert names == ["$a$", "$b", "c" * 15 + "…"]
    assert figure.axes[1].get_title(loc="left").startswith("conv1  4 units set to mean")
