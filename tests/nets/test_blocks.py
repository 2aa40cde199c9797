"""Blocks, ceil pools and normalisations against plain re-implementations."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator

import pytest
import torch
import torch.nn.functional as F
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from cutaway.nets import NotationError, Shape, parse_net, plan
from cutaway.nets.builder import Net, build

Weights = dict[str, Tensor]


@pytest.fixture(scope="module", autouse=True)
def _one_thread() -> Iterator[None]:
    """Maps here are so small that waking a second thread costs more than it does."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def _net(text: str, shape: Shape) -> Net:
    """The net in float64, with batch norm's weights and statistics other than one and zero."""
    net = build(plan(parse_net(text), shape), 3).double()
    generator = torch.Generator().manual_seed(4)
    for module in net.modules():
        if isinstance(module, nn.BatchNorm2d):
            assert module.running_mean is not None
            assert module.running_var is not None
            module.weight.data.uniform_(0.5, 2, generator=generator)
            module.bias.data.uniform_(-1, 1, generator=generator)
            module.running_mean.uniform_(-1, 1, generator=generator)
            module.running_var.uniform_(0.001, 2, generator=generator)
    return net


def _maps(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def _normed(weights: Weights, name: str, maps: Tensor, epsilon: float, *, training: bool) -> Tensor:
    """Batch norm from its definition: over images, rows and columns in training, else from the statistics."""
    if training:
        mean = maps.mean((0, 2, 3))
        variance = ((maps - mean.view(1, -1, 1, 1)) ** 2).mean((0, 2, 3))
    else:
        mean, variance = weights[f"{name}.running_mean"], weights[f"{name}.running_var"]
    scale = weights[f"{name}.weight"] / torch.sqrt(variance + epsilon)
    return (maps - mean.view(1, -1, 1, 1)) * scale.view(1, -1, 1, 1) + weights[f"{name}.bias"].view(
        1, -1, 1, 1
    )


def _inception(
    weights: Weights, maps: Tensor, wide: tuple[int, int], *, batchnorm: bool, training: bool
) -> Tensor:
    """Szegedy et al., 2015, figure 2b, branch by branch."""

    def conv(number: int, value: Tensor, padding: tuple[int, int] = (0, 0)) -> Tensor:
        bias = None if batchnorm else weights[f"inception1.conv{number}.bias"]
        value = F.conv2d(value, weights[f"inception1.conv{number}.weight"], bias, padding=padding)
        if batchnorm:
            value = _normed(weights, f"inception1.batchnorm{number}", value, 0.001, training=training)
        return value.clamp(min=0)

    pooled = F.max_pool2d(maps, 3, 1, 1)
    branches = [
        conv(1, maps),
        conv(3, conv(2, maps), (1, 1)),
        conv(5, conv(4, maps), ((wide[0] - 1) // 2, (wide[1] - 1) // 2)),
        conv(6, pooled),
    ]
    return torch.cat(branches, dim=1)


def _residual(weights: Weights, maps: Tensor, stride: tuple[int, int], *, training: bool) -> Tensor:
    """He et al., 2016, figure 2; where the shape changes, a 1×1 conv (option B)."""

    def conv(number: int, value: Tensor, strides: tuple[int, int], padding: int) -> Tensor:
        value = F.conv2d(value, weights[f"residual1.conv{number}.weight"], None, strides, padding)
        return _normed(weights, f"residual1.batchnorm{number}", value, 1e-5, training=training)

    main = conv(2, conv(1, maps, stride, 1).clamp(min=0), (1, 1), 1)
    changed = stride != (1, 1) or main.shape[1] != maps.shape[1]
    assert changed == ("residual1.conv3.weight" in weights)
    return (main + (conv(3, maps, stride, 0) if changed else maps)).clamp(min=0)


def _same(net: Net, maps: Tensor, wanted: Tensor) -> None:
    """Values, and the gradients of the input and of all weights."""
    found = net(maps)
    torch.testing.assert_close(found, wanted, rtol=0, atol=1e-11)
    above = _maps(*found.shape, seed=9)
    inputs = [maps, *net.parameters()]
    gradients = torch.autograd.grad(found, inputs, above, retain_graph=True)
    wanted_gradients = torch.autograd.grad(wanted, inputs, above)
    for gradient, wanted_gradient in zip(gradients, wanted_gradients, strict=True):
        assert wanted_gradient.abs().max() > 0
        torch.testing.assert_close(gradient, wanted_gradient, rtol=0, atol=1e-9)


def _weights(net: Net) -> Weights:
    """Parameters, with their gradients, and copies of the statistics before anything runs."""
    statistics = {name: value.clone() for name, value in net.named_buffers()}
    return {**dict(net.named_parameters()), **statistics}


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("batchnorm", [True, False])
@pytest.mark.parametrize("wide", [(5, 5), (3, 3), (1, 7), (1, 1)])
def test_inception(wide: tuple[int, int], batchnorm: bool, training: bool) -> None:
    options = (" batchnorm" if batchnorm else "") + f" wide {wide[0]}x{wide[1]}"
    net = _net(f"inception 2 3-4 2-5 3{options}", (3, 6, 7)).train(training)
    maps = _maps(4, 3, 6, 7).requires_grad_()
    wanted = _inception(_weights(net), maps, wide, batchnorm=batchnorm, training=training)
    assert wanted.shape == (4, 2 + 4 + 5 + 3, 6, 7)
    _same(net, maps, wanted)


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("filters", [3, 5])
@pytest.mark.parametrize("stride", [(1, 1), (2, 2), (1, 2), (3, 1)])
@pytest.mark.parametrize("size", [(6, 7), (8, 8), (1, 2)])
def test_residual(filters: int, stride: tuple[int, int], size: tuple[int, int], training: bool) -> None:
    net = _net(f"residual {filters} stride {stride[0]}x{stride[1]}", (3, *size)).train(training)
    maps = _maps(4, 3, *size).requires_grad_()
    _same(net, maps, _residual(_weights(net), maps, stride, training=training))


def test_no_layer_changes_what_another_gave() -> None:
    """An addition or a ReLU in place would change what a person looks at behind another layer."""
    text = "conv 3 3x3 | batchnorm | relu | residual 3 | residual 4 stride 2 | inception 1 1-2 1-1 1 | relu"
    net, maps = _net(text, (3, 9, 9)), _maps(2, 3, 9, 9)
    given = [(maps, maps.clone())]
    for module in net.modules():
        module.register_forward_hook(lambda module, inputs, output: given.append((output, output.clone())))
    net(maps)
    assert len(given) == 1 + len(list(net.modules()))
    for number, (output, then) in enumerate(given):
        assert torch.equal(output, then), number


def test_blocks_weights_come_from_the_seed() -> None:
    text, shape = "residual 4 | inception 1 2-2 1-2 1", (3, 5, 5)
    first, second, other = (build(plan(parse_net(text), shape), seed).state_dict() for seed in (1, 1, 2))
    convs = [name for name in first if "conv" in name]
    assert len(convs) == 3 + 12
    assert all(torch.equal(first[name], second[name]) for name in first)
    assert not any(torch.equal(first[name], other[name]) for name in convs)


def test_batch_norm_without_epsilon_is_refused() -> None:
    with pytest.raises(NotationError, match="the number added to the variance"):
        parse_net("batchnorm 0")


@pytest.mark.parametrize("epsilon", [0.5, 0.001, 1e-12, None])
def test_batch_norm_s_epsilon(epsilon: float | None) -> None:
    net = _net("batchnorm" if epsilon is None else f"batchnorm {epsilon}", (3, 4, 5))
    maps, number = _maps(6, 3, 4, 5).requires_grad_(), 1e-5 if epsilon is None else epsilon
    _same(net, maps, _normed(_weights(net), "batchnorm1", maps, number, training=True))
    net.eval()
    weights = _weights(net)
    _same(net, maps, _normed(weights, "batchnorm1", maps, number, training=False))


def test_batch_norm_s_epsilon_on_vectors() -> None:
    net = build(plan(parse_net("flatten | batchnorm 0.25"), (2, 2, 1)), 0).double()
    values = _maps(5, 2, 2, 1)
    flat = values.reshape(5, 4)
    wanted = (flat - flat.mean(0)) / torch.sqrt(flat.var(0, unbiased=False) + 0.25)
    torch.testing.assert_close(net(values), wanted, rtol=0, atol=1e-12)


def _lrn(maps: Tensor, size: int, alpha: float, beta: float, k: float) -> Tensor:
    """Krizhevsky et al., 2012, section 3.3, value by value, with α / n for their α.

    An even n has no middle: one neighbour more is taken below.
    """
    found = torch.empty_like(maps)
    count = maps.shape[1]
    for image, i, x, y in itertools.product(*(range(length) for length in maps.shape)):
        total = 0.0
        for j in range(max(0, i - size // 2), min(count - 1, i + (size - 1) // 2) + 1):
            total += float(maps[image, j, x, y]) ** 2
        found[image, i, x, y] = float(maps[image, i, x, y]) / (k + alpha / size * total) ** beta
    return found


@pytest.mark.parametrize(
    ("text", "arguments"),
    [
        ("lrn", (5, 1e-4, 0.75, 1.0)),
        ("lrn 3 alpha 0.5", (3, 0.5, 0.75, 1.0)),
        ("lrn 9 alpha 2 beta 0.5 k 2", (9, 2.0, 0.5, 2.0)),
        ("lrn k 0.25 alpha 1", (5, 1.0, 0.75, 0.25)),
        ("lrn 4 alpha 3", (4, 3.0, 0.75, 1.0)),
        ("lrn 1 beta 2 alpha 1", (1, 1.0, 2.0, 1.0)),
        ("lrn 100 alpha 5 beta 1", (100, 5.0, 1.0, 1.0)),
    ],
)
def test_lrn(text: str, arguments: tuple[int, float, float, float]) -> None:
    net = _net(text, (7, 2, 3))
    maps = _maps(2, 7, 2, 3) * 3
    torch.testing.assert_close(net(maps), _lrn(maps, *arguments), rtol=0, atol=1e-12)


def _starts(size: int, window: int, stride: int, pad: int) -> list[int]:
    """Where windows begin: one after another until the padded end is reached, the last inside the map."""
    starts = [-pad]
    while starts[-1] + window < size + pad and starts[-1] + stride < size:
        starts.append(starts[-1] + stride)
    return starts


SIDE = st.tuples(st.integers(1, 14), st.integers(1, 4), st.integers(1, 5), st.integers(0, 2))
"""A map's size, and a window's size, stride and padding along it."""


@settings(deadline=None, max_examples=300)
@given(SIDE, SIDE, st.sampled_from(["maxpool", "avgpool"]))
@example((6, 2, 3, 1), (5, 3, 2, 0), "avgpool")  # a window in the padding alone is left out
@example((7, 3, 2, 1), (4, 2, 5, 0), "maxpool")
def test_ceil_pools(rows: tuple[int, int, int, int], columns: tuple[int, int, int, int], kind: str) -> None:
    for size, window, _, pad in (rows, columns):
        assume(2 * pad <= window <= size + 2 * pad)
    (height, k, s, p), (width, m, t, q) = rows, columns
    text = f"{kind} {k}x{m} stride {s}x{t} pad {p}x{q}"
    (row,) = plan(parse_net(f"{text} ceil"), (1, height, width)).rows
    maps = _maps(2, 1, height, width)
    own = nn.MaxPool2d if kind == "maxpool" else nn.AvgPool2d
    wanted = own((k, m), (s, t), (p, q), ceil_mode=True)(maps)
    down, across = _starts(height, k, s, p), _starts(width, m, t, q)
    assert row.output_shape == wanted.shape[1:] == (1, len(down), len(across))
    found = build(plan(parse_net(f"{text} ceil"), (1, height, width)), 0)(maps)
    assert torch.equal(found, wanted)
    for (i, top), (j, left) in itertools.product(enumerate(down), enumerate(across)):
        seen = maps[:, 0, max(top, 0) : top + k, max(left, 0) : left + m]
        if kind == "maxpool":
            value = seen.amax((1, 2))
        else:
            # Padding counts as zeros, what hangs over behind it does not.
            counted = (min(top + k, height + p) - top) * (min(left + m, width + q) - left)
            value = seen.sum((1, 2)) / counted
        torch.testing.assert_close(found[:, 0, i, j], value, rtol=0, atol=1e-12)
    # No row is left out where windows meet; without "ceil" as many windows fit as ⌊…⌋ says.
    assert s > k or down[-1] + k >= height
    (plain,) = plan(parse_net(text), (1, height, width)).rows
    assert plain.output_shape == (1, math.floor((height + 2 * p - k) / s) + 1, (width + 2 * q - m) // t + 1)


def test_the_pools_of_googlenet_keep_the_last_row() -> None:
    """Table 1 of its paper: 112, 56, 28, 14 and 7 rows, by windows of 3 and strides of 2."""
    for size, wanted in ((112, 56), (56, 28), (28, 14), (14, 7)):
        assert plan(parse_net("maxpool 3 stride 2 ceil"), (1, size, size)).output_shape == (1, wanted, wanted)
        assert plan(parse_net("maxpool 3 stride 2"), (1, size, size)).output_shape == (
            1,
            wanted - 1,
            wanted - 1,
        )
