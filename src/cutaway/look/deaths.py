"""Deaths: from which epoch on a unit never fires again."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from cutaway.data import Split
from cutaway.errors import ConfigError
from cutaway.look.responses import Responses
from cutaway.look.survey import Surveyed, survey
from cutaway.nets.subject import Subject


@dataclass(frozen=True)
class Deaths:
    """Which units of some layers fire, with the weights of several epochs, for any of the same images.

    Args:
        epochs: how long each of the weights had learnt for, ascending; 0 before training.
        dead: for each layer, the units without a value above zero, ``(E, U)`` bool.
        images: how many were looked at.
        subject: the name of the last of the subjects.
    """

    epochs: Sequence[int]
    dead: Mapping[str, Tensor]
    images: int
    subject: str = ""

    def died(self, layer: str) -> Tensor:
        """The epoch from which on each unit is dead to the end, ``(U,)`` int64; −1 where it fires at the end.

        It died somewhere between this epoch and the one before that was looked at.
        """
        # Counted from the end: how many of the last weights in a row leave the unit dead.
        row = self.dead[layer].flip(0).long().cumprod(0).sum(0)
        epochs = torch.tensor([*self.epochs, -1])
        return epochs[len(self.epochs) - row]


def deaths(
    subjects: Mapping[int, Subject],
    split: Split,
    layers: Sequence[str] | None = None,
    *,
    scheduler: str | None = None,
) -> Deaths:
    """When units died: a pass over the images for each of several epochs' weights.

    A unit is dead that is never above zero, at any place, for any image. Behind a ReLU it then passes on
    nothing and learns nothing from these images (L. Lu et al., "Dying ReLU and Initialization: Theory and
    Numerical Examples", Communications in Computational Physics 28, 2020).

    Args:
        subjects: the same net with its weights after some epochs, by epoch: ``run.subject("3")`` for each of
            ``run.kept()``, ``run.subject("random")`` for 0.
        split: labelled images.
        layers: dotted names; all that change a value when not given.
        scheduler: the address of a Dask scheduler whose workers share the images out.

    Raises:
        NotFoundError: there is no such layer, or no scheduler at that address.
        ConfigError: there are no subjects, or the images have another shape than they take.
        DataError: there are no images, or a layer gives a value that is not finite.
    """
    if not subjects:
        raise ConfigError("There are no subjects; give the weights of one epoch or more.")
    epochs = sorted(subjects)
    found: list[dict[str, Tensor]] = [
        survey(subjects[epoch], split, [FindDead()], layers, scheduler=scheduler)[0] for epoch in epochs
    ]
    dead = {layer: torch.stack([each[layer] for each in found]) for layer in found[0]}
    return Deaths(epochs, dead, len(split), subjects[epochs[-1]].name)


@dataclass(frozen=True)
class FindDead:
    """The units that never fire, ``(U,)`` bool for each layer, as one of several looks of a survey."""

    def begin(self, surveyed: Surveyed) -> _Kept:
        """The largest value of each unit."""
        return _Kept(torch.full((surveyed.units,), -torch.inf))

    def finish(self, surveyed: Surveyed, kept: _Kept) -> dict[str, Tensor]:
        """The result."""
        return {layer: kept.maxima[part] <= 0 for layer, part in surveyed.columns.items()}


@dataclass
class _Kept:
    """The largest value of each unit so far."""

    maxima: Tensor

    def see(self, found: Responses) -> None:
        """Take in a few images."""
        self.maxima = torch.maximum(self.maxima, found.maxima.amax(0))

    def merge(self, other: _Kept) -> None:
        """Take in other images."""
        self.maxima = torch.maximum(self.maxima, other.maxima)
