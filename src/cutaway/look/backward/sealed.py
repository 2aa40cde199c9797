"""What rules can't see: scripts, compiled modules and functions with a backward pass of their own."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import torch
from torch import nn

from cutaway.errors import ConfigError


def refuse_sealed(model: nn.Module, method: str) -> None:
    """Raise where a module runs as a script or compiled: no call inside it is seen.

    Raises:
        ConfigError: the message names the module.
    """
    for name, module in model.named_modules():
        compiled = hasattr(module, "_orig_mod") or getattr(module, "_compiled_call_impl", None) is not None
        if compiled or isinstance(module, torch.jit.ScriptModule):
            kind = "compiled" if compiled else "a script"
            raise ConfigError(
                f"{method} can't see the operations inside {name or 'the model'}, which is {kind}; "
                "give the module that it was made from."
            )


def refuse_unseen(method: str, ends: Iterable[Any]) -> None:
    """Raise where a graph of gradients has a function of somebody else, which no rule has been asked about.

    Args:
        method: for the message.
        ends: nodes that everything else lies before.

    Raises:
        ConfigError: the message names the function.
    """
    seen: set[Any] = set()
    rest = [node for node in ends if node is not None]
    while rest:
        node = rest.pop()
        if node in seen:
            continue
        seen.add(node)
        function = getattr(type(node), "_forward_cls", None)
        if function is not None and not function.__module__.startswith("cutaway."):
            name = function.__qualname__
            raise ConfigError(
                f"{method} has no rule for {name}, a function with a backward pass of its own. Its plain "
                'gradient is taken with otherwise="gradient".'
            )
        rest += [before for before, _ in node.next_functions if before is not None]
