"""Retention as a figure: errors by depth, and each layer's reconstructions in its row."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from matplotlib.container import ErrorbarContainer

import cutaway
from cutaway.look import Kept, Retention


def some_retention(layers: int = 3, channels: int = 1, error: float = 0.1) -> Retention:
    generator = torch.Generator().manual_seed(2)

    def kept(first: float) -> dict[str, Kept]:
        return {
            f"layer{at}": Kept(
                first + 0.01 * at, (first + 0.01 * at - 0.02, first + 0.01 * at + 0.03), 64, 0.1
            )
            for at in range(layers)
        }

    return Retention(
        Kept(0.05, (0.04, 0.06), 64, 0.1),
        kept(error),
        kept(error / 2),
        torch.rand(5, channels, 6, 4, generator=generator),
        {f"layer{at}": torch.rand(5, channels, 6, 4, generator=generator) for at in range(layers)},
        900,
        80,
        "some net",
    )


def test_both_lines_have_the_errors_in_percent_with_their_intervals() -> None:
    result = some_retention()
    axes = cutaway.plot(result).axes[0]
    found = {str(c.get_label()): c for c in axes.containers if isinstance(c, ErrorbarContainer)}
    assert list(found) == ["trained", "random weights"]
    for label, side in (("trained", result.layers), ("random weights", result.random)):
        line, _, (bars,) = found[label]
        kept = [result.pixels, *side.values()]
        assert np.asarray(line.get_ydata()).tolist() == pytest.approx([100 * k.error for k in kept])
        ends = [sorted(segment[:, 1].tolist()) for segment in bars.get_segments()]
        assert np.array(ends) == pytest.approx(np.array([[100 * e for e in k.interval] for k in kept]))
    assert axes.get_title(loc="left") == "some net: fitted on 900 images, tested on 80"


@pytest.mark.parametrize("channels", [1, 2, 3])
def test_a_row_of_images_for_each_layer_on_one_scale(channels: int) -> None:
    """Of other numbers of channels than pictures have, the mean is shown."""
    result = some_retention(channels=channels)
    axes = cutaway.plot(result).axes[1]
    canvas = np.asarray(axes.images[0].get_array())
    rows = [result.originals, *result.reconstructions.values()]
    assert [tick.get_text() for tick in axes.get_yticklabels()] == ["image", "layer0", "layer1", "layer2"]
    for row, images in enumerate(rows):
        top = 8 * row  # 6 pixels and a gap of 2
        assert top <= axes.get_yticks()[row] <= top + 6
        for at, image in enumerate(images.numpy()):
            tile = canvas[top : top + 6, 6 * at : 6 * at + 4]
            wanted = image.transpose(1, 2, 0)
            wanted = wanted if channels == 3 else wanted.mean(2, keepdims=True).repeat(3, 2)
            np.testing.assert_allclose(tile, wanted, atol=1e-6)


def test_values_beyond_0_and_1_are_clipped_to_the_originals() -> None:
    result = some_retention()
    result.reconstructions["layer0"][0] = 7.0
    canvas = np.asarray(cutaway.plot(result).axes[1].images[0].get_array())
    assert canvas.max() == 1
    np.testing.assert_allclose(canvas[8:14, 0:4], 1)
    np.testing.assert_allclose(canvas[0:6, 0:4, 0], result.originals[0, 0].numpy(), atol=1e-6)


def test_of_many_layers_the_reconstructions_of_some_are_shown_evenly() -> None:
    axes = cutaway.plot(some_retention(70)).axes[1]
    names = [tick.get_text() for tick in axes.get_yticklabels()]
    assert names[0] == "image"
    assert names[1] == "layer0"
    assert names[-1] == "layer69"
    steps = np.diff([int(name.removeprefix("layer")) for name in names[1:]])
    assert len(names) == 17
    assert steps.max() - steps.min() <= 1


@pytest.mark.parametrize(("error", "drawn"), [(0.1, False), (1.2, True)])
def test_the_mean_image_is_a_line_where_something_is_worse(error: float, *, drawn: bool) -> None:
    axes = cutaway.plot(some_retention(error=error)).axes[0]
    assert len([line for line in axes.lines if line.get_linestyle() == ":"]) == drawn
