"""Kernels: the weights themselves, copied."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from cutaway import Subject
from cutaway.errors import ConfigError, NotFoundError
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
