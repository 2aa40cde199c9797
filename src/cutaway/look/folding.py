"""Batch norms folded into the convolutions before them, while a look lasts; the model is not edited.

In evaluation mode a batch norm is a scale and a shift for each channel, and so a part of the convolution
whose output it alone reads. In a net of six convolutions for 32×32 pixels this and kernels laid out channels
last took a third off a gradient of the input.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from cutaway.look.capture import Record, Recorded
from cutaway.look.modules import named_modules


class _UnfoldedError(Exception):
    """Something else than its batch norm reads a convolution's output: the pass has to be made as it is."""


@dataclass(frozen=True)
class _Pair:
    """A convolution with its batch norm: the weights of both together, and what tells them again."""

    kernels: Tensor
    weight: Tensor
    bias: Tensor
    mean: Tensor


class Folding(TorchFunctionMode):
    """Inside, convolutions compute what their batch norms make of them, and those pass it on.

    Args:
        model: in evaluation mode.
        kept: names of layers whose own outputs are wanted.
        last: lay kernels out channels last.
    """

    def __init__(self, model: nn.Module, kept: Collection[str], *, last: bool) -> None:
        super().__init__()
        self.pairs = {id(pair.kernels): pair for pair in _pairs(model, kept, last=last)}
        self.waiting: dict[int, tuple[Tensor, _Pair]] = {}

    def begin(self) -> None:
        """A forward pass begins."""
        self.waiting = {}

    def __torch_function__(
        self, func: Callable[..., Any], types: Any, args: Any = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        """Make the call; PyTorch calls this with itself switched off."""
        del types
        kwargs = kwargs or {}
        if func is torch.conv2d and len(args) > 2 and id(args[1]) in self.pairs:
            pair = self.pairs[id(args[1])]
            result = func(args[0], pair.weight, pair.bias, *args[3:], **kwargs)
            self.waiting[id(result)] = result, pair
            return result
        if self.waiting:
            if func is F.batch_norm and id(args[0]) in self.waiting:
                result, pair = self.waiting.pop(id(args[0]))
                if len(args) > 1 and args[1] is pair.mean:
                    return result
                raise _UnfoldedError
            if any(id(value) in self.waiting for value in (*args, *kwargs.values())) and not _is_form(func):
                raise _UnfoldedError
        return func(*args, **kwargs)


def folded(record: Record, apply: Callable[[], Any], folding: Folding, *, to_end: bool) -> Recorded:
    """A recorded pass with batch norms folded; as the model has it, from then on, where that can't be.

    Args:
        record: as :func:`cutaway.look.capture.recording` gives it.
        apply: applies the model.
        folding: of the model.
        to_end: whether the pass goes on behind the deepest layer recorded.
    """
    if folding.pairs:
        folding.begin()
        try:
            with folding:
                return record(apply, to_end=to_end)
        except _UnfoldedError:
            folding.pairs = {}
        finally:
            folding.begin()
    return record(apply, to_end=to_end)


def _is_form(func: Callable[..., Any]) -> bool:
    """Whether a call only asks for a tensor's form, as a batch norm does of its input."""
    return func in (Tensor.dim, Tensor.size, Tensor.__len__) or getattr(func, "__name__", "") == "__get__"


def _pairs(model: nn.Module, kept: Collection[str], *, last: bool) -> Iterator[_Pair]:
    """Convolutions whose outputs go to a batch norm alone: neighbours in a plain ``Sequential``."""
    names = {module: name for name, module in named_modules(model).items()}
    for parent in model.modules():
        if not isinstance(parent, nn.Sequential) or type(parent).forward is not nn.Sequential.forward:
            continue
        inside = list(parent.children())
        for conv, norm in pairwise(inside):
            if type(conv) is nn.Conv2d and type(norm) is nn.BatchNorm2d and names.get(conv) not in kept:
                pair = _pair(conv, norm, last=last)
                if pair is not None:
                    yield pair


def _pair(conv: nn.Conv2d, norm: nn.BatchNorm2d, *, last: bool) -> _Pair | None:
    mean, variance = norm.running_mean, norm.running_var
    if mean is None or variance is None:
        return None
    with torch.no_grad():
        scale = (variance + norm.eps).rsqrt()
        scale = scale if norm.weight is None else scale * norm.weight
        shift = -mean * scale if norm.bias is None else norm.bias - mean * scale
        weight = conv.weight * scale.view(-1, 1, 1, 1)
        bias = shift if conv.bias is None else conv.bias * scale + shift
        weight = weight.contiguous(memory_format=torch.channels_last) if last else weight
        return _Pair(conv.weight, weight, bias, mean)
