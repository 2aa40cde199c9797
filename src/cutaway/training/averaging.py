"""The mean of a net's weights over the last steps."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from cutaway.errors import StoreError

_PREFIX = "average."


class Average:
    """An exponential mean of weights and of batch norm's statistics: less noise than the last step's.

    A step moves the mean by 1/n of the way to the weights, n being the steps that it is taken over.
    In the first steps it is moved further, by 10/(9 + steps so far), so that random weights are
    soon forgotten. Polyak and Juditsky, 1992; Tarvainen and Valpola, "Mean teachers", 2017.

    Args:
        net: whose weights are followed.
        steps: that the mean is taken over, as the time constant of its decay; 0 for no mean.
    """

    def __init__(self, net: nn.Module, steps: float) -> None:
        self._steps = steps
        own = [*net.named_parameters(), *net.named_buffers()] if steps else []
        # Counters of batches are no weights.
        self._own = {name: value.data for name, value in own if value.is_floating_point()}
        self._means = {name: value.clone() for name, value in self._own.items()}

    def follow(self, done: int) -> None:
        """Take in the weights behind a step, of which ``done`` came before it."""
        if self._means:
            share = max(1 / max(1.0, self._steps), 10 / (10 + done))
            torch._foreach_lerp_(list(self._means.values()), list(self._own.values()), share)

    @contextmanager
    def applied(self) -> Iterator[None]:
        """Inside, the net has the mean weights; behind, its own again."""
        self._exchange()
        try:
            yield
        finally:
            self._exchange()

    def settle(self) -> None:
        """Leave the mean weights in the net for good."""
        for name, mean in self._means.items():
            self._own[name].copy_(mean)

    def _exchange(self) -> None:
        # The values change places, not the tensors: whoever holds a weight sees the mean.
        for name, mean in self._means.items():
            own = self._own[name]
            kept = own.clone()
            own.copy_(mean)
            mean.copy_(kept)

    def tensors(self) -> dict[str, Tensor]:
        """What a checkpoint keeps: each mean, by ``average.`` and the weight's name."""
        return {_PREFIX + name: mean for name, mean in self._means.items()}

    def restore(self, tensors: Mapping[str, Tensor]) -> None:
        """Go on with a checkpoint's means.

        Raises:
            StoreError: there is one missing.
        """
        for name, mean in self._means.items():
            if _PREFIX + name not in tensors:
                raise StoreError(f"The checkpoint has no mean of {name}, but train.average asks for it.")
            mean.copy_(tensors[_PREFIX + name])


def means_of(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The means in a checkpoint, by the weight's name; none where none were taken."""
    return {name.removeprefix(_PREFIX): value for name, value in tensors.items() if name.startswith(_PREFIX)}
