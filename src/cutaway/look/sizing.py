"""Images brought to the size and the channels of a subject, where somebody asks for it."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from cutaway.errors import ConfigError
from cutaway.nets.subject import Subject

_LUMINANCE = (0.299, 0.587, 0.114)
"""Of red, green and blue, as in ITU-R BT.601 and in Pillow's grey images."""


def fitted(subject: Subject, images: Tensor) -> Tensor:
    """Images stretched to the subject's height and width, and made grey or coloured.

    Sizes change by bilinear interpolation, shrinking with antialiasing. Colour becomes its luminance,
    grey three equal colours.

    Args:
        subject: whose input shape counts.
        images: ``(N, C, H, W)``, or one ``(C, H, W)``: uint8 pixels, or floats.

    Returns:
        ``(N, C', H', W')``, of the same dtype.

    Raises:
        ConfigError: they are no images, or between other numbers of channels than 1 and 3.
    """
    batch = images[None] if images.dim() == 3 else images
    if batch.dim() != 4 or not batch.numel():
        raise ConfigError(f"images should be N×C×H×W, not {'×'.join(map(str, images.shape))}.")
    channels, height, width = subject.input_shape
    values = batch if batch.is_floating_point() else batch.float()
    if batch.shape[1] != channels:
        values = _coloured(values, channels)
    if values.shape[2:] != (height, width):
        values = F.interpolate(values, (height, width), mode="bilinear", antialias=True, align_corners=False)
    return values if batch.is_floating_point() else values.round().clamp(0, 255).to(torch.uint8)


def _coloured(images: Tensor, channels: int) -> Tensor:
    if images.shape[1] == 1:
        return images.expand(-1, channels, -1, -1)
    if images.shape[1] == 3 and channels == 1:
        weights = torch.tensor(_LUMINANCE, device=images.device).view(1, 3, 1, 1)
        return (images * weights).sum(1, keepdim=True)
    raise ConfigError(f"images have {images.shape[1]} channels; {channels} can't be made of them.")
