"""Baselines: the image that another one is compared with."""

from __future__ import annotations

from typing import Literal, TypeVar

import torch
from kornia.filters import gaussian_blur2d
from torch import Tensor

from cutaway.errors import ConfigError
from cutaway.look.backward.attribution import as_images
from cutaway.look.backward.graph import float_inputs
from cutaway.nets.subject import Subject

BaselineName = Literal["black", "mean", "blur", "random"]
Baseline = BaselineName | Tensor
"""``black`` pixels; ``mean``, each channel's mean over the image; ``blur``, the image out of focus;
``random`` noise of all pixel values; or inputs of one's own: ``(1, C, H, W)`` or ``(N, C, H, W)``.
"""

LIKE_BASELINE = "The image is like its baseline, so there is nothing to share out."

_Values = TypeVar("_Values", Tensor, Baseline)

BLUR = 8
"""Of an image's shorter side, the share that is the blur's standard deviation: an eighth."""


def baselines(subject: Subject, images: Tensor, baseline: Baseline, seed: int = 0) -> Tensor:
    """The baseline's input for each image: ``(N, C, H, W)``, or ``(1, C, H, W)`` where all have the same.

    Args:
        subject: whose preprocessing black and random pixels go through.
        images: ``(N, C, H, W)``: uint8 pixels, or float inputs.
        baseline: which.
        seed: of ``random``.

    Raises:
        ConfigError: there is no such baseline, or one's own has another shape.
    """
    if isinstance(baseline, Tensor):
        if baseline.shape[1:] != images.shape[1:] or len(baseline) not in (1, len(images)):
            wanted, given = "×".join(map(str, images.shape)), "×".join(map(str, baseline.shape))
            raise ConfigError(
                f"baseline should be like one image or like all of them ({wanted}), not {given}."
            )
        return float_inputs(subject, baseline)
    if baseline == "black":
        return float_inputs(subject, torch.zeros(1, *subject.input_shape, dtype=torch.uint8))
    if baseline == "random":
        generator = torch.Generator().manual_seed(seed)
        noise = torch.randint(256, (1, *subject.input_shape), generator=generator)
        return float_inputs(subject, noise.to(torch.uint8))
    inputs = float_inputs(subject, images)
    pictures = as_images(subject, inputs)
    if baseline == "mean":
        found: Tensor = pictures.mean((2, 3), keepdim=True).expand_as(pictures)
    elif baseline == "blur":
        found = _blurred(pictures)
    else:
        raise ConfigError(f'baseline should be black, mean, blur, random or inputs, not "{baseline}".')
    return found if pictures.shape == inputs.shape and pictures is inputs else found.movedim(1, 3)


def part_of(values: _Values, start: int, count: int) -> _Values:
    """The images, or their own baselines, of one pass; a baseline that all share stays."""
    return values if isinstance(values, str) or len(values) == 1 else values[start : start + count]


def _blurred(pictures: Tensor) -> Tensor:
    sides = pictures.shape[2:]
    sigma = max(1.0, min(sides) / BLUR)
    # Three standard deviations to both sides, but reflections reach no further than the image.
    widths = [2 * min(round(3 * sigma), side - 1) + 1 for side in sides]
    return gaussian_blur2d(pictures, (widths[0], widths[1]), (sigma, sigma), border_type="reflect")
