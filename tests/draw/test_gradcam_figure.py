"""Grad-CAM as a figure: every layer over the image."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from matplotlib.axes import Axes

import cutaway
from cutaway.draw.overlay import EVIDENCE_PAINT, over
from cutaway.errors import ConfigError
from cutaway.look import GradCam


def cams(targets: int = 1, images: int = 1, layers: int = 3) -> GradCam:
    """Maps of several sizes; the last layer's are zero."""
    generator = torch.Generator().manual_seed(4)
    pixels = torch.randint(256, (images, 1, 12, 16), generator=generator).to(torch.uint8)
    maps = {
        f"layer{at}": (at + 1) * torch.rand(targets, images, 6 - at % 3, 8 - at % 3, generator=generator)
        for at in range(layers)
    }
    maps[f"layer{layers - 1}"] *= 0
    values = torch.arange(targets * images).view(targets, images) / 4
    return GradCam(pixels, maps, values, ("predicted", "9")[:targets], "some net")


def title(axes: Axes) -> str:
    return axes.get_title(loc="left")


def test_a_row_has_the_image_and_every_layer_over_it() -> None:
    result = cams(2, 2)
    grid = np.array(cutaway.plot(result, predicted=["7", "2"]).axes).reshape(4, 4)
    pairs = [(0, 0), (0, 1), (1, 0), (1, 1)]
    for row, (target, image) in zip(grid, pairs, strict=True):
        name = ("7", "2")[image] if target == 0 else "9"
        assert title(row[0]) == f"{name}  {float(result.values[target, image]):.3g}"
        np.testing.assert_allclose(
            row[0].images[0].get_array()[:, :, 0], result.images[image, 0] / 255, atol=1e-6
        )
        for axes, (layer, maps) in zip(row[1:], result.layers.items(), strict=True):
            one = maps[target, image][None, None]
            large = F.interpolate(one, (12, 16), mode="bilinear", align_corners=False)[0, 0]
            most = float(large.max())
            wanted = over(result.images[image], large, most, EVIDENCE_PAINT)
            np.testing.assert_allclose(axes.images[0].get_array(), wanted, atol=1e-6)
            size = "×".join(map(str, maps.shape[2:]))
            told = f"to {most:.2g}" if most else "zero everywhere"
            assert title(axes) == f"{layer}\n{size}  {told}"


def test_colours_go_from_clear_to_red() -> None:
    image = torch.zeros(1, 2, 2, dtype=torch.uint8)
    clear, half, full = (
        over(image, torch.full((2, 2), value), 2.0, EVIDENCE_PAINT)[0, 0] for value in (0.0, 1.0, 2.0)
    )
    grey = over(image, torch.zeros(2, 2), 0.0, EVIDENCE_PAINT)[0, 0]
    np.testing.assert_allclose(clear, grey)
    assert max(clear) - min(clear) < 0.01
    assert half[0] > half[1] > full[1]
    assert full[0] > 5 * full[1]


def test_on_a_shared_scale_the_images_of_one_layer_are_alike() -> None:
    result = cams(1, 2)
    own = np.array(cutaway.plot(result).axes).reshape(2, 4)[:, 1]
    shared = np.array(cutaway.plot(result, scale="shared").axes).reshape(2, 4)[:, 1]
    assert title(own[0]) != title(own[1])
    assert title(shared[0]) == title(shared[1])
    assert title(shared[0]).endswith(f"to {float(result.enlarged('layer0').max()):.2g}")


def test_many_layers_go_on_below_and_long_names_are_cut() -> None:
    result = cams(layers=8)
    name = "features.denseblock1.denselayer1.conv1"
    maps = {name: result.layers["layer0"], **result.layers}
    figure = cutaway.plot(GradCam(result.images, maps, result.values, result.targets))
    grid = np.array(figure.axes).reshape(2, 7)
    assert [bool(axes.images) for axes in grid[1]] == [False, True, True, True, False, False, False]
    told = title(grid[0, 1]).splitlines()[0]
    assert told.startswith("…")
    assert len(told) == 24
    assert name.endswith(told[1:])
    assert figure.get_suptitle() == "Grad-CAM"


def test_an_unknown_scale_is_told() -> None:
    with pytest.raises(ConfigError, match='scale should be image or shared, not "unit"'):
        cutaway.plot(cams(), scale="unit")
