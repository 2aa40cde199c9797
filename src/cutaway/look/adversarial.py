"""Adversarial images: changed so little that nobody sees it, and taken for something else."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from cutaway.errors import ConfigError
from cutaway.look import ball as balls
from cutaway.look.backward.attribution import AT_ONCE
from cutaway.look.ball import Ball, Norm
from cutaway.look.goal import Classes, Goal, class_numbers
from cutaway.look.pixels import Limits, Pixels, pixels
from cutaway.nets.subject import Subject
from cutaway.progress import tracked

Start = Literal["random", "image"]
"""Where PGD begins: at a random place of the ball, or at the image."""


@dataclass(frozen=True)
class Adversarial:
    """Images, what an attack made of them, and what a subject says of both.

    Args:
        images: ``(N, C, H, W)`` float32 on the CPU, in pixel values 0 to 255, or the inputs given.
        changed: likewise, after the attack.
        before: class probabilities of the images, ``(N, K)`` float32.
        after: those of the changed images.
        classes: the class of each image that was to be left, or to be reached, ``(N,)`` int64.
        targeted: whether it was to be reached.
        success: ``(N,)`` bool: the changed image is taken for another class than the one to be left, or
            for the one to be reached. An image that was so before counts too: ``already``.
        already: ``(N,)`` bool, the same of the images as they were.
        method: "FGSM" or "PGD".
        eps: how far the attack might go, in ``unit``.
        norm: in which norm.
        unit: of eps and the norms: "pixel values" or "input values".
        names: of the K classes.
        subject: the subject's name.
        notes: what a reader should know, such as why an image did not change.
    """

    images: Tensor
    changed: Tensor
    before: Tensor
    after: Tensor
    classes: Tensor
    targeted: bool
    success: Tensor
    already: Tensor
    method: str
    eps: float
    norm: Norm
    unit: str
    names: tuple[str, ...]
    subject: str = ""
    notes: tuple[str, ...] = ()

    @property
    def change(self) -> Tensor:
        """What was added, ``(N, C, H, W)``."""
        return self.changed - self.images

    @property
    def linf(self) -> Tensor:
        """The largest change of a value of each image, ``(N,)`` float32, in ``unit``."""
        return balls.linf(self.changed.double() - self.images.double()).float()

    @property
    def l2(self) -> Tensor:
        """The root of the sum of all squared changes, ``(N,)`` float32, in ``unit``."""
        return balls.l2(self.changed.double() - self.images.double()).float()

    @property
    def taken(self) -> tuple[Tensor, Tensor]:
        """What each image was taken for, before and after, ``(N,)`` int64."""
        return self.before.argmax(1), self.after.argmax(1)

    @property
    def confidence(self) -> tuple[Tensor, Tensor]:
        """The probability of what each image was taken for, before and after, ``(N,)``."""
        return self.before.amax(1), self.after.amax(1)


def fgsm(
    subject: Subject,
    images: Tensor,
    eps: float,
    labels: Classes | None = None,
    *,
    toward: Classes | None = None,
    norm: Norm = "linf",
    limits: Limits | None = None,
    whole: bool = False,
) -> Adversarial:
    """The fast gradient sign method: one step of full length along the gradient of the cross-entropy J.

        x' = cut(x + eps · sign(∂J(x, label) / ∂x)),   towards a class: cut(x − eps · sign(∂J(x, class) / ∂x))

    and g / ‖g‖ in place of sign(g) for L2. The sign of zero is zero.

    uint8 images are changed as pixels: eps and norms are in pixel values, ``cut`` keeps 0 to 255, and the
    gradient goes through the subject's preprocessing. Float images are inputs; all is in their unit.

    Args:
        subject: any.
        images: ``(N, C, H, W)``: uint8 pixels, or float inputs.
        eps: length of the step, 0 or more.
        labels: the class of each image, to be left; what it is taken for when not given.
        toward: the class to be taken for instead; then there is nothing to leave.
        norm: ``linf`` or ``l2``.
        limits: the least and greatest value allowed: 0 and 255 for pixels, none for inputs unless given.
        whole: round the change of pixels towards zero, so that the result is an image of bytes.

    Raises:
        ConfigError: eps is below 0, the images or limits do not fit, labels are missing, or there is no
            gradient, also none through preprocessing.
        NotFoundError: there is no such class.
        DataError: there are no images, or values that are not finite.

    Source: Goodfellow, Shlens, Szegedy, "Explaining and harnessing adversarial examples", 2014.
    """
    ball = Ball(eps, norm)

    def step(place: Pixels, values: Tensor, goal: Goal) -> Found:
        return fast_step(place, values, goal, ball)

    asked = _Asked("FGSM", labels, toward, ball, limits, whole)
    return _attacked(subject, images, asked, step)


def pgd(
    subject: Subject,
    images: Tensor,
    eps: float,
    labels: Classes | None = None,
    *,
    toward: Classes | None = None,
    norm: Norm = "linf",
    steps: int = 20,
    step: float | None = None,
    start: Start = "random",
    restarts: int = 1,
    seed: int = 0,
    limits: Limits | None = None,
    whole: bool = False,
) -> Adversarial:
    """Projected gradient descent: many small steps, each brought back into the ball of eps.

        x ← cut(x₀ + inside(x + step · sign(∂J(x, label) / ∂x) − x₀))

    likewise with g / ‖g‖ for L2. Of the image and all that lie on the way, the one is given whose
    margin is largest: the largest other logit less the label's, or the reverse towards a class.

    Args:
        subject: any.
        images: as for :func:`fgsm`.
        eps: radius of the ball, 0 or more.
        labels: as for :func:`fgsm`.
        toward: likewise.
        norm: ``linf`` or ``l2``.
        steps: 1 or more.
        step: length of a step, above 0; 2.5 · eps / steps when not given.
        start: where the first way begins.
        restarts: ways; all but the first begin at random.
        seed: of the random starts, which are the same for every image.
        limits: as for :func:`fgsm`.
        whole: likewise; the rounded image may be a little less wrong.

    Raises:
        CutawayError: as :func:`fgsm` does, and where steps, step or restarts are out of range.

    Source: Madry, Makelov, Schmidt, Tsipras, Vladu, "Towards deep learning models resistant to adversarial
    attacks", 2017.
    """
    ball, way = Ball(eps, norm), Way(steps, step, start, restarts, seed)

    def walk(place: Pixels, values: Tensor, goal: Goal) -> Found:
        return way.walked(place, values, goal, ball)

    asked = _Asked("PGD", labels, toward, ball, limits, whole)
    return _attacked(subject, images, asked, walk)


@dataclass(frozen=True)
class Found:
    """What an attack made of some images.

    Args:
        changed: ``(n, C, H, W)``.
        before: the logits of the images, ``(n, K)`` float64.
        after: those of the changed ones.
        still: ``(n,)`` bool: their gradient was zero everywhere.
    """

    changed: Tensor
    before: Tensor
    after: Tensor
    still: Tensor


def fast_step(place: Pixels, values: Tensor, goal: Goal, ball: Ball) -> Found:
    """One step of length eps from each image; as :func:`fgsm` says."""
    before, gradient = place.slopes(values, goal.seed)
    changed = place.cut(values + ball.eps * ball.steepest(gradient))
    return Found(changed, before, place.told(changed), _zero(gradient))


@dataclass(frozen=True)
class Way:
    """How PGD walks; arguments as for :func:`pgd`."""

    steps: int = 20
    step: float | None = None
    start: Start = "random"
    restarts: int = 1
    seed: int = 0

    def __post_init__(self) -> None:
        if self.steps < 1 or self.restarts < 1:
            raise ConfigError(
                f"steps and restarts should be 1 or more, not {self.steps} and {self.restarts}."
            )
        if self.step is not None and not self.step > 0:
            raise ConfigError(f"step should be above 0, not {self.step}.")
        if self.start not in ("random", "image"):
            raise ConfigError(f'start should be random or image, not "{self.start}".')

    def walked(self, place: Pixels, values: Tensor, goal: Goal, ball: Ball) -> Found:
        """Walk from each image; as :func:`pgd` says."""
        length = 2.5 * ball.eps / self.steps if self.step is None else self.step
        generator = torch.Generator().manual_seed(self.seed)
        before = best_logits = place.told(values)
        best, margin = values, goal.margin(before)
        still = torch.ones(len(values), dtype=torch.bool, device=values.device)
        for attempt in range(self.restarts if ball.eps else 0):
            reached = values
            if attempt or self.start == "random":
                reached = place.cut(values + ball.random(values[:1].shape, generator).to(values))
            for number in range(self.steps + 1):
                if number < self.steps:
                    logits, gradient = place.slopes(reached, goal.seed)
                    still &= _zero(gradient)
                else:
                    logits = place.told(reached)
                better = goal.margin(logits) > margin
                margin = torch.where(better, goal.margin(logits), margin)
                best = torch.where(better[:, None, None, None], reached, best)
                best_logits = torch.where(better[:, None], logits, best_logits)
                if number < self.steps:
                    change = reached + length * ball.steepest(gradient) - values
                    reached = place.cut(values + ball.inside(change))
        return Found(best, before, best_logits, still & (ball.eps > 0))


@dataclass(frozen=True)
class _Asked:
    """What an attack is asked for; arguments as for :func:`fgsm`."""

    method: str
    labels: Classes | None
    toward: Classes | None
    ball: Ball
    limits: Limits | None
    whole: bool


def _attacked(
    subject: Subject,
    images: Tensor,
    asked: _Asked,
    attack: Callable[[Pixels, Tensor, Goal], Found],
) -> Adversarial:
    """Attack images a few at a time."""
    given, argument = (asked.labels, "labels") if asked.toward is None else (asked.toward, "toward")
    towards, whole = asked.toward is not None, asked.whole
    wanted = None if given is None else class_numbers(subject, given, len(images), argument)
    parts: list[Found] = []
    origins, goals = [], []
    with pixels(subject, images, asked.limits) as place, tracked(asked.method, len(images), "images") as add:
        if whole and not place.preprocessed:
            raise ConfigError("whole rounds pixels; these images are float inputs. Leave it out.")
        at_once = subject.batch or AT_ONCE
        for start in range(0, len(images), at_once):
            values = place.values(images[start : start + at_once])
            place.refuse_outside(values)
            classes = (
                place.told(values).argmax(1)
                if wanted is None
                else wanted[start : start + at_once].to(values.device)
            )
            goal = Goal(classes, towards)
            found = attack(place, values, goal)
            if whole:
                changed = values + (found.changed - values).trunc()
                found = Found(changed, found.before, place.told(changed), found.still)
            parts.append(found)
            origins.append(values.cpu())
            goals.append(goal)
            add(len(values))
        unit = place.unit
    before = torch.cat([part.before for part in parts]).cpu()
    after = torch.cat([part.after for part in parts]).cpu()
    classes = torch.cat([goal.classes for goal in goals]).cpu()
    goal = Goal(classes, towards)
    still = torch.cat([part.still for part in parts]).cpu().nonzero().flatten().tolist()
    return Adversarial(
        torch.cat(origins).float(),
        torch.cat([part.changed for part in parts]).float().cpu(),
        subject.softmax(before).float(),
        subject.softmax(after).float(),
        classes,
        towards,
        goal.reached(after),
        goal.reached(before),
        asked.method,
        asked.ball.eps,
        asked.ball.norm,
        unit,
        tuple(subject.classes) or tuple(map(str, range(before.shape[1]))),
        subject.name,
        _notes(still),
    )


def _zero(gradient: Tensor) -> Tensor:
    """Which images' gradients are zero everywhere, ``(n,)``."""
    return (gradient == 0).flatten(1).all(1)


def _notes(still: list[int]) -> tuple[str, ...]:
    return tuple(
        f"The gradient of image {image} is zero everywhere, so it tells no way to change it. The likely "
        "cause: all units of a layer on the way are off or saturated for it; cutaway look activity tells "
        "which."
        for image in still
    )
