"""The picture of exemplars: the right crops, in the right places."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from matplotlib.figure import Figure
from torch import Tensor

from cutaway.data import Split
from cutaway.draw import plot
from cutaway.draw.exemplars import _GAP, _TILE, MOST
from cutaway.errors import ConfigError
from cutaway.look import Band, Exemplars, LayerExemplars

STEP = _TILE + _GAP


def band(units: int, count: int, first: int, box: tuple[int, int, int, int]) -> Band:
    """Unit u has the images first + u, first + u + 1, …"""
    images = first + torch.arange(units)[:, None] + torch.arange(count)
    return Band(
        images,
        images.float() / 10,
        torch.zeros(units, count, 2, dtype=torch.int64),
        torch.tensor(box).expand(units, count, 4),
    )


def made(units: int = 3, count: int = 4, channels: int = 1, size: int = 16) -> Exemplars:
    """Image n is grey, of the brightness n, with a white corner inside the field of the top."""
    store = torch.arange(40).to(torch.uint8)[:, None, None, None].repeat(1, channels, size, size) + 20
    store[:, :, 0, 0] = 255
    split = Split(store, torch.zeros(40, dtype=torch.int64), torch.arange(40))
    layer = LayerExemplars(
        band(units, count, 20, (0, 0, 8, 8)),
        band(units, count, 10, (4, 4, 8, 12)),
        band(units, count, 0, (0, 0, size, size)),
        torch.zeros(units),
    )
    return Exemplars({"conv1": layer, "a $ b": layer}, split, ("a",), 30, subject="net $ one")


def canvas(figure: Figure, at: int = 0) -> np.ndarray[tuple[int, ...], np.dtype[np.uint8]]:
    found: np.ndarray[tuple[int, ...], np.dtype[np.uint8]] = np.asarray(figure.axes[at].images[0].get_array())
    return found


def middles(figure: Figure, row: int, columns: list[int]) -> list[int]:
    """The grey in the middle of some tiles."""
    picture = canvas(figure)
    return [int(picture[row * STEP + _TILE // 2, x + _TILE // 2, 0]) for x in columns]


def test_a_row_for_each_unit_from_the_least_to_the_most() -> None:
    figure = plot(made())
    assert len(figure.axes) == 2
    lefts = [0, 4 * STEP + 26, 2 * (4 * STEP + 26)]
    for unit in range(3):
        for left, first in zip(lefts, (0, 10, 20), strict=True):
            wanted = [20 + first + unit + column for column in range(4)]
            assert middles(figure, unit, [left + column * STEP for column in range(4)]) == wanted
    picture = canvas(figure)
    # A field of 8 by 8 pixels in a tile of 32: the white corner is 4 by 4.
    tile = picture[:_TILE, lefts[2] : lefts[2] + _TILE, 0]
    assert (tile == 255).sum() == (_TILE // 8) ** 2
    assert (tile[: _TILE // 8, : _TILE // 8] == 255).all()
    # One of 4 by 8 stands in the middle of white.
    tile = picture[:_TILE, lefts[1] : lefts[1] + _TILE, 0]
    assert (tile[: _TILE // 4] == 255).all()
    assert (tile[_TILE // 4 : -_TILE // 4] == 30).all()
    written = [text.get_text() for text in figure.axes[0].texts]
    assert {"least", "middle", "most"} <= set(written)
    assert [text for text in written if text not in {"least", "middle", "most"}][:3] == ["0", "1", "2"]
    assert [tick.get_text() for tick in figure.axes[0].get_yticklabels()] == ["0", "1", "2"]


def test_bands_that_are_asked_for_stand_in_one_order() -> None:
    figure = plot(made(), bands=["top", "bottom"])
    assert middles(figure, 0, [0, 4 * STEP + 26]) == [20, 40]
    assert canvas(plot(made(), bands=["top"])).shape[1] == 4 * STEP - _GAP
    with pytest.raises(ConfigError, match='bands should be top, middle, bottom, not "best"'):
        plot(made(), bands=["best"])


def test_whole_images_are_darkened_but_for_the_field() -> None:
    figure = plot(made(size=32), bands=["top"], whole=True)
    tile = canvas(figure)[:_TILE, :_TILE, 0]
    assert tile[4, 4] == 40
    assert tile[20, 20] == int(40 / 3 + 90)


def test_of_many_units_some_are_drawn_and_all_that_were_chosen() -> None:
    found = made(units=15, count=2)
    figure = plot(found)
    assert canvas(figure).shape[0] == MOST * STEP - _GAP
    labels = [tick.get_text() for tick in figure.axes[0].get_yticklabels()]
    assert (labels[0], labels[-1], len(set(labels))) == ("0", "14", MOST)
    assert "12 of 15 units" in figure.axes[0].get_title("left")
    figure = plot(found.only([14, 3]))
    assert [tick.get_text() for tick in figure.axes[0].get_yticklabels()] == ["14", "3"]
    assert middles(figure, 0, [0]) == [20 + 14]
    assert len(plot(found.only(range(14))).axes[0].get_yticklabels()) == 14


@pytest.mark.parametrize("channels", [2, 3])
def test_colours_are_drawn_and_other_channels_as_their_mean(channels: int) -> None:
    found = made(channels=channels)
    found.split.store[:, 0] //= 2
    colours = canvas(plot(found, bands=["bottom"]))[_TILE // 2, _TILE // 2].tolist()
    assert colours == ([10, 20, 20] if channels == 3 else [15, 15, 15])


def test_a_field_in_the_padding_alone_leaves_its_tile_white() -> None:
    found = made(units=1, count=1)
    layer = found.layers["conv1"]
    empty = Band(
        layer.top.images, layer.top.values, layer.top.places, torch.zeros(1, 1, 4, dtype=torch.int64)
    )
    layers = {"conv1": LayerExemplars(empty, layer.middle, layer.bottom, layer.middles)}
    assert (canvas(plot(Exemplars(layers, found.split, ("a",), 3), bands=["top"])) == 255).all()


def test_it_can_be_drawn_with_names_that_hold_signs_of_formulas() -> None:
    figure = plot(made())
    figure.draw_without_rendering()
    assert figure.get_suptitle().startswith("net $ one: 40 images; the middle is the median of 30")


def test_the_result_is_left_as_it_was() -> None:
    found = made()
    before: Tensor = found.split.store.clone()
    plot(found, whole=True)
    assert torch.equal(found.split.store, before)
