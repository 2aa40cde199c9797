"""Subjects side by side: a column each, one scale for all of a row."""

from __future__ import annotations

import numpy as np
import pytest
import torch

import cutaway
from cutaway.errors import ConfigError
from cutaway.look import FeatureMaps, Kernels, beside


def maps(strength: float, images: int = 1) -> FeatureMaps:
    generator = torch.Generator().manual_seed(int(10 * strength))
    layers = {
        "conv1": strength * torch.randn(images, 4, 5, 5, generator=generator),
        "dense1": strength * torch.randn(images, 3, generator=generator),
    }
    return FeatureMaps(torch.zeros(images, 1, 7, 7), layers, f"net {strength}")


def kernels(strength: float, channels: int = 6) -> Kernels:
    generator = torch.Generator().manual_seed(int(10 * strength))
    return Kernels(
        {"conv1": strength * torch.randn(4, channels, 3, 3, generator=generator)}, f"net {strength}"
    )


@pytest.mark.parametrize("images", [1, 2])
def test_maps_of_all_subjects_share_a_layers_scale_under_their_names(images: int) -> None:
    results = [maps(1, images), maps(3, images), maps(0.5, images)]
    figure = cutaway.plot(beside(results, ["trained", "random", "epoch 1"]))
    axes = np.array(figure.axes).reshape(2, 3 * images)
    for row, layer in enumerate(("conv1", "dense1")):
        limit = max(float(result.layers[layer].abs().max()) for result in results)
        for column, panel in enumerate(axes[row]):
            assert panel.images[0].get_clim() == pytest.approx((-limit, limit))
            name = ("trained", "random", "epoch 1")[column // images]
            assert panel.get_title(loc="left").startswith(f"{name}  {layer}")
            values = panel.images[0].get_array()
            own = results[column // images].layers[layer][column % images]
            assert float(np.abs(values).max()) == pytest.approx(float(own.abs().max()))


@pytest.mark.parametrize("order", ["channel", "norm"])
def test_kernels_of_all_subjects_share_a_scale_in_either_order(order: str) -> None:
    results = [kernels(1), kernels(3)]
    figure = cutaway.plot(beside(results), order=order)
    limit = max(float(result.layers["conv1"].abs().max()) for result in results)
    for axes, result in zip(figure.axes, results, strict=True):
        assert axes.images[0].get_clim() == pytest.approx((-limit, limit))
        assert axes.get_title(loc="left").startswith(f"{result.subject}  conv1")


def test_on_a_global_scale_all_layers_of_all_subjects_are_on_one() -> None:
    results = [maps(1), maps(3)]
    most = max(float(values.abs().max()) for result in results for values in result.layers.values())
    for axes in cutaway.plot(beside(results), scale="global").axes:
        assert axes.images[0].get_clim()[1] == pytest.approx(most)


def test_columns_stand_apart() -> None:
    figure = cutaway.plot(beside([kernels(1), kernels(3)]))
    figure.draw_without_rendering()
    left, right = (axes.get_window_extent() for axes in figure.axes)
    assert right.x0 - left.x1 >= 0.025 * figure.bbox.width


def test_what_does_not_fit_together_is_refused() -> None:
    with pytest.raises(ConfigError, match="there are none"):
        beside([])
    with pytest.raises(ConfigError, match="FeatureMaps and Kernels can't stand side by side"):
        beside([maps(1), kernels(1)])  # type: ignore[type-var]
    with pytest.raises(ConfigError, match=r"net 1 and net 2 differ in conv1: 4×6×3×3 and 4×5×3×3"):
        beside([kernels(1), kernels(2, 5)])
    with pytest.raises(ConfigError, match=r"names should be 2, one for each result, not 1"):
        beside([maps(1), maps(2)], ["one"])
