"""Originals and reconstructions, by what must be true of the picture."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from cutaway.draw.pretraining import plot_reconstructions
from cutaway.training import Reconstruction


def drawn(seed: int, count: int, channels: int) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randint(0, 256, (count, channels, 10, 12), dtype=torch.uint8, generator=generator)


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("count", [1, 3, 8])
def test_every_pixel_stands_in_its_row_and_place(count: int, channels: int) -> None:
    originals = drawn(0, count, channels)
    depths = {
        "conv1": Reconstruction(0.12345, "validation", originals, drawn(1, count, channels)),
        "dense1": Reconstruction(0.5, "validation", originals, drawn(2, count, channels)),
    }
    figure = plot_reconstructions(depths)
    titles = [axes.get_title(loc="left") for axes in figure.axes]
    assert titles == ["originals", "conv1: error 0.123 on validation", "dense1: error 0.5 on validation"]
    rows = [originals, depths["conv1"].images, depths["dense1"].images]
    for axes, images in zip(figure.axes, rows, strict=True):
        shown = np.asarray(axes.images[0].get_array())
        assert shown.shape == (10, count * 13 - 1, 3)
        for at, image in enumerate(images):
            tile = shown[:, at * 13 : at * 13 + 12]
            assert np.array_equal(tile, image.expand(3, -1, -1).permute(1, 2, 0).numpy())
        assert (shown[:, 12::13] == 255).all()


def test_few_images_are_not_blown_up() -> None:
    widths = []
    for count in (1, 8):
        images = drawn(0, count, 1)
        figure = plot_reconstructions({"conv1": Reconstruction(0.5, "train", images, images)})
        widths.append(figure.get_size_inches()[0])
    assert widths == [2.5, 8.0]
