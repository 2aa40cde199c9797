"""From bytes to the net's input: saved with the run, applied to every later image."""

from __future__ import annotations

import math
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from itertools import islice
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
        channels = train.shape[0]
        if kind in {PreprocessKind.STANDARDISE, PreprocessKind.MEAN}:
            mean, deviation = pixel_statistics(train)
            scale = deviation if kind is PreprocessKind.STANDARDISE else (1.0,) * channels
            return cls(mean, tuple(value or 1.0 for value in scale))
        shift, factor = _FIXED[kind]
        return cls((shift,) * channels, (factor,) * channels)

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

    def undo(self, inputs: Tensor) -> Tensor:
        """The pixels of inputs: ``(N, C, H, W)`` floats in, uint8 out, rounded and cut to 0 to 255."""
        shift = torch.tensor(self.shift, device=inputs.device).view(1, -1, 1, 1)
        scale = torch.tensor(self.scale, device=inputs.device).view(1, -1, 1, 1)
        return (inputs * scale + shift).round().clamp(0, 255).to(torch.uint8)

    def to_json(self) -> dict[str, Any]:
        """Plain values for a file."""
        return asdict(self)

    @classmethod
    def from_json(cls, values: dict[str, Any]) -> Preprocess:
        """What :meth:`to_json` gave."""
        return cls(tuple(values["shift"]), tuple(values["scale"]))


_FIXED = {
    PreprocessKind.UNIT: (0.0, 255.0),
    PreprocessKind.NONE: (0.0, 1.0),
    # LeCun et al., "Gradient-based learning applied to document recognition", 1998: the background is
    # -0.1 and the foreground 1.175, so that the inputs have about zero mean and unit variance.
    PreprocessKind.LENET5: (20.0, 200.0),
}
"""Shift and scale of the kinds that ask nothing of the data."""


def pixel_statistics(split: Split) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Mean and standard deviation of each channel of a split, in pixel values, exact.

    Counting the 256 values of each channel gives both without a float copy of the data, and a chunk
    at a time without a copy of it at all.
    """
    channels = split.shape[0]

    def count(pixels: Tensor) -> Tensor:
        flat = [pixels[:, channel].flatten() for channel in range(channels)]
        return torch.stack([torch.bincount(values, minlength=256) for values in flat])

    # Counting runs on one core; PyTorch lets go of Python's lock meanwhile, so chunks can be counted
    # side by side. A few at a time: a pool would take all chunks at once, and with them the data.
    size = max(1, _CHUNK // max(1, math.prod(split.shape)))
    total_counts = torch.zeros(channels, 256, dtype=torch.int64)
    threads = torch.get_num_threads()
    chunks = (pixels for pixels, _ in split.chunks(size))
    with ThreadPoolExecutor(threads) as pool:
        while group := list(islice(chunks, threads)):
            for counted in pool.map(count, group):
                total_counts += counted
    counts = total_counts.double()
    values = torch.arange(256, dtype=torch.float64)
    total = counts.sum(1)
    means = counts @ values / total
    squares = (counts * (values - means[:, None]) ** 2).sum(1)
    return tuple(means.tolist()), tuple((squares / total).sqrt().tolist())


_CHUNK = 1 << 22
"""Bytes of pixels counted at once."""
