"""From bytes to the net's input: saved with the run, applied to every later image."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import torch
from torch import Tensor

from cutaway.config import PreprocessKind
from cutaway.data.images import Split


@dataclass(frozen=True)
class Preprocess:
    """x = (pixel − shift) / scale, channel by channel.

    Args:
        shift: one number per channel, in pixel values from 0 to 255.
        scale: likewise, above zero.
    """

    shift: tuple[float, ...]
    scale: tuple[float, ...]

    @classmethod
    def fit(cls, kind: PreprocessKind, train: Split) -> Preprocess:
        """The preprocessing of one kind, with the training split's own statistics."""
        channels = train.pixels.shape[1]
        if kind is PreprocessKind.STANDARDISE:
            mean, deviation = pixel_statistics(train.pixels)
            return cls(mean, tuple(d or 1.0 for d in deviation))
        scale = 255.0 if kind is PreprocessKind.UNIT else 1.0
        return cls((0.0,) * channels, (scale,) * channels)

    def __call__(self, pixels: Tensor) -> Tensor:
        """The input for ``pixels``: ``(N, C, H, W)`` uint8 in, float32 channels-last out."""
        if len(self.shift) == 1:
            # One channel: a number costs less than a broadcast, and the strides must be said, or
            # oneDNN takes the layout for the other one and converts it before the first conv.
            inputs = pixels.to(torch.float32).sub_(self.shift[0]).mul_(1 / self.scale[0])
            return inputs.view(len(pixels), *pixels.shape[2:], 1).permute(0, 3, 1, 2)
        inputs = pixels.to(torch.float32, memory_format=torch.channels_last)
        shift = torch.tensor(self.shift, device=pixels.device).view(1, -1, 1, 1)
        factor = 1 / torch.tensor(self.scale, device=pixels.device).view(1, -1, 1, 1)
        return inputs.sub_(shift).mul_(factor)

    def to_json(self) -> dict[str, Any]:
        """Plain values for a file."""
        return asdict(self)

    @classmethod
    def from_json(cls, values: dict[str, Any]) -> Preprocess:
        """What :meth:`to_json` gave."""
        return cls(tuple(values["shift"]), tuple(values["scale"]))


def pixel_statistics(pixels: Tensor) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Mean and standard deviation of each channel, ``(N, C, H, W)`` uint8, exact.

    Counting the 256 values of each channel gives both without a float copy of the data.
    """
    values = torch.arange(256, dtype=torch.float64)
    means, deviations = [], []
    for channel in range(pixels.shape[1]):
        counts = torch.bincount(pixels[:, channel].flatten(), minlength=256).double()
        mean = (counts @ values) / counts.sum()
        means.append(float(mean))
        deviations.append(float(((counts @ (values - mean) ** 2) / counts.sum()).sqrt()))
    return tuple(means), tuple(deviations)
