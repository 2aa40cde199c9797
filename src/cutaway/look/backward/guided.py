"""Guided backpropagation and the deconvolutional net: other gradients for rectifiers."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from cutaway.look.backward.attribution import Attribution, attributed
from cutaway.look.backward.norms import as_line
from cutaway.look.backward.operations import (
    ARITHMETIC,
    AVERAGES,
    LOCAL_NORMS,
    MAXIMA,
    MOVES,
    NORMS,
    WEIGHTED,
)
from cutaway.look.backward.rules import Call, Otherwise, Rule, Rules, applied, depends, plain
from cutaway.look.backward.target import Asked
from cutaway.nets.subject import Subject

_PLAIN = MOVES | WEIGHTED | AVERAGES | MAXIMA | ARITHMETIC | NORMS | LOCAL_NORMS
"""Both methods change rectifiers only; max-pooling sends back to where the maximum was, its switch."""

_GUIDED, _DECONVNET = "guided backpropagation", "deconvnet"


_UNLIMITED = math.inf


def _cap(call: Call) -> float | None:
    """Where a rectifier stops rising; None for what is no rectifier."""
    if call.name in _CAPS:
        return _CAPS[call.name]
    first, second = _LIMITS[call.name]
    low, high = call.argument(1, first), call.argument(2, second)
    if call.name == "hardtanh":
        low, high = -1.0 if low is None else low, 1.0 if high is None else high
    if call.name == "threshold":
        return _UNLIMITED if low == high == 0 else None
    if isinstance(low, Tensor) or isinstance(high, Tensor) or low != 0:
        return None
    return _UNLIMITED if high is None else float(high)


_CAPS = {"relu": _UNLIMITED, "relu6": 6.0}

_LIMITS = {
    "hardtanh": ("min_val", "max_val"),
    "clamp": ("min", "max"),
    "clip": ("min", "max"),
    "clamp_min": ("min", ""),
    "threshold": ("threshold", "value"),
}
"""What a ReLU may also be called: ``nn.ReLU6`` is a hardtanh from 0 to 6, ``x.clamp(min=0)`` a ReLU."""


class _Guided(torch.autograd.Function):
    """``min(max(0, x), cap)``; back goes what is positive, where the gradient goes."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, call: Call, cap: float) -> Tensor:
        result = call.of(x)
        # Not the result itself, which the model may change in place.
        ctx.save_for_backward(result > 0 if cap == _UNLIMITED else (result > 0) & (result < cap))
        return result

    @staticmethod
    def backward(ctx: Any, *arriving: Tensor) -> tuple[Tensor, None, None]:
        (rising,) = ctx.saved_tensors
        return (arriving[0] * rising).clamp_min_(0), None, None


class _Deconvolved(torch.autograd.Function):
    """``max(0, x)``; back goes what is positive, wherever it arrives."""

    @staticmethod
    def forward(_: Any, x: Tensor, call: Call, cap: float) -> Tensor:
        del cap
        return call.of(x)

    @staticmethod
    def backward(_: Any, *arriving: Tensor) -> tuple[Tensor, None, None]:
        return arriving[0].clamp_min(0), None, None


class _Rectified(Rules):
    """Rectifiers hand back by a function, everything else by its gradient.

    Args:
        method: for messages.
        function: of rectifiers.
        otherwise: as for :class:`Rules`.
    """

    def __init__(self, method: str, function: type[torch.autograd.Function], otherwise: Otherwise) -> None:
        rules: dict[str, Rule] = dict.fromkeys(_PLAIN, plain)
        rules |= dict.fromkeys((*_CAPS, *_LIMITS), self._rectifier)
        rules |= {"max": self._largest, "batch_norm": as_line}
        super().__init__(method, rules, otherwise, gates=False)
        self.function = function

    def _rectifier(self, call: Call) -> Any:
        cap = _cap(call) if depends(call.args[0]) else None
        return self.refused(call) if cap is None else applied(self.function, call.args[0], call, cap)

    def _largest(self, call: Call) -> Any:
        """The maximum over places; of two values it may be a rectifier written by hand."""
        two = isinstance(call.argument(1, "other"), Tensor)
        return self.refused(call) if two else call.plain()


def guided(
    subject: Subject,
    images: Tensor,
    targets: Asked | Sequence[Asked] | None = None,
    *,
    otherwise: Otherwise = "refuse",
) -> Attribution:
    """Guided backpropagation: at every ReLU only what is positive goes back, and only where the unit is on.

    Args:
        subject: any; its only activations are ReLU and ReLU6.
        images: ``(N, C, H, W)``: uint8 pixels, or float inputs.
        targets: classes or :class:`Target`, such as a unit of a layer; the predicted class when not given.
        otherwise: ``gradient`` passes other activations with their plain gradient.

    Raises:
        ConfigError: the model has another activation, or an operation that nobody has a rule for.
        CutawayError: as :func:`saliency` does.

    Source: Springenberg, Dosovitskiy, Brox, Riedmiller, "Striving for simplicity", 2014.
    """
    rules = _Rectified(_GUIDED, _Guided, otherwise)
    return attributed(subject, images, targets, _GUIDED, rules=rules)


def deconvnet(
    subject: Subject,
    images: Tensor,
    targets: Asked | Sequence[Asked] | None = None,
    *,
    otherwise: Otherwise = "refuse",
) -> Attribution:
    """The deconvolutional net: from a unit down to the pixels through transposed convolutions.

    Pools are undone by their switches, the places where their maxima were. A ReLU lets through what is
    positive of what comes back, whether the unit was on or not.

    Args:
        subject: any; its only activations are ReLU and ReLU6.
        images: ``(N, C, H, W)``: uint8 pixels, or float inputs.
        targets: as for :func:`guided`; of a unit with a map, the place where it is largest unless
            the target says otherwise.
        otherwise: as for :func:`guided`.

    Raises:
        CutawayError: as :func:`guided` does.

    Source: Zeiler, Fergus, "Visualizing and understanding convolutional networks", 2013.
    """
    rules = _Rectified(_DECONVNET, _Deconvolved, otherwise)
    return attributed(subject, images, targets, _DECONVNET, rules=rules)
