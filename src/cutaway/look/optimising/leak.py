"""Leaks: rectifiers that are off let a share of the gradient through, which falls to nothing.

An image's features are made by units that are off for most images, and what is off has no gradient: a
descent ends where the right units are off. Forwards nothing changes, so what is reached is reached by the
net as it is.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from cutaway.errors import ConfigError
from cutaway.look.backward.rules import Call, Rules, applied
from cutaway.look.backward.sealed import refuse_sealed
from cutaway.nets.subject import Subject

_UNTIL = 0.9
"""Share of the steps after which nothing passes any more: the end has the net's own gradient."""


class Leak:
    """The share that passes, now.

    Args:
        subject: whose rectifiers leak; one that no rule can reach, such as a scripted module, has none.
        first: the share at the first step, 0 to 1.
    """

    def __init__(self, subject: Subject, first: float) -> None:
        self.first = self.share = first if first and _seen(subject.model) else 0.0

    @property
    def rules(self) -> Rules | None:
        """As :func:`cutaway.look.backward.graph.graphs` takes them."""
        if not self.first:
            return None
        return Rules("optimising", {"relu": self._relu}, "gradient")

    def begin(self, done: float) -> None:
        """Before a step: ``done`` is the share of the steps that are behind, 0 to 1."""
        self.share = self.first * max(0.0, 1 - done / _UNTIL)

    def _relu(self, call: Call) -> Tensor:
        if not self.share:
            plain: Tensor = call.plain()
            return plain
        found: Tensor = applied(_Leaking, call.args[0], call, self.share)
        return found


def _seen(model: nn.Module) -> bool:
    """Whether rules see the calls inside."""
    try:
        refuse_sealed(model, "optimising")
    except ConfigError:
        return False
    return True


class _Leaking(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, call: Call, share: float) -> Tensor:
        ctx.save_for_backward(x > 0)
        ctx.share = share
        return call.of(x)

    @staticmethod
    def backward(ctx: Any, *arriving: Tensor) -> tuple[Tensor, None, None]:
        (on,) = ctx.saved_tensors
        return torch.where(on, arriving[0], ctx.share * arriving[0]), None, None
