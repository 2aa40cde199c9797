"""Attributions as a figure: what the panels show, on which scale, and what is written over them."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from matplotlib import colormaps
from matplotlib.axes import Axes
from numpy.typing import NDArray

import cutaway
from cutaway.draw.overlay import CLIPPED, faint, limit_of
from cutaway.errors import ConfigError
from cutaway.look import Attribution, Relevance


def attribution(targets: int = 1, images: int = 1, method: str = "guided backpropagation") -> Attribution:
    """Maps of quite different strength."""
    generator = torch.Generator().manual_seed(3)
    pixels = torch.randint(256, (images, 3, 16, 20), generator=generator).to(torch.uint8)
    maps = torch.randn(targets, images, 3, 16, 20, generator=generator)
    maps *= torch.arange(1, targets * images + 1).view(targets, images, 1, 1, 1)
    values = torch.arange(1, targets * images + 1).view(targets, images) / 4
    names = ("predicted", "four$", "9")[:targets]
    return Attribution(pixels, maps, values, names, method, "some net")


def shown(axes: Axes) -> NDArray[np.float64]:
    values = axes.images[0].get_array()
    assert values is not None
    return np.asarray(values, np.float64)


def title(axes: Axes) -> str:
    return axes.get_title(loc="left")


def limit(values: torch.Tensor) -> float:
    """The smallest amount that at most half a percent of them lie beyond."""
    amounts: list[float] = sorted(values.abs().flatten().tolist())
    return next(one for one in amounts if sum(other > one for other in amounts) <= 0.005 * len(amounts))


def test_a_map_stands_between_its_image_and_itself_over_the_image() -> None:
    result = attribution(3)
    rows = np.array(cutaway.plot(result).axes).reshape(3, 3)
    for target, (image, alone, _) in enumerate(rows):
        np.testing.assert_allclose(shown(image), result.images[0].permute(1, 2, 0) / 255, atol=1e-6)
        wanted = result.maps[target, 0].sum(0)
        np.testing.assert_allclose(shown(alone), wanted.numpy(), atol=1e-6)
        most = limit(wanted)
        assert alone.images[0].get_clim() == pytest.approx((-most, most))
        assert alone.images[0].get_cmap().name == "RdBu_r"
        assert title(alone) == f"±{most:.3g}"
        assert title(image) == f"{result.targets[target]}  {(target + 1) / 4:.3g}"


def test_over_the_image_every_pixel_is_its_grey_in_the_map_s_colour() -> None:
    result = attribution()
    over = shown(cutaway.plot(result).axes[2])
    values, most = result.maps[0, 0].sum(0), limit(result.maps[0, 0].sum(0))
    greys = result.images[0].double().mean(0)
    low, high = float(greys.min()), float(greys.max())
    for row, column in ((0, 0), (3, 7), (15, 19), (8, 2)):
        grey = 0.78 + 0.22 * (float(greys[row, column]) - low) / (high - low)
        share = min(max(float(values[row, column]) / most, -1.0), 1.0)
        colour = colormaps["RdBu_r"]((share + 1) / 2)[:3]
        np.testing.assert_allclose(over[row, column], [grey * one for one in colour], atol=1e-6)


def test_gradients_are_shown_by_their_strength_unless_their_sign_is_asked_for() -> None:
    for method in ("saliency", "smoothgrad"):
        result = attribution(method=method)
        panel = cutaway.plot(result).axes[1]
        wanted = result.maps[0, 0].abs().amax(0)
        np.testing.assert_allclose(shown(panel), wanted.numpy(), atol=1e-6)
        assert panel.images[0].get_clim() == pytest.approx((0, limit(wanted)))
        assert title(panel) == f"0 to {limit(wanted):.3g}"
        signed = cutaway.plot(result, show="signed").axes[1]
        np.testing.assert_allclose(shown(signed), result.maps[0, 0].sum(0).numpy(), atol=1e-6)
    strong = cutaway.plot(attribution(), show="strength").axes[1]
    np.testing.assert_allclose(shown(strong), attribution().maps[0, 0].abs().amax(0).numpy())


def test_a_map_without_zero_is_drawn_from_its_least_value_on() -> None:
    source = attribution(1, 2)
    maps = 0.2 + source.maps.abs()
    result = Attribution(source.images, maps, source.values, source.targets, "RISE")
    summed = maps[0].sum(1)
    for shared in (False, True):
        panels = np.array(cutaway.plot(result, scale="shared" if shared else "image").axes)
        for axes, one in zip(panels.reshape(2, 3)[:, 1], summed, strict=True):
            low = float(summed.min() if shared else one.min())
            most = limit(summed - low if shared else one - low)
            np.testing.assert_allclose(shown(axes), (one - low).numpy(), atol=1e-6)
            assert axes.images[0].get_clim() == pytest.approx((0, most))
            assert title(axes) == f"{low:.3g} to {low + most:.3g}"


def test_a_shared_scale_is_the_same_for_all_and_written_once() -> None:
    result = attribution(1, 3)
    figure = cutaway.plot(result, scale="shared")
    most = limit(result.maps.sum(2))
    for axes in np.array(figure.axes).reshape(3, 3)[:, 1]:
        assert axes.images[0].get_clim() == pytest.approx((-most, most))
    assert figure.get_suptitle() == f"some net: guided backpropagation, all ±{most:.3g}"
    own = np.array(cutaway.plot(result).axes).reshape(3, 3)[:, 1]
    assert len({axes.images[0].get_clim() for axes in own}) == 3


def test_several_targets_and_images_make_a_table() -> None:
    result = attribution(2, 3)
    figure = cutaway.plot(result)
    grid = np.array(figure.axes).reshape(3, 3)
    for image in range(3):
        np.testing.assert_allclose(
            shown(grid[0, image]), result.images[image].permute(1, 2, 0) / 255, atol=1e-6
        )
        for target in range(2):
            alone = Attribution(
                result.images[image : image + 1],
                result.maps[target : target + 1, image : image + 1],
                result.values[target : target + 1, image : image + 1],
                ("x",),
                "guided backpropagation",
            )
            over = cutaway.plot(alone).axes[2]
            np.testing.assert_allclose(shown(grid[target + 1, image]), shown(over))
            most = limit(alone.summed)
            told = f"{result.targets[target]}  {float(alone.values):.3g}  ±{most:.3g}"
            assert title(grid[target + 1, image]) == told


def test_the_predicted_class_is_told_by_its_name() -> None:
    panels = np.array(cutaway.plot(attribution(1, 2), predicted=["seven", "two"]).axes).reshape(2, 3)[:, 0]
    assert [title(axes) for axes in panels] == ["seven  0.25", "two  0.5"]
    other = cutaway.plot(attribution(2), predicted=["seven"]).axes[3]
    assert title(other).startswith("four$ ")


def test_a_gap_is_written_over_the_map() -> None:
    source = attribution()
    result = Relevance(
        source.images, source.maps, source.values, source.targets, "LRP", "", torch.tensor([[0.1234]])
    )
    figure = cutaway.plot(result)
    assert title(figure.axes[2]) == "gap 0.12"
    assert figure.get_suptitle() == "LRP"
    assert not title(cutaway.plot(source).axes[2])


def test_few_strong_pixels_do_not_leave_the_rest_white() -> None:
    values = torch.linspace(-1, 1, 2001)
    assert limit_of(values) == pytest.approx(1 - CLIPPED, abs=2e-3)
    values[7] = 1e6
    assert limit_of(values) < 1.01
    assert limit_of(torch.tensor([0.0] * 5000 + [3.0])) == 3.0
    assert limit_of(torch.zeros(4)) == 0.0
    assert math.isclose(limit_of(torch.tensor([-2.0, 1.0])), 2.0)


def test_a_map_of_zeros_is_white_and_float_images_are_seen() -> None:
    result = attribution()
    zero = Attribution(result.images.float() / 7 - 3, 0 * result.maps, result.values, ("4",), "LRP")
    _, alone, over = cutaway.plot(zero).axes
    assert alone.images[0].get_clim() == (-1, 1)
    np.testing.assert_allclose(faint(zero.images[0]), faint(result.images[0]), atol=1e-6)
    white = colormaps["RdBu_r"](0.5)[0]
    np.testing.assert_allclose(shown(over)[:, :, 0], faint(result.images[0])[:, :, 0] * white, atol=1e-6)


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"scale": "layer"}, 'scale should be image or shared, not "layer"'),
        ({"show": "both"}, 'show should be auto, signed or strength, not "both"'),
    ],
)
def test_unknown_options_are_told(options: dict[str, str], told: str) -> None:
    with pytest.raises(ConfigError, match=told):
        cutaway.plot(attribution(), **options)


def test_however_many_images_the_figure_can_be_drawn(monkeypatch: pytest.MonkeyPatch) -> None:
    from cutaway.draw import attribution as drawn

    monkeypatch.setattr(drawn, "LONGEST", 4.0)
    assert max(cutaway.plot(attribution(2, 5)).get_size_inches()) == 4.0
    assert cutaway.plot(attribution(1, 5)).get_size_inches()[1] == 4.0
