"""Probes as a figure: every number is where it belongs."""

from __future__ import annotations

import numpy as np
import pytest
from matplotlib.axes import Axes
from matplotlib.container import ErrorbarContainer

import cutaway
from cutaway.look import Probe, Reading


def some_probe(chance: float = 0.9, layers: int = 3) -> Probe:
    def readings(start: int, step: int) -> dict[str, Reading]:
        return {f"layer{at}": Reading(max(0, start + step * at) % 200, 200, 64, 0.1) for at in range(layers)}

    return Probe(Reading(60, 200, 49, 0.1), readings(40, -20), readings(50, 5), chance, 1000, "some $net$ 1")


def lines(axes: Axes) -> dict[str, ErrorbarContainer]:
    return {str(line.get_label()): line for line in axes.containers if isinstance(line, ErrorbarContainer)}


def test_both_lines_have_the_errors_in_percent_with_their_intervals() -> None:
    result = some_probe()
    axes = cutaway.plot(result).axes[0]
    assert list(lines(axes)) == ["trained", "random weights"]
    for label, side in (("trained", result.layers), ("random weights", result.random)):
        line, _, (bars,) = lines(axes)[label]
        readings = [result.pixels, *side.values()]
        assert np.asarray(line.get_ydata()).tolist() == pytest.approx([100 * r.error for r in readings])
        ends = [sorted(segment[:, 1].tolist()) for segment in bars.get_segments()]
        assert np.array(ends) == pytest.approx(np.array([[100 * e for e in r.interval] for r in readings]))
        # A point stands at its name, so closely that it is no other's.
        assert np.abs(np.asarray(line.get_xdata()) - np.arange(4)).max() < 0.1
    assert [tick.get_text() for tick in axes.get_xticklabels()] == ["pixels", "layer0", "layer1", "layer2"]
    assert axes.get_ylim()[0] == 0
    assert "%" in axes.get_ylabel()


def test_the_title_says_of_what_and_of_how_many() -> None:
    title = cutaway.plot(some_probe()).axes[0].get_title(loc="left")
    assert title == "some $net$ 1: probes fitted on 1,000 images, tested on 200; chance 90.0%"


@pytest.mark.parametrize(("chance", "drawn"), [(0.25, True), (0.99, False)])
def test_chance_is_drawn_where_it_fits(chance: float, *, drawn: bool) -> None:
    axes = cutaway.plot(some_probe(chance)).axes[0]
    flat = [line for line in axes.lines if line.get_linestyle() == ":"]
    assert len(flat) == drawn
    assert all(set(np.asarray(line.get_ydata())) == {100 * chance} for line in flat)


def test_many_layers_have_as_many_names_as_can_be_read() -> None:
    figure = cutaway.plot(some_probe(layers=199))
    axes = figure.axes[0]
    names = [tick.get_text() for tick in axes.get_xticklabels()]
    assert 30 <= len(names) <= 60
    for at, name in zip(axes.get_xticks(), names, strict=True):
        assert name == ("pixels" if at == 0 else f"layer{int(at) - 1}")
    assert figure.get_size_inches()[0] <= 24
