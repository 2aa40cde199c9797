"""The builder: modules as described, weights by seed, padding at the right sides."""

from __future__ import annotations

import itertools
import math
import warnings

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from cutaway.errors import ConfigError
from cutaway.nets import WORDS, ZOO, find_net, parse_net, plan
from cutaway.nets.builder import Net, UnevenConv2d, build

SMALL = "conv 3 3x3 | batchnorm | relu | flatten | dense 4"


def _small(seed: int) -> Net:
    return build(plan(parse_net(SMALL), (2, 6, 6)), seed)


def test_the_same_seed_gives_the_same_weights_bit_for_bit() -> None:
    first, second = _small(7).state_dict(), _small(7).state_dict()
    assert first.keys() == second.keys()
    assert all(torch.equal(first[name], second[name]) for name in first)


def test_another_seed_gives_other_weights() -> None:
    first, second = _small(7).state_dict(), _small(8).state_dict()
    for name in ("conv1.weight", "conv1.bias", "dense1.weight", "dense1.bias"):
        assert not torch.equal(first[name], second[name])


def test_weights_depend_on_nothing_drawn_before() -> None:
    first = _small(7).state_dict()
    torch.manual_seed(123)
    second = _small(7).state_dict()
    assert all(torch.equal(first[name], second[name]) for name in first)


def test_building_leaves_the_global_random_state_as_it_was() -> None:
    torch.manual_seed(123)  # an earlier net may have left the state as a second one of its seed would
    before = torch.random.get_rng_state()
    _small(7)
    assert torch.equal(torch.random.get_rng_state(), before)


def test_weights_are_pytorch_s_own_initialisation() -> None:
    torch.manual_seed(7)
    conv, dense = nn.Conv2d(2, 3, 3), nn.Linear(48, 4)
    net = _small(7)
    assert torch.equal(net.get_parameter("conv1.weight"), conv.weight)
    assert torch.equal(net.get_parameter("dense1.weight"), dense.weight)


def test_layers_are_children_under_their_names_in_order() -> None:
    net = build(plan(parse_net("eyes: conv 3 3x3 | relu\nflatten | out: dense 4"), (2, 6, 6)), 0)
    assert [name for name, _ in net.named_children()] == ["eyes", "relu1", "flatten1", "out"]
    assert net.plan.spec == parse_net("eyes: conv 3 3x3 | relu | flatten | out: dense 4")


def test_every_word_has_its_module() -> None:
    """A net with all words, so that one added to the notation alone is noticed."""
    text = (
        "conv 4 3x3 | batchnorm | relu | maxpool 2 | tanh | avgpool 2 | sigmoid | leakyrelu 0.2 | gelu | "
        "lrn | inception 1 2-3 1-2 1 | residual 4 stride 2 | dropout 0.5 | "
        "globalpool | flatten | batchnorm | dense 5"
    )
    spec = parse_net(text)
    assert {layer.word.text().split()[0] for layer in spec.layers} == set(WORDS)
    net = build(plan(spec, (1, 16, 16)), 0).eval()
    assert net(torch.rand(2, 1, 16, 16)).shape == (2, 5)
    assert isinstance(net.batchnorm1, nn.BatchNorm2d)
    assert isinstance(net.batchnorm2, nn.BatchNorm1d)


def _by_hand(net: Net, x: Tensor) -> Tensor:
    """LeNet written out with plain functions and the net's own weights."""
    weights = net.state_dict()
    for conv in ("conv1", "conv2"):
        x = F.conv2d(x, weights[f"{conv}.weight"], weights[f"{conv}.bias"])
        x = F.max_pool2d(x, 2).tanh()
    x = x.reshape(len(x), -1) @ weights["dense1.weight"].t() + weights["dense1.bias"]
    logits: Tensor = x.tanh() @ weights["dense2.weight"].t() + weights["dense2.bias"]
    return logits


def test_lenet_computes_what_it_says() -> None:
    net = build(plan(find_net("lenet-theano"), ZOO["lenet-theano"].input_shape), 0)
    x = torch.rand(3, 1, 28, 28, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(net(x), _by_hand(net, x))


def _window(text: str, x: Tensor) -> Tensor:
    result: Tensor = build(plan(parse_net(text), (x.shape[1], x.shape[2], x.shape[3])), 0)(x)
    return result


def test_options_reach_the_modules() -> None:
    x = torch.randn(2, 3, 9, 8, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(_window("maxpool 3x2 stride 2x1 pad 1", x), F.max_pool2d(x, (3, 2), (2, 1), 1))
    # "padding counts as zeros": a corner of nine values has four real ones.
    torch.testing.assert_close(_window("avgpool 3 stride 2 pad 1", x), F.avg_pool2d(F.pad(x, (1,) * 4), 3, 2))
    torch.testing.assert_close(_window("globalpool", x), x.mean((2, 3), keepdim=True))
    torch.testing.assert_close(_window("leakyrelu 0.25", x), torch.where(x > 0, x, 0.25 * x))
    net = build(plan(parse_net("conv 4 3x2 pad 2x1 stride 1x2 nobias"), (3, 9, 8)), 0)
    weight = net.get_parameter("conv1.weight")
    assert list(net.state_dict()) == ["conv1.weight"]
    torch.testing.assert_close(net(x), F.conv2d(F.pad(x, (1, 1, 2, 2)), weight, stride=(1, 2)))


def _same_by_hand(x: Tensor, conv: nn.Conv2d) -> Tensor:
    """ "Same" padding value by value: ⌈size / stride⌉ outputs, the odd zero below and to the right."""
    (rows, columns), (down, across) = conv.kernel_size, conv.stride
    height, width = x.shape[2:]
    high, wide = math.ceil(height / down), math.ceil(width / across)
    above = max((high - 1) * down + rows - height, 0) // 2
    left = max((wide - 1) * across + columns - width, 0) // 2
    # Enough zeros on all sides, so that every window is a plain slice.
    padded = F.pad(x, (left, columns + across, above, rows + down))
    out = torch.empty(len(x), conv.out_channels, high, wide)
    for row, column in itertools.product(range(high), range(wide)):
        window = padded[
            :, None, :, row * down : row * down + rows, column * across : column * across + columns
        ]
        out[:, :, row, column] = (window * conv.weight).sum((2, 3, 4))
    return out if conv.bias is None else out + conv.bias.view(1, -1, 1, 1)


@pytest.mark.parametrize("kernel", ["1x1", "2x2", "3x3", "4x3", "5x2", "7x7"])
@pytest.mark.parametrize("stride", ["1", "2", "3", "1x2"])
@pytest.mark.parametrize("size", [(5, 5), (6, 7)])
def test_same_padding(kernel: str, stride: str, size: tuple[int, int]) -> None:
    net = build(plan(parse_net(f"conv 2 {kernel} same stride {stride}"), (3, *size)), 0)
    x = torch.randn(2, 3, *size, generator=torch.Generator().manual_seed(0))
    conv = net.get_submodule("conv1")
    assert isinstance(conv, nn.Conv2d)
    with torch.no_grad():
        torch.testing.assert_close(net(x), _same_by_hand(x, conv))


@pytest.mark.parametrize("kernel", [(2, 2), (3, 3), (4, 3), (5, 2)])
def test_same_padding_without_stride_is_pytorch_s(kernel: tuple[int, int]) -> None:
    net = build(plan(parse_net(f"conv 2 {kernel[0]}x{kernel[1]} same"), (3, 6, 7)), 0)
    x = torch.randn(2, 3, 6, 7, generator=torch.Generator().manual_seed(0))
    with warnings.catch_warnings():
        # PyTorch warns that uneven padding costs it a copy.
        warnings.simplefilter("ignore", UserWarning)
        wanted = F.conv2d(
            x, net.get_parameter("conv1.weight"), net.get_parameter("conv1.bias"), padding="same"
        )
    torch.testing.assert_close(net(x), wanted)


def test_only_uneven_padding_takes_a_module_of_its_own() -> None:
    assert type(build(plan(parse_net("conv 2 3x3 same"), (1, 6, 6)), 0).conv1) is nn.Conv2d
    assert type(build(plan(parse_net("conv 2 4x4 same"), (1, 6, 6)), 0).conv1) is UnevenConv2d


@pytest.mark.parametrize("name", ["forward", "train", "training", "parameters", "append", "plan"])
def test_a_name_that_the_module_needs_itself_is_refused(name: str) -> None:
    planned = plan(parse_net(f"relu\n{name}: tanh"), (1, 6, 6))
    with pytest.raises(ConfigError) as caught:
        build(planned, 0)
    assert str(caught.value) == f'line 2: "{name}" is a name the net needs itself; choose another.'
