"""Pictures of optimised images: every image, what is said of it, and the curves."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from matplotlib.figure import Figure

from cutaway.draw import plot
from cutaway.errors import ConfigError
from cutaway.look import (
    Caricature,
    Compared,
    Decoded,
    Generated,
    Inverted,
    Maximized,
    Recipe,
    TotalVariation,
    Walk,
)

IMAGES = torch.rand(3, 1, 5, 6, generator=torch.Generator().manual_seed(0))
DEPTH = {"conv1": torch.tensor([0.1, 0.2, 0.3]), "dense1": torch.tensor([0.4, 0.5, 0.6])}


def maximized(count: int = 3) -> Maximized:
    return Maximized(
        IMAGES[:1].expand(count, -1, -1, -1),
        tuple(f"unit {at}" for at in range(count)),
        torch.arange(4.0 * count).view(4, count),
        torch.tensor([[0.25, 0.75]]).expand(count, 2),
        torch.full((count,), 1.5),
        torch.arange(count),
        ("cat", "dog"),
        Recipe(3, priors=(TotalVariation(),)),
        "net",
    )


def titles(figure: Figure) -> list[str]:
    return [axes.get_title() for axes in figure.axes if axes.images]


def pictured(figure: Figure) -> int:
    return sum(bool(axes.images) for axes in figure.axes)


def test_what_units_prefer() -> None:
    figure = plot(maximized())
    assert titles(figure)[2] == "unit 2\n11 (data 1.5)\ndog 75.0%"
    curves = [axes for axes in figure.axes if axes.lines]
    assert len(curves) == 1
    assert [np.asarray(line.get_ydata()).tolist() for line in curves[0].lines][1] == [1, 4, 7, 10]
    assert "TotalVariation" in figure.get_suptitle()


def test_a_generator_is_named_as_the_prior() -> None:
    made = replace(maximized(), generated=True, recipe=Recipe(3))
    assert plot(made).get_suptitle() == "net: a generator"
    assert plot(replace(made, generated=False)).get_suptitle() == "net: no prior"


def test_many_units_take_several_rows() -> None:
    assert pictured(plot(maximized(23))) == 23


def test_priors_beside_each_other() -> None:
    figure = plot(Compared({"no prior": maximized(), "tv": maximized()}, "net"))
    assert pictured(figure) == 6
    told = {text.get_text() for axes in figure.axes for text in axes.texts}
    assert told == {"no prior", "tv"}


@pytest.mark.parametrize(
    ("result", "curves"),
    [
        (Inverted(IMAGES, dict.fromkeys(DEPTH, IMAGES), DEPTH, DEPTH, {}, Recipe()), 2),
        (Decoded(IMAGES, dict.fromkeys(DEPTH, IMAGES), DEPTH), 1),
    ],
)
def test_images_and_errors_by_depth(result: Inverted | Decoded, curves: int) -> None:
    figure = plot(result)
    assert pictured(figure) == 9
    assert titles(figure)[3:6] == ["0.100", "0.200", "0.300"]
    lines = [axes for axes in figure.axes if axes.lines]
    assert len(lines) == curves
    assert np.asarray(lines[0].lines[-1].get_ydata()).tolist() == pytest.approx([0.2, 0.5])
    assert [label.get_text() for label in lines[0].get_xticklabels()] == ["conv1", "dense1"]


def test_errors_are_of_more_images_than_are_shown() -> None:
    result = Inverted(IMAGES, dict.fromkeys(DEPTH, IMAGES), DEPTH, DEPTH, {}, Recipe()).only(1)
    figure = plot(result)
    assert titles(figure) == ["image\n", "conv1\n0.100", "dense1\n0.400"]
    lines = [axes for axes in figure.axes if axes.lines]
    assert [len(np.asarray(line.get_ydata())) for line in lines[0].lines] == [3, 3, 2]
    with pytest.raises(ConfigError, match="shown should be 1 or more, not 0"):
        result.only(0)


def test_what_a_generator_learnt() -> None:
    figure = plot(Generated(IMAGES, torch.tensor([3.0, 2.0, 1.5]), "net"))
    assert pictured(figure) == 3
    (curve,) = [axes for axes in figure.axes if axes.lines]
    assert np.asarray(curve.lines[0].get_xydata()).tolist() == [[1, 3], [2, 2], [3, 1.5]]
    assert figure.get_suptitle() == "net: what a generator makes of codes drawn at random"


def test_caricatures() -> None:
    result = Caricature(
        IMAGES, {"conv1": IMAGES}, {"conv1": torch.full((3,), 2.0)}, {"conv1": torch.ones(3)}, Recipe()
    )
    figure = plot(result)
    assert titles(figure)[3:] == ["×2, cos 1.00"] * 3


def test_a_walk() -> None:
    figure = plot(Walk(IMAGES, torch.tensor([0.0, 0.5, 1.0]), ("3", "8"), "conv2", "net"))
    assert titles(figure) == ["0.00", "0.50", "1.00"]
    assert figure.get_suptitle() == "net: from 3 to 8 in conv2"


def test_black_and_white_stay_black_and_white() -> None:
    """A nearly grey image is not stretched to the whole range."""
    grey = torch.full((1, 1, 2, 2), 0.5)
    grey[0, 0, 0, 0] = 0.6
    figure = plot(Walk(grey, torch.zeros(1), ("a", "b")))
    shown = next(axes.images[0].get_array() for axes in figure.axes if axes.images)
    assert shown is not None
    assert float(shown.max()) == pytest.approx(0.6, abs=0.01)
    assert float(shown.min()) == pytest.approx(0.5, abs=0.01)


def test_of_few_images_the_layers_stand_beside_each() -> None:
    layers = {f"conv{at}": IMAGES[:2] + at / 100 for at in range(1, 13)}
    errors = {name: torch.tensor([0.1, 0.2]) for name in layers}
    result = Inverted(IMAGES[:2], layers, errors, errors, {}, Recipe(), subject="a net with a long name")
    figure = plot(result)
    assert pictured(figure) == 2 * 13
    assert titles(figure)[:2] == ["image\n", "conv1\n0.100"]
    assert titles(figure)[13:15] == ["image\n", "conv1\n0.200"]
    width, height = figure.get_size_inches()
    assert height < width


def test_a_heading_is_no_wider_than_its_figure() -> None:
    layers = {"conv1": IMAGES[:1], "conv2": IMAGES[:1]}
    errors = {name: torch.tensor([0.1]) for name in layers}
    figure = plot(Decoded(IMAGES[:1], layers, errors, "a net whose name is quite long, as names can be"))
    figure.draw_without_rendering()
    heading = figure._suptitle  # type: ignore[attr-defined]
    assert heading.get_window_extent().x1 <= figure.bbox.x1
    assert " ".join(heading.get_text().split()).endswith("what decoders give back from each layer")
