"""The operations of a suffix with less work: the same values, up to rounding.

What is known behind a recorded pass, and not inside of one module, is which value is used where. Batch
normalisation in evaluation mode is folded into the convolution before it,

    W' = W γ / √(σ² + ε),   b' = (b − μ) γ / √(σ² + ε) + β,

a max-pool comes before the ReLU it follows, with which it commutes and to which it leaves a quarter of
the values, and a ReLU whose input nobody else reads works in place.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from cutaway.look.functions import BATCH_NORM, CONV, LINEAR, MAX_POOL, RELU, TWO, argument
from cutaway.look.operation import Operation, Slot


def fused(operations: Sequence[Operation], end: Slot) -> list[Operation]:
    """Operations that give the same as others, with less work.

    Args:
        operations: in call order.
        end: the value that is wanted in the end.
    """
    uses = Counter(slot.number for operation in operations for slot in operation.inputs)
    uses[end.number] += 1
    found: list[Operation] = []
    for operation in operations:
        last = found[-1] if found else None
        follows = last is not None and _follows(last, operation, uses)
        if last and follows and last.function in CONV and (folded := _folded(last, operation)):
            found[-1] = folded
        elif last and follows and last.function in RELU and operation.function in MAX_POOL:
            found[-1:] = _pool_first(last, operation)
        else:
            found.append(operation)
    return [_in_place(operation, found[:at], uses) for at, operation in enumerate(map(_paired, found))]


def pool_pairs(maps: Tensor) -> Tensor:
    """A max-pool of 2×2 as two largest-of-two: ``(N, C, H, W)`` to ``(N, C, H // 2, W // 2)``.

    PyTorch's own finds where each maximum stood too, which takes three times as long on a CPU.
    """
    if maps.device.type != "cpu":
        return F.max_pool2d(maps, 2)
    height, width = (size // 2 * 2 for size in maps.shape[2:])
    rows = torch.maximum(maps[:, :, 0:height:2], maps[:, :, 1:height:2])
    return torch.maximum(rows[..., 0:width:2], rows[..., 1:width:2])


def _follows(last: Operation, operation: Operation, uses: Counter[int]) -> bool:
    """Whether an operation is the only one that reads what the last one gave, and reads nothing else."""
    inputs, outputs = operation.inputs, last.outputs
    return (
        len(inputs) == len(outputs) == len(operation.outputs) == 1
        and inputs[0] == outputs[0]
        and uses[inputs[0].number] == 1
        and bool(operation.args)
        and operation.args[0] is inputs[0]
    )


def _folded(conv: Operation, norm: Operation) -> Operation | None:
    """A convolution that gives what the batch normalisation behind it does; None where it can't."""
    if norm.function not in BATCH_NORM or argument(norm, 5, "training", False):
        return None
    mean, variance = argument(norm, 1, "running_mean", None), argument(norm, 2, "running_var", None)
    weight = argument(conv, 1, "weight", None)
    if not all(isinstance(value, Tensor) for value in (mean, variance, weight)) or conv.written:
        return None
    scale = (variance + argument(norm, 7, "eps", 1e-5)).rsqrt()
    gain, shift = argument(norm, 3, "weight", None), argument(norm, 4, "bias", None)
    scale = scale if gain is None else scale * gain
    bias = argument(conv, 2, "bias", None)
    bias = -mean * scale if bias is None else (bias - mean) * scale
    kernels = (weight * scale[:, None, None, None]).contiguous(memory_format=torch.channels_last)
    settings = {
        name: argument(conv, place, name, default)
        for place, name, default in (
            (3, "stride", 1),
            (4, "padding", 0),
            (5, "dilation", 1),
            (6, "groups", 1),
        )
    }
    args = (conv.args[0], kernels, bias if shift is None else bias + shift)
    return replace(conv, args=args, kwargs=settings, outputs=norm.outputs)


def _pool_first(relu: Operation, pool: Operation) -> list[Operation]:
    """The pool, then the ReLU."""
    between = Slot(relu.outputs[0].number, pool.outputs[0].shape)
    first = replace(pool, args=(relu.args[0], *pool.args[1:]), outputs=(between,))
    return [_paired(first), Operation(F.relu, (between,), {}, pool.outputs, ())]


def _paired(operation: Operation) -> Operation:
    """A max-pool of 2×2 by pairs."""
    if operation.function not in MAX_POOL or len(operation.inputs) != 1:
        return operation
    settings: tuple[tuple[int, str, Any, Any], ...] = (
        (1, "kernel_size", None, 2),
        (2, "stride", 2, 2),
        (3, "padding", 0, 0),
        (4, "dilation", 1, 1),
    )
    # A stride of None is that of the kernel.
    plain = all(
        argument(operation, at, name, default) in (want, (want, want), *([None] if name == "stride" else []))
        for at, name, default, want in settings
    )
    extra = argument(operation, 5, "ceil_mode", False) or argument(operation, 6, "return_indices", False)
    if (
        not plain
        or extra
        or len(operation.inputs[0].shape) != 4
        or operation.args[:1] != tuple(operation.inputs)
    ):
        return operation
    return replace(operation, function=pool_pairs, args=operation.args[:1], kwargs={})


def _in_place(operation: Operation, before: Sequence[Operation], uses: Counter[int]) -> Operation:
    """A ReLU that overwrites its input, where that is fresh and nobody else reads it."""
    inputs = operation.inputs
    if operation.function not in RELU or len(inputs) != 1 or uses[inputs[0].number] != 1:
        return operation
    fresh = CONV | LINEAR | BATCH_NORM | TWO | {pool_pairs}
    made = [one for one in before if inputs[0] in one.outputs]
    if not made or made[-1].function not in fresh or made[-1].written:
        return operation
    return Operation(torch.relu_, (inputs[0],), {}, operation.outputs, ((inputs[0], operation.outputs[0]),))
