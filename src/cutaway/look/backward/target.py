"""Targets: what a backward look asks about: a class, a difference of two, any unit of any layer."""

from __future__ import annotations

import operator
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Literal, cast

import torch
from torch import Tensor

from cutaway.errors import ConfigError, NotFoundError, nearest
from cutaway.nets.subject import Subject

Place = Literal["max", "sum"] | tuple[int, int]


@dataclass(frozen=True)
class Target:
    """A weighted sum of logits, or of units of a layer.

    ``Target({4: 1})`` is class 4, ``Target({4: 1, 9: -1})`` why 4 and not 9, ``Target({7: 1}, "conv2")``
    the seventh map of conv2, from 0. :func:`predicted`, :func:`each` and :func:`difference` make others.

    Args:
        weights: by number of a class or a unit; None for the class that each image is taken for.
        layer: an address; None for the logits.
        place: of a unit with a map: ``max``, the place where it is largest for each image; ``sum`` of all
            places; or row and column.
        labels: a class for each image, in place of ``weights``.
        name: in tables and pictures.

    Raises:
        ConfigError: there are no weights, or weights and labels, or another place.
    """

    weights: Mapping[int, float] | None = None
    layer: str | None = None
    place: Place = "max"
    labels: tuple[int, ...] | None = None
    name: str = field(default="", compare=False)

    def __post_init__(self) -> None:
        if self.weights is not None and (not self.weights or self.labels is not None):
            raise ConfigError("A target has the weights of one or more classes or units, or labels.")
        pair = isinstance(self.place, tuple) and len(self.place) == 2
        if not pair and self.place not in ("max", "sum"):
            raise ConfigError(f"place should be max, sum or (row, column), not {self.place!r}.")

    def __str__(self) -> str:
        if self.name:
            return self.name
        if self.weights is None:
            return "label" if self.labels is not None else "predicted"
        told = ""
        for number, weight in self.weights.items():
            times = "" if abs(weight) == 1 else f"{abs(weight):g}·"
            sign = "−" if weight < 0 else "+"
            told += f" {sign} {times}{number}" if told else f"{'−' if weight < 0 else ''}{times}{number}"
        at = "" if isinstance(self.place, str) else f" at {self.place[0]}, {self.place[1]}"
        return f"{self.layer} unit {told}{at}" if self.layer else told

    def part(self, start: int, count: int) -> Target:
        """The same target for images ``start`` to ``start + count`` alone."""
        return self.of(range(start, start + count))

    def of(self, images: Sequence[int]) -> Target:
        """The same target for some of the images alone."""
        if self.labels is None:
            return self
        return replace(self, labels=tuple(self.labels[image] for image in images))

    def seed(self, root: Tensor) -> Tensor:
        """The derivative of the target by the root: ``target = (seed · root).sum()`` for each image.

        Args:
            root: the logits ``(N, K)``, or what the layer gives ``(N, U, …)``.

        Raises:
            NotFoundError: there is no such class, unit or place.
            ConfigError: there are more or fewer labels than images, or the layer has no units.
        """
        if root.dim() < 2 or not root.is_floating_point():
            raise ConfigError(f"{self.layer} gives no row of units for each image; choose another layer.")
        seed = torch.zeros_like(root)
        if self.weights is None:
            classes = self._classes(root)
            rows = torch.arange(len(root), device=root.device)
            seed[rows, classes] = self._places(root[rows, classes])
            return seed
        for number, weight in self.weights.items():
            self._check(number, root)
            seed[:, number] += weight * self._places(root[:, number])
        return seed

    def _classes(self, root: Tensor) -> Tensor:
        if self.labels is None:
            maps = root.flatten(0, 1)
            return (maps * self._places(maps)).view(*root.shape[:2], -1).sum(2).argmax(1)
        if len(self.labels) != len(root):
            raise ConfigError(
                f"There are {len(self.labels)} labels for {len(root)} images; give one for each."
            )
        for label in self.labels:
            self._check(label, root)
        return torch.tensor(self.labels, device=root.device)

    def _check(self, number: int, root: Tensor) -> None:
        if 0 <= number < root.shape[1]:
            return
        what = f"unit {number} in {self.layer}" if self.layer else f"class {number}"
        raise NotFoundError(f"There is no {what}: they are numbered from 0 to {root.shape[1] - 1}.")

    def _places(self, maps: Tensor) -> Tensor:
        """Weights over the places of one unit, ``(N, …)``."""
        if self.place == "sum" or (maps.dim() == 1 and self.place == "max"):
            return torch.ones_like(maps)
        if self.place == "max":
            flat = torch.zeros_like(maps).flatten(1)
            flat.scatter_(1, maps.flatten(1).argmax(1, keepdim=True), 1.0)
            return flat.view_as(maps)
        row, column = self.place
        if maps.dim() != 3 or not (0 <= row < maps.shape[1] and 0 <= column < maps.shape[2]):
            size = "×".join(map(str, maps.shape[1:]))
            why = f"its maps have {size}" if size else "its units have no maps"
            layer = self.layer or "the logits"
            raise NotFoundError(f"There is no place {row}, {column} in {layer}: {why}.")
        chosen = torch.zeros_like(maps)
        chosen[:, row, column] = 1.0
        return chosen


Asked = int | str | Target
"""A class by its number or its name, or any target."""

PREDICTED = Target()
"""The class that each image is taken for."""


def each(labels: Sequence[int] | Tensor) -> Target:
    """A class for each image, such as its label."""
    return Target(labels=tuple(int(label) for label in labels))


def difference(subject: Subject, one: int | str, other: int | str) -> Target:
    """Why one class and not the other: the first one's logit less the second one's.

    Raises:
        NotFoundError: the subject has no class of that name.
        ConfigError: both are the same class.
    """
    first, second = as_target(subject, one), as_target(subject, other)
    (a,), (b,) = tuple(first.weights or ()), tuple(second.weights or ())
    if a == b:
        raise ConfigError(f"A difference is one of two classes; both are {first}.")
    return Target({a: 1.0, b: -1.0}, name=f"{first} − {second}")


def as_targets(subject: Subject, targets: Asked | Sequence[Asked] | None) -> tuple[Target, ...]:
    """Everything that is asked about, each for all images.

    Raises:
        NotFoundError: the subject has no class of that name.
        ConfigError: nothing is asked for.
    """
    if targets is None:
        return (PREDICTED,)
    several = [cast("Asked", targets)] if _alone(targets) else list(cast("Sequence[Asked]", targets))
    if not several:
        raise ConfigError("targets should be one or more classes or Targets; there are none.")
    return tuple(as_target(subject, target) for target in several)


def as_target(subject: Subject, target: Asked) -> Target:
    """A class by its number or its name as a target.

    Raises:
        NotFoundError: the subject has no such class.
        ConfigError: it is neither a number nor a name.
    """
    if isinstance(target, Target):
        return target
    classes = list(subject.classes)
    if isinstance(target, str):
        if target not in classes:
            if target.isdecimal():
                return as_target(subject, int(target))
            known = nearest(target, classes) if classes else " It has none by name; give a number."
            known = known if len(classes) <= _MANY else known.partition(" Known:")[0]
            raise NotFoundError(f'{subject.name} has no class "{target}".{known}')
        return Target({classes.index(target): 1.0}, name=target)
    try:
        number = operator.index(target)
    except TypeError:
        raise ConfigError(f"A class is given by its number or its name, not {target!r}.") from None
    if classes and not 0 <= number < len(classes):
        raise NotFoundError(f"There is no class {number}: they are numbered from 0 to {len(classes) - 1}.")
    return Target({number: 1.0}, name=classes[number] if classes else str(number))


_MANY = 20
"""More names than these are not listed in a message of two lines."""


def _alone(targets: object) -> bool:
    """Whether this is one target; a number may be one of NumPy's, or a tensor without axes."""
    row = hasattr(targets, "__len__") and getattr(targets, "shape", (1,)) != ()
    return isinstance(targets, str | Target) or not row
