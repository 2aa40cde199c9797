"""Pictures inside a page: decoded again, they are the values."""

from __future__ import annotations

import base64
import io
import re
from xml.etree import ElementTree

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from PIL import Image

from cutaway.draw.curves import plot_measure
from cutaway.draw.embed import figure_svg, mosaic_svg, picture_uri
from cutaway.draw.mosaic import Mosaic, map_mosaic
from cutaway.draw.palette import signed_colours
from cutaway.store import Run


def decode(uri: str) -> Image.Image:
    head, _, body = uri.partition(",")
    assert head == "data:image/png;base64"
    image = Image.open(io.BytesIO(base64.b64decode(body)))
    assert image.format == "PNG"
    return image


def some_mosaic() -> Mosaic:
    maps = torch.randn(5, 6, 6, generator=torch.Generator().manual_seed(1))
    maps[3] = 0
    return map_mosaic(maps, torch.tensor([False, False, False, True, False]))


def pixels(svg: str) -> NDArray[np.uint8]:
    """The picture inside as colours with opacity, ``(H, W, 4)``."""
    image = ElementTree.fromstring(svg).find("image")
    assert image is not None
    return np.asarray(decode(image.attrib["href"]).convert("RGBA"))


@pytest.mark.parametrize("share", [1.0, 2.5])
def test_colours_of_a_mosaic_give_its_values_back(share: float) -> None:
    mosaic = some_mosaic()
    limit = mosaic.limit * share  # above 1 when other images of the layer reach further
    found = pixels(mosaic_svg(mosaic, limit, "maps"))
    wanted = mosaic.array()
    assert found.shape[:2] == wanted.shape
    tile = ~np.isnan(wanted)
    palette = signed_colours().astype(int)
    colours = found[tile][:, :3].astype(int)
    # The nearest place in the palette; two of the 256 whites may be equal.
    places = np.abs(palette[None] - colours[:, None]).sum(2).argmin(1)
    values = (places - 127.5) / 127.5 * limit
    # A place is 1/127.5 of the limit wide; the topmost gives way to "nothing here".
    assert np.abs(values - wanted[tile]).max() <= limit * 1.6 / 127.5


def test_what_is_no_tile_is_transparent_and_every_tile_is_not() -> None:
    mosaic = some_mosaic()
    opacity = pixels(mosaic_svg(mosaic, mosaic.limit, "maps"))[:, :, 3]
    np.testing.assert_array_equal(opacity == 0, np.isnan(mosaic.array()))
    assert set(np.unique(opacity)) == {0, 255}


def test_a_mosaic_has_its_numbers_and_crosses_in_their_places() -> None:
    mosaic = some_mosaic()
    svg = ElementTree.fromstring(mosaic_svg(mosaic, mosaic.limit, 'maps of "conv<1>"'))
    assert svg.attrib["aria-label"] == 'maps of "conv<1>"'
    height, width = mosaic.size
    assert svg.attrib["viewBox"] == f"0 0 {width} {height}"
    image = svg.find("image")
    assert image is not None
    assert (image.attrib["width"], image.attrib["height"]) == (str(width), str(height))
    texts = svg.findall("text")
    assert [text.text for text in texts] == ["0", "1", "2", "3", "4"]
    for index, text in enumerate(texts):
        top, left = mosaic.corner(index)
        assert float(text.attrib["x"]) == left
        assert top - mosaic.strip < float(text.attrib["y"]) <= top
    top, left = mosaic.corner(3)
    assert [path.attrib["d"] for path in svg.findall("path")] == [f"M{left} {top}l6 6m0 -6l-6 6"]


@pytest.mark.parametrize("channels", [1, 3])
def test_a_picture_gives_its_pixels_back(channels: int) -> None:
    generator = torch.Generator().manual_seed(2)
    picture = torch.randint(256, (channels, 9, 12), generator=generator).to(torch.uint8)
    array = np.asarray(decode(picture_uri(picture)))
    array = array[:, :, None] if channels == 1 else array
    np.testing.assert_array_equal(array.transpose(2, 0, 1), picture.numpy())


def test_a_large_picture_is_shrunk_and_keeps_its_proportions() -> None:
    picture = torch.zeros(3, 1000, 2000, dtype=torch.uint8)
    picture[0, :, 1000:] = 200  # the right half is red
    array = np.asarray(decode(picture_uri(picture)))
    assert array.shape == (80, 160, 3)
    assert array[40, 40].tolist() == [0, 0, 0]
    assert array[40, 120].tolist() == [200, 0, 0]


def test_two_figures_in_a_page_share_no_id_and_find_all_of_their_own(trained: Run) -> None:
    epochs = trained.epochs()
    figures = [
        figure_svg(plot_measure(epochs, measure), f"{measure} by epoch", {"#1f77b4": "var(--validation)"})
        for measure in ("objective", "top-1 error")
    ]
    every: list[str] = []
    for svg in figures:
        ElementTree.fromstring(svg)
        ids = re.findall(r'\bid="([^"]+)"', svg)
        used = re.findall(r"url\(#([^)]+)\)", svg) + re.findall(r'href="#([^"]+)"', svg)
        assert used
        assert set(used) <= set(ids)
        every += ids
    assert len(every) == len(set(every))


def test_a_figure_follows_the_colours_of_the_page_and_names_itself(trained: Run) -> None:
    svg = figure_svg(plot_measure(trained.epochs(), "objective"), "a < b", {"#1f77b4": "var(--validation)"})
    assert "var(--validation)" in svg
    assert "#1f77b4" not in svg
    root = ElementTree.fromstring(svg)
    assert root.attrib["aria-label"] == "a < b"
    assert "validation" in [text.text for text in root.iter("{http://www.w3.org/2000/svg}text")]


def test_a_figure_is_the_same_text_each_time(trained: Run) -> None:
    """A report written twice differs in nothing, so that two can be compared."""
    texts = {figure_svg(plot_measure(trained.epochs(), "objective"), "objective", {}) for _ in range(2)}
    assert len(texts) == 1
