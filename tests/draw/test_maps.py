"""Feature maps as a figure: scales, followed units, several images."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from matplotlib.axes import Axes
from numpy.typing import NDArray

import cutaway
from cutaway.draw.mosaic import map_mosaic
from cutaway.errors import ConfigError
from cutaway.look import FeatureMaps


def some_maps(images: int = 2) -> FeatureMaps:
    """Layers of quite different strength; unit 3 of the first one is blank, the last one has 2 units."""
    generator = torch.Generator().manual_seed(6)
    conv = 5 * torch.randn(images, 6, 5, 7, generator=generator)
    conv[:, 3] = 0.25
    other = torch.randn(images, 8, 3, 3, generator=generator)
    dense = 0.1 * torch.randn(images, 2, generator=generator)
    pixels = torch.randint(256, (images, 3, 9, 9), generator=generator).to(torch.uint8)
    return FeatureMaps(pixels, {"conv$1$": conv, "conv2": other, "dense1": dense}, "some net")


def shown(axes: Axes) -> NDArray[np.float64]:
    values = axes.images[0].get_array()
    assert values is not None
    return np.ma.filled(values.astype(float), np.nan)


def test_by_layer_and_globally_values_are_shown_as_they_are() -> None:
    maps = some_maps()
    most = max(float(values.abs().max()) for values in maps.layers.values())
    for scale in ("layer", "global"):
        axes = np.array(cutaway.plot(maps, scale=scale).axes).reshape(3, 2)
        for row, values in enumerate(maps.layers.values()):
            limit = most if scale == "global" else float(values.abs().max())
            for column in range(2):
                assert axes[row, column].images[0].get_clim() == pytest.approx((-limit, limit))
                wanted = map_mosaic(values[column], torch.zeros(values.shape[1], dtype=torch.bool))
                np.testing.assert_array_equal(shown(axes[row, column]), wanted.array())
                assert f"±{limit:.3g}" in axes[row, column].get_title(loc="left")


def test_by_unit_every_map_reaches_the_end_of_the_palette_and_the_strongest_is_told() -> None:
    maps = some_maps(1)
    figure = cutaway.plot(maps, scale="unit")
    for axes, (layer, values) in zip(figure.axes, maps.layers.items(), strict=True):
        assert axes.images[0].get_clim() == (-1, 1)
        each = (
            values[0] / values[0].flatten(1).abs().amax(1).view(-1, *[1] * (values.dim() - 2))
            if values.dim() > 2
            else values[0].sign()
        )
        wanted = map_mosaic(each, torch.zeros(len(each), dtype=torch.bool))
        np.testing.assert_allclose(shown(axes), wanted.array(), atol=1e-6)
        assert f"at most {float(values.abs().max()):.3g}" in axes.get_title(loc="left")
        assert axes.get_title(loc="left").startswith(layer)


def test_a_unit_is_followed_from_the_image_through_the_layers() -> None:
    maps = some_maps().only([5, 3])
    axes = np.array(cutaway.plot(maps).axes).reshape(4, 3)  # image, conv1, conv2; the dense layer has neither
    for row, (image, unit) in enumerate([(0, 5), (0, 3), (1, 5), (1, 3)]):
        first = axes[row, 0]
        assert first.get_title(loc="left") == f"unit {unit}"
        np.testing.assert_allclose(shown(first), some_maps().images[image].permute(1, 2, 0) / 255, atol=1e-6)
        for panel, layer in zip(axes[row, 1:], ("conv$1$", "conv2"), strict=True):
            values = some_maps().layers[layer]
            np.testing.assert_array_equal(shown(panel), values[image, unit].numpy())
            limit = float(values[:, [3, 5]].abs().max())
            assert panel.images[0].get_clim() == pytest.approx((-limit, limit))
            assert panel.get_title(loc="left") == f"{layer}  ±{limit:.3g}"
        # Only the blank map is crossed out.
        assert len(axes[row, 1].lines) == (2 if unit == 3 else 0)
        assert not axes[row, 2].lines


def test_a_layer_without_the_unit_says_so_and_a_dense_one_tells_its_value() -> None:
    maps = some_maps(1).only([7, 1])
    axes = np.array(cutaway.plot(maps).axes).reshape(2, 4)
    assert [text.get_text() for text in axes[0, 1].texts] == ["no unit 7"]
    assert not axes[0, 1].images
    assert [text.get_text() for text in axes[0, 3].texts] == ["no unit 7"]
    value = float(some_maps(1).layers["dense1"][0, 1])
    assert axes[1, 3].get_title(loc="left") == f"dense1  {value:.3g}"


@pytest.mark.parametrize("scale", ["unit", "global"])
def test_followed_units_keep_to_the_scale_asked_for(scale: str) -> None:
    maps = some_maps(1).only([0])
    axes = cutaway.plot(maps, scale=scale).axes[1:]
    limits = [float(values.abs().max()) for values in maps.layers.values()]
    wanted = limits if scale == "unit" else [max(limits)] * 3
    assert [panel.images[0].get_clim()[1] for panel in axes] == pytest.approx(wanted)


def test_few_dense_units_stand_in_one_row() -> None:
    """In a grid, ten tiles of one value would take more room than all maps above."""
    for count, rows in ((10, 1), (20, 1), (21, 2)):
        mosaic = map_mosaic(torch.ones(count), torch.zeros(count, dtype=torch.bool))
        assert (mosaic.rows > 1) == (rows > 1)


def test_an_unknown_scale_is_told_with_those_that_there_are() -> None:
    with pytest.raises(ConfigError, match='scale should be unit, layer, global, not "channel"'):
        cutaway.plot(some_maps(), scale="channel")


def test_however_many_layers_there_are_the_figure_can_be_drawn(monkeypatch: pytest.MonkeyPatch) -> None:
    """Matplotlib draws 65 536 dots a side; hundreds of layers would ask for more."""
    from cutaway.draw import maps as drawn
    from cutaway.draw import panel

    assert panel.LONGEST * 150 < 2**16
    for module in (drawn, panel):
        monkeypatch.setattr(module, "LONGEST", 9.0)
    layers = {f"act{at}": torch.ones(1, 2, 1, 1) for at in range(12)}
    maps = FeatureMaps(torch.zeros(1, 1, 4, 4), layers, "deep")
    for result in (maps, maps.only([1])):
        assert max(cutaway.plot(result).get_size_inches()) == 9
