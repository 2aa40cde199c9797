"""Kernels: the weights themselves, copied."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from cutaway import Subject
from cutaway.errors import ConfigError, DataError, NotFoundError
from cutaway.look import kernels
from cutaway.store import Run


def test_the_kernels_of_all_convolutions_are_the_weights_in_the_file(trained: Run) -> None:
    found = kernels(trained.subject())
    tensors = trained.load("best")[0].tensors
    assert list(found.layers) == ["conv1", "conv2"]
    for name, weights in found.layers.items():
        key = next(key for key in tensors if key.endswith(f"{name}.weight"))
        assert torch.equal(weights, tensors[key])
        assert weights.dtype == torch.float32
        assert weights.is_contiguous()
    assert found.layers["conv2"].shape == (6, 4, 3, 3)


def test_a_result_names_its_subject(trained: Run) -> None:
    mine = Subject(nn.Sequential(nn.Conv2d(1, 2, 3)), (1, 5, 5), name="mine")
    assert kernels(mine).subject == "mine"
    assert trained.id in kernels(trained.subject()).subject


def test_nested_names_and_the_order_asked_for() -> None:
    model = nn.Sequential(nn.Sequential(nn.Conv2d(1, 2, 3), nn.ReLU()), nn.Conv2d(2, 3, (1, 5)))
    subject = Subject(model, (1, 9, 9))
    found = kernels(subject, ["1", "0.0"])
    assert {name: tuple(w.shape) for name, w in found.layers.items()} == {
        "1": (3, 2, 1, 5),
        "0.0": (2, 1, 3, 3),
    }
    assert list(found.layers) == ["1", "0.0"]


def test_the_result_is_a_copy() -> None:
    conv = nn.Conv2d(1, 2, 3)
    before = conv.weight.detach().clone()
    kernels(Subject(nn.Sequential(conv), (1, 5, 5))).layers["0"].zero_()
    assert torch.equal(conv.weight, before)


def test_layers_without_kernels_are_refused(trained: Run) -> None:
    with pytest.raises(ConfigError, match=r"relu1 has no kernels\..*conv1, conv2, dense1"):
        kernels(trained.subject(), ["relu1"])
    with pytest.raises(NotFoundError, match=r'no layer "conv9".*Did you mean'):
        kernels(trained.subject(), ["conv9"])
    with pytest.raises(ConfigError, match="no convolution"):
        kernels(Subject(nn.Linear(2, 2), (2, 1, 1)))


def test_chosen_filters_keep_their_numbers_however_often_one_chooses() -> None:
    model = nn.Sequential(nn.Conv2d(1, 3, 3), nn.Conv2d(3, 6, 3))
    whole = kernels(Subject(model, (1, 9, 9)))
    found = whole.only([5, 2, 1, 5])
    assert {name: list(found.numbers(name)) for name in found.layers} == {"0": [2, 1], "1": [5, 2, 1]}
    again = found.only([5, 1])
    assert {name: list(again.numbers(name)) for name in again.layers} == {"0": [1], "1": [5, 1]}
    assert torch.equal(again.layers["1"], whole.layers["1"][[5, 1]])
    assert torch.equal(again.layers["0"], whole.layers["0"][[1]])
    assert list(found.only([5]).layers) == ["1"]
    with pytest.raises(NotFoundError, match="There is no unit 0"):
        found.only([0])
    with pytest.raises(ConfigError, match="units should be one or more"):
        whole.only([])


def test_norms_and_the_order_by_them() -> None:
    conv = nn.Conv2d(3, 1, 2)
    with torch.no_grad():
        conv.weight[0] = torch.tensor([1.0, 3.0, 2.0])[:, None, None]
    found = kernels(Subject(nn.Sequential(conv), (3, 5, 5)))
    assert found.norms("0").tolist() == [[2.0, 6.0, 4.0]]
    assert found.strongest("0").tolist() == [[1, 2, 0]]


def test_weights_that_are_no_numbers_are_counted_with_their_unit() -> None:
    conv = nn.Conv2d(1, 3, 2)
    conv.weight.data[1:, 0, 0] = torch.nan
    told = r"4 of 12 weights of 0 are NaN or infinite, first in unit 1"
    with pytest.raises(DataError, match=told):
        kernels(Subject(nn.Sequential(conv), (1, 5, 5)))


def test_a_dense_layer_is_arranged_as_the_maps_it_weighs(trained: Run) -> None:
    found = kernels(trained.subject(), ["dense1"]).layers["dense1"]
    weight = trained.subject().model.get_submodule("dense1").weight
    assert found.shape[1] == 6
    assert torch.equal(found.flatten(1), weight)  # type: ignore[arg-type]


def test_grouped_and_transposed_kernels_come_by_filter_and_channel() -> None:
    """Of a transposed convolution the weights lie by channel; an impulse shows what each filter spreads."""
    conv = nn.ConvTranspose2d(4, 6, 3, groups=2, bias=False)
    found = kernels(Subject(nn.Sequential(conv), (4, 5, 5))).layers["0"]
    assert found.shape == (6, 2, 3, 3)
    for channel in range(4):
        impulse = torch.zeros(1, 4, 1, 1)
        impulse[0, channel] = 1
        spread = conv(impulse)[0].detach()
        for unit in range(6):
            inside = unit // 3 == channel // 2
            wanted = found[unit, channel % 2] if inside else torch.zeros(3, 3)
            torch.testing.assert_close(spread[unit], wanted)


def test_a_dense_layer_behind_another_is_given_units_even_where_maps_had_as_many_values() -> None:
    layers = [
        nn.Conv2d(1, 4, 2),
        nn.Flatten(),
        nn.Linear(64, 64),
        nn.ReLU(),
        nn.Linear(64, 64),
        nn.Linear(64, 3),
    ]
    found = kernels(Subject(nn.Sequential(*layers), (1, 5, 5)), ["2", "4", "5"])
    assert {name: tuple(weights.shape[1:]) for name, weights in found.layers.items()} == {
        "2": (4, 4, 4),
        "4": (64, 1, 1),
        "5": (64, 1, 1),
    }


class _Heads(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv, self.one, self.other = nn.Conv2d(1, 4, 2), nn.Linear(64, 5), nn.Linear(64, 3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        flat = self.conv(x).flatten(1)
        return torch.cat([self.one(flat), self.other(flat)], 1)


def test_two_dense_layers_on_one_row_of_maps_both_see_maps() -> None:
    found = kernels(Subject(_Heads(), (1, 5, 5)), ["one", "other"])
    assert [tuple(weights.shape[1:]) for weights in found.layers.values()] == [(4, 4, 4), (4, 4, 4)]
