"""Putting other values in the place of what a layer gives."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from cutaway.errors import ConfigError
from cutaway.look.address import Address, Key, parse_address
from cutaway.look.calls import function_name
from cutaway.look.modules import named_modules, refuse_second_names

Change = Callable[[Tensor], Tensor]
"""From a layer's output to what the model goes on with; what it is given may be used by others too."""


@contextmanager
def replacing(model: nn.Module, layer: str, change: Change) -> Iterator[None]:
    """Inside, for one forward pass, the model goes on with ``change(output)`` of a layer.

    Args:
        model: any module.
        layer: an address, as :class:`cutaway.look.Address` explains. Of a layer that is applied several
            times, one application is changed: the first, unless the address says another.
        change: gives a new tensor.

    Raises:
        NotFoundError: there is no such layer.
        ConfigError: the layer gives something other than a tensor, or the address is of an input.
    """
    modules = named_modules(model)
    refuse_second_names(model, modules, [layer])
    address = parse_address(layer, modules)
    if address.argument:
        raise ConfigError(f"{layer} is an input; name the layer whose output it is.")
    if address.is_call:
        with _Call(address, change):
            yield
        return
    number = 0

    def replace(module: nn.Module, args: object, output: object) -> object:
        nonlocal number
        del module, args
        number += 1
        return _changed(output, address, change) if number == address.call else None

    handle = modules[address.name].register_forward_hook(replace)
    try:
        yield
    finally:
        handle.remove()


class _Call(TorchFunctionMode):
    """Changes what one call of a function gives, counted as :mod:`cutaway.look.calls` counts."""

    def __init__(self, address: Address, change: Change) -> None:
        super().__init__()
        self.address, self.change, self.number = address, change, 0

    def __torch_function__(
        self, func: Callable[..., Any], types: Any, args: Any = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        result = func(*args, **(kwargs or {}))
        if function_name(func) != self.address.name:
            return result
        self.number += 1
        if self.number != self.address.call:
            return result
        changed = _changed(result, self.address, self.change)
        if args and result is args[0]:
            # It worked in place, and the model may go on with its argument.
            return result.copy_(changed)
        return changed


def _changed(output: Any, address: Address, change: Change) -> Any:
    """What a layer gave, with the tensor that the address names changed."""
    return _put(output, address.parts, change(address.tensor(output)))


def _put(whole: Any, path: tuple[Key, ...], value: Tensor) -> Any:
    """A nest of tuples, lists and dicts with another value at the end of a path."""
    if not path:
        return value
    key, inner = path[0], _put(whole[path[0]], path[1:], value)
    if isinstance(whole, Mapping):
        return {**whole, key: inner}
    parts = list(whole)
    parts[int(key)] = inner
    return parts if isinstance(whole, list) else tuple(parts)
