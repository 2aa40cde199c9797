"""The way back, against loops over every place and tap."""

from __future__ import annotations

import itertools
import math

import pytest
import torch
from torch import Tensor, nn

from cutaway.errors import ConfigError
from cutaway.nets import ZOO, LayerPlan, Plan, find_net, parse_net, plan
from cutaway.nets.autoencoder import Autoencoder
from cutaway.nets.builder import build
from cutaway.nets.depths import find_depths
from cutaway.nets.mirror import Mirror, Spread, TransposedConv, Unpool, encode
from cutaway.nets.words import AvgPool, Conv, GlobalPool, MaxPool


def planned(text: str, shape: tuple[int, ...]) -> Plan:
    return plan(parse_net(text), shape)


def row_of(text: str, shape: tuple[int, ...]) -> LayerPlan:
    return planned(text, shape).rows[0]


def drawn(*shape: int) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(math.prod(shape)), dtype=torch.float64)


CONVS = [
    *(
        "3x3",
        "3x3 same",
        "4x4 same",
        "2x2 same",
        "5x3 same",
        "3x3 pad 1",
        "3x3 stride 2",
        "4x4 same stride 2",
    ),
    *("3x3 same stride 2", "2x2 stride 3", "1x1 stride 2", "5x5 same stride 3", "3x2 pad 1x0 stride 2x3"),
]


@pytest.mark.parametrize("options", CONVS)
@pytest.mark.parametrize("size", [(7, 8), (8, 8), (9, 6)])
def test_a_transposed_conv_adds_every_value_through_every_tap(options: str, size: tuple[int, int]) -> None:
    row = row_of(f"conv 3 {options}", (2, *size))
    word = row.layer.word
    assert isinstance(word, Conv)
    module = TransposedConv(word, row).double()
    window = word.window(row.input_shape)
    values = drawn(2, *row.output_shape)
    assert module.bias is not None
    expected = module.bias.detach()[None, :, None, None].expand(2, 2, *size).clone()
    for y, x in itertools.product(*map(range, row.output_shape[1:])):
        for i, j in itertools.product(*map(range, window.size)):
            top = y * window.stride[0] + i - window.before[0]
            left = x * window.stride[1] + j - window.before[1]
            if 0 <= top < size[0] and 0 <= left < size[1]:
                expected[:, :, top, left] += values[:, :, y, x] @ module.weight.detach()[:, :, i, j]
    torch.testing.assert_close(module(values), expected)


@pytest.mark.parametrize("options", CONVS)
def test_a_transposed_conv_is_the_adjoint_of_its_conv(options: str) -> None:
    """⟨conv x, y⟩ = ⟨x, transposed y⟩ for one kernel in both, without biases."""
    net = build(planned(f"conv 3 {options} nobias", (2, 9, 8)), 0).double()
    row = net.plan.rows[0]
    word = row.layer.word
    assert isinstance(word, Conv)
    back = TransposedConv(word, row).double()
    with torch.no_grad():
        back.weight.copy_(net.get_parameter("conv1.weight"))
        assert back.bias is not None
        back.bias.zero_()
        x, y = drawn(1, 2, 9, 8), drawn(1, *row.output_shape)
        torch.testing.assert_close((net(x) * y).sum(), (x * back(y)).sum())


POOLS = [
    "2",
    "3",
    "3 stride 2",
    "3 stride 2 ceil",
    "3 stride 1 pad 1",
    "2 stride 3",
    "3x2 stride 2x1 ceil",
    "2 ceil",
]


@pytest.mark.parametrize("options", [*POOLS, "3 stride 2 pad 1 ceil"])
@pytest.mark.parametrize("size", [(7, 8), (8, 5)])
def test_unpooling_puts_values_back_where_the_maxima_stood(options: str, size: tuple[int, int]) -> None:
    text = f"maxpool {options} | conv 3 1x1 | flatten | dense 2"
    net = build(planned(text, (2, *size)), 0).double()
    (depth,) = find_depths(net.plan, ["conv1"])
    row = depth.rows[0]
    word = row.layer.word
    assert isinstance(word, MaxPool)
    maps, window = drawn(2, 2, *size), word.window(row.input_shape)
    values = drawn(2, *row.output_shape).abs()
    total, count = torch.zeros_like(maps), torch.zeros_like(maps)
    for n, c, y, x in itertools.product(range(2), range(2), *map(range, row.output_shape[1:])):
        places = [
            (top, left)
            for i, j in itertools.product(*map(range, window.size))
            if 0 <= (top := y * window.stride[0] + i - window.before[0]) < size[0]
            and 0 <= (left := x * window.stride[1] + j - window.before[1]) < size[1]
        ]
        best = max(places, key=lambda place: float(maps[(n, c, *place)]))
        total[(n, c, *best)] += values[n, c, y, x]
        count[(n, c, *best)] += 1
    _, switches = encode(net, depth, maps)
    found = Unpool(word, row)(values, switches[row.name])
    torch.testing.assert_close(found, total / count.clamp(min=1))


@pytest.mark.parametrize("options", POOLS)
def test_what_was_pooled_returns_to_its_places(options: str) -> None:
    """Unpooling the pooled values themselves leaves the maxima as they were, and zeros elsewhere."""
    net = build(planned(f"maxpool {options} | conv 3 1x1 | flatten | dense 2", (2, 9, 8)), 0).double()
    (depth,) = find_depths(net.plan, ["conv1"])
    row = depth.rows[0]
    maps = drawn(2, 2, 9, 8).abs()
    _, switches = encode(net, depth, maps)
    pooled = net.get_submodule(row.name)(maps)
    found = Unpool(row.layer.word, row)(pooled, switches[row.name])  # type: ignore[arg-type]
    kept = found != 0
    torch.testing.assert_close(found[kept], maps[kept])
    torch.testing.assert_close(net.get_submodule(row.name)(found), pooled)


@pytest.mark.parametrize(
    "text", [*(f"avgpool {o}" for o in POOLS), "avgpool 3 stride 2 pad 1", "globalpool", "maxpool 3 stride 2"]
)
@pytest.mark.parametrize("size", [(7, 8), (8, 5)])
def test_spreading_gives_every_place_the_mean_of_its_windows(text: str, size: tuple[int, int]) -> None:
    row = row_of(text, (2, *size))
    word = row.layer.word
    assert isinstance(word, AvgPool | GlobalPool | MaxPool)
    window = word.window(row.input_shape)
    values = drawn(3, *row.output_shape)
    expected = torch.zeros(3, 2, *size, dtype=torch.float64)
    for top, left in itertools.product(*map(range, size)):
        inside = [
            values[:, :, y, x]
            for y, x in itertools.product(*map(range, row.output_shape[1:]))
            if 0 <= top + window.before[0] - y * window.stride[0] < window.size[0]
            and 0 <= left + window.before[1] - x * window.stride[1] < window.size[1]
        ]
        if inside:
            expected[:, :, top, left] = torch.stack(inside).mean(0)
    torch.testing.assert_close(Spread(word, row).double()(values), expected)


def _features(text: str, shape: tuple[int, ...]) -> tuple[Plan, list[str]]:
    """A net's convs and dense layers before its first block."""
    net = planned(text, shape)
    names: list[str] = []
    for row in net.rows:
        try:
            find_depths(net, [*names, row.name])
        except ConfigError:
            if row.branches:
                break
            continue
        names.append(row.name)
    return net, names


SHAPES = [
    *((find_net(name).text(), ZOO[name].input_shape) for name in ZOO),
    ("conv 4 4x4 same stride 3 | batchnorm | relu | maxpool 3 stride 2 pad 1 ceil | lrn | dropout 0.5 | "
     "conv 5 2x2 same | gelu | avgpool 2 ceil | conv 6 3x2 pad 2x0 | globalpool | flatten | dense 7 | "
     "sigmoid | dense 8 | batchnorm | dense 3", (3, 31, 29)),
    ("flatten | dense 7 | leakyrelu 0.1 | dense 3", (2, 5, 4)),
    ("avgpool 2 | batchnorm | conv 5 3x3 | relu | flatten | dense 3", (2, 9, 8)),
]  # fmt: skip


@pytest.mark.parametrize("switched", [True, False])
@pytest.mark.parametrize(("text", "shape"), SHAPES)
def test_what_comes_back_has_the_shape_of_what_was_given(
    text: str, shape: tuple[int, ...], switched: bool
) -> None:
    """All nets of the zoo, as far as their first block, on no memory at all."""
    net, names = _features(text, shape)
    depths = find_depths(net, names)
    assert depths
    with torch.device("meta"):
        autoencoder = Autoencoder(build(net, 0), depths, 0, switched=switched)
        value = torch.empty(2, *shape)
        codes = autoencoder.encode(value, 0, len(depths) - 1)
        for place, depth in enumerate(depths):
            assert codes[place].value.shape == (2, *depth.rows[-1].output_shape)
            back = autoencoder.decode(codes[place : place + 1], place)
            assert back.shape == (2, *depth.rows[0].input_shape)
            assert autoencoder.decode(codes[: place + 1], 0).shape == (2, *shape)


def test_encoding_gives_what_the_net_gives() -> None:
    """Also where the net computes in another order: pools first, biases later."""
    first = "conv 4 5x5 | relu | maxpool 3 stride 2 | lrn"
    text = f"{first} | conv 5 4x4 same | maxpool 2 | tanh | flatten | dense 6 | dense 3"
    net = build(planned(text, (2, 16, 15)), 0).eval()
    depths = find_depths(net.plan, ["*"])
    value = drawn(3, 2, 16, 15).float()
    codes = Autoencoder(net, depths, 0).encode(value, 0, 2)
    torch.testing.assert_close(net.get_submodule("dense2")(codes[-1].value), net(value))


def test_dropout_is_left_out() -> None:
    net = build(
        planned("dropout 0.5 | conv 4 3x3 | relu | dropout 0.5 | flatten | dense 3", (1, 8, 8)), 0
    ).train()
    (depth,) = find_depths(net.plan, ["*"])
    value = drawn(2, 1, 8, 8).float()
    found, _ = encode(net, depth, value)
    expected = net.get_submodule("conv1")(value).relu().flatten(1)
    torch.testing.assert_close(found, expected)


@pytest.mark.parametrize(
    ("layers", "kind"),
    [
        ("relu", nn.Softplus),
        ("tanh", nn.Tanh),
        ("sigmoid", nn.Sigmoid),
        ("leakyrelu 0.2", nn.LeakyReLU),
        ("gelu", nn.GELU),
        ("tanh | maxpool 2", nn.Tanh),
        ("maxpool 2 | relu | lrn | dropout 0.5", nn.Softplus),
        ("relu | batchnorm", nn.Identity),
        ("batchnorm", nn.Identity),
        ("maxpool 2", nn.Identity),
    ],
)
def test_a_mirror_ends_with_the_activation_that_made_its_target(layers: str, kind: type[nn.Module]) -> None:
    net = planned(f"conv 4 3x3 | {layers} | conv 5 3x3 | flatten | dense 3", (1, 14, 14))
    first, second = find_depths(net, ["*"])
    assert type(Mirror(first).ending) is nn.Identity  # the image has any value
    ending = Mirror(second, first.rows).ending
    assert type(ending) is kind
    if isinstance(ending, nn.LeakyReLU):
        assert ending.negative_slope == 0.2


def test_mirrors_draw_from_the_seed_alone() -> None:
    net = build(planned("conv 4 3x3 | relu | conv 5 3x3 | flatten | dense 3", (1, 9, 9)), 0)
    depths = find_depths(net.plan, ["*"])
    before = torch.get_rng_state()
    first, again, other = (Autoencoder(net, depths, seed).mirrors.state_dict() for seed in (1, 1, 2))
    assert torch.equal(torch.get_rng_state(), before)
    # A mirror begins alike however many come behind it.
    short = Autoencoder(net, depths[:1], 1).mirrors.state_dict()
    for name, value in first.items():
        assert torch.equal(value, again[name])
        assert not torch.equal(value, other[name])
        assert name not in short or torch.equal(value, short[name])


def test_transposed_convs_begin_as_convs_do() -> None:
    """Uniform up to 1/√inputs, the inputs being those of the transposed layer."""
    row = row_of("conv 64 5x5", (2, 12, 12))
    word = row.layer.word
    assert isinstance(word, Conv)
    weight = TransposedConv(word, row).weight
    bound = 1 / math.sqrt(64 * 25)
    assert 0.98 * bound < float(weight.detach().abs().max()) <= bound
