"""Channels last: the layout that convolutions run fastest in, kept all the way through a net."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn


def channels_last(net: nn.Module) -> nn.Module:
    """The same module with its kernels laid out channels last."""
    net.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    return net


class Flatten(nn.Flatten):
    """``nn.Flatten`` whose gradient comes back channels last.

    The plain one hands a gradient in the default layout to a convolution that works in the other,
    which made that convolution's backward pass several times slower.
    """

    def forward(self, input: Tensor) -> Tensor:  # noqa: A002  the name of nn.Flatten's own argument
        """``(N, C, H, W)`` to ``(N, C · H · W)``, channel after channel."""
        if input.dim() == 4 and input.requires_grad and torch.is_grad_enabled():
            flat: Tensor = _FlattenChannelsLast.apply(input)  # type: ignore[no-untyped-call]
            return flat
        return super().forward(input)


class _FlattenChannelsLast(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, maps: Tensor) -> Tensor:
        ctx.shape = maps.shape
        return maps.flatten(1)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Tensor:
        return gradients[0].reshape(ctx.shape).contiguous(memory_format=torch.channels_last)
