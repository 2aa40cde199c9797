"""Mosaics: every tile whole, in its place, under its number."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from cutaway.draw.mosaic import Mosaic, kernel_mosaic, map_mosaic


def tile(mosaic: Mosaic, index: int) -> np.ndarray[tuple[int, ...], np.dtype[np.float32]]:
    """What the whole array shows where a tile should be."""
    top, left = mosaic.corner(index)
    _, height, width = mosaic.tiles.shape
    return mosaic.array()[top : top + height, left : left + width]


@pytest.mark.parametrize("count", [1, 2, 3, 5, 10, 16, 17, 48, 97, 500])
@pytest.mark.parametrize("size", [(1, 1), (5, 5), (28, 28), (7, 13)])
def test_all_tiles_are_there_and_none_covers_another(count: int, size: tuple[int, int]) -> None:
    # Every pixel of every tile has a value of its own, so that one that is lost or doubled shows.
    maps = torch.arange(count * size[0] * size[1], dtype=torch.float32).view(count, *size)
    mosaic = map_mosaic(maps, torch.zeros(count, dtype=torch.bool))
    array = mosaic.array()
    assert array.shape == mosaic.size
    shown = array[~np.isnan(array)]
    assert sorted(shown.tolist()) == maps.flatten().tolist()
    assert list(mosaic.numbers) == list(range(count))
    for index in (0, count // 2, count - 1):
        assert np.array_equal(tile(mosaic, index), maps[index].numpy())


def test_above_each_tile_there_is_room_for_its_number_and_between_columns_a_gap() -> None:
    mosaic = map_mosaic(torch.ones(10, 6, 6), torch.zeros(10, dtype=torch.bool))
    array = mosaic.array()
    for index in range(10):
        top, left = mosaic.corner(index)
        assert top >= mosaic.strip >= 1
        assert np.isnan(array[top - mosaic.strip : top, left : left + 6]).all()
        if left:
            assert np.isnan(array[top : top + 6, left - mosaic.gap : left]).all()
    assert mosaic.gap >= 1


def test_tiles_go_from_left_to_right_and_then_down() -> None:
    mosaic = map_mosaic(torch.zeros(12, 4, 4), torch.zeros(12, dtype=torch.bool))
    corners = [mosaic.corner(index) for index in range(12)]
    assert corners == sorted(corners)
    assert len({top for top, _ in corners}) == mosaic.rows
    assert len({left for _, left in corners}) == mosaic.columns


def test_a_full_last_row_is_preferred_where_it_is_near() -> None:
    for count in (16, 20, 24, 32, 48, 50, 64, 96):
        mosaic = map_mosaic(torch.zeros(count, 4, 4), torch.zeros(count, dtype=torch.bool))
        assert count % mosaic.columns == 0
        assert mosaic.columns >= mosaic.rows


def test_units_of_a_dense_layer_are_tiles_of_one_value() -> None:
    values = torch.tensor([0.5, -2.0, 0.0])
    mosaic = map_mosaic(values, values == 0)
    for index, value in enumerate(values.tolist()):
        assert (tile(mosaic, index) == value).all()
    assert list(mosaic.blank) == [False, False, True]


def test_kernels_of_one_channel_are_the_tiles() -> None:
    weights = torch.randn(6, 1, 5, 3, generator=torch.Generator().manual_seed(1))
    mosaic = kernel_mosaic(weights)
    for index in range(6):
        assert np.array_equal(tile(mosaic, index), weights[index, 0].numpy())


@pytest.mark.parametrize("channels", [2, 3, 4, 5, 20])
def test_a_filter_of_many_channels_shows_every_slice_in_order(channels: int) -> None:
    weights = torch.randn(3, channels, 3, 2, generator=torch.Generator().manual_seed(2))
    mosaic = kernel_mosaic(weights)
    for index in range(3):
        shown = tile(mosaic, index)
        slices: list[list[float]] = []
        # Lines of NaN part the slices: every fourth row, every third column.
        for top in range(0, shown.shape[0], 4):
            for left in range(0, shown.shape[1], 3):
                part = shown[top : top + 3, left : left + 2]
                if not np.isnan(part).any():
                    slices.append(part.flatten().tolist())
        assert slices == weights[index].flatten(1).tolist()
        assert np.isnan(shown[3::4]).all()
        assert np.isnan(shown[:, 2::3]).all()


@pytest.mark.parametrize(("channels", "size"), [(2, (3, 5)), (3, (3, 8)), (4, (7, 5)), (5, (7, 8))])
def test_slices_of_colours_stand_in_a_row_and_more_in_a_square(channels: int, size: tuple[int, int]) -> None:
    assert kernel_mosaic(torch.ones(2, channels, 3, 2)).tiles.shape[1:] == size


def test_a_filter_of_zeros_is_marked() -> None:
    weights = torch.ones(4, 2, 3, 3)
    weights[1] = 0
    weights[2, 0] = 0  # one slice of two: the filter still does something
    assert list(kernel_mosaic(weights).blank) == [False, True, False, False]


def test_the_limit_is_the_largest_magnitude() -> None:
    weights = torch.zeros(2, 2, 3, 3)
    weights[0, 1, 2, 2], weights[1, 0, 0, 0] = 0.75, -1.5
    assert kernel_mosaic(weights).limit == 1.5
    assert kernel_mosaic(torch.zeros(2, 2, 3, 3)).limit == 0
