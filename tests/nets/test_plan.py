"""The planner: its numbers are those of the built module, counted there one by one."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from cutaway.errors import ConfigError
from cutaway.nets import ZOO, Plan, Shape, parse_net, plan
from cutaway.nets.builder import Net, build

CONVS = st.builds(
    "conv {} {}x{}{}{}{}".format,
    st.integers(1, 4),
    st.integers(1, 5),
    st.integers(1, 5),
    st.sampled_from(["", " valid", " same", " pad 1", " pad 0x2"]),
    st.sampled_from(["", " stride 2", " stride 1x3"]),
    st.sampled_from(["", " nobias"]),
)
POOLS = st.builds(
    "{} {}{}{}".format,
    st.sampled_from(["maxpool", "avgpool"]),
    st.sampled_from(["1", "2", "3", "2x3"]),
    st.sampled_from(["", " stride 1", " stride 2x1"]),
    st.sampled_from(["", " pad 1"]),
)
OTHERS = st.sampled_from(
    ["relu", "tanh", "sigmoid", "leakyrelu", "gelu", "batchnorm", "dropout 0.5", "globalpool", "flatten"]
)
DENSE = st.builds("dense {}".format, st.integers(1, 9))


@dataclass
class Counted:
    """What a built layer gave and cost in one forward pass of two images."""

    input_shape: Shape
    output_shape: Shape
    parameters: int
    multiply_adds: int


def _count(net: Net) -> list[Counted]:
    """The facts of every layer from its module: shapes by hooks, costs by counting weights and outputs."""
    found: list[Counted] = []

    def hook(module: nn.Module, inputs: tuple[Tensor], output: Tensor) -> None:
        multiply_adds = 0
        if isinstance(module, nn.Conv2d):
            # Every output value is the sum over one kernel: as many products as it has weights.
            multiply_adds = sum(len(module.weight[unit].flatten()) * output[0, unit].numel()
                                for unit in range(output.shape[1]))  # fmt: skip
        elif isinstance(module, nn.Linear):
            multiply_adds = sum(len(row) for row in module.weight)
        parameters = sum(parameter.numel() for parameter in module.parameters())
        found.append(Counted(tuple(inputs[0].shape[1:]), tuple(output.shape[1:]), parameters, multiply_adds))

    handles = [module.register_forward_hook(hook) for module in net]
    with torch.no_grad():
        net.eval()(torch.zeros(2, *net.plan.input_shape))
    for handle in handles:
        handle.remove()
    return found


def _agrees(planned: Plan) -> None:
    counted = _count(build(planned, 0))
    assert counted == [
        Counted(row.input_shape, row.output_shape, row.parameters, row.multiply_adds) for row in planned.rows
    ]
    assert planned.parameters == sum(layer.parameters for layer in counted)
    assert planned.multiply_adds == sum(layer.multiply_adds for layer in counted)
    assert planned.output_shape == counted[-1].output_shape


@pytest.mark.parametrize("name", ZOO)
def test_every_net_of_the_zoo_is_planned_as_it_is_built(name: str) -> None:
    _agrees(plan(parse_net(ZOO[name].text), ZOO[name].input_shape))


@st.composite
def _plans(draw: Any) -> Plan:
    """A small net that works on its input: layers that do not are left out."""
    shape = (draw(st.integers(1, 3)), draw(st.integers(3, 12)), draw(st.integers(3, 12)))
    lines: list[str] = []
    for line in draw(st.lists(st.one_of(CONVS, POOLS, OTHERS, DENSE), min_size=1, max_size=7)):
        try:
            plan(parse_net("\n".join([*lines, line])), shape)
        except ConfigError:
            continue
        lines.append(line)
    return plan(parse_net("\n".join(lines or ["relu"])), shape)


@settings(deadline=None, max_examples=150)
@given(_plans())
def test_any_net_is_planned_as_it_is_built(planned: Plan) -> None:
    _agrees(planned)


def test_a_layer_s_output_has_four_bytes_a_value() -> None:
    (row,) = plan(parse_net("conv 3 3x3"), (1, 6, 7)).rows
    assert row.output_shape == (3, 4, 5)
    assert row.output_bytes == 3 * 4 * 5 * 4


def test_a_lenet_by_hand() -> None:
    """20·25·24² + 50·20·25·8² + 800·500 + 500·10 products; parameters as the tutorial's."""
    planned = plan(parse_net(ZOO["lenet-theano"].text), (1, 28, 28))
    assert planned.multiply_adds == 288_000 + 1_600_000 + 400_000 + 5_000
    assert planned.parameters == 520 + 25_050 + 400_500 + 5_010


@pytest.mark.parametrize(
    ("lines", "shape", "message"),
    [
        (
            # Three pools, the last of which leaves 4×4 of 500 channels.
            "conv 20 5x5 same|maxpool 2|conv 50 5x5 same|maxpool 2|conv 500 5x5 same|maxpool 2|conv 9 5x5",
            (1, 32, 32),
            "line 7: conv4 has a 5×5 kernel but its input is 4×4 (500 channels, after pool3). "
            'Use a kernel of at most 4×4, "same" padding, or drop pool3.',
        ),
        (
            "conv 4 9x3",
            (1, 8, 8),
            "line 1: conv1 has a 9×3 kernel but its input is 8×8 (1 channel, the image itself). "
            'Use a kernel of at most 8×3, "same" padding, or a larger image.',
        ),
        (
            # A pool that changes nothing is not worth dropping; the one before it is.
            "conv 4 3x3|maxpool 2|maxpool 1|conv 5 5x5",
            (3, 8, 8),
            "line 4: conv2 has a 5×5 kernel but its input is 3×3 (4 channels, after pool2). "
            'Use a kernel of at most 3×3, "same" padding, or drop pool1.',
        ),
        (
            # Padding that is there already counts: 3 + 2·1 = 5.
            "maxpool 2|conv 5 6x6 pad 1",
            (2, 6, 6),
            "line 2: conv1 has a 6×6 kernel but its input is 3×3 (2 channels, after pool1). "
            'Use a kernel of at most 5×5, "same" padding, or drop pool1.',
        ),
        (
            "globalpool|maxpool 2",
            (2, 6, 6),
            "line 2: pool2 has a 2×2 window but its input is 1×1 (2 channels, after pool1). "
            "Use a window of at most 1×1, a pad, or drop pool1.",
        ),
        (
            "maxpool 2 pad 2",
            (1, 8, 8),
            "line 1: pool1 pads by 2×2, more than half its window of 2×2. "
            "Use a smaller pad or a larger window.",
        ),
        (
            "conv 4 3x3|eyes: relu|dense 10",
            (1, 8, 8),
            "line 3: dense1 takes a vector but its input is 6×6 (4 channels, after eyes). "
            "Put flatten before it.",
        ),
        (
            "dense 10",
            (1, 8, 8),
            "line 1: dense1 takes a vector but its input is 8×8 (1 channel, the image itself). "
            "Put flatten before it.",
        ),
        (
            "flatten|conv 4 3x3",
            (1, 8, 8),
            "line 2: conv1 takes maps but its input is a vector of 64 (after flatten1). "
            "Move it before the flatten.",
        ),
        (
            "flatten|dense 5|globalpool",
            (1, 8, 8),
            "line 3: pool1 takes maps but its input is a vector of 5 (after dense1). "
            "Move it before the flatten.",
        ),
    ],
)
def test_a_net_that_does_not_fit_is_told_with_the_shapes_and_the_ways_out(
    lines: str, shape: Shape, message: str
) -> None:
    with pytest.raises(ConfigError) as caught:
        plan(parse_net(lines.replace("|", "\n")), shape)
    assert str(caught.value) == message


def test_same_padding_fits_any_kernel() -> None:
    assert plan(parse_net("conv 4 9x9 same stride 2"), (1, 3, 3)).output_shape == (4, 2, 2)
