"""Sensitivity: how much an explanation changes with noise that nobody sees."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import torch
from torch import Tensor

from cutaway.errors import ConfigError
from cutaway.nets.subject import Subject

Heat = Callable[[Subject, Tensor], Tensor]
"""From a subject and images to one number for each pixel, ``(N, H, W)``, for the same targets each time."""


def max_sensitivity(
    heat: Heat,
    subject: Subject,
    images: Tensor,
    *,
    clean: Tensor | None = None,
    samples: int = 5,
    radius: float = 0.02,
    seed: int = 0,
) -> Tensor:
    """The largest change of the maps under noise, as a share of the maps themselves: ``(N,)`` float64.

    ``max ‖Φ(x + r) − Φ(x)‖ / ‖Φ(x)‖`` over some r drawn evenly from the box of ``radius``. The paper's
    measure has no denominator; with it, the scale of a method's maps has no part in it. NaN where a map is 0.

    Args:
        heat: Φ.
        subject: any.
        images: ``(N, C, H, W)``: uint8 pixels, or float inputs.
        clean: Φ(x), where it is known.
        samples: draws, the same for every image; more can only find more.
        radius: the box's half width, as a share of the range of the image's input.
        seed: of the draws.

    Raises:
        ConfigError: there are no draws, or the radius is not above 0.

    Source: Yeh, Hsieh, Suggala, Inouye, Ravikumar, "On the (in)fidelity and sensitivity of explanations",
    2019.
    """
    if samples < 1 or not radius > 0:
        raise ConfigError(f"samples should be 1 or more and radius above 0, not {samples} and {radius}.")
    clean = heat(subject, images) if clean is None else clean
    generator = torch.Generator().manual_seed(seed)
    worst = torch.zeros(len(images), dtype=torch.float64)
    for _ in range(samples):
        draw = torch.rand(subject.input_shape, generator=generator, dtype=torch.float64) * 2 - 1
        noisy = heat(*with_noise(subject, images, radius * draw))
        worst = torch.maximum(worst, _norm(noisy - clean))
    amount = _norm(clean)
    return torch.where(amount > 0, worst / amount, torch.nan)


def with_noise(subject: Subject, images: Tensor, noise: Tensor) -> tuple[Subject, Tensor]:
    """A subject and images whose inputs are those given with noise added, in units of their ranges.

    To pixels it is added behind preprocessing, so that they need not be rounded to bytes. A constant
    image, such as a black baseline, has no range and no noise.

    Args:
        subject: any; itself not changed.
        images: ``(N, C, H, W)``.
        noise: ``(C, H, W)``.
    """
    if images.is_floating_point():
        return subject, _noisy(images, noise)

    def preprocess(pixels: Tensor) -> Tensor:
        inputs = subject.preprocess(pixels)
        last = inputs.shape[1:] != noise.shape
        return _noisy(inputs, noise.movedim(0, 2) if last else noise)

    return replace(subject, preprocess=preprocess), images


def _noisy(inputs: Tensor, noise: Tensor) -> Tensor:
    spread = inputs.amax((1, 2, 3), keepdim=True) - inputs.amin((1, 2, 3), keepdim=True)
    noisy: Tensor = inputs + spread * noise.to(inputs)
    return noisy


def _norm(maps: Tensor) -> Tensor:
    return maps.double().flatten(1).square().sum(1).sqrt()
