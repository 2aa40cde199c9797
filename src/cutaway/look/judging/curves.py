"""Deletion and insertion: what the class's probability does while the hottest pixels go or come."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from cutaway.errors import ConfigError, DataError
from cutaway.look.backward.baseline import Baseline, baselines
from cutaway.look.backward.graph import float_inputs
from cutaway.look.backward.reading import readings
from cutaway.look.backward.target import PREDICTED
from cutaway.look.finite import refuse_nan
from cutaway.look.judging.correlation import order
from cutaway.nets.subject import Subject

AT_ONCE = 64
"""Masked images in a pass."""

_NONE = "There are no images to judge by; give one or more."


@dataclass(frozen=True)
class Curves:
    """A class's probability by the share of pixels that were replaced or shown.

    Args:
        shares: of the pixels, from 0 to 1, ``(S + 1,)`` float64.
        values: the probability for each image, ``(N, S + 1)`` float64.
    """

    shares: Tensor
    values: Tensor

    @property
    def areas(self) -> Tensor:
        """The area under each curve by the trapezoid rule, 0 to 1: ``(N,)``."""
        return torch.trapezoid(self.values, self.shares)


def deletion(
    subject: Subject,
    images: Tensor,
    heats: Tensor,
    classes: Tensor | None = None,
    *,
    fill: Baseline = "black",
    steps: int = 32,
    seed: int = 0,
) -> Curves:
    """The class's probability while pixels are replaced, the hottest first: small areas are good.

    Args:
        subject: any.
        images: ``(N, C, H, W)``: uint8 pixels, or float inputs.
        heats: one number for each pixel, ``(N, H, W)``.
        classes: whose probability, ``(N,)``; the class that each image is taken for when not given.
        fill: what removed pixels become: ``black``, ``mean``, ``blur``, ``random``, or inputs.
        steps: points of the curve behind the first one; at most one for each pixel.
        seed: of the order among equal pixels, and of a random fill.

    Raises:
        ConfigError: heats, classes, the fill or the number of steps do not fit.
        DataError: there are no images, or something is not finite.

    Source: Petsiuk, Das, Saenko, "RISE: Randomized input sampling for explanation of black-box models",
    2018.
    """
    return _curves(subject, images, heats, classes, fill=fill, steps=steps, seed=seed, inserting=False)


def insertion(
    subject: Subject,
    images: Tensor,
    heats: Tensor,
    classes: Tensor | None = None,
    *,
    fill: Baseline = "blur",
    steps: int = 32,
    seed: int = 0,
) -> Curves:
    """The class's probability while pixels are shown on the fill, the hottest first: large areas are good.

    Arguments, errors and source as of :func:`deletion`.
    """
    return _curves(subject, images, heats, classes, fill=fill, steps=steps, seed=seed, inserting=True)


def predicted(subject: Subject, images: Tensor) -> Tensor:
    """The class that each image is taken for, by one pass without its mirror image: ``(N,)`` int64.

    Raises:
        ConfigError: the images do not fit.
        DataError: there are no images, or something is not finite.
    """
    if not len(images):
        raise DataError(_NONE)
    inputs = float_inputs(subject, images)
    with readings(subject, (PREDICTED,)) as roots:
        logits = torch.cat([roots(part)[0].cpu() for part in inputs.split(subject.batch or AT_ONCE)])
    refuse_nan(subject, inputs, {"inputs": inputs, "its logits": logits})
    return logits.argmax(1)


def _curves(
    subject: Subject,
    images: Tensor,
    heats: Tensor,
    classes: Tensor | None,
    *,
    fill: Baseline,
    steps: int,
    seed: int,
    inserting: bool,
) -> Curves:
    if not len(images):
        raise DataError(_NONE)
    if steps < 1:
        raise ConfigError(f"steps should be 1 or more, not {steps}.")
    classes = predicted(subject, images) if classes is None else classes
    if len(classes) != len(images):
        raise ConfigError(f"There are {len(classes)} classes for {len(images)} images; give one for each.")
    inputs = float_inputs(subject, images)
    size = _size(subject, inputs)
    if tuple(heats.shape) != (len(images), *size):
        wanted, given = ("×".join(map(str, shape)) for shape in ((len(images), *size), heats.shape))
        raise ConfigError(f"heats should have one number for each pixel, {wanted}, not {given}.")
    if not heats.isfinite().all():
        raise DataError("The heats have NaN or infinite values; pixels can't be put in order by them.")
    grounds = baselines(subject, images, fill, seed).to(inputs).expand_as(inputs)
    before, behind = (grounds, inputs) if inserting else (inputs, grounds)
    counts = cuts(heats[0].numel(), steps)
    place = order(heats.flatten(1), seed).to(inputs.device)
    rows = torch.cartesian_prod(torch.arange(len(images)), counts).to(inputs.device)
    labels = classes.to(inputs.device)
    found: list[Tensor] = []
    with readings(subject, (PREDICTED,)) as roots:
        for part in rows.split(subject.batch or AT_ONCE):
            at = part[:, 0]
            changed = _spread(subject, inputs, place[at] < part[:, 1:])
            (logits,) = roots(torch.where(changed, behind[at], before[at]))
            if int(labels.min()) < 0 or int(labels.max()) >= logits.shape[1]:
                raise ConfigError(f"classes should be from 0 to {logits.shape[1] - 1}.")
            found.append(subject.softmax(logits.double()).gather(1, labels[at, None])[:, 0].cpu())
    return Curves(counts.double() / heats[0].numel(), torch.cat(found).view(len(images), -1))


def cuts(pixels: int, steps: int) -> Tensor:
    """How many pixels are changed at each point of a curve: from none to all, in nearly equal steps."""
    steps = min(steps, pixels)
    return torch.tensor([round(step * pixels / steps) for step in range(steps + 1)])


def _size(subject: Subject, inputs: Tensor) -> tuple[int, int]:
    height, width = inputs.shape[1:3] if _channels_last(subject, inputs) else inputs.shape[2:4]
    return int(height), int(width)


def _channels_last(subject: Subject, inputs: Tensor) -> bool:
    """Whether preprocessing moved the channels behind the places."""
    channels, height, width = subject.input_shape
    return tuple(inputs.shape[1:]) == (height, width, channels) != (channels, height, width)


def _spread(subject: Subject, inputs: Tensor, chosen: Tensor) -> Tensor:
    """Pixels ``(n, P)`` as a mask over all channels of inputs."""
    height, width = _size(subject, inputs)
    last = _channels_last(subject, inputs)
    return chosen.view(-1, height, width, 1) if last else chosen.view(-1, 1, height, width)
