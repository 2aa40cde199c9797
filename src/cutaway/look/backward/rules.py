"""Rules: another gradient for some operations of a forward pass, whoever calls them.

Hooks on modules miss ``F.relu(x)`` and ``a + b`` and break on modules that work in place or are used
twice. Here every call of a function of PyTorch arrives in the order of calling, inside one
``TorchFunctionMode``: those of modules, functions, methods and operators alike. A rule computes the
call's result by an ``autograd.Function`` with a backward pass of its own. The model is not edited.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode
from torch.utils.weak import WeakTensorKeyDictionary

from cutaway.errors import ConfigError
from cutaway.look.calls import function_name
from cutaway.look.operation import Function, leaves

Otherwise = Literal["refuse", "gradient"]
"""What happens to an operation without a rule: it is refused by name, or has its plain gradient."""


@dataclass(frozen=True)
class Call:
    """One call of a function, which depends on the model's input.

    Args:
        name: what it is counted as, such as ``relu``.
        function: gives the result anew, also where the call works in place.
        args: of the call.
        kwargs: of the call.
    """

    name: str
    function: Function
    args: tuple[Any, ...]
    kwargs: Mapping[str, Any]

    def argument(self, place: int, name: str, default: Any = None) -> Any:
        """An argument by its place or by its name."""
        return self.args[place] if len(self.args) > place else self.kwargs.get(name, default)

    @property
    def tensors(self) -> list[Tensor]:
        """The tensors among the arguments that depend on the model's input."""
        return [leaf for leaf in leaves((self.args, self.kwargs)) if depends(leaf)]

    def of(self, value: Tensor) -> Tensor:
        """What the call makes of another value in place of its first argument."""
        result: Tensor = self.function(value, *self.args[1:], **self.kwargs)
        return result

    def plain(self) -> Any:
        """The result with its ordinary gradient."""
        return self.function(*self.args, **self.kwargs)


Rule = Callable[[Call], Any]


def plain(call: Call) -> Any:
    """The rule of operations that keep their ordinary gradient."""
    return call.plain()


def depends(value: object) -> bool:
    """Whether a value depends on the model's input; its parameters are frozen meanwhile."""
    return isinstance(value, Tensor) and value.requires_grad


class Rules(TorchFunctionMode):
    """Inside, calls that depend on the model's input propagate backwards by rules.

    Args:
        method: whose rules they are, for the message.
        rules: by the name of the function; :func:`plain` for those that keep their gradient.
        otherwise: what happens to all others that give something with a gradient.
        gates: whether values may meet what the image decides without a gradient, such as the mask
            ``x > 0``: that may be an activation written by hand, which no rule would know.
    """

    def __init__(
        self,
        method: str,
        rules: Mapping[str, Rule],
        otherwise: Otherwise = "refuse",
        *,
        gates: bool = True,
    ) -> None:
        super().__init__()
        self.method, self.rules, self.otherwise, self.gates = method, rules, otherwise, gates
        self.decided = WeakTensorKeyDictionary()

    def begin(self) -> None:
        """A forward pass begins."""

    def replaces(self, name: str) -> bool:
        """Whether no call of this name keeps its plain gradient, where others are refused."""
        return self.rules.get(name) is not plain

    def __torch_function__(
        self, func: Function, types: Any, args: tuple[Any, ...] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        """Make the call by its rule; PyTorch calls this with itself switched off."""
        del types
        kwargs = kwargs or {}
        given = [leaf for leaf in leaves((args, kwargs)) if isinstance(leaf, Tensor)]
        # What a function with a backward pass of its own computes inside has a gradient behind it.
        gate = not self.gates and any(leaf in self.decided and not leaf.requires_grad for leaf in given)
        if not any(depends(leaf) for leaf in given):
            result = func(*args, **kwargs)
            if gate:
                self._decide((result, given[:1] if _changes(func, args, kwargs) else ()))
            return result
        result = self._refused_gate(func, args, kwargs) if gate else self._ruled(func, args, kwargs)
        if not self.gates:
            self._decide(result)
        return result

    def _ruled(self, func: Function, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Any:
        """What a call gives by its rule."""
        if not args and isinstance(kwargs.get("input"), Tensor):
            args, kwargs = (kwargs["input"],), {key: kwargs[key] for key in kwargs if key != "input"}
        name = function_name(func).lstrip("_")
        if name == "rsub" or str(getattr(func, "__name__", "")) in _TURNED:
            name, func, args = _TURNED.get(func.__name__, "sub"), _turned(func), (args[1], args[0], *args[2:])
        name = _ALIASES.get(name, name)
        rule = self.rules.get(name)
        if rule is plain:
            return func(*args, **kwargs)
        rule = rule or self.refused
        if not writes(func, args, kwargs):
            return rule(Call(name, func, args, kwargs))
        written = args[0]
        kwargs = {**kwargs, "inplace": False} if "inplace" in kwargs else kwargs
        # The old value goes on in the graph, so what changes is a copy of it.
        before = written.clone()
        self.moved(written, before)
        result = rule(Call(name, _anew(func), (before, *args[1:]), kwargs))
        self.moved(result, written)
        return written.copy_(result)

    def refused(self, call: Call) -> Any:
        """What a call without a rule gives, if that has no gradient or its plain one is asked for.

        Raises:
            ConfigError: it depends on the input, and nobody asked for its plain gradient.
        """
        result = call.plain()
        written = call.args[:1] if _changes(call.function, call.args, call.kwargs) else ()
        if self.otherwise == "refuse" and any(depends(leaf) for leaf in leaves((result, written))):
            raise ConfigError(
                f"{self.method} has no rule for {call.name}. Its plain gradient is taken with "
                'otherwise="gradient"; the map is then no longer what the method promises.'
            )
        return result

    def _refused_gate(self, func: Function, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Any:
        """As :meth:`refused`, but numbers that only say which values are taken are no gate."""
        name = function_name(func).lstrip("_")
        masks = any(isinstance(leaf, Tensor) and leaf.dtype == torch.bool for leaf in leaves((args, kwargs)))
        if name in _PICKS and not masks:
            return self._ruled(func, args, kwargs)
        what = f"{name} by a value that the image decides without a gradient, such as the mask x > 0"
        return self.refused(Call(what, func, args, kwargs))

    def _decide(self, result: Any) -> None:
        """Remember what has no gradient though the image decides it."""
        for leaf in leaves(result):
            if isinstance(leaf, Tensor) and not leaf.requires_grad:
                self.decided[leaf] = True

    def moved(self, source: Tensor, target: Tensor) -> None:
        """What was known of one tensor is true of another one from now on."""


def applied(function: type[torch.autograd.Function], *args: Any) -> Any:
    """What a function with a backward pass of its own gives."""
    return function.apply(*args)


def writes(func: Function, args: Sequence[Any], kwargs: Mapping[str, Any]) -> bool:
    """Whether a call works in place on its first argument."""
    name = str(getattr(func, "__name__", "")).partition(".")[0]  # torch.ops.aten.relu_.default
    in_place = (name.endswith("_") and not name.endswith("__")) or (
        name.startswith("__i") and name not in {"__invert__", "__int__", "__index__"}
    )
    return bool(args) and isinstance(args[0], Tensor) and (in_place or kwargs.get("inplace") is True)


_PICKS = frozenset({"getitem", "gather", "index_select", "take_along_dim"})

_ALIASES = {"subtract": "sub", "multiply": "mul", "divide": "div", "true_divide": "div"}

_TURNED = {"__rsub__": "sub", "__rdiv__": "div", "__rtruediv__": "div"}
"""Operators whose arguments come in the other order, ``1 - x`` as ``(x, 1)``."""


def _turned(func: Function) -> Function:
    """A function of two values with its arguments in the other order."""

    def function(first: Any, second: Any, *args: Any, **kwargs: Any) -> Any:
        return func(second, first, *args, **kwargs)

    return function


def _changes(func: Function, args: Sequence[Any], kwargs: Mapping[str, Any]) -> bool:
    """Whether a call changes its first argument."""
    return writes(func, args, kwargs) or function_name(func) == "setitem"


def _anew(func: Function) -> Function:
    """An in-place function as one that gives its result anew."""

    def function(value: Tensor, *args: Any, **kwargs: Any) -> Any:
        return func(value.clone(), *args, **kwargs)

    return function
