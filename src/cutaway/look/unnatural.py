"""Unnatural images: made from nothing by plain gradient ascent, and surely some class to the net."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Literal

import torch
from torch import Tensor

from cutaway.errors import ConfigError, NotFoundError
from cutaway.look import ball as balls
from cutaway.look.backward.attribution import AT_ONCE
from cutaway.look.ball import Ball
from cutaway.look.goal import class_number
from cutaway.look.pixels import Limits, Pixels, pixels
from cutaway.nets.subject import Subject
from cutaway.progress import tracked

Ground = Literal["grey", "noise", "black"]
"""Where the ascent begins: pixels of 128, random ones from 0 to 255, or 0."""

GREY = 128


@dataclass(frozen=True)
class Unnatural:
    """Images that a subject is sure of, and that show nothing.

    Args:
        images: ``(K, C, H, W)`` float32 on the CPU, in pixel values, whole numbers from 0 to 255; inputs
            where the start was given as inputs.
        start: what they were made from, ``(K, C, H, W)``.
        classes: what each should be taken for, ``(K,)`` int64.
        before: class probabilities of the start, ``(K, classes)``.
        after: those of the images.
        steps: how many each took, ``(K,)`` int64.
        confidence: the probability of the class after each step, before rounding,
            ``(K, most steps + 1)`` float32, the start's first; NaN behind the last.
        wanted: the probability that the ascent stops at.
        unit: of values and norms: "pixel values" or "input values".
        names: of all classes.
        subject: the subject's name.
        notes: which images did not get there, and why.
    """

    images: Tensor
    start: Tensor
    classes: Tensor
    before: Tensor
    after: Tensor
    steps: Tensor
    confidence: Tensor
    wanted: float
    unit: str
    names: tuple[str, ...]
    subject: str = ""
    notes: tuple[str, ...] = ()

    @property
    def probability(self) -> Tensor:
        """That each image is of its class, ``(K,)``."""
        return self.after.gather(1, self.classes[:, None])[:, 0]

    @property
    def reached(self) -> Tensor:
        """Whether that is as much as was wanted, ``(K,)`` bool."""
        return self.probability >= self.wanted

    @property
    def linf(self) -> Tensor:
        """The largest difference of a value to the start, ``(K,)`` float32, in ``unit``."""
        return balls.linf(self.images - self.start).float()

    @property
    def l2(self) -> Tensor:
        """The root of the sum of all squared differences to the start, ``(K,)`` float32, in ``unit``."""
        return balls.l2(self.images - self.start).float()


def unnatural(
    subject: Subject,
    classes: int | str | Sequence[int | str] | None = None,
    *,
    start: Ground | Tensor = "grey",
    confidence: float = 0.99,
    steps: int = 500,
    step: float = 2.0,
    limits: Limits | None = None,
    seed: int = 0,
) -> Unnatural:
    """Climb from an image without anything in it to one that the net is sure of.

        x ← cut(x + α · ∂φ_i(x) / ∂x)

    φ_i is the logit of class i, and α so large that the pixels change by ``step`` in the root of the mean
    square. There is no prior, so the images come out in high frequencies; they stop at the first one that
    is of its class with a probability of ``confidence``, also after rounding to whole pixels.

    Args:
        subject: any.
        classes: one or more, by number or name; all when not given.
        start: ``grey``, ``noise``, ``black``, or one's own: ``(1, C, H, W)``, uint8 pixels or float inputs.
        confidence: between 0 and 1.
        steps: the most.
        step: length of each, in pixel values (of a float start: in input values).
        limits: the least and greatest value allowed: 0 and 255 for pixels, none for inputs unless given.
        seed: of the noise.

    Raises:
        ConfigError: an argument is out of its range, or there is no gradient.
        NotFoundError: there is no such class.
        DataError: values are not finite.

    Source: Simonyan, Vedaldi, Zisserman, "Deep inside convolutional networks", 2013, for the ascent; Nguyen,
    Yosinski, Clune, "Deep neural networks are easily fooled", 2014, for what comes of it.
    """
    if not 0 < confidence < 1 or steps < 1 or not step > 0:
        raise ConfigError(
            f"confidence should be between 0 and 1, steps 1 or more and step above 0, not "
            f"{confidence}, {steps} and {step}."
        )
    first = _start(subject, start, seed)
    with pixels(subject, first, limits) as place:
        values = place.values(first)
        place.refuse_outside(values)
        known = place.told(values)
        subject.refuse_probabilities(known)
        numbers = _numbers(subject, classes, known.shape[1])
        climb = _Climb(place, confidence, steps, step)
        parts = []
        with tracked("Climbing", len(numbers), "classes") as add:
            for some in numbers.split(subject.batch or AT_ONCE):
                parts.append(climb.climbed(values, some.to(values.device)))
                add(len(some))
    images = torch.cat([part.images for part in parts])
    steps_taken = torch.cat([part.steps for part in parts])
    found = Unnatural(
        images,
        values.cpu().float().expand_as(images).clone(),
        numbers,
        subject.softmax(known).float().cpu().expand(len(numbers), -1).clone(),
        subject.softmax(torch.cat([part.logits for part in parts])).float(),
        steps_taken,
        torch.cat([part.confidence for part in parts])[:, : int(steps_taken.max()) + 1],
        confidence,
        place.unit,
        tuple(subject.classes) or tuple(map(str, range(known.shape[1]))),
        subject.name,
    )
    return replace(found, notes=_notes(found, torch.cat([part.still for part in parts])))


@dataclass(frozen=True)
class _Climbed:
    """Images ``(k, C, H, W)`` and their logits ``(k, K)``; steps and those that stood still ``(k,)``."""

    images: Tensor
    logits: Tensor
    steps: Tensor
    confidence: Tensor
    still: Tensor


@dataclass(frozen=True)
class _Climb:
    """How to climb; arguments as for :func:`unnatural`."""

    place: Pixels
    wanted: float
    steps: int
    step: float

    def climbed(self, start: Tensor, classes: Tensor) -> _Climbed:
        """Climb to some classes at once; each stops where it has got there, or where nothing leads on."""
        count = len(classes)
        images = start.repeat(count, 1, 1, 1)
        taken = torch.full((count,), self.steps)
        confidence = torch.full((count, self.steps + 1), torch.nan)
        still = torch.zeros(count, dtype=torch.bool)
        left = torch.arange(count, device=start.device)
        for number in range(self.steps + 1):
            wanted = classes[left]
            logits, gradient = self.place.slopes(images[left], partial(_ones, classes=wanted))
            sure = _own(logits, wanted)
            confidence[left.cpu(), number] = sure.float().cpu()
            flat = (gradient == 0).flatten(1).all(1)
            done = flat | (sure >= self.wanted)
            if bool((done & ~flat).any()):
                # What is given must be so sure as a picture, in whole pixels.
                told = self.place.told(self.place.whole(images[left]))
                done &= flat | (_own(told, wanted) >= self.wanted)
            taken[left[done].cpu()] = number
            still[left[flat].cpu()] = True
            left, gradient = left[~done], gradient[~done]
            if not len(left) or number == self.steps:
                break
            size = gradient[0].numel() ** 0.5
            moved = images[left] + self.step * size * Ball(1, "l2").steepest(gradient)
            images[left] = self.place.cut(moved)
        final = self.place.whole(images)
        return _Climbed(final.cpu().float(), self.place.told(final).cpu(), taken, confidence, still)


def _ones(logits: Tensor, classes: Tensor) -> Tensor:
    """1 for each image's class and 0 for others: the derivative of its logit."""
    return torch.zeros_like(logits).scatter(1, classes[:, None], 1.0)


def _own(logits: Tensor, classes: Tensor) -> Tensor:
    """The probability of each image's class, ``(n,)``."""
    return logits.softmax(1).gather(1, classes[:, None])[:, 0]


def _start(subject: Subject, start: Ground | Tensor, seed: int) -> Tensor:
    """The image to begin with, ``(1, C, H, W)``: uint8 pixels, or one's own."""
    shape = (1, *subject.input_shape)
    if isinstance(start, Tensor):
        if start.dim() != 4 or len(start) != 1:
            raise ConfigError(f"start should be one image 1×C×H×W, not {'×'.join(map(str, start.shape))}.")
        return start
    if start == "noise":
        generator = torch.Generator().manual_seed(seed)
        return torch.randint(256, shape, generator=generator).to(torch.uint8)
    if start not in ("grey", "black"):
        raise ConfigError(f'start should be grey, noise, black or an image, not "{start}".')
    return torch.full(shape, GREY if start == "grey" else 0, dtype=torch.uint8)


def _numbers(subject: Subject, classes: int | str | Sequence[int | str] | None, count: int) -> Tensor:
    """The classes to climb to, ``(K,)`` int64."""
    if classes is None:
        return torch.arange(count)
    several = [classes] if isinstance(classes, int | str) else list(classes)
    if not several:
        raise ConfigError("classes should be one or more; there are none.")
    numbers = [class_number(subject, one) for one in several]
    outside = [number for number in numbers if not 0 <= number < count]
    if outside:
        raise NotFoundError(f"There is no class {outside[0]}: they are numbered from 0 to {count - 1}.")
    return torch.tensor(numbers)


def _notes(found: Unnatural, still: Tensor) -> tuple[str, ...]:
    """What is to be said of images that are not of their class."""
    notes = []
    for row, (number, sure) in enumerate(
        zip(found.classes.tolist(), found.probability.tolist(), strict=True)
    ):
        if sure >= found.wanted:
            continue
        reason = f"after {int(found.steps[row])} steps; give more of them, or another start or step"
        if still[row]:
            reason = (
                "and its gradient is zero everywhere. The likely cause: all units of a layer on the way are "
                "off or saturated; give another start, such as noise"
            )
        notes.append(f"{found.names[number]} has {sure:.1%} {reason}.")
    return tuple(notes)
