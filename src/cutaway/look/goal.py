"""What an attack is after: away from a class, or towards one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from cutaway.errors import ConfigError, NotFoundError
from cutaway.look.backward.target import as_target
from cutaway.nets.subject import Subject


@dataclass(frozen=True)
class Goal:
    """A class for each image, to be left or to be reached.

    Args:
        classes: ``(n,)`` int64.
        towards: whether they are to be reached.
    """

    classes: Tensor
    towards: bool = False

    def part(self, chosen: slice | Tensor) -> Goal:
        """That of some of the images."""
        return Goal(self.classes[chosen], self.towards)

    def margin(self, logits: Tensor) -> Tensor:
        """How far the goal is reached, ``(n,)``; above 0 it is.

        The largest other logit less that of the class to be left; or the other way round.
        """
        own, others = self._parted(logits)
        lead = others.amax(1) - own
        return -lead if self.towards else lead

    def seed(self, logits: Tensor) -> Tensor:
        """The gradient by the logits that leads to the goal, up to a positive factor, ``(n, K)``.

        That of the cross-entropy −log p is p − 1 for the class itself and p_j for others: a sure net's
        vanishes in rounding, and with it every attack. Divided by 1 − p, it is −1 for the class and
        ``softmax`` among the others, which does not.
        """
        _, others = self._parted(logits)
        weights = others.softmax(1).scatter(1, self.classes[:, None], -1.0)
        return -weights if self.towards else weights

    def reached(self, logits: Tensor) -> Tensor:
        """Whether it is, ``(n,)``: by what the images are taken for."""
        taken = logits.argmax(1) == self.classes
        return taken if self.towards else ~taken

    def _parted(self, logits: Tensor) -> tuple[Tensor, Tensor]:
        """The logit of each image's class, ``(n,)``, and all with minus infinity in its place."""
        if logits.shape[1] < 2:
            raise ConfigError(
                f"An attack needs two classes or more; the model gives {logits.shape[1]} logit an image."
            )
        outside = self.classes[(self.classes < 0) | (self.classes >= logits.shape[1])]
        if len(outside):
            raise NotFoundError(
                f"There is no class {int(outside[0])}: they are numbered from 0 to {logits.shape[1] - 1}."
            )
        place = self.classes[:, None]
        return logits.gather(1, place)[:, 0], logits.scatter(1, place, -torch.inf)


Classes = int | str | Sequence[int | str] | Tensor
"""A class by number or name for all images, or one for each."""


def class_numbers(subject: Subject, given: Classes, images: int, argument: str) -> Tensor:
    """A class for each image, ``(images,)`` int64.

    Args:
        subject: whose classes they are.
        given: by number or name.
        images: how many there are.
        argument: its name, for messages.

    Raises:
        NotFoundError: there is no such class.
        ConfigError: there are more or fewer than images.
    """
    if isinstance(given, Tensor):
        given = [int(number) for number in given.flatten().tolist()]
    several = [given] * images if isinstance(given, int | str) else list(given)
    if len(several) != images:
        many = "1 image" if images == 1 else f"{images} images"
        raise ConfigError(f"{argument} has {len(several)} classes for {many}; give one for each.")
    return torch.tensor([class_number(subject, one) for one in several], dtype=torch.int64)


def class_number(subject: Subject, given: int | str) -> int:
    """A class by number or name as its number.

    Raises:
        NotFoundError: the subject has no such class.
    """
    return next(iter(as_target(subject, given).weights or {}))
