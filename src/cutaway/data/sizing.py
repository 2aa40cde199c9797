"""Batches of images brought to other sides, channels and borders."""

from __future__ import annotations

from dataclasses import replace

import torch
import torch.nn.functional as F
from torch import Tensor

from cutaway.config import DataConfig, Fit
from cutaway.data.images import Images, Split

_CHUNK = 1 << 26  # bytes of pixels worked on at once


def bring(images: Images, config: DataConfig) -> Images:
    """The dataset in the size, with the channels and the border that its section asks for."""
    done: dict[int, Tensor] = {}
    splits: dict[str, Split] = {}
    for name, split in images.splits.items():
        key = id(split.store)  # splits of one store still share one afterwards
        if key not in done:
            done[key] = _brought(split.store, config)
        splits[name] = replace(split, store=done[key])
    return replace(images, splits=splits)


def _brought(store: Tensor, config: DataConfig) -> Tensor:
    sides = config.sides or (store.shape[2], store.shape[3])
    channels = config.channels or store.shape[1]
    if (channels, *sides) == tuple(store.shape[1:]) and not config.pad:
        return store
    size = channels * (sides[0] + 2 * config.pad) * (sides[1] + 2 * config.pad)
    step = max(1, _CHUNK // max(size, store[0].numel()))
    parts = (resize(recolour(part, channels), sides, config.fit) for part in store.split(step))
    return torch.cat([border(part, config.pad) for part in parts])


def recolour(pixels: Tensor, channels: int) -> Tensor:
    """Grey or colour: ``(N, C, H, W)`` uint8 to 1 or 3 channels.

    Grey is 0.299 R + 0.587 G + 0.114 B, as ITU-R BT.601 has it and image files use it.
    """
    if pixels.shape[1] == channels:
        return pixels
    if channels == 3:
        return pixels[:, :1].expand(-1, 3, -1, -1)
    weights = torch.tensor([0.299, 0.587, 0.114], device=pixels.device).view(1, 3, 1, 1)
    return (pixels * weights).sum(1, keepdim=True).round().to(torch.uint8)


def resize(pixels: Tensor, sides: tuple[int, int], fit: Fit) -> Tensor:
    """Images at other sides, bilinear and without aliasing.

    Args:
        pixels: ``(N, C, H, W)`` uint8.
        sides: height and width that they come to.
        fit: crop keeps the middle, pad the whole on the ground of its edge, stretch distorts.

    Returns:
        ``(N, C, *sides)`` uint8.
    """
    height, width = pixels.shape[2:]
    if (height, width) == sides:
        return pixels
    if fit is Fit.STRETCH:
        return _scaled(pixels, sides)
    scales = sides[0] / height, sides[1] / width
    scale = max(scales) if fit is Fit.CROP else min(scales)
    size = max(1, round(height * scale)), max(1, round(width * scale))
    if fit is Fit.CROP:
        size = max(sides[0], size[0]), max(sides[1], size[1])
        top, left = (size[0] - sides[0]) // 2, (size[1] - sides[1]) // 2
        return _scaled(pixels, size)[:, :, top : top + sides[0], left : left + sides[1]]
    size = min(sides[0], size[0]), min(sides[1], size[1])
    top, left = (sides[0] - size[0]) // 2, (sides[1] - size[1]) // 2
    return _framed(_scaled(pixels, size), sides, top, left)


def border(pixels: Tensor, pad: int) -> Tensor:
    """Images with ``pad`` pixels of their own ground on every side."""
    if not pad:
        return pixels
    height, width = pixels.shape[2:]
    return _framed(pixels, (height + 2 * pad, width + 2 * pad), pad, pad)


def interpolated(pixels: Tensor, size: tuple[int, int]) -> Tensor:
    """Images ``(N, C, H, W)`` of real numbers at other sides, bilinear and without aliasing."""
    if size[1] == 1 < size[0]:
        # PyTorch 2.13 gives its first row in all rows of a single column; a single row is right.
        return interpolated(pixels.mT.contiguous(), (1, size[0])).mT.contiguous()
    return F.interpolate(pixels, size, mode="bilinear", antialias=True, align_corners=False)


def ground(pixels: Tensor) -> Tensor:
    """The middle value of each image's outermost pixels, channel by channel: ``(N, C)`` uint8."""
    sides = (pixels[..., 0, :], pixels[..., -1, :], pixels[..., 1:-1, 0], pixels[..., 1:-1, -1])
    return torch.cat(sides, dim=-1).median(-1).values


def _scaled(pixels: Tensor, size: tuple[int, int]) -> Tensor:
    if size == tuple(pixels.shape[2:]):
        return pixels
    return interpolated(pixels.float(), size).round_().clamp_(0, 255).to(torch.uint8)


def _framed(pixels: Tensor, sides: tuple[int, int], top: int, left: int) -> Tensor:
    frame = ground(pixels)[:, :, None, None].expand(-1, -1, *sides).clone()
    frame[:, :, top : top + pixels.shape[2], left : left + pixels.shape[3]] = pixels
    return frame
