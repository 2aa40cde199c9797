"""From pixels that can change to the model's input, with a gradient all the way."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from cutaway.errors import ConfigError
from cutaway.look.backward.graph import float_inputs
from cutaway.nets.subject import Subject

_PROBES = (51, 128, 204)
_CLOSE = 1e-4


@dataclass(frozen=True)
class PixelSpace:
    """Images from 0 (black) to 1 (white) as inputs of a subject: ``input = low + image · (high − low)``.

    Args:
        low: the input of a black image, ``(1, C, H, W)``.
        high: of a white one.
    """

    low: Tensor
    high: Tensor

    @classmethod
    def of(cls, subject: Subject) -> PixelSpace:
        """The way from pixels to inputs that a subject's preprocessing takes, found by asking it.

        Raises:
            ConfigError: its preprocessing is more than a scale and a shift for each value.
        """
        generator = torch.Generator().manual_seed(0)
        noise = torch.randint(256, (1, *subject.input_shape), generator=generator).to(torch.uint8)
        ends = [torch.full((1, *subject.input_shape), value, dtype=torch.uint8) for value in (0, 255)]
        low, high = (float_inputs(subject, end) for end in ends)
        probes = [noise, *(torch.full_like(noise, value) for value in _PROBES)]
        for probe in probes:
            wanted = low + (high - low) * (probe.to(low) / 255).reshape(low.shape)
            slack = _CLOSE * float((high - low).abs().max())
            if not torch.allclose(float_inputs(subject, probe), wanted, rtol=_CLOSE, atol=slack):
                raise ConfigError(
                    f"{subject.name}: its preprocessing is more than a scale and a shift, so pixels can't be "
                    "changed by gradients. Give a Subject whose preprocess only scales and shifts."
                )
        return cls(low, high)

    def inputs(self, images: Tensor) -> Tensor:
        """``(N, C, H, W)`` from 0 to 1 as the model's input."""
        return self.low + images.to(self.low) * (self.high - self.low)
