"""Guided backpropagation and the deconvolutional net: other gradients for rectifiers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from cutaway.look.backward.attribution import Attribution, attributed
from cutaway.look.backward.operations import (
    ARITHMETIC,
    AVERAGES,
    LOCAL_NORMS,
    MAXIMA,
    MOVES,
    NORMS,
    WEIGHTED,
)
from cutaway.look.backward.rules import Call, Otherwise, Rule, Rules, applied, plain
from cutaway.look.backward.saliency import gradient
from cutaway.look.backward.target import Asked
from cutaway.nets.subject import Subject

_PLAIN: dict[str, Rule] = dict.fromkeys(
    MOVES | WEIGHTED | AVERAGES | MAXIMA | ARITHMETIC | NORMS | LOCAL_NORMS, plain
)
"""Both methods change rectifiers only; max-pooling sends back to where the maximum was, its switch."""

_GUIDED, _DECONVNET = "guided backpropagation", "deconvnet"


class _Guided(torch.autograd.Function):
    """``max(0, x)`` or ``min(max(0, x), 6)``; back goes what is positive, where the gradient goes."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, call: Call) -> Tensor:
        result = call.function(x, *call.args[1:], **call.kwargs)
        ctx.save_for_backward(result)
        ctx.capped = call.name == "relu6"
        return result  # type: ignore[no-any-return]

    @staticmethod
    def backward(ctx: Any, *arriving: Tensor) -> tuple[Tensor, None]:
        (result,) = ctx.saved_tensors
        passed = torch.ops.aten.threshold_backward(arriving[0].clamp_min(0), result, 0)
        return passed * (result < 6) if ctx.capped else passed, None


class _Deconvolved(torch.autograd.Function):
    """``max(0, x)``; back goes what is positive, wherever it arrives."""

    @staticmethod
    def forward(_: Any, x: Tensor, call: Call) -> Tensor:
        return call.function(x, *call.args[1:], **call.kwargs)  # type: ignore[no-any-return]

    @staticmethod
    def backward(_: Any, *arriving: Tensor) -> tuple[Tensor, None]:
        return arriving[0].clamp_min(0), None


GUIDED: Mapping[str, Rule] = {
    **_PLAIN,
    **dict.fromkeys(("relu", "relu6"), lambda call: applied(_Guided, call.args[0], call)),
}
DECONVNET: Mapping[str, Rule] = {
    **_PLAIN,
    **dict.fromkeys(("relu", "relu6"), lambda call: applied(_Deconvolved, call.args[0], call)),
}


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
    rules = Rules(_GUIDED, GUIDED, otherwise)
    return attributed(subject, images, targets, _GUIDED, gradient, rules=rules)


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
    rules = Rules(_DECONVNET, DECONVNET, otherwise)
    return attributed(subject, images, targets, _DECONVNET, gradient, rules=rules)
