"""Features: how wide outputs are reduced, scaled, and held back."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from cutaway import Subject
from cutaway.data import Split
from cutaway.look import features as room
from cutaway.look.features import Scale, gather, held_back, pooled, sample, sketched


def numbers(*shape: int, seed: int = 4) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize(
    ("shape", "width", "grid"),
    [
        ((3, 8, 8), 192, (8, 8)),  # as they are
        ((3, 8, 8), 191, (7, 7)),
        ((3, 8, 8), 12, (2, 2)),
        ((3, 8, 8), 11, (1, 1)),
        ((2, 4, 12), 40, (2, 6)),  # as wide for its height as the map
    ],
)
def test_maps_are_averaged_over_the_finest_grid_that_fits(
    shape: tuple[int, int, int], width: int, grid: tuple[int, int]
) -> None:
    values = numbers(2, *shape)
    found = pooled(values, width, 0)
    assert found.shape[1] <= width
    torch.testing.assert_close(found, F.adaptive_avg_pool2d(values, grid).flatten(1))


def test_of_more_units_than_features_as_many_are_drawn() -> None:
    values = numbers(3, 50)
    found = pooled(values, 10, 1)
    assert found.shape == (3, 10)
    columns = {tuple(column) for column in values.T.tolist()}
    chosen = [tuple(column) for column in found.T.tolist()]
    assert set(chosen) < columns
    assert len(set(chosen)) == 10
    torch.testing.assert_close(pooled(values, 10, 1), found)
    assert not torch.equal(pooled(values, 10, 2), found)
    torch.testing.assert_close(pooled(values[:, :, None, None], 10, 1), found)


def test_a_sketch_is_linear_keeps_what_is_narrow_and_inner_products_in_the_mean() -> None:
    one, two = numbers(1, 6, 9, 9), numbers(1, 6, 9, 9, seed=5)
    assert torch.equal(sketched(one, 486, 0), one.flatten(1))
    torch.testing.assert_close(
        sketched(2 * one + two, 100, 0), 2 * sketched(one, 100, 0) + sketched(two, 100, 0), atol=1e-5, rtol=0
    )
    wanted = float((one * two).sum())
    found = torch.tensor(
        [float((sketched(one, 100, seed) * sketched(two, 100, seed)).sum()) for seed in range(400)]
    )
    error = float(found.std()) / 20
    assert abs(float(found.mean()) - wanted) < 3 * error
    assert error < 0.1 * float(one.norm() * two.norm())


def test_each_feature_is_brought_to_mean_0_and_deviation_1() -> None:
    values = numbers(500, 4) * torch.tensor([1.0, 3.0, 0.5, 1.0]) + 7
    scaled = Scale.each(values)(values).double()
    torch.testing.assert_close(scaled.mean(0), torch.zeros(4).double(), atol=1e-5, rtol=0)
    torch.testing.assert_close(scaled.var(0, correction=0), torch.ones(4).double(), atol=1e-4, rtol=0)


def test_a_feature_that_hardly_moves_is_not_blown_up_and_a_constant_one_is_zero() -> None:
    values = numbers(500, 3) * torch.tensor([1.0, 1e-3, 0.0]) + 0.1
    scaled = Scale.each(values)(values)
    assert float(scaled[:, 1].std()) < 0.05
    assert not scaled[:, 2].any()
    assert not Scale.each(torch.full((9, 2), 0.1))(torch.full((9, 2), 0.1)).any()


def test_a_common_scale_takes_no_notice_of_a_rotation() -> None:
    values = numbers(200, 5) * torch.tensor([3.0, 1.0, 1.0, 0.2, 0.01]) + 2
    turn, _ = torch.linalg.qr(numbers(5, 5, seed=6))
    scaled, turned = Scale.common(values)(values), Scale.common(values @ turn)(values @ turn)
    torch.testing.assert_close(scaled @ turn, turned, atol=1e-5, rtol=0)
    assert float(scaled.square().mean()) == pytest.approx(1, rel=1e-4)


def some_split(count: int, classes: int) -> Split:
    labels = torch.arange(count) % classes
    return Split(torch.zeros(count, 1, 2, 2, dtype=torch.uint8), labels, torch.arange(count))


def test_samples_and_what_is_held_back_have_all_classes_in_proportion() -> None:
    split = some_split(1000, 4)
    chosen = sample(split, 100, 3)
    assert chosen.labels.bincount().tolist() == [25] * 4
    assert torch.equal(sample(split, 100, 3).index, chosen.index)
    assert not torch.equal(sample(split, 100, 4).index, chosen.index)
    assert sample(split, 1000, 3) is split
    back = held_back(chosen.labels, 3)
    assert chosen.labels[back].bincount().tolist() == [5] * 4


def test_many_layers_are_read_in_groups_with_the_same_result(monkeypatch: pytest.MonkeyPatch) -> None:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Conv2d(1, 3, 3), nn.ReLU(), nn.Conv2d(3, 2, 3), nn.Flatten(), nn.Linear(8, 2))
    subject = Subject(model, (1, 6, 6))
    images = torch.randint(256, (7, 1, 6, 6), dtype=torch.uint8)
    names = ["0", "1", "2", "4"]
    (whole,) = gather(subject, images, images[:3], names, lambda values: values.flatten(1))
    monkeypatch.setattr(room, "AT_ONCE", 3)
    parts = list(gather(subject, images, images[:3], names, lambda values: values.flatten(1)))
    assert [list(part.layers) for part in parts] == [["0", "1", "2"], ["4"]]
    for part in parts:
        torch.testing.assert_close(part.pixels, whole.pixels)
        for name, values in part.layers.items():
            torch.testing.assert_close(values, whole.layers[name])
    torch.testing.assert_close(whole.pixels[0], images.flatten(1) / 255)
    with torch.no_grad():
        torch.testing.assert_close(whole.layers["1"][1], model[:2](images[:3] / 255).flatten(1))
