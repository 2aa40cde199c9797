"""Quick max-pools against PyTorch's own."""

from __future__ import annotations

from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from cutaway.look.pooling import QuickPools, pooled

MAPS = torch.randn(2, 3, 11, 14, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
@pytest.mark.parametrize(
    ("size", "stride"), [((2, 2), (2, 2)), ((3, 3), (2, 2)), ((3, 2), (1, 3)), ((1, 1), (2, 1))]
)
def test_slices_give_what_pytorch_gives(layout: Any, size: tuple[int, int], stride: tuple[int, int]) -> None:
    maps = MAPS.contiguous(memory_format=layout)
    found, wanted = pooled(maps, size, stride), F.max_pool2d(maps, size, stride)
    assert torch.equal(found, wanted)
    assert found.stride() == wanted.stride()


def test_nan_and_infinity_are_handed_on() -> None:
    maps = MAPS.clone()
    maps[0, 0, 0, 0], maps[1, 2, 5, 5] = float("nan"), float("inf")
    assert torch.equal(pooled(maps, (2, 2), (2, 2)).isnan(), F.max_pool2d(maps, 2).isnan())
    torch.testing.assert_close(pooled(maps, (2, 2), (2, 2)), F.max_pool2d(maps, 2), equal_nan=True)


CALLS = {
    "module": nn.MaxPool2d(2),
    "function": lambda maps: F.max_pool2d(maps, 2),
    "keywords": lambda maps: F.max_pool2d(maps, kernel_size=(2, 3), stride=(2, 1)),
    "torch": lambda maps: torch.max_pool2d(maps, [2], [2]),
    "padded": lambda maps: F.max_pool2d(maps, 3, 2, padding=1),
    "dilated": lambda maps: F.max_pool2d(maps, 2, dilation=2),
    "ceiled": lambda maps: F.max_pool2d(maps, 2, ceil_mode=True),
    "wide": lambda maps: F.max_pool2d(maps, 5),
    "one image": lambda maps: F.max_pool2d(maps[0], 2),
    "indices": lambda maps: F.max_pool2d(maps, 2, return_indices=True)[1],
    "doubles": lambda maps: F.max_pool2d(maps.double(), 2),
}


@pytest.mark.parametrize("call", CALLS.values(), ids=CALLS)
def test_every_call_gives_the_same_inside(call: Any) -> None:
    with torch.no_grad(), QuickPools():
        found = call(MAPS)
    assert torch.equal(found, call(MAPS))


def test_what_has_a_gradient_is_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*args: object) -> None:
        raise AssertionError("pooled by slices")

    monkeypatch.setattr("cutaway.look.pooling.pooled", refuse)
    with QuickPools():
        F.max_pool2d(MAPS, 2)
        F.max_pool2d(MAPS.clone().requires_grad_(), 2).sum().backward()
    with QuickPools(), torch.no_grad(), pytest.raises(AssertionError, match="by slices"):
        F.max_pool2d(MAPS, 2)


def test_a_window_larger_than_the_map_is_told_by_pytorch() -> None:
    with QuickPools(), torch.no_grad(), pytest.raises(RuntimeError, match="too small"):
        F.max_pool2d(MAPS[:, :, :1], 2)
