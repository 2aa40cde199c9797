"""Which calls are weighted sums, and that their parts give what the calls give."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from cutaway.look.backward.rules import Call
from cutaway.look.backward.sums import sums_of


def drawn(*shape: int, asking: bool = False) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(sum(shape))).requires_grad_(asking)


def call(name: str, function: Callable[..., Tensor], *args: Any, **kwargs: Any) -> Call:
    return Call(name, function, args, kwargs)


IMAGES, ROWS = (2, 4, 6, 7), (2, 5)

SUMS: dict[str, Callable[[], Call]] = {
    "linear": lambda: call("linear", F.linear, drawn(*ROWS, asking=True), drawn(3, 5), drawn(3)),
    "linear of more axes": lambda: call(
        "linear", F.linear, drawn(2, 4, 5, asking=True), drawn(3, 5), drawn(3)
    ),
    "linear by keyword": lambda: call(
        "linear", F.linear, drawn(*ROWS, asking=True), bias=None, weight=drawn(3, 5)
    ),
    "matmul": lambda: call("matmul", torch.matmul, drawn(*ROWS, asking=True), other=drawn(5, 3)),
    "mm": lambda: call("mm", torch.mm, drawn(*ROWS, asking=True), mat2=drawn(5, 3)),
    "addmm": lambda: call("addmm", torch.addmm, drawn(3), drawn(*ROWS, asking=True), drawn(5, 3)),
    "addmm of a row": lambda: call("addmm", torch.addmm, drawn(1, 3), drawn(*ROWS, asking=True), drawn(5, 3)),
    "conv1d": lambda: call(
        "conv1d", F.conv1d, drawn(2, 4, 9, asking=True), drawn(3, 4, 3), drawn(3), stride=2
    ),
    "conv2d": lambda: call(
        "conv2d", F.conv2d, drawn(*IMAGES, asking=True), drawn(6, 2, 3, 2), drawn(6), (2, 1), (0, 1), groups=2
    ),
    "conv3d": lambda: call(
        "conv3d", F.conv3d, drawn(2, 4, 4, 4, 4, asking=True), drawn(3, 4, 2, 2, 2), None, 1, 0, 2
    ),
    "conv_transpose1d": lambda: call(
        "conv_transpose1d",
        F.conv_transpose1d,
        drawn(2, 4, 5, asking=True),
        drawn(4, 3, 3),
        drawn(3),
        stride=2,
    ),
    "conv_transpose2d": lambda: call(
        *("conv_transpose2d", F.conv_transpose2d, drawn(*IMAGES, asking=True), drawn(4, 3, 3, 3), drawn(6)),
        *((2, 3), (1, 0), (1, 2), 2, (1, 2)),
    ),
}


@pytest.mark.parametrize("kind", SUMS)
def test_weights_biases_and_the_way_back_are_those_of_the_call(kind: str) -> None:
    made = SUMS[kind]()
    sums = sums_of(made)
    assert sums is not None
    x = made.tensors[0]
    result = made.plain()
    value = sums.apply(x, sums.weight)
    torch.testing.assert_close(value if sums.bias is None else value + sums.spread(sums.bias), result)
    arriving = torch.randn(result.shape, generator=torch.Generator().manual_seed(1))
    (wanted,) = torch.autograd.grad(result, x, arriving)
    torch.testing.assert_close(sums.transposed(arriving, x.detach(), sums.weight), wanted)


@pytest.mark.parametrize("kind", [kind for kind in SUMS if kind != "linear of more axes"])
def test_a_scale_and_a_shift_for_each_output_are_taken_in(kind: str) -> None:
    made = SUMS[kind]()
    sums = sums_of(made)
    assert sums is not None
    result = made.plain()
    scale, shift = drawn(result.shape[1]), drawn(result.shape[1]) + 1
    spread = [1, -1, *[1] * (result.dim() - 2)]
    more = sums.scaled(scale, shift)
    assert more.bias is not None
    found = more.apply(made.tensors[0], more.weight) + more.spread(more.bias)
    torch.testing.assert_close(found, result * scale.view(spread) + shift.view(spread))


NONE: dict[str, Callable[[], Call]] = {
    "weights that depend on the image": lambda: call(
        "linear", F.linear, drawn(*ROWS, asking=True), drawn(3, 5, asking=True)
    ),
    "a bias that depends on the image": lambda: call(
        "conv2d", F.conv2d, drawn(*IMAGES, asking=True), drawn(3, 4, 3, 3), drawn(3, asking=True)
    ),
    "a kernel that depends on the image alone": lambda: call(
        "conv2d", F.conv2d, drawn(*IMAGES), drawn(3, 4, 3, 3, asking=True)
    ),
    "the image on the right": lambda: call("matmul", torch.matmul, drawn(3, 2), drawn(*ROWS, asking=True)),
    "a product with more axes": lambda: call(
        "matmul", torch.matmul, drawn(2, 3, 5, asking=True), drawn(2, 5, 3)
    ),
    "a product with a vector": lambda: call("matmul", torch.matmul, drawn(*ROWS, asking=True), drawn(5)),
    "a linear with a vector": lambda: call("linear", F.linear, drawn(*ROWS, asking=True), drawn(5)),
    "a scaled addmm": lambda: call(
        "addmm", torch.addmm, drawn(3), drawn(*ROWS, asking=True), drawn(5, 3), alpha=0.5
    ),
    "an addmm of a table": lambda: call(
        "addmm", torch.addmm, drawn(2, 3), drawn(*ROWS, asking=True), drawn(5, 3)
    ),
    "an image without a batch": lambda: call(
        "conv2d", F.conv2d, drawn(4, 6, 7, asking=True), drawn(3, 4, 3, 3)
    ),
    "another product": lambda: call("rmatmul", torch.matmul, drawn(*ROWS, asking=True), drawn(5, 3)),
}


@pytest.mark.parametrize("kind", NONE)
def test_what_is_no_sum_with_fixed_weights_is_none(kind: str) -> None:
    assert sums_of(NONE[kind]()) is None


def test_a_product_with_itself_is_none() -> None:
    x = drawn(3, 3, asking=True)
    assert sums_of(call("matmul", torch.matmul, x, x)) is None
