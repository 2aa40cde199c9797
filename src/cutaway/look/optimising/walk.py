"""Walks in a layer's space: from one unit to another, or from one image to another."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from cutaway.errors import ConfigError
from cutaway.look.backward.attribution import chunks
from cutaway.look.backward.graph import graphs
from cutaway.look.backward.target import Asked, Target, as_target
from cutaway.look.optimising.ascent import ROOT, Recipe, Watch
from cutaway.look.optimising.canvas import Start, started
from cutaway.look.optimising.invert import DEFAULT, FeatureDistance, approach, euclidean
from cutaway.look.optimising.leak import Leak
from cutaway.look.optimising.maximize import maximize
from cutaway.look.optimising.pixels import PixelSpace
from cutaway.nets.subject import Subject


@dataclass(frozen=True)
class Walk:
    """Images on the way from one thing to another.

    Args:
        images: ``(S, C, H, W)`` float32 from 0 to 1, from the first to the last.
        amounts: how far each is, ``(S,)`` from 0 to 1.
        ends: what the walk goes from and to.
        layer: in whose space; empty for classes.
        subject: the subject's name.
        stopped: somebody ended it before the last step.
    """

    images: Tensor
    amounts: Tensor
    ends: tuple[str, str]
    layer: str = ""
    subject: str = ""
    stopped: bool = False


def walk_units(
    subject: Subject,
    one: Asked,
    other: Asked,
    recipe: Recipe | None = None,
    *,
    images: int = 7,
    start: Start = "noise",
    watch: Watch | None = None,
) -> Walk:
    """The images that mixtures of two units prefer: ``argmax (1 − a) φ_one + a φ_other``.

    Args:
        subject: any whose preprocessing scales and shifts.
        one: a class or a unit.
        other: of the same layer.
        recipe: as for :func:`maximize`.
        images: on the way, with both ends; 2 or more.
        start: as for :func:`maximize`.
        watch: as for :func:`maximize`.

    Raises:
        ConfigError: the two are of different layers, or there are fewer than two images.
        CutawayError: as :func:`maximize` does.
    """
    amounts = _amounts(images)
    first, last = as_target(subject, one), as_target(subject, other)
    if first.layer != last.layer or first.weights is None or last.weights is None:
        raise ConfigError("A walk goes between two classes, or between two units of one layer.")
    mixtures = [_mixed(first, last, amount) for amount in amounts.tolist()]
    found = maximize(subject, mixtures, recipe, start=start, watch=watch)
    ends = str(first), str(last)
    return Walk(found.images, amounts, ends, first.layer or "", subject.name, found.stopped)


def _mixed(first: Target, last: Target, amount: float) -> Target:
    weights: dict[int, float] = {}
    for target, share in ((first, 1 - amount), (last, amount)):
        for unit, weight in (target.weights or {}).items():
            weights[unit] = weights.get(unit, 0.0) + share * weight
    return replace(first, weights=weights, name=f"{1 - amount:.2f} {first} + {amount:.2f} {last}")


def walk_images(
    subject: Subject,
    one: Tensor,
    other: Tensor,
    layer: str,
    recipe: Recipe = DEFAULT,
    *,
    images: int = 7,
    start: Start = "noise",
    watch: Watch | None = None,
) -> Walk:
    """The images whose features lie on the straight way between those of two images.

    ``argmin ‖φ(x) − ((1 − a) φ(one) + a φ(other))‖² / ‖…‖²``.

    Args:
        subject: any whose preprocessing scales and shifts.
        one: ``(1, C, H, W)`` uint8 pixels.
        other: likewise.
        layer: an address.
        recipe: as for :func:`cutaway.look.optimising.invert`.
        images: on the way, with both ends; 2 or more.
        start: as for :func:`maximize`.
        watch: as for :func:`maximize`.

    Raises:
        CutawayError: as :func:`cutaway.look.optimising.invert` does.
    """
    amounts = _amounts(images)
    space = PixelSpace.of(subject)
    begin = started(start, subject.input_shape, images, recipe.seed)
    parts: Sequence[tuple[Tensor, list[Target]]] = list(chunks(subject, torch.cat([one, other]), ()))
    leak = Leak(subject, recipe.leak)
    with graphs(subject, [layer], leak.rules, to_end=False) as forward:
        ends = torch.cat([forward(inputs).root(Target(ROOT, layer)) for inputs, _ in parts])
        spread = amounts.to(ends).view(-1, *[1] * (ends.dim() - 1))
        wanted = (1 - spread) * ends[:1] + spread * ends[1:2]
        found = []
        for at in range(0, images, subject.batch or images):
            part = slice(at, at + (subject.batch or images))
            measure = FeatureDistance(layer, wanted[part], euclidean)
            ended = approach(
                forward, space, begin[part], measure, recipe, leak=leak, watch=watch, name="walking"
            )
            found.append(ended)
            if ended.stopped:
                break
    reached = torch.cat([ended.images for ended in found])
    return Walk(reached, amounts[: len(reached)], ("one", "other"), layer, subject.name, found[-1].stopped)


def _amounts(images: int) -> Tensor:
    if images < 2:
        raise ConfigError(f"A walk has 2 images or more, not {images}.")
    return torch.linspace(0, 1, images)
