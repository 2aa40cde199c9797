"""Canvases: what is changed step by step, and the images that it stands for."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Literal, Protocol

import torch
from torch import Tensor

from cutaway.errors import ConfigError

Start = Literal["noise", "grey"] | Tensor
"""Where images begin: ``noise`` around grey, ``grey``, or images of one's own from 0 to 1."""

NOISE = 0.05
"""Standard deviation of the noise at the start, of pixels from 0 to 1."""

_COLOURS = ((0.26, 0.09, 0.02), (0.27, 0.00, -0.05), (0.27, -0.09, 0.03))
"""A square root of the covariance of red, green and blue over ImageNet's pixels, as Olah, Mordvintsev,
Schubert, "Feature visualization", 2017, use it: brightness, and two differences of colours.
"""


class Canvas(Protocol):
    """Values that are changed, and the images that they stand for."""

    values: Tensor

    def images(self) -> Tensor:
        """``(B, C, H, W)`` from 0 to 1, with a gradient by ``values``."""
        ...

    def settle(self) -> None:
        """After a step: bring the values back to where images are."""
        ...


class PixelCanvas:
    """Every pixel by itself; what leaves 0 to 1 is cut off after each step.

    Args:
        start: ``(B, C, H, W)`` from 0 to 1.
    """

    def __init__(self, start: Tensor) -> None:
        self.values = start.clone().clamp_(0, 1)

    def images(self) -> Tensor:
        """The values themselves."""
        return self.values

    def settle(self) -> None:
        """Cut off below 0 and above 1."""
        with torch.no_grad():
            self.values.clamp_(0, 1)


class FourierCanvas:
    """Amplitudes of waves, scaled so that long and short ones change alike; colours decorrelated.

    ``image = sigmoid(C · F⁻¹(values / frequency))``: a step changes an image as smoothly as photographs
    change, where a step of pixels changes it like noise.

    Args:
        start: ``(B, C, H, W)`` from 0 to 1.

    Source: Olah, Mordvintsev, Schubert, "Feature visualization", 2017.
    """

    def __init__(self, start: Tensor) -> None:
        _, channels, height, width = start.shape
        rows = torch.fft.fftfreq(height, device=start.device)[:, None]
        columns = torch.fft.rfftfreq(width, device=start.device)[None]
        frequency = (rows**2 + columns**2).sqrt()
        self._scale = 1 / frequency.clamp_min(1 / max(height, width)) / math.sqrt(height * width)
        self._size = height, width
        self._colours: Tensor | None = None
        if channels == 3:
            colours = torch.tensor(_COLOURS, device=start.device)
            self._colours = colours / colours.norm(dim=0).max()
        self.values = self._from(start)

    def _from(self, images: Tensor) -> Tensor:
        plain = images.clamp(0.01, 0.99).logit()
        if self._colours is not None:
            plain = torch.einsum("dc,bchw->bdhw", torch.linalg.inv(self._colours), plain)
        spectrum = torch.fft.rfft2(plain, norm="ortho") / (self._scale * math.sqrt(math.prod(self._size)))
        return torch.view_as_real(spectrum).contiguous()

    def images(self) -> Tensor:
        """The sum of all waves, in colours, pressed into 0 to 1."""
        spectrum = torch.view_as_complex(self.values) * (self._scale * math.sqrt(math.prod(self._size)))
        plain = torch.fft.irfft2(spectrum, s=self._size, norm="ortho")
        if self._colours is not None:
            plain = torch.einsum("dc,bchw->bdhw", self._colours, plain)
        found: Tensor = plain.sigmoid()
        return found

    def settle(self) -> None:
        """Nothing: every value stands for an image."""


CANVASES: Mapping[str, Callable[[Tensor], Canvas]] = {"pixels": PixelCanvas, "fourier": FourierCanvas}


def started(start: Start, shape: tuple[int, int, int], count: int, seed: int) -> Tensor:
    """The images that ``count`` optimisations begin with, ``(count, C, H, W)`` from 0 to 1.

    Args:
        start: what they are.
        shape: ``(C, H, W)`` of one.
        count: how many.
        seed: of noise; the same for each image, so that one alone begins as it would among others.

    Raises:
        ConfigError: a start of one's own has another shape.
    """
    if isinstance(start, Tensor):
        if start.shape[1:] != shape or len(start) not in (1, count):
            wanted, given = "×".join(map(str, shape)), "×".join(map(str, start.shape))
            raise ConfigError(f"start should be 1×{wanted} or {count}×{wanted}, not {given}.")
        images = start.float() / 255 if not start.is_floating_point() else start.float()
        return images.expand(count, *shape).clone()
    images = torch.full((1, *shape), 0.5)
    if start == "noise":
        generator = torch.Generator().manual_seed(seed)
        images = (images + NOISE * torch.randn(1, *shape, generator=generator)).clamp(0, 1)
    elif start != "grey":
        raise ConfigError(f'start should be noise, grey or images, not "{start}".')
    return images.expand(count, *shape).clone()
