"""Every rule of relevance on every kind of sum, against the papers' formulas."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from cutaway.errors import ConfigError
from cutaway.look.backward.relevance import ZPLUS, AlphaBeta, Box, Epsilon, Flat, Gamma, RelevanceRule, Z
from cutaway.look.backward.rules import Call
from cutaway.look.backward.sums import Sums, sums_of

from .lrp_reference import (
    Handed,
    Table,
    alpha_beta_rule,
    box_rule,
    channel_biases,
    conv_table,
    dense_table,
    epsilon_rule,
    flat_rule,
    gamma_rule,
    stacked,
    transposed_table,
    vector,
)

Case = tuple[Sums, Table, list[float], Tensor]
"""A sum, the same one as a table with biases, and inputs of two images."""


def drawn(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def summed(name: str, function: Callable[..., Tensor], *args: object, **kwargs: object) -> Sums:
    x, *rest = args
    assert isinstance(x, Tensor)
    sums = sums_of(Call(name, function, (x.clone().requires_grad_(), *rest), kwargs))
    assert sums is not None
    return sums


def dense(bias: Tensor | None) -> Case:
    weight, x = drawn(4, 6), drawn(2, 6, seed=1)
    b = [0.0] * 4 if bias is None else vector(bias)
    return summed("linear", F.linear, x, weight, bias), dense_table(weight), b, x


def conv(
    bias: Tensor | None,
    shape: tuple[int, ...] = (4, 2, 3, 3),
    *,
    stride: int = 1,
    padding: int | str = 0,
    before: tuple[int, int] | None = None,
    dilation: int = 1,
    groups: int = 1,
) -> Case:
    weight, x = drawn(*shape), drawn(2, shape[1] * groups, 4, 5, seed=1)
    if before is None:
        assert isinstance(padding, int)
        before = (padding, padding)
    table, out = conv_table(
        weight, (shape[1] * groups, 4, 5), stride=stride, padding=before, dilation=dilation, groups=groups
    )
    sums = summed("conv2d", F.conv2d, x, weight, bias, stride, padding, dilation, groups)
    return sums, table, channel_biases(bias, out), x


def turned(
    bias: Tensor | None, *, stride: int, padding: int, beyond: int, dilation: int, groups: int
) -> Case:
    weight, x = drawn(4, 4 // groups, 3, 3), drawn(2, 4, 2, 3, seed=1)
    table, out = transposed_table(
        weight, (4, 2, 3), stride=stride, padding=padding, beyond=beyond, dilation=dilation, groups=groups
    )
    sums = summed(
        "conv_transpose2d", F.conv_transpose2d, x, weight, bias, stride, padding, beyond, groups, dilation
    )
    return sums, table, channel_biases(bias, out), x


KINDS: dict[str, Callable[[Tensor | None], Case]] = {
    "dense": dense,
    "plain": conv,
    "strided": lambda bias: conv(bias, stride=2, padding=1),
    "same": lambda bias: conv(bias, padding="same", before=(1, 1)),
    "same, dilated": lambda bias: conv(bias, padding="same", before=(2, 2), dilation=2),
    "same, even": lambda bias: conv(bias, (4, 2, 2, 2), padding="same", before=(0, 1)),
    "valid": lambda bias: conv(bias, padding="valid", before=(0, 0)),
    "dilated": lambda bias: conv(bias, padding=2, dilation=2),
    "grouped": lambda bias: conv(bias, (4, 2, 3, 3), groups=2, padding=1, stride=3),
    "depthwise": lambda bias: conv(bias, (4, 1, 2, 3), groups=2),
    "transposed": lambda bias: turned(bias, stride=1, padding=0, beyond=0, dilation=1, groups=1),
    "transposed, strided": lambda bias: turned(bias, stride=2, padding=1, beyond=1, dilation=1, groups=1),
    "transposed, grouped": lambda bias: turned(bias, stride=2, padding=1, beyond=0, dilation=2, groups=2),
}

pytestmark = pytest.mark.filterwarnings("ignore:Using padding='same' with even kernel lengths")

LOW, HIGH = -3.0, 4.0

RULES: dict[str, tuple[RelevanceRule, Handed]] = {
    "z": (Z, epsilon_rule(0.0)),
    "epsilon": (Epsilon(0.25), epsilon_rule(0.25)),
    "gamma": (Gamma(0.5, 0.25), gamma_rule(0.5, 0.25)),
    "alpha-beta": (AlphaBeta(3.0, 2.0), alpha_beta_rule(3.0, 2.0)),
    "z-plus": (ZPLUS, alpha_beta_rule(1.0, 0.0)),
    "flat": (Flat(), flat_rule),
}


def outputs(sums: Sums, x: Tensor) -> Tensor:
    y = sums.apply(x, sums.weight)
    return y if sums.bias is None else y + sums.spread(sums.bias)


def checked(case: Case, x: Tensor, rule: RelevanceRule, reference: Handed) -> None:
    sums, table, biases, _ = case
    y = outputs(sums, x)
    relevance = drawn(*y.shape, seed=2)
    found = rule(sums, x, y, relevance)
    wanted = stacked(*(reference(table, biases, vector(x[n]), vector(relevance[n])) for n in range(len(x))))
    assert found.shape == x.shape
    torch.testing.assert_close(found.flatten(1), wanted, rtol=1e-9, atol=1e-9)
    assert float(wanted.abs().max()) > 1e-3


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("rule", RULES)
def test_a_rule_is_its_formula(rule: str, kind: str) -> None:
    case = KINDS[kind](drawn(4, seed=3))
    x = case[3]
    assert (x[:1] < 0).any()
    checked(case, x[:1], *RULES[rule])
    checked(case, x[1:].abs(), *RULES[rule])


@pytest.mark.parametrize("kind", ["dense", "plain"])
@pytest.mark.parametrize("rule", RULES)
def test_a_rule_is_its_formula_without_biases(rule: str, kind: str) -> None:
    case = KINDS[kind](None)
    checked(case, case[3], *RULES[rule])


@pytest.mark.parametrize("kind", KINDS)
def test_z_b_is_its_formula(kind: str) -> None:
    case = KINDS[kind](drawn(4, seed=3))
    x = case[3].clamp(LOW, HIGH)
    size = (1, *x.shape[1:])
    low, high = drawn(*size, seed=5).abs() * -1 + LOW, drawn(*size, seed=6).abs() + HIGH
    checked(case, x, Box(low, high, 0.25), box_rule(vector(low), vector(high), 0.25))


@pytest.mark.parametrize("kind", KINDS)
def test_the_quick_way_back_is_the_gradient(kind: str) -> None:
    sums, _, _, x = KINDS[kind](None)
    leaf = x.clone().requires_grad_()
    value = sums.apply(leaf, sums.weight)
    arriving = drawn(*value.shape, seed=4)
    (wanted,) = torch.autograd.grad(value, leaf, arriving)
    torch.testing.assert_close(sums.transposed(arriving, x, sums.weight), wanted)


@pytest.mark.parametrize("rule", [Z, Epsilon(1e-12), Gamma(0.3, 1e-12)], ids=["z", "epsilon", "gamma"])
def test_without_biases_all_relevance_is_handed_on(rule: RelevanceRule) -> None:
    sums, _, _, x = conv(None)
    y = outputs(sums, x)
    relevance = drawn(*y.shape, seed=2)
    found = rule(sums, x, y, relevance).flatten(1).sum(1)
    torch.testing.assert_close(found, relevance.flatten(1).sum(1))


def test_sums_of_nothing_hand_back_nothing_and_no_nan() -> None:
    sums, _, _, x = dense(None)
    zero = torch.zeros_like(x)
    y = outputs(sums, zero)
    for rule in (Z, Epsilon(), Gamma(), AlphaBeta(), ZPLUS):
        assert torch.equal(rule(sums, zero, y, torch.ones_like(y)), zero)


def test_what_nothing_speaks_against_has_its_alpha_part_alone() -> None:
    sums = Sums(torch.tensor([[1.0, 3.0]]), None, F.linear)
    x = torch.tensor([[1.0, 1.0]])
    found = AlphaBeta(2, 1)(sums, x, torch.tensor([[4.0]]), torch.tensor([[1.0]]))
    torch.testing.assert_close(found, torch.tensor([[0.5, 1.5]]))


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
@pytest.mark.parametrize("rule", RULES)
def test_the_type_of_numbers_stays(rule: str, dtype: torch.dtype) -> None:
    weight, x = drawn(3, 5).to(dtype), drawn(2, 5, seed=1).to(dtype)
    sums = Sums(weight, None, F.linear, back=lambda arriving, _, weights: arriving @ weights)
    y = outputs(sums, x)
    found = RULES[rule][0](sums, x, y, torch.ones_like(y))
    assert found.dtype == dtype
    assert bool(found.isfinite().all())


def test_alpha_and_beta_that_do_not_fit_are_refused() -> None:
    with pytest.raises(ConfigError, match=r"alpha − beta should be 1 and beta 0 or more, not 2.0 and 0.5"):
        AlphaBeta(2.0, 0.5)
    with pytest.raises(ConfigError, match="beta 0 or more"):
        AlphaBeta(0.5, -0.5)


def test_z_b_refuses_inputs_beyond_its_range() -> None:
    sums, _, _, x = dense(None)
    box = Box(torch.full((1, 6), -0.1), torch.full((1, 6), 0.1))
    with pytest.raises(ConfigError, match=r"z-B rule .* changes it before.* Take \"epsilon-plus-flat\""):
        box(sums, x, outputs(sums, x), torch.ones(2, 4))
