"""What makes a suffix cheap, piece by piece: each must give what the plain operations give."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from itertools import product
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from cutaway import Subject
from cutaway.look.added import added
from cutaway.look.apart import Apart
from cutaway.look.fused import fused, pool_pairs
from cutaway.look.operation import Operation, Slot, mapped
from cutaway.look.rerun import rerun
from cutaway.look.suffix import Suffix
from cutaway.look.trace import Trace, trace

SHAPE = (3, 12, 10)
INPUTS = torch.randn(2, *SHAPE, generator=torch.Generator().manual_seed(1))


def ready(model: nn.Module) -> nn.Module:
    """A model in evaluation mode, with statistics other than 0 and 1."""
    generator = torch.Generator().manual_seed(2)
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            assert module.running_mean is not None
            assert module.running_var is not None
            module.running_mean.normal_(0, 0.5, generator=generator)
            module.running_var.uniform_(0.5, 2, generator=generator)
    return model.eval()


def traced(model: nn.Module, layer: str) -> Trace:
    with torch.no_grad():
        return trace(ready(model), model, INPUTS, layer)


def applied(operations: Sequence[Operation], found: Trace) -> Tensor:
    """The operations one after the other, as slowly and plainly as can be."""
    values: dict[int, Tensor] = {found.start.number: found.output.clone()}
    with torch.no_grad():
        for operation in operations:
            args, kwargs = mapped(
                (operation.args, operation.kwargs),
                lambda leaf: values[leaf.number] if isinstance(leaf, Slot) else leaf,
            )
            values[operation.outputs[0].number] = operation.function(*args, **kwargs)
    assert found.end is not None
    return values[found.end.number]


def names(operations: Sequence[Operation]) -> list[str]:
    return [operation.function.__name__ for operation in operations]


def test_batch_norm_is_folded_and_pools_come_before_relu() -> None:
    model = nn.Sequential(
        nn.Conv2d(3, 4, 3),
        nn.Conv2d(4, 5, 3, padding=1, stride=(1, 2), bias=False),
        nn.BatchNorm2d(5),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Conv2d(5, 6, 2, groups=1),
        nn.BatchNorm2d(6, affine=False),
        nn.ReLU(inplace=True),
        nn.Flatten(),
        nn.Linear(24, 3),
    )
    found = traced(model, "0")
    assert found.end is not None
    operations = fused(found.operations, found.end)
    assert names(operations) == ["conv2d", "pool_pairs", "relu_", "conv2d", "relu_", "flatten", "linear"]
    torch.testing.assert_close(applied(operations, found), found.logits, atol=1e-5, rtol=1e-4)
    torch.testing.assert_close(applied(found.operations, found), found.logits)


class Shared(nn.Module):
    """Where a value is read twice, nothing behind it may be put before its other reader."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.conv = nn.Conv2d(3, 4, 3), nn.Conv2d(4, 4, 3, padding=1)
        self.norm = nn.BatchNorm2d(4)

    def forward(self, x: Tensor) -> Tensor:
        y = self.conv(self.first(x))
        z = F.relu(self.norm(y))
        return (F.max_pool2d(z, 2) + F.avg_pool2d(z, 2) - F.max_pool2d(y, 2)).mean((2, 3))


def test_what_is_read_twice_is_left_as_it_is() -> None:
    found = traced(Shared(), "first")
    assert found.end is not None
    operations = fused(found.operations, found.end)
    kinds = Counter(names(operations))
    assert kinds["batch_norm"] == 1
    assert names(operations).index("pool_pairs") > names(operations).index("relu_")
    torch.testing.assert_close(applied(operations, found), found.logits, atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("size", [(2, 2), (8, 6), (7, 9), (3, 2)])
def test_pools_by_pairs(size: tuple[int, int]) -> None:
    maps = torch.randn(2, 3, *size, generator=torch.Generator().manual_seed(4))
    for layout in (torch.contiguous_format, torch.channels_last):
        torch.testing.assert_close(
            pool_pairs(maps.contiguous(memory_format=layout)), F.max_pool2d(maps, 2), atol=0, rtol=0
        )


@pytest.mark.parametrize(
    "pool",
    [nn.MaxPool2d(3, 2), nn.MaxPool2d(2, 1), nn.MaxPool2d(2, padding=1), nn.MaxPool2d(2, ceil_mode=True)],
)
def test_other_pools_are_applied_as_they_are(pool: nn.Module) -> None:
    found = traced(nn.Sequential(nn.Conv2d(3, 4, 4), nn.ReLU(), pool, nn.Flatten()), "0")
    assert found.end is not None
    operations = fused(found.operations, found.end)
    assert "pool_pairs" not in names(operations)
    torch.testing.assert_close(applied(operations, found), found.logits, atol=0, rtol=0)


def variants(value: Apart, units: Tensor) -> Tensor:
    """Every variant in full, unit by unit: ``(V, N, …)``."""
    found = []
    for unit in units.tolist():
        one = value.base.clone()
        own = slice(unit * value.span, (unit + 1) * value.span)
        one[:, own] = value.replaced[:, own]
        found.append(one)
    return torch.stack(found)


def some_apart(*shape: int, span: int = 1) -> Apart:
    generator = torch.Generator().manual_seed(5)
    return Apart(torch.randn(*shape, generator=generator), torch.randn(*shape, generator=generator), span)


def linear_operation(function: Callable[..., Tensor], inputs: Tensor, *args: Any, **kwargs: Any) -> Operation:
    slot, result = Slot(0, tuple(inputs.shape)), function(inputs, *args, **kwargs)
    return Operation(function, (slot, *args), kwargs, (Slot(1, tuple(result.shape)),), ())


@pytest.mark.parametrize(("stride", "padding", "dilation"), list(product((1, (2, 3)), (0, (1, 2)), (1, 2))))
@pytest.mark.parametrize("bias", [True, False])
def test_sums_for_a_convolution(stride: Any, padding: Any, dilation: Any, *, bias: bool) -> None:
    value, weight = some_apart(2, 5, 9, 8), torch.randn(4, 5, 3, 2)
    settings: dict[str, Any] = {"stride": stride, "padding": padding, "dilation": dilation}
    operation = linear_operation(F.conv2d, value.base, weight, torch.randn(4) if bias else None, **settings)
    units = torch.tensor([3, 0, 3])
    found = added(operation, value, units)
    assert found is not None
    wanted = torch.stack([F.conv2d(one, *operation.args[1:], **settings) for one in variants(value, units)])
    torch.testing.assert_close(found, wanted, atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("span", [1, 4])
@pytest.mark.parametrize("bias", [True, False])
def test_sums_for_a_dense_layer(*, span: int, bias: bool) -> None:
    value, weight = some_apart(3, 5 * span, span=span), torch.randn(6, 5 * span)
    operation = linear_operation(F.linear, value.base, weight, torch.randn(6) if bias else None)
    units = torch.tensor([4, 1])
    found = added(operation, value, units)
    assert found is not None
    wanted = torch.stack([F.linear(one, *operation.args[1:]) for one in variants(value, units)])
    torch.testing.assert_close(found, wanted, atol=1e-5, rtol=1e-4)


def test_no_sums_where_units_share_no_weights_or_nothing_is_linear() -> None:
    value, units = some_apart(2, 4, 6, 6), torch.tensor([1])
    grouped = linear_operation(F.conv2d, value.base, torch.randn(4, 2, 3, 3), groups=2)
    named = linear_operation(F.conv2d, value.base, torch.randn(4, 4, 3, 3), padding="same")
    pooled = linear_operation(F.max_pool2d, value.base, 2)
    for operation in (grouped, named, pooled):
        assert added(operation, value, units) is None
    plain = linear_operation(F.conv2d, value.base, torch.randn(4, 4, 3, 3))
    assert added(plain, value.base, units) is None
    assert added(plain, value, units) is not None


def test_variants_that_have_not_mixed_differ_in_their_unit() -> None:
    for value in (some_apart(2, 5, 3, 4), some_apart(2, 15, span=3)):
        units = torch.tensor([4, 0, 2])
        torch.testing.assert_close(value.mixed(units), variants(value, units), atol=0, rtol=0)


class Counting(nn.Module):
    """Counts images that go through."""

    def __init__(self) -> None:
        super().__init__()
        self.images: list[int] = []

    def forward(self, x: Tensor) -> Tensor:
        self.images.append(len(x))
        return x


def test_the_part_before_a_layer_is_computed_no_more_often_for_more_units() -> None:
    def prefixes(units: int) -> list[int]:
        counting = Counting()
        model = nn.Sequential(
            counting, nn.Conv2d(3, 40, 3), nn.ReLU(), nn.Conv2d(40, 2, 3), nn.Flatten(), nn.Linear(96, 3)
        )
        with torch.no_grad():
            found = rerun(Subject(model.eval(), SHAPE), INPUTS, "1", torch.arange(units), torch.zeros(40))
        assert not found.reason
        assert len(found.units) == units
        return counting.images

    assert prefixes(1) == prefixes(40)
    assert sum(prefixes(40)) <= 2 * len(INPUTS), "one pass to record, and one to check"


def test_the_largest_value_behind_a_layer_is_known() -> None:
    model = nn.Sequential(
        nn.Conv2d(3, 4, 3), nn.ReLU(), nn.Conv2d(4, 9, 3), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten()
    )
    found = traced(model, "0")
    # Behind the point where units mix: nine maps of 8×6 for two images.
    assert Suffix(found, torch.zeros_like(found.output)).largest == 2 * 9 * 8 * 6
