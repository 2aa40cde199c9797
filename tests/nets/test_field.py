"""Receptive fields: those by hand, published ones, and the pixels that a gradient reaches."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest
import torch
from hypothesis import example, given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from cutaway.errors import ConfigError
from cutaway.nets import ZOO, LayerPlan, NetSpec, Plan, ReceptiveField, Shape, Word, find_net, parse_net, plan
from cutaway.nets import words as w
from cutaway.nets.builder import build

Place = tuple[int, int]
Box = tuple[range, range]
"""Rows and columns; both empty where no pixel is reached."""

NOTHING: Box = (range(0), range(0))

# Nets at sizes that their pools take without a rest, as ``pixels`` is not exact behind one (see below).
SIZES: dict[str, tuple[int, int]] = {
    "lenet-theano": (28, 28),
    "lenet-5": (32, 32),
    "small": (28, 28),
    "filters-32-64-64": (28, 36),
    "filters-3-6-12": (28, 28),
    "cifar-alves": (32, 32),
    "cifarnet": (24, 24),
    "textures-14": (64, 80),
    "alexnet": (224, 224),
    "vgg11": (96, 64),
    "vgg13": (64, 64),
    "vgg16": (224, 224),
    "vgg19": (64, 64),
    "googlenet": (96, 64),
    "googlenet-batchnorm": (96, 64),
    "resnet18": (97, 65),
    "resnet20": (32, 32),
}


@pytest.fixture(scope="module", autouse=True)
def _one_thread() -> Iterator[None]:
    """Maps here are so small that waking a second thread costs more than it does."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def _everything(planned: Plan) -> Iterator[LayerPlan]:
    """Every layer, and every layer inside a block."""
    for row in planned.rows:
        yield row
        if row.branches:
            yield from row.leaves()


def _transparent(net: nn.Module) -> nn.Module:
    """The net with positive weights and nothing that stops a gradient on its way to a pixel."""
    for name, module in list(net.named_modules()):
        parent = net.get_submodule(name.rpartition(".")[0])
        child = name.rpartition(".")[2]
        if isinstance(module, nn.MaxPool2d):
            mean = nn.AvgPool2d(module.kernel_size, module.stride, module.padding, module.ceil_mode)
            setattr(parent, child, mean)
        elif isinstance(module, nn.ReLU | nn.Tanh | nn.Sigmoid | nn.LeakyReLU | nn.GELU):
            setattr(parent, child, nn.Identity())
    generator = torch.Generator().manual_seed(0)
    for parameter in net.parameters():
        fan_in = max(parameter[0].numel(), 1)
        parameter.data.uniform_(0.5, 1.5, generator=generator).div_(fan_in)
    return net.double().eval()


def _places(grid: tuple[int, int]) -> list[Place]:
    """Corners, the middle, and a place beside a corner."""
    bottom, right = grid[0] - 1, grid[1] - 1
    return [
        (0, 0), (0, right), (bottom, 0), (bottom, right), (bottom // 2, right // 2),
        (min(1, bottom), max(right - 1, 0)),
    ]  # fmt: skip


def _box(gradient: Tensor) -> Box:
    """The least rows and columns around all that is not zero in ``(C, H, W)``."""
    reached = gradient.ne(0).any(0)
    if not reached.any():
        return NOTHING
    rows, columns = reached.any(1).nonzero().flatten(), reached.any(0).nonzero().flatten()
    return range(int(rows[0]), int(rows[-1]) + 1), range(int(columns[0]), int(columns[-1]) + 1)


def _reached(planned: Plan) -> dict[str, dict[Place, Box]]:
    """For every layer and some of its places: the pixels to which the sum over channels has a gradient."""
    net = _transparent(build(planned, 0))
    outputs: dict[str, Tensor] = {}

    def keep(name: str) -> Any:
        return lambda module, inputs, output: outputs.update({name: output})

    rows = list(_everything(planned))
    for row in rows:
        net.get_submodule(row.name).register_forward_hook(keep(row.name))
    # An image of its own for each place, so that one backward pass serves all places.
    count = len(_places((1, 1)))
    generator = torch.Generator().manual_seed(1)
    images = torch.rand(1, *planned.input_shape, dtype=torch.float64, generator=generator).add(0.5)
    images = images.repeat(count, 1, 1, 1).requires_grad_()
    net(images)
    found: dict[str, dict[Place, Box]] = {}
    for row in rows:
        places = _places(row.field.grid)
        values = outputs[row.name].reshape(count, -1, *row.field.grid).sum(1)
        total = torch.stack([values[at][place] for at, place in enumerate(places)]).sum()
        (gradient,) = torch.autograd.grad(total, images, retain_graph=True)
        found[row.name] = {place: _box(gradient[at]) for at, place in enumerate(places)}
    return found


def _told(field: ReceptiveField, place: Place, height: int, width: int) -> Box:
    """The pixels of ``field.pixels``, as whoever cuts them out of an image gets them."""
    rows, columns = field.pixels(*place, height, width)
    box = range(height)[rows], range(width)[columns]
    return box if all(box) else NOTHING


def _compare(planned: Plan, reached: dict[str, dict[Place, Box]]) -> None:
    """Every field is that of the gradient, at every place."""
    _, height, width = planned.input_shape
    rows = list(_everything(planned))
    assert reached.keys() == {row.name for row in rows}
    for row in rows:
        if len(row.output_shape) == 3:
            assert row.field.grid == row.output_shape[1:], row.name
        for place, box in reached[row.name].items():
            assert _told(row.field, place, height, width) == box, (row.name, place)


def _thin(spec: NetSpec) -> NetSpec:
    """The net with few channels: where two counts were equal they still are, so shortcuts stay as they were.

    Fields do not depend on channels, and a net of the zoo fits a test so.
    """
    ranks: dict[int, int] = {}

    def thinner(word: Word) -> Word:
        for name in ("filters", "units"):
            if hasattr(word, name):
                count = getattr(word, name)
                return replace(word, **{name: ranks.setdefault(count, len(ranks) + 1)})
        if isinstance(word, w.Inception):
            return w.Inception(1, 1, 1, 1, 1, 1, word.batchnorm, word.kernel)
        return word

    return NetSpec(tuple(replace(layer, word=thinner(layer.word)) for layer in spec.layers))


def test_sizes_are_given_for_all_nets() -> None:
    assert SIZES.keys() == set(ZOO)


@pytest.mark.parametrize("name", ZOO)
def test_fields_of_the_zoo_are_the_pixels_that_gradients_reach(name: str) -> None:
    spec = find_net(name)
    shape = (ZOO[name].input_shape[0], *SIZES[name])
    if name in {"alexnet", "vgg16"}:
        assert shape == ZOO[name].input_shape
    # The last dense layers of some take one size only: beside it, maps are compared.
    if shape != ZOO[name].input_shape:
        assert plan(spec, shape).output_shape
    thin = plan(_thin(spec), shape)
    fields = {row.name: row.field for row in _everything(plan(spec, shape))}
    assert fields == {row.name: row.field for row in _everything(thin)}
    _compare(thin, _reached(thin))


@pytest.mark.parametrize("name", ["lenet-5", "small", "resnet20"])
def test_fields_of_nets_with_all_their_channels(name: str) -> None:
    planned = plan(find_net(name), ZOO[name].input_shape)
    _compare(planned, _reached(planned))


def _sees_nothing(planned: Plan) -> bool:
    """A window stands in padding alone, so that a value depends on no pixel at all."""
    for row in planned.leaves():
        window = row.layer.word.window(row.input_shape)
        if window is None or row.layer.word.stem == "dense":
            continue
        for axis in (0, 1):
            size, count = row.input_shape[1 + axis], row.output_shape[1 + axis]
            last = (count - 1) * window.stride[axis] - window.before[axis]
            if window.before[axis] >= window.size[axis] or last >= size:
                return True
    return False


CONVS = st.builds(
    "conv {} {}x{}{}{}".format,
    st.integers(1, 2),
    st.integers(1, 5),
    st.integers(1, 5),
    st.sampled_from(["", " same", " pad 1", " pad 0x2", " pad 2x1"]),
    st.sampled_from(["", "", " stride 2", " stride 1x2", " stride 3"]),
)
POOLS = st.builds(
    "{} {}{}{}{}".format,
    st.sampled_from(["maxpool", "avgpool"]),
    st.sampled_from(["2", "3", "2x3"]),
    st.sampled_from(["", "", " stride 1", " stride 2x1"]),
    st.sampled_from(["", " pad 1", " pad 0x1"]),
    st.sampled_from(["", " ceil"]),
)
BLOCKS = st.builds(
    "inception 1 1-1 1-2 1{}{}".format,
    st.sampled_from(["", " batchnorm"]),
    st.sampled_from(["", " wide 3", " wide 1x7", " wide 1"]),
) | st.builds("residual {}{}".format, st.integers(1, 2), st.sampled_from(["", " stride 2", " stride 1x2"]))
OTHERS = st.sampled_from(
    ["relu", "tanh", "batchnorm", "lrn 3 alpha 0.1", "dropout 0.5", "globalpool", "flatten", "dense 2"]
)


@st.composite
def _plans(draw: Any) -> Plan:
    """A small net that works on its input: layers that do not are left out."""
    shape: Shape = (draw(st.integers(1, 2)), draw(st.integers(5, 20)), draw(st.integers(5, 20)))
    lines: list[str] = []
    for line in draw(st.lists(st.one_of(CONVS, POOLS, BLOCKS, OTHERS), min_size=1, max_size=6)):
        try:
            planned = plan(parse_net("\n".join([*lines, line])), shape)
        except ConfigError:
            continue
        if not _sees_nothing(planned):
            lines.append(line)
    return plan(parse_net("\n".join(lines or ["relu"])), shape)


@settings(deadline=None, max_examples=120)
@given(_plans())
@example(plan(parse_net("maxpool 3 stride 2 ceil | conv 1 3x3 pad 1 | inception 1 1-1 1-1 1"), (1, 12, 11)))
@example(plan(parse_net("conv 1 2x2 same | residual 1 | conv 1 3x3 stride 4 | dropout 0.5"), (1, 15, 13)))
def test_fields_of_any_net_are_the_pixels_that_gradients_reach(planned: Plan) -> None:
    _compare(planned, _reached(planned))


def _rows(name: str, shape: Shape | None = None) -> dict[str, ReceptiveField]:
    planned = plan(find_net(name), shape or ZOO[name].input_shape)
    return {row.name: row.field for row in _everything(planned)}


def test_a_lenet_by_hand() -> None:
    """28 pixels, a 5×5 kernel, pairs, a 5×5 kernel on every second pixel, pairs, and all of it."""
    fields = _rows("lenet-theano")
    pool1 = ReceptiveField(size=(6, 6), jump=(2, 2), start=(0, 0), grid=(12, 12))
    pool2 = ReceptiveField(size=(16, 16), jump=(4, 4), start=(0, 0), grid=(4, 4))
    assert fields["conv1"] == ReceptiveField(size=(5, 5), jump=(1, 1), start=(0, 0), grid=(24, 24))
    assert fields["pool1"] == fields["tanh1"] == pool1
    assert fields["conv2"] == ReceptiveField(size=(14, 14), jump=(2, 2), start=(0, 0), grid=(8, 8))
    assert fields["pool2"] == fields["tanh2"] == fields["flatten1"] == pool2
    for dense in ("dense1", "tanh3", "dense2"):
        assert (fields[dense].size, fields[dense].start, fields[dense].grid) == ((28, 28), (0, 0), (1, 1))
    assert fields["pool2"].pixels(0, 3, 28, 28) == (slice(0, 16), slice(12, 28))
    assert fields["pool1"].pixels(11, 4, 28, 28) == (slice(22, 28), slice(8, 14))


def test_height_and_width_are_apart() -> None:
    """By hand: 3×5 with padding 1×2, then every second row and every third column."""
    conv, pool = plan(parse_net("conv 2 3x5 pad 1x2 | avgpool 2x3"), (1, 8, 12)).rows
    assert conv.field == ReceptiveField(size=(3, 5), jump=(1, 1), start=(-1, -2), grid=(8, 12))
    assert pool.field == ReceptiveField(size=(4, 7), jump=(2, 3), start=(-1, -2), grid=(4, 4))
    assert pool.field.pixels(0, 3, 8, 12) == (slice(0, 3), slice(7, 12))


def test_branches_are_covered_by_one_field() -> None:
    """The widest branch decides: 5×5, or 7 columns of it, or the pool's 3×3 where wide is 1."""
    for option, size, start in (
        ("", (5, 5), (-2, -2)),
        (" wide 1x7", (3, 7), (-1, -3)),
        (" wide 1", (3, 3), (-1, -1)),
    ):
        (row,) = plan(parse_net(f"inception 1 1-1 1-1 1{option}"), (1, 9, 9)).rows
        assert row.field == ReceptiveField(size, (1, 1), start, (9, 9))
    # 3×3, and 3×3 on every second pixel: 3 + 2·2 pixels from −1 − 2 on. The shortcut sees one of them.
    (row,) = plan(parse_net("residual 4 stride 2"), (1, 9, 9)).rows
    assert row.field == ReceptiveField(size=(7, 7), jump=(2, 2), start=(-3, -3), grid=(5, 5))
    assert row.branches[1][0].field == ReceptiveField(size=(1, 1), jump=(2, 2), start=(0, 0), grid=(5, 5))


PUBLISHED = [
    # Araujo et al., Distill, 2019, and fomoro's calculator for AlexNet: sizes and jumps behind a layer.
    ("alexnet", "pool1", 19, 8),
    ("alexnet", "conv2", 51, 8),
    ("alexnet", "conv5", 163, 16),
    ("alexnet", "pool3", 195, 32),
    ("vgg16", "conv13", 196, 16),
    ("vgg16", "pool5", 212, 32),
    ("vgg11", "pool5", 150, 32),
    ("vgg19", "pool5", 268, 32),
    ("resnet18", "pool1", 11, 4),
    ("resnet18", "residual8", 435, 32),
]


@pytest.mark.parametrize(("name", "layer", "size", "jump"), PUBLISHED)
def test_published_fields(name: str, layer: str, size: int, jump: int) -> None:
    field = _rows(name)[layer]
    assert (field.size, field.jump) == ((size, size), (jump, jump))


@pytest.mark.parametrize(
    ("text", "shape"),
    [
        ("globalpool | flatten | dense 3 | dense 2", (1, 5, 7)),
        ("flatten | dense 3", (2, 4, 5)),
        ("flatten", (2, 4, 5)),
    ],
)
def test_what_sees_everything_sees_the_image(text: str, shape: Shape) -> None:
    last = plan(parse_net(text), shape).rows[-1]
    if text == "flatten":  # each value is still one pixel's
        assert last.field == ReceptiveField.of_image(4, 5)
    else:
        assert last.field.pixels(0, 0, *shape[1:]) == (slice(0, shape[1]), slice(0, shape[2]))


def test_a_vector_has_one_place() -> None:
    (row,) = plan(parse_net("dense 3"), (7,)).rows
    assert row.field == ReceptiveField.of_image(1, 1)


@pytest.mark.parametrize(
    ("text", "shape"),
    [
        ("maxpool 2 | conv 1 3x3 pad 1", (1, 7, 7)),
        ("conv 1 1x1 stride 2 | conv 1 3x3 pad 1", (1, 8, 8)),
        ("maxpool 2 | residual 1", (1, 9, 9)),
    ],
)
def test_a_rest_that_no_window_sees_is_in_no_field(text: str, shape: Shape) -> None:
    planned = plan(parse_net(text), shape)
    _compare(planned, _reached(planned))


def test_a_value_of_padding_alone_has_no_pixels() -> None:
    planned = plan(parse_net("conv 1 1x1 pad 2"), (1, 6, 6))
    _compare(planned, _reached(planned))
