"""Batch norm: part of the sum before it where nobody else reads that, a rule of its own elsewhere."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from cutaway import Subject
from cutaway.look.backward.chain import Chain
from cutaway.look.backward.lrp import lrp
from cutaway.look.backward.sums import Sums

from .lrp_models import IMAGES, SHAPE, Written, ended

IMAGES64 = IMAGES.double()

Way = Callable[[Written, Tensor], Tensor]


def maps(way: Way, rules: str = "epsilon-plus", change: Callable[[Written], None] | None = None) -> Tensor:
    """Of the same weights applied in some way, in doubles."""
    model = Written(way, bias=True).double()
    if change:
        change(model)
    return lrp(Subject(model, SHAPE), IMAGES64, [0, 2], rules=rules).maps


def equal(found: Tensor, wanted: Tensor) -> None:
    scale = float(wanted.abs().max())
    assert scale > 1e-6
    torch.testing.assert_close(found, wanted, rtol=0, atol=1e-6 * scale)


def line(norm: nn.BatchNorm1d | nn.BatchNorm2d) -> tuple[Tensor, Tensor]:
    """Scale and shift of a batch norm in evaluation mode, from its definition."""
    assert norm.running_mean is not None
    assert norm.running_var is not None
    scale = norm.weight / (norm.running_var + norm.eps) ** 0.5
    return scale.detach(), (norm.bias - norm.running_mean * scale).detach()


def folded(conv: nn.Conv2d | nn.ConvTranspose2d | nn.Linear, norm: nn.BatchNorm1d | nn.BatchNorm2d) -> None:
    """Write a batch norm into the layer before it."""
    scale, shift = line(norm)
    axis = 1 if isinstance(conv, nn.ConvTranspose2d) else 0
    shape = [1] * conv.weight.dim()
    shape[axis] = -1
    conv.weight.data *= scale.view(shape)
    assert conv.bias is not None
    conv.bias.data = conv.bias.data * scale + shift


def first_folded(model: Written) -> None:
    folded(model.first, model.norm)


def up_folded(model: Written) -> None:
    folded(model.up, model.norm)


def by_hand(m: Written, x: Tensor) -> Tensor:
    scale, shift = line(m.norm)
    return x * scale.view(-1, 1, 1) + shift.view(1, -1, 1, 1)


def in_place(m: Written, x: Tensor) -> Tensor:
    scale, shift = line(m.norm)
    x *= scale.view(-1, 1, 1)
    x += shift.view(1, -1, 1, 1)
    return x


def functional(m: Written, x: Tensor) -> Tensor:
    n = m.norm
    return F.batch_norm(x, n.running_mean, n.running_var, n.weight, n.bias, eps=n.eps)


def direct(m: Written, x: Tensor) -> Tensor:
    n = m.norm
    return torch.batch_norm(x, n.weight, n.bias, n.running_mean, n.running_var, False, 0.1, n.eps, False)


NORMS: dict[str, Way] = {
    "module": lambda m, x: m.norm(x),
    "function": functional,
    "function by keyword": lambda m, x: F.batch_norm(
        input=x,
        running_var=m.norm.running_var,
        running_mean=m.norm.running_mean,
        bias=m.norm.bias,
        weight=m.norm.weight,
    ),
    "torch.batch_norm": direct,
    "mul and add": by_hand,
    "in place": in_place,
    "behind a dropout that does nothing": lambda m, x: m.norm(F.dropout(x, training=False)),
}

RULES = ["z", "epsilon-plus", "alpha2-beta1", "epsilon-gamma-box"]


def rest(m: Written, x: Tensor) -> Tensor:
    return ended(m, m.act(m.second(m.act(x))))


@pytest.mark.parametrize("norm", NORMS)
@pytest.mark.parametrize("rules", RULES)
def test_a_batch_norm_behind_a_convolution_is_part_of_it(rules: str, norm: str) -> None:
    wanted = maps(lambda m, x: rest(m, m.first(x)), rules, first_folded)
    equal(maps(lambda m, x: rest(m, NORMS[norm](m, m.first(x))), rules), wanted)


@pytest.mark.parametrize("norm", ["module", "in place"])
def test_two_batch_norms_are_both_part_of_it(norm: str) -> None:
    def change(model: Written) -> None:
        folded(model.first, model.norm)
        folded(model.first, model.after)

    wanted = maps(lambda m, x: rest(m, m.first(x)), "epsilon-plus", change)
    equal(maps(lambda m, x: rest(m, m.after(NORMS[norm](m, m.first(x))))), wanted)


@pytest.mark.parametrize("rules", RULES)
def test_a_batch_norm_behind_a_max_pool_is_part_of_the_convolution_before_it(rules: str) -> None:
    # Written out: the maximum is chosen by the sum as it was, so pool a copy of it and take those places.
    def chosen(m: Written, x: Tensor) -> Tensor:
        plain = F.conv2d(x.detach(), before[0], before[1], padding=1)
        _, places = F.max_pool2d(plain, 2, return_indices=True)
        taken = m.first(x).flatten(2).gather(2, places.flatten(2)).view_as(places)
        return ended(m, m.act(taken))

    one = Written(chosen, bias=True).double()
    before = (one.first.weight.detach().clone(), one.first.bias.detach().clone())  # type: ignore[union-attr]
    assert (one.norm.weight < 0).any()
    wanted = maps(chosen, rules, first_folded)
    equal(maps(lambda m, x: ended(m, m.act(m.norm(F.max_pool2d(m.first(x), 2)))), rules), wanted)


def test_a_batch_norm_behind_a_transposed_convolution_is_part_of_it() -> None:
    wanted = maps(lambda m, x: ended(m, m.act(m.up(m.act(m.first(x))))), "epsilon-plus", up_folded)
    equal(maps(lambda m, x: ended(m, m.act(m.norm(m.up(m.act(m.first(x))))))), wanted)


@pytest.mark.parametrize("groups", [1, 2])
def test_scaled_sums_of_a_grouped_transposed_convolution(groups: int) -> None:
    generator = torch.Generator().manual_seed(0)
    weight = torch.randn(4, 6 // groups, 3, 3, generator=generator)
    x, scale, shift = (torch.randn(*size, generator=generator) for size in ((2, 4, 3, 3), (6,), (6,)))
    sums = Sums(weight, None, lambda x, w: F.conv_transpose2d(x, w, groups=groups), True, groups)
    found = sums.scaled(scale, shift)
    assert found.bias is not None
    wanted = sums.apply(x, weight) * scale.view(-1, 1, 1) + shift.view(-1, 1, 1)
    torch.testing.assert_close(found.apply(x, found.weight) + found.spread(found.bias), wanted)


def test_a_batch_norm_behind_a_dense_layer_is_part_of_it() -> None:
    with torch.random.fork_rng():
        torch.manual_seed(2)
        dense, norm, head = nn.Linear(128, 5), nn.BatchNorm1d(5), nn.Linear(5, 3)
        nn.init.normal_(norm.weight)
        nn.init.normal_(norm.running_mean)  # type: ignore[arg-type]
    net = nn.Sequential(nn.Flatten(), dense, norm, nn.ReLU(), head).double()
    found = lrp(Subject(net, SHAPE), IMAGES64, [1]).maps
    folded(dense, norm)
    equal(found, lrp(Subject(nn.Sequential(nn.Flatten(), dense, nn.ReLU(), head), SHAPE), IMAGES64, [1]).maps)


# A rule of its own


class Shared(torch.autograd.Function):
    """A batch norm that hands back ``|a x| / (|a x| + |b|)`` of what arrives, as Hui and Binder write it."""

    @staticmethod
    def forward(ctx: object, x: Tensor, scale: Tensor, shift: Tensor) -> Tensor:
        ctx.values = x.detach().clone(), scale, shift  # type: ignore[attr-defined]
        return x * scale.view(-1, 1, 1) + shift.view(-1, 1, 1)

    @staticmethod
    def backward(ctx: object, *arriving: Tensor) -> tuple[Tensor, None, None]:
        x, scale, shift = ctx.values  # type: ignore[attr-defined]
        a, b = (x * scale.view(-1, 1, 1)).abs(), shift.view(-1, 1, 1).abs()
        return arriving[0] * a / (a + b), None, None


def own(m: Written, x: Tensor) -> Tensor:
    # A function of its own is passed with its "plain gradient", which here is the rule.
    return Shared.apply(x, *line(m.norm))  # type: ignore[no-any-return, no-untyped-call]


APART: dict[str, Callable[[Written, Tensor, Way], Tensor]] = {
    "before a convolution": lambda m, x, norm: ended(m, m.second(norm(m, m.act(m.first(x))))),
    "behind a sum that somebody else reads": lambda m, x, norm: _read_twice(m, m.first(x), norm),
    "behind a sum that somebody reads later": lambda m, x, norm: _read_later(m, m.first(x), norm),
    "behind a pool whose sum somebody else reads": lambda m, x, norm: _pooled_twice(m, m.first(x), norm),
    "behind a sum that was written to": lambda m, x, norm: _written_to(m, m.first(x), norm),
    "behind a sum that is rectified later": lambda m, x, norm: _rectified_later(m, m.first(x), norm),
    "behind a sum that is written to later": lambda m, x, norm: _written_later(m, m.first(x), norm),
    "behind an average-pool": lambda m, x, norm: ended(m, norm(m, F.avg_pool2d(m.first(x), 2))),
    "behind a concatenation": lambda m, x, norm: ended(
        m, norm(m, torch.cat([m.first(x)[:, :2], m.second(m.first(x))[:, 2:]], 1))
    ),
}


def _read_twice(m: Written, y: Tensor, norm: Way) -> Tensor:
    beside = m.second(y)
    return ended(m, norm(m, y) + beside)


def _read_later(m: Written, y: Tensor, norm: Way) -> Tensor:
    normed = norm(m, y)
    return ended(m, normed + m.second(y))


def _pooled_twice(m: Written, y: Tensor, norm: Way) -> Tensor:
    pooled = F.max_pool2d(y, 2)
    return ended(m, norm(m, pooled) + F.avg_pool2d(y, 2))


def _written_to(m: Written, y: Tensor, norm: Way) -> Tensor:
    y[:, 0] = 0.25
    return ended(m, norm(m, y))


def _rectified_later(m: Written, y: Tensor, norm: Way) -> Tensor:
    normed = norm(m, y)
    return ended(m, normed + F.relu(input=y.relu_()))


def _written_later(m: Written, y: Tensor, norm: Way) -> Tensor:
    normed = norm(m, y)
    y[:, 0] = 0.25
    return ended(m, normed + y)


@pytest.mark.parametrize("place", APART)
@pytest.mark.parametrize("rules", ["z", "epsilon-plus"])
def test_elsewhere_it_shares_with_its_shift(rules: str, place: str) -> None:
    def wanted_of(way: Way) -> Tensor:
        model = Written(way, bias=True).double()
        return lrp(Subject(model, SHAPE), IMAGES64, [0, 2], rules=rules, otherwise="gradient").maps

    way = APART[place]
    wanted = wanted_of(lambda m, x: way(m, x, own))
    equal(maps(lambda m, x: way(m, x, lambda n, y: n.norm(y)), rules), wanted)


def test_what_is_computed_without_gradients_folds_nothing() -> None:
    def watched(m: Written, x: Tensor) -> Tensor:
        y = m.first(x)
        with torch.no_grad():
            assert (y - 5.0).max() < 5
        return rest(m, y)

    for rules in RULES:
        equal(maps(watched, rules), maps(lambda m, x: rest(m, m.first(x)), rules))


def test_a_value_with_two_followers_is_folded_into_none() -> None:
    chain = Chain()
    one, two = torch.ones(3), torch.zeros(3)
    assert chain.scaled(one, two) is not None
    assert chain.scaled(one, two) is None
    assert chain.holds(1)
    chain.reads[-1].count = 2
    assert not chain.holds(1)
    sums = Sums(torch.ones(3, 2), None, F.linear)
    assert chain.folded(sums, one) == (sums, one)
