"""What rules can't see: scripts, compiled modules and functions with a backward pass of their own."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any

import torch
from torch import nn

from cutaway.errors import ConfigError
from cutaway.look.backward.operations import ACTIVATIONS
from cutaway.look.backward.rules import Rules

_ACTIVATIONS = {name.replace("_", ""): name for name in ACTIVATIONS if not name.startswith("cl")}
"""Names without underscores; clamps stand inside other operations too, such as ``normalize``."""

_SUMS = {"convolution": "conv2d", "addmm": "linear"}


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


def refuse_unseen(rules: Rules, ends: Iterable[Any]) -> None:
    """Raise where a graph of gradients has a function which no rule has been asked about.

    Args:
        rules: which were active while the graph was made.
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
        name = ""
        if function is not None and not function.__module__.startswith("cutaway."):
            name = f"{function.__qualname__}, a function with a backward pass of its own"
        elif function is None:
            name = _hidden(rules, node.name())
        if name:
            raise ConfigError(
                f"{rules.method} has no rule for {name}. Its plain gradient is taken with "
                'otherwise="gradient"; the map is then no longer what the method promises.'
            )
        rest += [before for before, _ in node.next_functions if before is not None]


def _hidden(rules: Rules, node: str) -> str:
    """What a node of PyTorch's own tells of a call that no rule was asked about; nothing for most."""
    if "DifferentiableGraph" in node:
        return "a function that runs as a script"
    kind = re.sub(r"Backward\d*$", "", node).lower()
    name = _ACTIVATIONS.get(kind) or _SUMS.get(kind)
    if name is None or not rules.replaces(name):
        return ""
    return f"{name} inside a function that runs as a script"
