"""Images that deceive, and curves of robustness, as figures."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from matplotlib.axes import Axes
from numpy.typing import NDArray

import cutaway
from cutaway.look.adversarial import Adversarial
from cutaway.look.interval import wilson
from cutaway.look.robustness import Curve, Robustness
from cutaway.look.unnatural import Unnatural

NAMES = ("cat$", "dog", "owl")


def title(axes: Axes) -> str:
    return axes.get_title(loc="left")


def shown(axes: Axes) -> NDArray[np.float64]:
    return np.asarray(axes.images[0].get_array(), np.float64)


def heights(axes: Axes, line: int) -> NDArray[np.float64]:
    return np.asarray(axes.lines[line].get_ydata(), np.float64)


def attacked(unit: str = "pixel values") -> Adversarial:
    generator = torch.Generator().manual_seed(8)
    images = torch.randint(20, 200, (2, 3, 6, 6), generator=generator).float()
    change = torch.randint(-5, 6, images.shape, generator=generator).float()
    before = torch.tensor([[0.7, 0.2, 0.1], [0.1, 0.6, 0.3]])
    after = torch.tensor([[0.1, 0.4, 0.5], [0.3, 0.4, 0.3]])
    reached = torch.tensor([True, False])
    return Adversarial(
        images,
        images + change,
        before,
        after,
        torch.tensor([0, 1]),
        False,
        reached,
        ~reached & False,
        "PGD",
        5.0,
        "l2",
        unit,
        NAMES,
        "some net",
    )


def test_an_attack_shows_the_image_the_change_and_the_result() -> None:
    result = attacked()
    figure = cutaway.plot(result)
    assert figure.get_suptitle() == "some net: PGD, L2 up to 5 pixel values"
    grid = np.array(figure.axes).reshape(2, 3)
    told = [("cat$  70.00%", "owl  50.00%"), ("dog  60.00%", "dog  40.00%")]
    for at, row in enumerate(grid):
        assert (title(row[0]), title(row[2])) == told[at]
        for panel, images in ((row[0], result.images), (row[2], result.changed)):
            wanted = images[at].permute(1, 2, 0).numpy() / 255
            np.testing.assert_allclose(shown(panel), wanted, atol=1e-6)
        change = shown(row[1])
        for place in ((0, 0), (2, 5), (4, 3)):
            values = result.change[at][:, place[0], place[1]].tolist()
            assert abs(change[place]) == max(map(abs, values))
            assert change[place] in values
        most = float(result.change[at].abs().max())
        assert row[1].images[0].get_clim() == (-most, most)
        assert title(row[1]) == f"changed by ±{most:.3g}"


def test_float_inputs_are_shown_from_their_least_to_their_largest() -> None:
    result = attacked("input values")
    panel = np.array(cutaway.plot(result).axes).reshape(2, 3)[0, 0]
    values = result.images[0]
    wanted = (values - values.min()) / (values.max() - values.min())
    np.testing.assert_allclose(shown(panel), wanted.permute(1, 2, 0), atol=1e-6)


@pytest.mark.parametrize("count", [1, 7])
def test_unnatural_images_stand_above_how_sure_the_net_was(count: int) -> None:
    names = tuple(f"class{at}" for at in range(count))
    images = torch.full((count, 1, 4, 4), 128.0)
    after = 0.01 * torch.ones(count, count) + 0.9 * torch.eye(count)
    confidence = torch.full((count, 6), torch.nan)
    steps = torch.arange(count) % 5 + 1
    for at in range(count):
        confidence[at, : steps[at] + 1] = torch.linspace(0.1, 0.95, int(steps[at]) + 1)
    result = Unnatural(
        images,
        images,
        torch.arange(count),
        after,
        after,
        steps,
        confidence,
        0.9,
        "pixel values",
        names,
    )
    figure = cutaway.plot(result)
    *panels, curves = figure.axes
    told = [title(axes) for axes in panels if axes.images]
    assert told == [f"class{at}  91.00%" for at in range(count)]
    # Grey stays grey: it is not stretched.
    np.testing.assert_allclose(shown(panels[0]), 128 / 255, atol=1e-6)
    for at, line in enumerate(curves.lines[:count]):
        np.testing.assert_allclose(np.asarray(line.get_ydata()), confidence[at, : steps[at] + 1].numpy())
    assert heights(curves, count)[0] == 0.9


def test_robustness_is_a_curve_for_each_attack_in_its_interval() -> None:
    wrong = torch.zeros(3, 40, dtype=torch.bool)
    wrong[1, :10], wrong[2, :30] = True, True
    result = Robustness((0.0, 4.0, 8.0), {"noise": Curve(wrong & False), "pgd": Curve(wrong)}, "linf", 40, 10)
    (axes,) = cutaway.plot(result).axes
    assert title(axes) == "percent wrong of 40 images"
    np.testing.assert_array_equal(np.asarray(axes.lines[1].get_xdata()), [0, 4, 8])
    np.testing.assert_allclose(heights(axes, 1), [0, 25, 75])
    np.testing.assert_allclose(heights(axes, 0), 0)
    ends = np.asarray(axes.collections[1].get_paths()[0].vertices)[:, 1]
    for low, high in (wilson(0, 40), wilson(10, 40), wilson(30, 40)):
        for end in (low, high):
            assert np.isclose(ends, 100 * end).any()
    legend = axes.get_legend()
    assert legend is not None
    assert [text.get_text() for text in legend.get_texts()] == ["noise", "pgd"]
