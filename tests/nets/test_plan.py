"""The planner: its numbers are those of the built module, counted there one by one."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from cutaway.errors import ConfigError
from cutaway.nets import ZOO, LayerPlan, Plan, PlanError, Shape, parse_net, plan
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
    "{} {}{}{}{}".format,
    st.sampled_from(["maxpool", "avgpool"]),
    st.sampled_from(["1", "2", "3", "2x3"]),
    st.sampled_from(["", " stride 1", " stride 2x1"]),
    st.sampled_from(["", " pad 1"]),
    st.sampled_from(["", " ceil"]),
)
BLOCKS = st.builds(
    "inception {} {}-{} {}-{} {}{}{}".format,
    *[st.integers(1, 4)] * 6,
    st.sampled_from(["", " batchnorm"]),
    st.sampled_from(["", " wide 3", " wide 1x7"]),
) | st.builds("residual {}{}".format, st.integers(1, 4), st.sampled_from(["", " stride 2", " stride 1x3"]))
OTHERS = st.sampled_from(
    ["relu", "tanh", "sigmoid", "leakyrelu", "gelu", "batchnorm", "lrn", "lrn 2", "dropout 0.5", "globalpool",
     "flatten"]
)  # fmt: skip
DENSE = st.builds("dense {}".format, st.integers(1, 9))


@pytest.fixture(scope="module", autouse=True)
def _one_thread() -> Iterator[None]:
    """Maps here are so small that waking a second thread costs more than it does."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@dataclass
class Counted:
    """What a built layer gave and cost in one forward pass of two images."""

    input_shape: Shape
    output_shape: Shape
    parameters: int
    multiply_adds: int


def _count(net: Net) -> dict[str, Counted]:
    """The facts of every module with a name of its own in the plan, in the order of computing.

    Shapes come from hooks, costs from counting weights and outputs; a block costs what is in it.
    """
    found: dict[str, Counted] = {}

    def hook(name: str) -> Callable[[nn.Module, tuple[Tensor], Tensor], None]:
        def count(module: nn.Module, inputs: tuple[Tensor], output: Tensor) -> None:
            multiply_adds = sum(
                inner.multiply_adds for key, inner in found.items() if key.startswith(f"{name}.")
            )
            if isinstance(module, nn.Conv2d):
                # Every output value is the sum over one kernel: as many products as it has weights.
                pairs = zip(module.weight, output[0], strict=True)
                multiply_adds = sum(weights.numel() * values.numel() for weights, values in pairs)
            elif isinstance(module, nn.Linear):
                multiply_adds = sum(len(row) for row in module.weight)
            parameters = sum(parameter.numel() for parameter in module.parameters())
            found[name] = Counted(
                tuple(inputs[0].shape[1:]), tuple(output.shape[1:]), parameters, multiply_adds
            )

        return count

    device = next((parameter.device for parameter in net.parameters()), torch.device("cpu"))
    handles = [module.register_forward_hook(hook(name)) for name, module in net.named_modules() if name]
    with torch.no_grad():
        net.eval()(torch.zeros(2, *net.plan.input_shape, device=device))
    for handle in handles:
        handle.remove()
    return found


def _told(rows: Iterable[LayerPlan]) -> dict[str, Counted]:
    return {
        row.name: Counted(row.input_shape, row.output_shape, row.parameters, row.multiply_adds)
        for row in rows
    }


def _agrees(planned: Plan, device: str = "cpu") -> None:
    """The plan says of every layer, inside blocks too, what the built module is."""
    with torch.device(device):
        net = build(planned, 0)
    counted = _count(net)
    told = {**_told(planned.rows), **_told(planned.leaves())}
    assert told == counted
    # Modules run in the order of the leaves.
    blocks = {row.name for row in planned.rows if row.branches}
    assert [row.name for row in planned.leaves()] == [name for name in counted if name not in blocks]
    layers = [counted[row.name] for row in planned.rows]
    assert planned.parameters == sum(layer.parameters for layer in layers)
    assert planned.parameters == sum(parameter.numel() for parameter in net.parameters())
    assert planned.multiply_adds == sum(layer.multiply_adds for layer in layers)
    assert planned.output_shape == layers[-1].output_shape
    # Totals are the sums of their parts.
    leaves = list(planned.leaves())
    assert planned.parameters == sum(leaf.parameters for leaf in leaves)
    assert planned.multiply_adds == sum(leaf.multiply_adds for leaf in leaves)
    for row in planned.rows:
        inside = list(row.leaves())
        assert row.parameters == sum(leaf.parameters for leaf in inside)
        assert row.multiply_adds == sum(leaf.multiply_adds for leaf in inside)
        assert [leaf.name for leaf in inside] == [
            leaf.name for leaf in leaves if leaf.name == row.name or leaf.name.startswith(f"{row.name}.")
        ]


@pytest.mark.parametrize("name", ZOO)
def test_every_net_of_the_zoo_is_planned_as_it_is_built(name: str) -> None:
    # On "meta", modules have shapes and no memory: a VGG is built at once.
    _agrees(plan(parse_net(ZOO[name].text), ZOO[name].input_shape), "meta")


PUBLISHED_MULTIPLY_ADDS = {
    # torchvision's table of its weights, "GFLOPS", which counts multiply-adds.
    "alexnet": 0.71e9,
    "vgg11": 7.61e9,
    "vgg13": 11.31e9,
    "vgg16": 15.47e9,
    "vgg19": 19.63e9,
    "googlenet-batchnorm": 1.50e9,
    "resnet18": 1.81e9,
}


@pytest.mark.parametrize("name", PUBLISHED_MULTIPLY_ADDS)
def test_published_multiply_adds(name: str) -> None:
    planned = plan(parse_net(ZOO[name].text), ZOO[name].input_shape)
    assert planned.multiply_adds == pytest.approx(PUBLISHED_MULTIPLY_ADDS[name], rel=0.008)


@st.composite
def _plans(draw: Any) -> Plan:
    """A small net that works on its input: layers that do not are left out."""
    shape = (draw(st.integers(1, 3)), draw(st.integers(3, 12)), draw(st.integers(3, 12)))
    lines: list[str] = []
    for line in draw(st.lists(st.one_of(CONVS, POOLS, BLOCKS, OTHERS, DENSE), min_size=1, max_size=7)):
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
            "flatten|residual 4 stride 2",
            (1, 8, 8),
            "line 2: residual1 takes maps but its input is a vector of 64 (after flatten1). "
            "Move it before the flatten.",
        ),
        (
            "flatten|inception 1 1-1 1-1 1",
            (1, 8, 8),
            "line 2: inception1 takes maps but its input is a vector of 64 (after flatten1). "
            "Move it before the flatten.",
        ),
        (
            "flatten|relu|lrn",
            (1, 8, 8),
            "line 3: lrn1 takes maps but its input is a vector of 64 (after relu1). "
            "Move it before the flatten.",
        ),
        (
            "residual 4 stride 2|conv 4 5x5",
            (1, 8, 8),
            "line 2: conv1 has a 5×5 kernel but its input is 4×4 (4 channels, after residual1). "
            'Use a kernel of at most 4×4, "same" padding, or a larger image.',
        ),
        (
            "inception 1 1-2 1-3 4|dense 10",
            (1, 8, 8),
            "line 2: dense1 takes a vector but its input is 8×8 (10 channels, after inception1). "
            "Put flatten before it.",
        ),
        (
            "flatten|dense 5|conv 4 3x3",
            (1, 8, 8),
            "line 3: conv1 takes maps but its input is a vector of 5 (after dense1). "
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
    with pytest.raises(PlanError) as caught:
        plan(parse_net(lines.replace("|", "\n")), shape)
    failing = lines.split("|")[int(message[len("line ")]) - 1]
    # The layer's own text comes on a line of its own.
    assert str(caught.value) == f"{message}\n    {failing}"
    assert caught.value.layer == message.split()[2]


def test_a_layer_that_does_not_begin_its_line_is_told_with_its_column() -> None:
    with pytest.raises(PlanError) as caught:
        plan(parse_net("conv 4 3x3 | eyes:   conv 5 5x5 # too large\nrelu"), (1, 6, 6))
    assert str(caught.value) == (
        "line 1, column 14: eyes has a 5×5 kernel but its input is 4×4 (4 channels, after conv1). "
        'Use a kernel of at most 4×4, "same" padding, or a larger image.\n    eyes: conv 5 5x5'
    )
    assert caught.value.layer == "eyes"
    assert isinstance(caught.value, ConfigError)


def test_same_padding_fits_any_kernel() -> None:
    assert plan(parse_net("conv 4 9x9 same stride 2"), (1, 3, 3)).output_shape == (4, 2, 2)


def test_a_net_of_many_layers_is_told_where_it_does_not_fit() -> None:
    with pytest.raises(PlanError, match=r"^line 1999: conv1998 has a 3×3 kernel but its input is 2×2 "):
        plan(parse_net("maxpool 2\n" + "conv 1 3x3\n" * 1_999), (1, 7_992, 7_992))


def test_a_residual_by_hand() -> None:
    """Two 3×3 kernels and a 1×1 on 4×4 outputs; a scale and a shift for each of 3 · 8 maps."""
    (row,) = plan(parse_net("residual 8 stride 2"), (3, 8, 8)).rows
    assert row.parameters == 8 * 3 * 9 + 8 * 8 * 9 + 8 * 3 + 3 * 2 * 8
    assert row.multiply_adds == 16 * (8 * 3 * 9 + 8 * 8 * 9 + 8 * 3)
    assert [leaf.name.removeprefix("residual1.") for leaf in row.leaves()] == [
        "conv1", "batchnorm1", "relu1", "conv2", "batchnorm2", "conv3", "batchnorm3", "relu2"
    ]  # fmt: skip
    (same,) = plan(parse_net("again: residual 3"), (3, 8, 8)).rows
    assert same.parameters == 2 * 3 * 3 * 9 + 2 * 2 * 3
    assert same.branches[1] == ()
    assert [leaf.name for leaf in same.leaves()] == [
        "again.conv1", "again.batchnorm1", "again.relu1", "again.conv2", "again.batchnorm2", "again.relu2"
    ]  # fmt: skip


def test_the_first_inception_block_of_googlenet_by_hand() -> None:
    """Table 1 of its paper: 159K parameters and 128M operations for inception (3a), 28×28 of 256 maps."""
    (row,) = plan(parse_net("inception 64 96-128 16-32 32"), (192, 28, 28)).rows
    weights = 192 * 64 + 192 * 96 + 96 * 128 * 9 + 192 * 16 + 16 * 32 * 25 + 192 * 32
    assert row.output_shape == (256, 28, 28)
    assert row.parameters == weights + 64 + 96 + 128 + 16 + 32 + 32
    assert row.multiply_adds == weights * 28 * 28
    assert weights // 1024 == 159
    assert round(row.multiply_adds / 1e6) == 128
