"""Caricatures: what a layer sees in an image, made stronger."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from cutaway.errors import ConfigError
from cutaway.look.backward.attribution import chunks
from cutaway.look.backward.graph import Graph, graphs
from cutaway.look.backward.target import Target
from cutaway.look.optimising.ascent import ROOT, Recipe, Watch, ascend, canvas_of
from cutaway.look.optimising.pixels import PixelSpace
from cutaway.look.optimising.priors import STRONG
from cutaway.look.stream import chosen_layers
from cutaway.nets.subject import Subject

DEFAULT = Recipe(steps=128, rate=0.02, priors=STRONG)


@dataclass(frozen=True)
class Caricature:
    """Images in which layers see more of what they saw.

    Args:
        originals: ``(N, C, H, W)`` float32 from 0 to 1.
        layers: for each layer the images found, likewise.
        strength: for each layer how many times as long the features have become, ``(N,)``.
        likeness: for each layer the cosine between the features before and behind, ``(N,)``.
        recipe: how they were made.
        subject: the subject's name.
        stopped: somebody ended it; layers that were not begun are missing.
    """

    originals: Tensor
    layers: Mapping[str, Tensor]
    strength: Mapping[str, Tensor]
    likeness: Mapping[str, Tensor]
    recipe: Recipe
    subject: str = ""
    stopped: bool = False


def caricature(
    subject: Subject,
    images: Tensor,
    layers: Sequence[str] | None = None,
    recipe: Recipe = DEFAULT,
    *,
    power: float = 2.0,
    watch: Watch | None = None,
) -> Caricature:
    """``argmax ⟨φ(x), φ0⟩ · cos(φ(x), φ0)^power``, beginning at the image itself.

    Args:
        subject: any whose preprocessing scales and shifts.
        images: ``(N, C, H, W)`` uint8 pixels.
        layers: addresses; all that change a value when not given.
        recipe: how.
        power: how much the direction counts against the length; 0 or more.
        watch: shown every step; ends by giving True.

    Raises:
        ConfigError: the images are no pixels, or the power is negative.
        CutawayError: as :func:`cutaway.look.optimising.invert` does.

    Source: Olah, "Caricatures", in the library Lucid, 2018.
    """
    if images.is_floating_point() or power < 0:
        raise ConfigError("caricature takes uint8 pixels, and a power of 0 or more.")
    space = PixelSpace.of(subject)
    originals = images.float() / 255
    found: dict[str, list[Tensor]] = {}
    strength: dict[str, list[Tensor]] = {}
    likeness: dict[str, list[Tensor]] = {}
    stopped = False
    for name in chosen_layers(subject, layers):
        at = 0
        for inputs, _ in chunks(subject, images, ()):
            with graphs(subject, [name], to_end=False) as forward:
                before = forward(inputs).root(Target(ROOT, name)).clone()
                canvas = canvas_of(recipe, originals[at : at + len(inputs)])
                measure = _Stronger(name, before, power)
                ended = ascend(
                    forward, space, canvas, measure, recipe, watch=watch, name=f"caricature of {name}"
                )
                behind = forward(space.inputs(ended.images)).root(Target(ROOT, name))
            longer = behind.flatten(1).norm(dim=1) / before.flatten(1).norm(dim=1).clamp_min(1e-12)
            found.setdefault(name, []).append(ended.images)
            strength.setdefault(name, []).append(longer.float().cpu())
            likeness.setdefault(name, []).append(_cosine(behind, before).float().cpu())
            at += len(inputs)
            stopped = stopped or ended.stopped
        if stopped:
            break
    joined = [
        {name: torch.cat(parts) for name, parts in each.items()} for each in (found, strength, likeness)
    ]
    return Caricature(originals, joined[0], joined[1], joined[2], recipe, subject.name, stopped)


def _cosine(one: Tensor, other: Tensor) -> Tensor:
    return torch.cosine_similarity(one.flatten(1), other.flatten(1), dim=1)


class _Stronger:
    """How much of the wanted features an image has, and how little else."""

    def __init__(self, layer: str, wanted: Tensor, power: float) -> None:
        self.layer, self.wanted, self.power = layer, wanted, power

    def __call__(self, graph: Graph) -> tuple[Tensor, str | None, Tensor]:
        with torch.enable_grad():
            root = graph.root(Target(ROOT, self.layer)).requires_grad_()
            along = (root * self.wanted).flatten(1).sum(1)
            value = along * _cosine(root, self.wanted).clamp_min(0.1) ** self.power
            (gradient,) = torch.autograd.grad(value.sum(), root)
        return value.detach(), self.layer, gradient
