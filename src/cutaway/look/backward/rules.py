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
    """

    def __init__(self, method: str, rules: Mapping[str, Rule], otherwise: Otherwise = "refuse") -> None:
        super().__init__()
        self.method, self.rules, self.otherwise = method, rules, otherwise

    def begin(self) -> None:
        """A forward pass begins."""

    def __torch_function__(
        self, func: Function, types: Any, args: tuple[Any, ...] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        """Make the call by its rule; PyTorch calls this with itself switched off."""
        del types
        kwargs = kwargs or {}
        if not any(depends(leaf) for leaf in leaves((args, kwargs))):
            return func(*args, **kwargs)
        if not args and isinstance(kwargs.get("input"), Tensor):
            args, kwargs = (kwargs["input"],), {key: kwargs[key] for key in kwargs if key != "input"}
        name = function_name(func)
        rule = self.rules.get(name)
        if rule is plain:
            return func(*args, **kwargs)
        if rule is None:
            return self.refused(Call(name, func, args, kwargs))
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
        if self.otherwise == "refuse" and any(depends(leaf) for leaf in leaves(result)):
            raise ConfigError(
                f"{self.method} has no rule for {call.name}. Its plain gradient is taken with "
                'otherwise="gradient"; the map is then no longer what the method promises.'
            )
        return result

    def moved(self, source: Tensor, target: Tensor) -> None:
        """What was known of one tensor is true of another one from now on."""


def applied(function: type[torch.autograd.Function], *args: Any) -> Any:
    """What a function with a backward pass of its own gives."""
    return function.apply(*args)


def writes(func: Function, args: Sequence[Any], kwargs: Mapping[str, Any]) -> bool:
    """Whether a call works in place on its first argument."""
    name = str(getattr(func, "__name__", ""))
    in_place = (name.endswith("_") and not name.endswith("__")) or (
        name.startswith("__i") and name not in {"__invert__", "__int__", "__index__"}
    )
    return bool(args) and isinstance(args[0], Tensor) and (in_place or kwargs.get("inplace") is True)


def _anew(func: Function) -> Function:
    """An in-place function as one that gives its result anew."""

    def function(value: Tensor, *args: Any, **kwargs: Any) -> Any:
        return func(value.clone(), *args, **kwargs)

    return function
