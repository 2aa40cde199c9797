"""Sums of products: what a convolution or a dense layer computes, taken apart place by place."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from cutaway.errors import ConfigError, nearest
from cutaway.look.address import parse_address
from cutaway.look.arrangement import arrangement
from cutaway.look.calls import Calls
from cutaway.look.capture import capture
from cutaway.look.finite import refuse_nan
from cutaway.look.modules import named_modules
from cutaway.nets.parts import told_shape
from cutaway.nets.subject import Subject

_SUMS = {"conv2d", "conv_transpose2d", "linear"}
_CONV: Mapping[str, Any] = {"bias": None, "stride": 1, "padding": 0, "dilation": 1, "groups": 1}
_TRANSPOSED: Mapping[str, Any] = {
    "bias": None,
    "stride": 1,
    "padding": 0,
    "output_padding": 0,
    "groups": 1,
    "dilation": 1,
}
_DEFAULTS: Mapping[str, Mapping[str, Any]] = {"linear": {"bias": None}, "conv2d": _CONV}


@dataclass(frozen=True)
class Sum:
    """A call of a convolution or a dense layer, and how its input was padded before."""

    name: str
    arguments: Mapping[str, Any]
    output: Tensor  # (O, H, W) or (O,)
    places: Tensor | None  # (H', W', 2) of the input, where rows and columns were added before

    @property
    def input(self) -> Tensor:
        """What it is applied to: ``(C, H', W')`` or ``(F,)``."""
        found: Tensor = self.arguments["input"][0]
        return found


@dataclass(frozen=True)
class Terms:
    """What one value is the sum of; see :class:`cutaway.look.Cell` for the fields."""

    patch: Tensor
    kernel: Tensor
    bias: float
    channels: Sequence[int]
    places: Tensor
    grid: tuple[int, int]


def terms(subject: Subject, layer: str, summed: Sum, unit: int, place: tuple[int, int]) -> Terms:
    """The terms of the value of a unit at a row and a column."""
    if summed.name == "linear":
        return _dense(summed, unit, arrangement(subject, layer))
    return (_convolution if summed.name == "conv2d" else _transposed)(summed, unit, *place)


def find_sum(subject: Subject, images: Tensor, layer: str) -> Sum:
    """The one call that a layer makes.

    Raises:
        NotFoundError: there is no such layer.
        ConfigError: it is no convolution and no dense layer.
        DataError: weights or image are not finite.
    """
    modules = named_modules(subject.model)
    address = parse_address(layer, modules)
    if address.argument or address.parts:
        raise ConfigError(f"{layer} is a part of a layer; cell explains what a whole one gives.")
    seen: list[tuple[str, Sequence[Any], Mapping[str, Any], Tensor | None]] = []
    inputs = subject.inputs(images)
    if address.is_call:
        _refuse_other(address.name in _SUMS, layer, modules)

        def called(name: str, number: int, args: Sequence[Any], kwargs: Mapping[str, Any]) -> None:
            if number == address.call:
                seen.append((name, args, kwargs, None))

        with capture(subject.model, [layer]) as outputs, Calls({address.name}, before=called):
            output = outputs(subject.filled(inputs))[layer]
    else:
        entry = f"{layer}:input"
        with capture(subject.model, [layer, entry]) as outputs, subject.applying(1):
            found = outputs(subject.filled(inputs))
            output = found[layer]
            seen, results = _replay(modules[address.name], found[entry])
        _refuse_other(len(seen) == 1, layer, modules)
        if not _same(results[0], output):
            raise ConfigError(
                f"{layer} gives something else than the sum of its {seen[0][0]}. "
                f"Choose that call itself, such as {seen[0][0]}@1."
            )
    name, args, kwargs, places = seen[0]
    refuse_nan(subject, inputs, {layer: output})
    defaults: Mapping[str, Any] = _DEFAULTS.get(name, _TRANSPOSED)
    names = ["input", "weight", *defaults]
    given = {**defaults, **dict(zip(names, args, strict=False)), **kwargs}
    arguments = {key: v.detach() if isinstance(v, Tensor) else v for key, v in given.items()}
    if name == "linear" and arguments["input"].dim() != 2:
        shape = told_shape(arguments["input"])
        raise ConfigError(f"{layer} is applied to {shape}; cell explains dense layers on N×F.")
    return Sum(name, arguments, output[0], places)


def _replay(
    module: nn.Module, given: Tensor
) -> tuple[list[tuple[str, Sequence[Any], Mapping[str, Any], Tensor | None]], list[Tensor]]:
    """The convolutions and products that a module makes of its input, where padding put its rows; results."""
    seen: list[tuple[str, Sequence[Any], Mapping[str, Any], Tensor | None]] = []
    places: list[Tensor] = []
    results: list[Tensor] = []

    def before(name: str, number: int, args: Sequence[Any], kwargs: Mapping[str, Any]) -> None:
        del number
        if name != "pad":
            seen.append((name, args, kwargs, places[-1] if places else None))
            return
        pads = args[1] if len(args) > 1 else kwargs["pad"]
        mode = args[2] if len(args) > 2 else kwargs.get("mode", "constant")
        places.append(_padded(places[-1] if places else _grid(*args[0].shape[2:]), pads, mode))

    def behind(name: str, number: int, result: Any) -> None:
        del number
        if name != "pad":
            results.append(result.clone())  # before anything works on it in place

    # Of a composed module the sums of the parts are seen too, and it is refused. One that takes more
    # than its input is composed.
    with Calls({*_SUMS, "pad"}, before=before, behind=behind), suppress(TypeError):
        module.forward(given)  # past the hooks that record
    return seen, results


def _same(sums: Tensor, output: Tensor) -> bool:
    """Whether a module gives the sums themselves, with nothing done to them; NaN is told elsewhere."""
    return sums.shape == output.shape and torch.allclose(sums, output, rtol=1e-3, atol=1e-5, equal_nan=True)


def _refuse_other(known: bool, layer: str, modules: Mapping[str, nn.Module]) -> None:
    if known:
        return
    kinds = (nn.Conv2d, nn.ConvTranspose2d, nn.Linear)
    sums = [name for name, module in modules.items() if isinstance(module, kinds)]
    near = nearest(layer, sums) if len(sums) <= 20 else nearest(layer, sums).partition(" Known:")[0]
    raise ConfigError(f"{layer} is no convolution and no dense layer.{near}")


def _dense(summed: Sum, unit: int, shape: tuple[int, int, int]) -> Terms:
    weight = summed.arguments["weight"][unit].reshape(shape)
    grid = shape[1], shape[2]
    return Terms(
        summed.input.reshape(shape), weight, _bias(summed, unit), range(shape[0]), _grid(*grid), grid
    )


def _convolution(summed: Sum, unit: int, row: int, column: int) -> Terms:
    weight = summed.arguments["weight"]
    stride, dilation = _pair(summed.arguments["stride"]), _pair(summed.arguments["dilation"])
    before = _before(summed.arguments["padding"], weight.shape[2:], dilation)
    _, height, width = summed.input.shape
    rows = [row * stride[0] + u * dilation[0] - before[0] for u in range(weight.shape[2])]
    columns = [column * stride[1] + v * dilation[1] - before[1] for v in range(weight.shape[3])]
    group = unit // (len(weight) // summed.arguments["groups"])
    channels = range(group * weight.shape[1], (group + 1) * weight.shape[1])
    places = _grid(height, width) if summed.places is None else summed.places
    grid = (height, width) if summed.places is None else _size(summed.places)
    return Terms(
        _taken(summed.input[channels.start : channels.stop], rows, columns, 0.0),
        weight[unit],
        _bias(summed, unit),
        channels,
        _taken(places.permute(2, 0, 1), rows, columns, -1).permute(1, 2, 0),
        grid,
    )


def _transposed(summed: Sum, unit: int, row: int, column: int) -> Terms:
    weight = summed.arguments["weight"]  # (I, O / groups, h, w)
    stride, dilation = _pair(summed.arguments["stride"]), _pair(summed.arguments["dilation"])
    padding, groups = _pair(summed.arguments["padding"]), summed.arguments["groups"]
    inputs, height, width = summed.input.shape
    group, own = divmod(unit, weight.shape[1])
    channels = range(group * (inputs // groups), (group + 1) * (inputs // groups))

    def along(axis: int, at: int, length: int) -> list[tuple[int, int]]:
        spread = [(i, at + padding[axis] - i * stride[axis]) for i in range(length)]
        return [
            (i, offset // dilation[axis])
            for i, offset in spread
            if offset >= 0
            and offset % dilation[axis] == 0
            and offset // dilation[axis] < weight.shape[2 + axis]
        ]

    downs, acrosses = along(0, row, height), along(1, column, width)
    rows, columns = [i for i, _ in downs], [i for i, _ in acrosses]
    kernel = weight[channels.start : channels.stop, own]
    taps = kernel[:, [u for _, u in downs]][:, :, [v for _, v in acrosses]]
    places = _taken(_grid(height, width).permute(2, 0, 1), rows, columns, -1).permute(1, 2, 0)
    patch = _taken(summed.input[channels.start : channels.stop], rows, columns, 0.0)
    return Terms(patch, taps, _bias(summed, unit), channels, places, (height, width))


def _taken(values: Tensor, rows: Sequence[int], columns: Sequence[int], outside: float) -> Tensor:
    """Rows and columns of ``(c, H, W)``, also those that are not there: ``(c, h, w)``."""
    found = torch.full(
        (len(values), len(rows), len(columns)), outside, dtype=values.dtype, device=values.device
    )
    for at, row in enumerate(rows):
        for across, column in enumerate(columns):
            if 0 <= row < values.shape[1] and 0 <= column < values.shape[2]:
                found[:, at, across] = values[:, row, column]
    return found


def _grid(height: int, width: int) -> Tensor:
    """Every place's own row and column, ``(H, W, 2)``."""
    rows, columns = torch.meshgrid(torch.arange(height), torch.arange(width), indexing="ij")
    return torch.stack((rows, columns), 2)


def _padded(places: Tensor, pads: Sequence[int], mode: str) -> Tensor:
    """Places as they lie after padding; −1 where there is nothing but a constant."""
    values = places.permute(2, 0, 1)[None].double()
    if mode == "constant":
        found = F.pad(values, list(pads), value=-1)
    else:
        found = F.pad(values, list(pads), mode=mode)
    return found[0].permute(1, 2, 0).long()


def _size(places: Tensor) -> tuple[int, int]:
    return int(places[..., 0].max()) + 1, int(places[..., 1].max()) + 1


def _before(padding: Any, size: Sequence[int], dilation: tuple[int, int]) -> tuple[int, int]:
    """Rows above and columns to the left that a convolution adds."""
    if padding == "valid":
        return 0, 0
    if padding == "same":
        return dilation[0] * (size[0] - 1) // 2, dilation[1] * (size[1] - 1) // 2
    return _pair(padding)


def _pair(value: Any) -> tuple[int, int]:
    if isinstance(value, int):
        return value, value
    first, *rest = value
    return int(first), int(rest[0] if rest else first)


def _bias(summed: Sum, unit: int) -> float:
    bias = summed.arguments["bias"]
    return 0.0 if bias is None else float(bias[unit])
