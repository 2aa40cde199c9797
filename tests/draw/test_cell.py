"""A cell as a figure: the box on the image, three mosaics, and a sum that adds up."""

from __future__ import annotations

import re

import numpy as np
import pytest
import torch
from matplotlib.axes import Axes
from matplotlib.patches import Rectangle
from numpy.typing import NDArray
from torch import nn

import cutaway
from cutaway import Subject
from cutaway.draw.cell import CHANNELS
from cutaway.draw.mosaic import map_mosaic
from cutaway.look import Cell, cell


def some_cell(channels: int = 2, size: int = 3) -> Cell:
    torch.manual_seed(1)
    model = nn.Sequential(nn.Conv2d(3, channels, 1), nn.Conv2d(channels, 4, size, padding=1))
    image = torch.randint(256, (1, 3, 9, 11)).to(torch.uint8)
    return cell(Subject(model, (3, 9, 11)), image, "1", 2, row=4, column=6)


def shown(axes: Axes) -> NDArray[np.float64]:
    values = axes.images[0].get_array()
    assert values is not None
    return np.ma.filled(values.astype(float), np.nan)


def total(title: str) -> tuple[float, float]:
    """What the terms of a title add up to, and the sum that it tells."""
    terms, result = title.partition(": ")[2].replace("−", "-").split(" = ")
    found = re.findall(r"(?:^|([+-]) )(-?[\d.e-]+) \(", terms)
    return sum(float(f"{sign}{number}") for sign, number in found), float(result)


@pytest.mark.parametrize("channels", [1, 2, 40])
def test_the_sum_in_the_title_adds_up(channels: int) -> None:
    result = some_cell(channels)
    figure = cutaway.plot(result)
    assert figure.get_suptitle().startswith("1, unit 2 at 4, 6: ")
    added, told = total(figure.get_suptitle())
    assert told == pytest.approx(result.value, rel=1e-3)
    assert added == pytest.approx(told, abs=2e-3)
    assert (f"{40 - CHANNELS} other channels" in figure.get_suptitle()) == (channels == 40)


def test_the_box_is_around_the_pixels_that_count() -> None:
    result = some_cell()
    axes = cutaway.plot(result).axes[0]
    (box,) = [patch for patch in axes.patches if isinstance(patch, Rectangle)]
    top, left, bottom, right = result.field
    assert (top, left, bottom, right) == (3, 5, 6, 8)
    # A pixel's square reaches half a pixel to each side of its middle.
    assert box.get_xy() == (left - 0.5, top - 0.5)
    assert (box.get_width(), box.get_height()) == (right - left, bottom - top)
    np.testing.assert_allclose(shown(axes), result.image.permute(1, 2, 0) / 255, atol=1e-6)
    assert axes.get_title(loc="left") == "pixels: rows 3–5, columns 5–7"


def test_patch_kernel_and_products_stand_side_by_side_slice_by_slice() -> None:
    result = some_cell()
    axes = cutaway.plot(result).axes[1:]
    assert [panel.get_title(loc="left").split()[0] for panel in axes] == ["patch", "kernel", "products"]
    for panel, values in zip(axes, (result.patch, result.kernel, result.products), strict=True):
        wanted = map_mosaic(values, torch.zeros(2, dtype=torch.bool))
        np.testing.assert_array_equal(shown(panel), wanted.array())
        assert panel.images[0].get_clim()[1] == pytest.approx(float(values.abs().max()))
    np.testing.assert_allclose(shown(axes[0]) * shown(axes[1]), shown(axes[2]), atol=1e-6)


def test_of_many_channels_those_that_add_most_are_drawn_under_their_numbers() -> None:
    result = some_cell(40)
    added = result.products.flatten(1).sum(1).abs()
    most = sorted(added.argsort(descending=True)[:CHANNELS].tolist())
    for panel in cutaway.plot(result).axes[1:]:
        numbers = [text.get_text() for text in panel.texts]
        assert numbers == [str(channel) for channel in most]


def test_few_values_are_written_into_their_squares_and_many_are_not() -> None:
    few = cutaway.plot(some_cell(2)).axes[3]
    assert [text.get_text() for text in few.texts[2:]] == [
        f"{value:.2g}" for value in some_cell(2).products.flatten().tolist()
    ]
    assert len(cutaway.plot(some_cell(16)).axes[3].texts) == 16


def test_a_dense_unit_is_not_said_to_have_a_place() -> None:
    model = nn.Sequential(nn.Flatten(), nn.Linear(12, 2))
    result = cell(Subject(model, (3, 2, 2)), torch.rand(1, 3, 2, 2), "1", 1)
    figure = cutaway.plot(result)
    assert figure.get_suptitle().startswith("1, unit 1: ")
    assert total(figure.get_suptitle())[0] == pytest.approx(result.value, abs=1e-3)
