"""Linear operations on variants: the unmodified output, plus what the difference in one unit adds.

    y_u = y + W[:, u] ∗ (x'_u − x_u)

For each unit that is a product with its own weights, in place of one with the weights of all units.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from cutaway.look.apart import Apart
from cutaway.look.functions import CONV, LINEAR, argument, is_first
from cutaway.look.operation import Operation


def added(
    operation: Operation, value: object, units: Tensor, known: dict[int, Tensor] | None = None
) -> Tensor | None:
    """A convolution or dense layer on variants that differ in one unit each, ``(V, N, …)``.

    None for any other operation.

    Args:
        operation: with one input.
        value: the input.
        units: whose variants are wanted, ``(V,)``.
        known: unmodified outputs by the number of their slot; one that is computed is added.
    """
    known = {} if known is None else known
    weight = argument(operation, 1, "weight", None)
    if not isinstance(value, Apart) or not isinstance(weight, Tensor) or not is_first(operation):
        return None
    if operation.function in LINEAR and value.base.dim() == 2:
        return _dense(operation, value, weight, units, known)
    if operation.function in CONV and value.base.dim() == 4 and value.span == 1:
        return _conv(operation, value, weight, units, known)
    return None


def _dense(
    operation: Operation, value: Apart, weight: Tensor, units: Tensor, known: dict[int, Tensor]
) -> Tensor:
    at = operation.outputs[0].number
    if at not in known:
        known[at] = F.linear(value.base, weight, argument(operation, 2, "bias", None))
    base = known[at]  # (N, O)
    images, places = value.base.shape
    change = value.change.view(images, -1, value.span)[:, units]  # (N, V, span)
    own = weight.view(len(weight), places // value.span, value.span)[:, units]  # (O, V, span)
    return torch.baddbmm(base.expand(len(units), -1, -1), change.transpose(0, 1), own.permute(1, 2, 0))


def _conv(
    operation: Operation, value: Apart, weight: Tensor, units: Tensor, known: dict[int, Tensor]
) -> Tensor | None:
    defaults = (("bias", None), ("stride", 1), ("padding", 0), ("dilation", 1), ("groups", 1))
    bias, stride, padding, dilation, groups = (
        argument(operation, place, name, default) for place, (name, default) in enumerate(defaults, 2)
    )
    if groups != 1 or isinstance(padding, str):
        return None
    at = operation.outputs[0].number
    if at not in known:
        known[at] = F.conv2d(value.base, weight, bias, stride, padding, dilation)
    base = known[at]  # (N, O, H, W)
    images, filters, height, width = base.shape
    change = value.change[:, units].transpose(0, 1)  # (V, N, H', W')
    patches = F.unfold(change.flatten(0, 1)[:, None], weight.shape[2:], dilation, padding, stride)
    patches = patches.transpose(1, 2).reshape(len(units), images * height * width, -1)  # (V, NHW, hw)
    kernels = weight[:, units].permute(1, 2, 3, 0).flatten(1, 2)  # (V, hw, O)
    start = base.permute(0, 2, 3, 1).reshape(1, -1, filters).expand(len(units), -1, -1)
    found = torch.baddbmm(start, patches, kernels)  # (V, NHW, O): channels last
    return found.view(len(units), images, height, width, filters).permute(0, 1, 4, 2, 3)
