"""Cells against sums written out with plain Python loops, and fields against what really moves a value."""

from __future__ import annotations

from itertools import product

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from cutaway import Subject
from cutaway.errors import ConfigError, DataError, NotFoundError
from cutaway.look import cell
from cutaway.look.reach import reach
from cutaway.nets import parse_net, plan
from cutaway.nets.builder import build

SHAPE = (4, 7, 6)
IMAGE = torch.randn(1, *SHAPE, generator=torch.Generator().manual_seed(2))


def convolution(x: Tensor, conv: nn.Conv2d, unit: int, row: int, column: int) -> float:
    """Σ x·w + b with zeros around, one product after another, from the definition."""
    (stride, across), (dilation, wide) = conv.stride, conv.dilation
    assert not isinstance(conv.padding, str)
    assert conv.bias is not None
    per_group = conv.in_channels // conv.groups
    first = unit // (conv.out_channels // conv.groups) * per_group
    total = float(conv.bias.detach()[unit])
    height, width = conv.kernel_size
    for i, u, v in product(range(per_group), range(height), range(width)):
        r = row * stride + u * dilation - conv.padding[0]
        c = column * across + v * wide - conv.padding[1]
        if 0 <= r < x.shape[1] and 0 <= c < x.shape[2]:
            total += float(x[first + i, r, c]) * float(conv.weight.detach()[unit, i, u, v])
    return total


def transposed(x: Tensor, conv: nn.ConvTranspose2d, unit: int, row: int, column: int) -> float:
    """What all inputs spread to one place: each input adds its kernel where it stands, times stride."""
    assert not isinstance(conv.padding, str)
    assert conv.bias is not None
    outputs, per_group = conv.out_channels // conv.groups, conv.in_channels // conv.groups
    group = unit // outputs
    total = float(conv.bias.detach()[unit])
    for i in range(group * per_group, (group + 1) * per_group):
        for r, c in product(range(x.shape[1]), range(x.shape[2])):
            for u, v in product(range(conv.kernel_size[0]), range(conv.kernel_size[1])):
                at = r * conv.stride[0] - conv.padding[0] + u * conv.dilation[0]
                across = c * conv.stride[1] - conv.padding[1] + v * conv.dilation[1]
                if (at, across) == (row, column):
                    total += float(x[i, r, c]) * float(conv.weight.detach()[i, unit - group * outputs, u, v])
    return total


CONVOLUTIONS = {
    "plain": nn.Conv2d(4, 3, 3),
    "strided and padded": nn.Conv2d(4, 3, (3, 2), stride=(2, 3), padding=(2, 1)),
    "dilated": nn.Conv2d(4, 3, (2, 3), dilation=(3, 2), padding=2),
    "grouped": nn.Conv2d(4, 6, 3, groups=2, padding=1),
    "depthwise": nn.Conv2d(4, 8, 3, groups=4, stride=2, padding=1),
    "one pixel": nn.Conv2d(4, 3, 1),
}
TRANSPOSED = {
    "plain": nn.ConvTranspose2d(4, 3, 3),
    "strided": nn.ConvTranspose2d(4, 3, 3, stride=2, padding=1, output_padding=1),
    "all": nn.ConvTranspose2d(4, 6, (3, 2), stride=(2, 3), padding=(1, 0), groups=2, dilation=(2, 1)),
}


@pytest.mark.parametrize("name", CONVOLUTIONS)
def test_every_value_of_a_convolution_is_the_sum_of_its_products(name: str) -> None:
    conv = CONVOLUTIONS[name]
    subject = Subject(nn.Sequential(conv), SHAPE)
    units, rows, columns = conv(IMAGE)[0].shape
    for unit, row, column in product(range(units), range(rows), range(0, columns, 2)):
        found = cell(subject, IMAGE, "0", unit, row=row, column=column)
        wanted = convolution(IMAGE[0], conv, unit, row, column)
        assert found.total == pytest.approx(wanted, abs=1e-5)
        assert found.value == pytest.approx(wanted, abs=1e-5)
        assert float(found.products.sum()) + found.bias == pytest.approx(wanted, abs=1e-5)
        assert found.patch.shape == found.kernel.shape == (conv.in_channels // conv.groups, *conv.kernel_size)
        assert torch.equal(found.kernel, conv.weight[unit])


@pytest.mark.parametrize("name", TRANSPOSED)
def test_every_value_of_a_transposed_convolution_is_what_is_spread_to_it(name: str) -> None:
    conv = TRANSPOSED[name]
    subject = Subject(nn.Sequential(conv), SHAPE)
    units, rows, columns = conv(IMAGE)[0].shape
    places = list(product(range(units), range(rows), range(columns)))
    for unit, row, column in places[:: max(1, len(places) // 25)]:
        found = cell(subject, IMAGE, "0", unit, row=row, column=column)
        wanted = transposed(IMAGE[0], conv, unit, row, column)
        assert found.total == pytest.approx(wanted, abs=1e-5)
        assert found.value == pytest.approx(wanted, abs=1e-5)


@pytest.mark.filterwarnings("ignore:Using padding='same' with even kernel")
@pytest.mark.parametrize(
    "conv",
    [
        nn.Conv2d(4, 3, 3, padding="same", dilation=2),
        nn.Conv2d(4, 3, (4, 2), padding="same"),
        nn.Conv2d(4, 3, 3, padding="valid"),
        nn.Conv2d(4, 3, 3, padding=2, padding_mode="reflect", bias=False),
        nn.Conv2d(4, 3, 3, padding=2, padding_mode="circular"),
        nn.Conv2d(4, 3, 3, padding=1, padding_mode="replicate"),
    ],
    ids=["same dilated", "same uneven", "valid", "reflect", "circular", "replicate"],
)
def test_named_paddings_take_their_patch_from_the_places_they_say(conv: nn.Conv2d) -> None:
    subject = Subject(nn.Sequential(conv), SHAPE)
    _, rows, columns = conv(IMAGE)[0].shape
    for row, column in product((0, 1, rows - 1), (0, columns - 1)):
        found = cell(subject, IMAGE, "0", 1, row=row, column=column)
        assert found.total == pytest.approx(float(conv(IMAGE).detach()[0, 1, row, column]), abs=1e-5)
        for u, v in product(*map(range, conv.kernel_size)):
            r, c = found.places[u, v].tolist()
            wanted = torch.zeros(4) if r < 0 else IMAGE[0, :, r, c]
            assert torch.equal(found.patch[:, u, v], wanted)
            assert (r < 0) == (c < 0)
        assert found.grid == SHAPE[1:]


def test_our_own_uneven_same_padding() -> None:
    net = build(plan(parse_net("conv 3 4x4 same stride 2 | relu | flatten | dense 2"), SHAPE), seed=3)
    subject = Subject(net, SHAPE, plan=net.plan)
    out = net[0](IMAGE)[0]
    for row, column in product(range(out.shape[1]), range(out.shape[2])):
        found = cell(subject, IMAGE, "conv1", 2, row=row, column=column)
        assert found.total == pytest.approx(float(out.detach()[2, row, column]), abs=1e-5)
        assert found.grid == SHAPE[1:]


def test_a_dense_layer_is_arranged_as_the_maps_that_were_flattened() -> None:
    net = build(plan(parse_net("conv 3 3x3 | relu | flatten | dense 5 | tanh | dense 2"), SHAPE), seed=4)
    subject = Subject(net, SHAPE, plan=net.plan)
    maps = torch.relu(net[0](IMAGE))[0].detach()
    found = cell(subject, IMAGE, "dense1", 4)
    torch.testing.assert_close(found.patch, maps)
    weight = net.get_submodule("dense1").weight
    assert isinstance(weight, Tensor)
    total = sum(
        float(maps[c, i, j]) * float(weight.detach()[4, c * 20 + i * 4 + j])
        for c, i, j in product(range(3), range(5), range(4))
    )
    assert found.total - found.bias == pytest.approx(total, abs=1e-5)
    assert found.field == (0, 0, 7, 6)
    second = cell(subject, IMAGE, "dense2", 1)
    assert second.patch.shape == (5, 1, 1)
    assert second.total == pytest.approx(float(net(IMAGE).detach()[0, 1]), abs=1e-5)


def test_without_a_place_the_largest_value_of_the_unit_is_taken() -> None:
    conv = CONVOLUTIONS["plain"]
    subject = Subject(nn.Sequential(conv), SHAPE)
    out = conv(IMAGE)[0, 2].tolist()
    found = cell(subject, IMAGE, "0", 2)
    assert found.value == pytest.approx(max(max(row) for row in out))
    assert found.value == pytest.approx(out[found.row][found.column])
    in_row = cell(subject, IMAGE, "0", 2, row=3)
    assert in_row.row == 3
    assert in_row.value == pytest.approx(max(out[3]))
    in_column = cell(subject, IMAGE, "0", 2, column=1)
    assert in_column.value == pytest.approx(max(row[1] for row in out))


def test_a_call_of_a_function_is_taken_apart_like_a_module() -> None:
    class Model(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.weight = nn.Parameter(torch.randn(3, 3, 2, 2))

        def forward(self, x: Tensor) -> Tensor:
            x = F.conv2d(x[:, :3], self.weight)
            x.relu_()
            return F.conv2d(x, weight=self.weight, stride=2, padding=1)

    model = Model()
    subject = Subject(model, SHAPE)
    with torch.no_grad():
        first = F.conv2d(IMAGE[:, :3], model.weight)
        second = F.conv2d(first.clamp_min(0), model.weight, stride=2, padding=1)
    for name, out in (("conv2d@1", first), ("conv2d@2", second)):
        for row, column in product(range(out.shape[2]), range(out.shape[3])):
            found = cell(subject, IMAGE, name, 2, row=row, column=column)
            assert found.total == pytest.approx(float(out.detach()[0, 2, row, column]), abs=1e-5)
            assert found.bias == 0


def test_of_a_module_applied_twice_each_time_can_be_explained() -> None:
    conv = nn.Conv2d(4, 4, 3, padding=1)

    class Twice(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv = conv

        def forward(self, x: Tensor) -> Tensor:
            return self.conv(torch.relu(self.conv(x)))  # type: ignore[no-any-return]

    subject = Subject(Twice(), SHAPE)
    with torch.no_grad():
        once = torch.relu(conv(IMAGE))[0]
    found = cell(subject, IMAGE, "conv@2", 1, row=2, column=2)
    assert found.total == pytest.approx(convolution(once, conv, 1, 2, 2), abs=1e-5)
    assert cell(subject, IMAGE, "conv", 1, row=2, column=2).total == pytest.approx(
        convolution(IMAGE[0], conv, 1, 2, 2), abs=1e-5
    )


class Foreign(nn.Module):
    """Dead ReLUs, a max-pool, a stride, a dilation: the field is what can matter, not what does."""

    def __init__(self) -> None:
        super().__init__()
        self.one = nn.Conv2d(4, 4, 3, padding=1)
        self.two = nn.Conv2d(4, 4, 3, stride=2)
        self.three = nn.Conv2d(4, 4, 2, dilation=2)
        nn.init.constant_(self.one.bias, -100.0)  # type: ignore[arg-type]  # every ReLU behind it is dead

    def forward(self, x: Tensor) -> Tensor:
        x = F.max_pool2d(F.relu(self.one(x)), 2, stride=1)
        x = self.two(x)
        return self.three(x)  # type: ignore[no-any-return]


def dependent(model: Foreign, row: int, column: int, size: int) -> tuple[int, int, int, int]:
    """The pixels that move a value in a copy whose weights are all positive and that has no dead ReLU."""
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.fill_(0.1)
        base = model(torch.zeros(1, 4, size, size))[0, 0, row, column]
        moved = []
        for r, c in product(range(size), range(size)):
            image = torch.zeros(1, 4, size, size)
            image[0, :, r, c] = 1
            if model(image)[0, 0, row, column] != base:
                moved.append((r, c))
    rows, columns = zip(*moved, strict=True)
    return min(rows), min(columns), max(rows) + 1, max(columns) + 1


@pytest.mark.parametrize(("row", "column"), [(0, 0), (1, 2), (3, 3), (2, 0)])
def test_the_field_of_a_foreign_model_is_what_its_wiring_allows(row: int, column: int) -> None:
    torch.manual_seed(5)
    image = torch.rand(1, 4, 14, 14)
    model = Foreign()
    subject = Subject(model, (4, 14, 14))
    found = reach(subject, image, "three", 2, (row, column))
    assert found == dependent(Foreign(), row, column, 14)


@pytest.mark.parametrize("layer", ["conv1", "pool1", "conv2", "relu2", "conv3"])
def test_the_field_that_is_measured_is_the_planned_one(layer: str) -> None:
    text = "conv 3 3x3 same | maxpool 2 | conv 4 5x5 stride 2 pad 2 | batchnorm | relu | conv 4 3x3 | relu"
    net = build(plan(parse_net(text), (2, 21, 19)), seed=6)
    if layer == "relu2":
        layer = "relu1"
    image = torch.rand(1, 2, 21, 19)
    ours, theirs = Subject(net, (2, 21, 19), plan=net.plan), Subject(net, (2, 21, 19))
    row = next(row for row in net.plan.rows if row.name == layer)
    _, height, width = row.output_shape
    for place in {(0, 0), (height // 2, width // 2), (height - 1, width - 1)}:
        assert reach(theirs, image, layer, 1, place) == reach(ours, image, layer, 1, place)


def test_a_model_that_keeps_nan_out_is_measured_with_noise() -> None:
    class Guarded(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv = nn.Conv2d(1, 2, 3)

        def forward(self, x: Tensor) -> Tensor:
            return self.conv(torch.nan_to_num(x))  # type: ignore[no-any-return]

    assert reach(Subject(Guarded(), (1, 9, 9)), torch.rand(1, 1, 9, 9), "conv", 1, (2, 4)) == (2, 4, 5, 7)


def test_a_field_reaches_everything_behind_a_global_operation() -> None:
    model = nn.Sequential(nn.Conv2d(1, 2, 3), nn.GroupNorm(1, 2), nn.Conv2d(2, 2, 1))
    assert reach(Subject(model, (1, 8, 9)), torch.rand(1, 1, 8, 9), "2", 0, (1, 1)) == (0, 0, 8, 9)


@pytest.mark.parametrize(
    ("layer", "unit", "place", "error", "told"),
    [
        ("0", 3, {}, NotFoundError, "0 has no unit 3; they are numbered from 0 to 2"),
        ("0", -1, {}, NotFoundError, "0 has no unit -1"),
        ("0", 0, {"row": 5}, NotFoundError, "0 has no row 5; they are numbered from 0 to 4"),
        ("0", 0, {"column": -1}, NotFoundError, "0 has no column -1"),
        ("1", 0, {}, ConfigError, "1 is no convolution and no dense layer. Known: 0, 3."),
        ("relu@1", 0, {}, ConfigError, "relu@1 is no convolution"),
        ("3", 0, {"row": 1}, NotFoundError, "3 gives one value for each unit"),
        ("4", 0, {}, NotFoundError, 'no layer "4"'),
    ],
)
def test_what_is_not_there_is_told(
    layer: str, unit: int, place: dict[str, int], error: type[Exception], told: str
) -> None:
    model = nn.Sequential(nn.Conv2d(4, 3, 3), nn.ReLU(), nn.Flatten(), nn.Linear(60, 2))
    with pytest.raises(error) as caught:
        cell(Subject(model, SHAPE), IMAGE, layer, unit, **place)
    assert told in str(caught.value)


def test_one_image_at_a_time_and_no_nan() -> None:
    subject = Subject(nn.Sequential(nn.Conv2d(4, 3, 3)), SHAPE)
    assert cell(subject, IMAGE[0], "0", 0).value == cell(subject, IMAGE, "0", 0).value
    with pytest.raises(ConfigError, match="one image 1×C×H×W, not 2×4×7×6"):
        cell(subject, IMAGE.repeat(2, 1, 1, 1), "0", 0)
    bad = IMAGE.clone()
    bad[0, 1, 2, 3] = torch.nan
    with pytest.raises(DataError, match="Image 0 has NaN"):
        cell(subject, bad, "0", 0)
