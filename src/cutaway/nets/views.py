"""Several views of an image that are judged together: itself, moved, mirrored."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import reduce

import torch
import torch.nn.functional as F
from torch import Tensor


@dataclass(frozen=True)
class Views:
    """Which views logits are the mean of.

    Moved ones have half of the weight, together; and so has the mirror image of each.

    Args:
        mirror: with mirror images, left to right.
        shift: with the image moved by so many pixels up and left, and down and right; the border is
            reflected. 0 for neither.
    """

    mirror: bool = False
    shift: int = 0

    @property
    def count(self) -> int:
        """How many there are."""
        return (3 if self.shift else 1) * (2 if self.mirror else 1)

    def of(self, inputs: Tensor) -> Iterator[tuple[float, Tensor]]:
        """Each view of a batch and its weight; the weights are 1 together.

        Args:
            inputs: ``(N, C, H, W)``.
        """
        for weight, view in self._moved(inputs):
            if self.mirror:
                yield weight / 2, view
                yield weight / 2, view.flip(3)
            else:
                yield weight, view

    def mean(self, apply: Callable[[Tensor], Tensor], inputs: Tensor) -> Tensor:
        """The mean of what a function gives for each view, one view at a time."""
        parts = (apply(view) if weight == 1 else weight * apply(view) for weight, view in self.of(inputs))
        return reduce(torch.add, parts)

    def _moved(self, inputs: Tensor) -> Iterator[tuple[float, Tensor]]:
        if not self.shift:
            yield 1.0, inputs
            return
        yield 0.5, inputs
        step, (height, width) = self.shift, inputs.shape[2:]
        wide = _reflected(inputs, step)
        for top in (2 * step, 0):
            yield 0.25, wide[:, :, top : top + height, top : top + width]


def _reflected(inputs: Tensor, step: int) -> Tensor:
    """The inputs with a border of ``step`` pixels; as much of it reflected as there is to reflect."""
    height, width = inputs.shape[2:]
    if step < min(height, width):
        return F.pad(inputs, (step, step, step, step), mode="reflect")
    rows, columns = (
        torch.arange(-step, size + step, device=inputs.device).clamp(0, size - 1) for size in (height, width)
    )
    return inputs[:, :, rows][:, :, :, columns]
