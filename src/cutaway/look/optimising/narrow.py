"""Of the convolution that targets are read from, only the channels that they name."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from cutaway.look.backward.graph import Forward, Graph
from cutaway.look.backward.target import Target

_WORTH = 0.75
"""Above this share of a convolution's channels there is too little to save."""


class Narrow(TorchFunctionMode):
    """Passes in which a convolution computes some of its channels; the others are 0.

    A pass ends behind the convolution, so nothing of the model reads what is not computed; where the model
    calls it more than once, passes are made as they are.

    Args:
        conv: of one group.
        channels: that are computed, ``(n,)`` int64.
    """

    def __init__(self, conv: nn.Conv2d, channels: Tensor) -> None:
        super().__init__()
        self.weight, self.channels = conv.weight, channels
        self.calls = 0
        last = conv.weight.is_contiguous(memory_format=torch.channels_last)
        self.layout = torch.channels_last if last else torch.contiguous_format
        self.part = conv.weight.detach()[channels].contiguous(memory_format=self.layout)
        self.bias = None if conv.bias is None else conv.bias.detach()[channels]

    def __call__(self, forward: Forward) -> Forward:
        """The same passes, narrow ones."""

        def narrow(inputs: Tensor) -> Graph:
            if self.calls > 1:
                return forward(inputs)
            self.calls = 0
            with self:
                graph = forward(inputs)
            return forward(inputs) if self.calls > 1 else graph

        return narrow

    def __torch_function__(
        self, func: Callable[..., Any], types: Any, args: Any = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        """Make the call; PyTorch calls this with itself switched off."""
        del types
        if func is not torch.conv2d or len(args) < 3 or args[1] is not self.weight:
            return func(*args, **kwargs or {})
        self.calls += 1
        found = func(args[0], self.part, self.bias, *args[3:], **kwargs or {})
        shape = (*found.shape[:-3], len(self.weight), *found.shape[-2:])
        layout = self.layout if found.dim() == 4 else torch.contiguous_format
        whole = torch.empty(shape, dtype=found.dtype, device=found.device, memory_format=layout)
        return whole.zero_().index_copy(-3, self.channels, found)


def narrow_to(model: nn.Module, layer: str | None, targets: Iterable[Target]) -> Callable[[Forward], Forward]:
    """What makes passes narrow that end behind a layer, where that saves anything; else they stay the same.

    To be asked for before passes are recorded: hooks that others have put on the layer may read any channel.

    Args:
        model: that passes apply.
        layer: that all targets are read from; None for the logits.
        targets: with weights.
    """
    module = dict(model.named_modules()).get(layer) if layer else None
    named = sorted({number for target in targets for number in target.weights or ()})
    if (
        type(module) is not nn.Conv2d
        or module.groups != 1
        or module._forward_hooks
        or not named
        or not 0 <= named[0] <= named[-1] < module.out_channels
        or len(named) > _WORTH * module.out_channels
    ):
        return lambda forward: forward
    return Narrow(module, torch.tensor(named, device=module.weight.device))
