"""Receptive fields of places, against gradients: what a value depends on has a gradient."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import Tensor, nn

from cutaway import Subject
from cutaway.look import capture
from cutaway.look.fields import measured_windows, windows
from cutaway.look.reach import reach
from cutaway.look.responses import LayerSize
from cutaway.nets import parse_net, plan
from cutaway.nets.builder import build

NET = """
conv 3 3x3 same
tanh
avgpool 2
conv 2 5x3 stride 2
flatten
dense 4
"""
SHAPE = (1, 14, 11)


def ours() -> Subject:
    planned = plan(parse_net(NET), SHAPE)
    return Subject(build(planned, seed=1).eval(), SHAPE, plan=planned)


def sizes(subject: Subject, layers: list[str]) -> dict[str, LayerSize]:
    with capture(subject.model, layers) as read:
        found = read(torch.zeros(1, *subject.input_shape))
    return {name: LayerSize.of(name, value, 1) for name, value in found.items()}


def boxes_by_gradient(subject: Subject, layer: str, grid: tuple[int, int]) -> Tensor:
    """Top, left, bottom and right of the pixels that move the units at each place, ``(H, W, 4)``."""
    kept: list[Tensor] = []
    handle = subject.model.get_submodule(layer).register_forward_hook(
        lambda m, a, output: kept.append(output)
    )
    image = torch.randn(1, *subject.input_shape, generator=torch.Generator().manual_seed(3))
    image.requires_grad_()
    subject.model(image)
    handle.remove()
    output = kept[0].reshape(1, kept[0].shape[1], *grid)
    found = torch.zeros(*grid, 4, dtype=torch.int64)
    for row in range(grid[0]):
        for column in range(grid[1]):
            (gradient,) = torch.autograd.grad(output[0, :, row, column].sum(), image, retain_graph=True)
            _, _, ys, xs = gradient.nonzero(as_tuple=True)
            found[row, column] = torch.stack((ys.min(), xs.min(), ys.max() + 1, xs.max() + 1))
    return found


@pytest.mark.parametrize("layer", ["conv1", "tanh1", "pool1", "conv2", "dense1"])
def test_planned_and_measured_fields_are_where_gradients_are(layer: str) -> None:
    subject = ours()
    size = sizes(subject, [layer])[layer]
    wanted = boxes_by_gradient(subject, layer, size.grid)
    places = torch.cartesian_prod(*map(torch.arange, size.grid)).view(*size.grid, 2)
    planned = windows(subject, {layer: size})[layer]
    measured = measured_windows(subject, [layer])[layer]
    assert torch.equal(planned.boxes(places), wanted)
    assert torch.equal(measured.boxes(places), wanted)


def test_a_dense_unit_has_no_place_and_the_whole_field() -> None:
    found = windows(ours(), {"dense1": LayerSize(4, (1, 1))})["dense1"]
    # Of 11 columns the pool sees 10; of 7 pooled rows a 5-high window by 2 stands at 0 and 2.
    assert found.boxes(torch.tensor([[-1, -1]])).tolist() == [[0, 0, 14, 11]]


class Foreign(nn.Module):
    """A model that no plan describes: a global squeeze, and a layer of one axis."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(2, 3, 3)
        self.squeeze = nn.AdaptiveAvgPool2d(1)
        self.scaled = nn.Identity()
        self.rows = nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        x = self.conv(x)
        self.rows(x.mean(3))
        return self.scaled(x * self.squeeze(x).sigmoid())  # type: ignore[no-any-return]


@pytest.mark.parametrize("batch", [None, 3])
def test_the_fields_of_other_models_are_measured(batch: int | None) -> None:
    torch.manual_seed(0)
    subject = Subject(Foreign().eval(), (2, 8, 6), batch=batch)
    layers = ["conv", "squeeze", "scaled", "rows"]
    found = windows(subject, sizes(subject, layers)) if batch is None else measured_windows(subject, layers)
    place = torch.tensor([2, 1])
    assert found["conv"].boxes(place).tolist() == [2, 1, 5, 4]
    # All depends on all through the squeeze.
    assert found["scaled"].boxes(place).tolist() == [0, 0, 8, 6]
    assert found["squeeze"].boxes(torch.tensor([0, 0])).tolist() == [0, 0, 8, 6]
    # Its one axis is taken for columns, so it is the columns of the image that matter least.
    assert found["rows"].rows.tolist() == [[0, 8]]


def test_what_nothing_moves_is_given_the_whole_image() -> None:
    model = nn.Conv2d(1, 1, 3)
    nn.init.zeros_(model.weight)
    found = measured_windows(Subject(nn.Sequential(model), (1, 5, 5)), ["0"])["0"]
    assert found.rows.tolist() == found.columns.tolist() == [[0, 5]] * 3


@pytest.mark.parametrize("kind", [torch.float64, torch.bfloat16])
def test_a_model_of_other_numbers_shows_the_same_fields(kind: torch.dtype) -> None:
    plain = ours()
    wanted = windows(plain, sizes(plain, ["conv1", "conv2"]))
    model = copy.deepcopy(plain.model).to(kind)
    other = Subject(model, SHAPE, preprocess=lambda pixels: pixels.to(kind) / 255)
    found = measured_windows(other, ["conv1", "conv2"])
    for name, window in wanted.items():
        assert torch.equal(found[name].rows, window.rows)
        assert torch.equal(found[name].columns, window.columns)
    image = torch.full((1, *SHAPE), 100, dtype=torch.uint8)
    top, left, bottom, right = (
        windows(plain, sizes(plain, ["conv2"]))["conv2"].boxes(torch.tensor([1, 1])).tolist()
    )
    assert reach(other, image, "conv2", 0, (1, 1)) == (top, left, bottom, right)


def test_a_preprocessing_that_moves_channels_to_the_end() -> None:
    class Last(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv = nn.Conv2d(2, 3, 3, padding=1)

        def forward(self, x: Tensor) -> Tensor:
            found: Tensor = self.conv(x.permute(0, 3, 1, 2)).flatten(1)
            return found

    subject = Subject(Last(), (2, 6, 5), preprocess=lambda pixels: pixels.permute(0, 2, 3, 1).float() / 255)
    found = measured_windows(subject, ["conv"])["conv"]
    assert found.rows.tolist() == [[max(0, at - 1), min(6, at + 2)] for at in range(6)]
    assert found.columns.tolist() == [[max(0, at - 1), min(5, at + 2)] for at in range(5)]
