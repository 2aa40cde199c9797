"""A convolution computed by PyTorch's own function, and what other ways of computing one share."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, nn


class Direct:
    """A convolution as its module computes it, with its bias or without.

    Args:
        conv: gives weights and bias; it is not changed.
        biased: whether to add the bias; where not, a later step does.
    """

    def __init__(self, conv: nn.Conv2d, *, biased: bool = True) -> None:
        self.conv = conv
        self.biased = biased

    @property
    def bias(self) -> Tensor | None:
        """``(O,)``, or None for none to add."""
        return self.conv.bias if self.biased else None

    def __call__(self, maps: Tensor) -> Tensor:
        """``(N, C, H, W)`` to ``(N, O, H', W')``."""
        conv = self.conv
        return F.conv2d(maps, conv.weight, self.bias, conv.stride, conv.padding)
