"""Calls of functions in a forward pass, counted: ``relu@3`` is the third ``relu``.

Everything arrives here that PyTorch lets be overridden: ``torch.relu``, ``F.relu`` and ``x.relu_()`` are
all ``relu``; ``x + y``, ``x += y`` and ``torch.add`` are ``add``. Calls that modules make count like those
that a model makes itself: ``nn.ReLU`` calls ``relu``. A function's inner calls do not count, nor what
runs inside a compiled or scripted module.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from torch.overrides import TorchFunctionMode

_SAME = {"truediv": "div", "iadd": "add", "radd": "add", "rsub": "sub", "rmul": "mul", "rdiv": "div"}
"""Operators by the name of their function; those that have one already are not listed."""

See = Callable[[str, int, Sequence[Any], Mapping[str, Any]], None]
Seen = Callable[[str, int, Any], None]


def function_name(function: Callable[..., Any]) -> str:
    """What a call is counted as: the function's name, without the marks of operators and of in-place ones."""
    name = str(getattr(function, "__name__", ""))
    if name.startswith("__"):
        name = name.strip("_")
        return _SAME.get(name, name)
    return name.partition(".")[0].rstrip("_")  # torch.ops.aten.relu.default


class Calls(TorchFunctionMode):
    """Inside, the calls of some functions are counted and shown.

    Args:
        names: the functions; all of them when None.
        before: is told name, number from 1, arguments and keywords of a call about to be made.
        behind: is told name, number and result of one that was made.
    """

    def __init__(self, names: set[str] | None, before: See | None = None, behind: Seen | None = None) -> None:
        super().__init__()
        self.names = names
        self.before = before
        self.behind = behind
        self.counts: Counter[str] = Counter()

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Any,
        args: Sequence[Any] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        """Count and make the call; PyTorch calls this with itself switched off."""
        del types
        kwargs = kwargs or {}
        name = function_name(func)
        if self.names is not None and name not in self.names:
            return func(*args, **kwargs)
        self.counts[name] += 1
        number = self.counts[name]
        if self.before:
            self.before(name, number, args, kwargs)
        result = func(*args, **kwargs)
        if self.behind:
            self.behind(name, number, result)
        return result
