"""Gradients of a target by the image: plain, times the image, and averaged over noisy copies."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from cutaway.errors import ConfigError
from cutaway.look.backward.attribution import (
    AT_ONCE,
    Attribution,
    as_images,
    attributed,
    chunks,
    refuse_unfinite,
    walks,
    with_zero_noted,
)
from cutaway.look.backward.graph import INPUT
from cutaway.look.backward.silence import cause_of
from cutaway.look.backward.target import Asked, as_targets
from cutaway.nets.subject import Subject
from cutaway.progress import tracked


def saliency(subject: Subject, images: Tensor, targets: Asked | Sequence[Asked] | None = None) -> Attribution:
    """How much a target changes with each value of the input: ``∂ target / ∂ x``.

    Args:
        subject: any.
        images: ``(N, C, H, W)``: uint8 pixels, or float inputs.
        targets: classes or :class:`Target`; the class each image is taken for when not given.

    Raises:
        CutawayError: the images do not fit, there is no such class or layer, or there is no gradient.

    Source: Simonyan, Vedaldi, Zisserman, "Deep inside convolutional networks", 2013.
    """
    return attributed(subject, images, targets, "saliency")


def gradient_input(
    subject: Subject, images: Tensor, targets: Asked | Sequence[Asked] | None = None
) -> Attribution:
    """The gradient times the input: ``x · ∂ target / ∂ x``, what each value adds to first order.

    The input is what the model is given, after preprocessing.

    Args:
        subject: any.
        images: ``(N, C, H, W)``: uint8 pixels, or float inputs.
        targets: as for :func:`saliency`.

    Raises:
        CutawayError: as :func:`saliency` does.

    Source: Shrikumar, Greenside, Shcherbina, Kundaje, "Not just a black box", 2016.
    """
    return attributed(
        subject,
        images,
        targets,
        "gradient × input",
        read=lambda inputs, arriving: inputs * arriving,
        times="Its input is zero.",
    )


def smoothgrad(
    subject: Subject,
    images: Tensor,
    targets: Asked | Sequence[Asked] | None = None,
    *,
    samples: int = 32,
    noise: float = 0.15,
    seed: int = 0,
) -> Attribution:
    """The mean of the gradients of noisy copies of an image, which is less ragged than one gradient.

    Args:
        subject: any.
        images: ``(N, C, H, W)``: uint8 pixels, or float inputs.
        targets: as for :func:`saliency`; the predicted class is that of the image without noise.
        samples: noisy copies of each image.
        noise: standard deviation, as a share of the range of the image's input.
        seed: of the noise; the same for every image and whatever images it stands with.

    Raises:
        ConfigError: there are no samples, or the noise is negative.
        CutawayError: as :func:`saliency` does.

    Source: Smilkov, Thorat, Kim, Viégas, Wattenberg, "SmoothGrad", 2017.
    """
    if samples < 1 or noise < 0:
        raise ConfigError(f"samples should be 1 or more and noise 0 or more, not {samples} and {noise}.")
    wanted = as_targets(subject, targets)
    maps, values = [], []
    with walks(subject, wanted) as forward, tracked("smoothgrad", len(images), "images") as add:
        for inputs, chosen in chunks(subject, images, wanted):
            clean = forward(inputs)
            seeds = [clean.seed(target) for target in chosen]
            values.append(torch.stack([clean.value(target) for target in chosen]).float().cpu())
            flat = inputs.flatten(1)
            spread = (noise * (flat.amax(1) - flat.amin(1))).view(-1, *[1] * (inputs.dim() - 1))
            total = torch.zeros(len(chosen), *inputs.shape, dtype=inputs.dtype, device=inputs.device)
            generator = torch.Generator().manual_seed(seed)
            # Drawn one by one: how many copies of each image stand in a pass changes no number.
            many = max(1, (subject.batch or AT_ONCE) // len(inputs))
            for start in range(0, samples, many):
                count = min(many, samples - start)
                draws = [torch.randn(inputs.shape[1:], generator=generator) for _ in range(count)]
                noisy = inputs[None] + spread * torch.stack(draws)[:, None].to(inputs)  # (count, n, …)
                graph = forward(noisy.flatten(0, 1))
                for place, (target, one) in enumerate(zip(chosen, seeds, strict=True)):
                    copies = one.repeat(count, *[1] * (one.dim() - 1))
                    (found,) = graph.back(target, copies, [INPUT], keep=place + 1 < len(chosen))
                    total[place] += found.view(count, *inputs.shape).sum(0)
            maps.append(torch.stack([as_images(subject, one / samples) for one in total]).float().cpu())
            add(len(inputs))
    result = Attribution(
        images,
        torch.cat(maps, 1),
        torch.cat(values, 1),
        tuple(map(str, wanted)),
        "smoothgrad",
        subject.name,
    )
    refuse_unfinite(subject, images, result.values, result.maps)
    return with_zero_noted(result, cause_of(subject, images, wanted))
