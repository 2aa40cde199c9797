"""Kernels as a figure: by channel or from the strongest slice down, on the scale asked for."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from matplotlib.axes import Axes
from numpy.typing import NDArray

import cutaway
from cutaway.draw.kernels import FILTERS, SLICES, slice_mosaic
from cutaway.draw.mosaic import Mosaic, kernel_mosaic
from cutaway.errors import ConfigError
from cutaway.look import Kernels


def some_kernels(filters: int = 5, channels: int = 20) -> Kernels:
    generator = torch.Generator().manual_seed(7)
    return Kernels(
        {
            "conv1": torch.randn(4, 1, 5, 5, generator=generator),
            "conv2": 0.1 * torch.randn(filters, channels, 3, 2, generator=generator),
        },
        "some net",
    )


def shown(axes: Axes) -> NDArray[np.float64]:
    values = axes.images[0].get_array()
    assert values is not None
    return np.ma.filled(values.astype(float), np.nan)


def tile(array: NDArray[np.float64], mosaic: Mosaic, index: int) -> NDArray[np.float64]:
    top, left = mosaic.corner(index)
    _, height, width = mosaic.tiles.shape
    return array[top : top + height, left : left + width]


def test_sorted_slices_go_from_the_largest_norm_down_under_their_channels() -> None:
    result = some_kernels()
    weights = result.layers["conv2"]
    axes = cutaway.plot(result, order="norm").axes[1]
    mosaic = slice_mosaic(weights, result.strongest("conv2"))
    array = shown(axes)
    numbers = [text.get_text() for text in axes.texts]
    assert len(numbers) == 5 * SLICES + 5
    for unit in range(5):
        norms = []
        for place in range(SLICES):
            index = unit * SLICES + place
            channel = int(numbers[index])
            np.testing.assert_array_equal(tile(array, mosaic, index), weights[unit, channel].numpy())
            norms.append(float(weights[unit, channel].norm()))
        assert norms == sorted(norms, reverse=True)
        rest = [
            float(weights[unit, c].norm())
            for c in range(20)
            if str(c) not in numbers[unit * 16 : unit * 16 + 16]
        ]
        assert max(rest) <= norms[-1]
    assert "the 16 largest of 20 slices" in axes.get_title(loc="left")


def test_sorted_rows_have_their_filters_number_at_their_left_inside_the_picture() -> None:
    result = some_kernels().only([3, 1])
    axes = cutaway.plot(result, order="norm").axes[1]
    rows = axes.texts[2 * SLICES :]
    assert [text.get_text() for text in rows] == ["3", "1"]
    for text in rows:
        assert axes.get_xlim()[0] < text.get_position()[0] < -0.5


def test_a_single_channel_has_nothing_to_be_sorted_by() -> None:
    result = some_kernels()
    first = cutaway.plot(result, order="norm").axes[0]
    np.testing.assert_array_equal(shown(first), kernel_mosaic(result.layers["conv1"]).array())


def test_of_many_filters_the_first_are_sorted_and_that_is_told() -> None:
    result = some_kernels(filters=FILTERS + 6)
    axes = cutaway.plot(result, order="norm").axes[1]
    assert f"the first {FILTERS} units" in axes.get_title(loc="left")
    assert axes.texts[-1].get_text() == str(FILTERS - 1)


@pytest.mark.parametrize("order", ["channel", "norm"])
def test_scales(order: str) -> None:
    result = some_kernels()
    limits = [float(values.abs().max()) for values in result.layers.values()]
    by_layer = [axes.images[0].get_clim()[1] for axes in cutaway.plot(result, order=order).axes]
    # Of sorted slices the weakest are left out, so their largest value may be missing.
    assert by_layer == pytest.approx(limits)
    together = [
        axes.images[0].get_clim()[1] for axes in cutaway.plot(result, order=order, scale="global").axes
    ]
    assert together == pytest.approx([max(limits)] * 2)
    for axes in cutaway.plot(result, order=order, scale="unit").axes:
        assert axes.images[0].get_clim() == (-1, 1)
        assert np.nanmax(np.abs(shown(axes))) == pytest.approx(1)


def test_chosen_filters_keep_their_numbers() -> None:
    result = some_kernels().only([4, 2])
    conv1, conv2 = cutaway.plot(result).axes
    assert [text.get_text() for text in conv1.texts] == ["2"]
    assert [text.get_text() for text in conv2.texts] == ["4", "2"]
    np.testing.assert_array_equal(shown(conv1), kernel_mosaic(some_kernels().layers["conv1"][[2]]).array())


def test_an_unknown_order_is_told_with_those_that_there_are() -> None:
    with pytest.raises(ConfigError, match='order should be channel or norm, not "size"'):
        cutaway.plot(some_kernels(), order="size")
