"""Feature inversion: the image that a layer cannot tell from another one."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

import torch
from torch import Tensor

from cutaway.errors import ConfigError
from cutaway.look.backward.attribution import chunks
from cutaway.look.backward.graph import Forward, Graph, graphs
from cutaway.look.backward.target import Target
from cutaway.look.optimising.ascent import ROOT, Ascended, Recipe, Watch, ascend, canvas_of
from cutaway.look.optimising.canvas import Start, started
from cutaway.look.optimising.leak import Leak
from cutaway.look.optimising.pixels import PixelSpace
from cutaway.look.stream import chosen_layers
from cutaway.nets.subject import Subject

Distance = Literal["euclidean", "cosine", "l1", "gram"]

AT_ONCE = 32
"""Images that are inverted at once."""


@dataclass(frozen=True)
class Inverted:
    """What some layers remember of some images.

    Args:
        originals: ``(N, C, H, W)`` float32 from 0 to 1.
        layers: for each layer the images found, ``(N, C, H, W)`` float32 from 0 to 1.
        feature_error: for each layer ``‖φ(x) − φ0‖ / ‖φ0‖``, ``(N,)``, whatever the distance.
        pixel_error: for each layer the root of the mean square difference to the original, ``(N,)``; this and
            the others are of more images than are kept where :meth:`only` left some out.
        losses: for each layer the distance before each step and behind the last, ``(S + 1, N)``.
        recipe: how they were made.
        distance: that was made small.
        subject: the subject's name.
        stopped: somebody ended it; layers that were not begun are missing.
    """

    originals: Tensor
    layers: Mapping[str, Tensor]
    feature_error: Mapping[str, Tensor]
    pixel_error: Mapping[str, Tensor]
    losses: Mapping[str, Tensor]
    recipe: Recipe
    distance: Distance = "euclidean"
    subject: str = ""
    stopped: bool = False

    def only(self, count: int) -> Inverted:
        """The same with the first ``count`` images alone; errors stay those of all.

        Raises:
            ConfigError: the count is below 1.
        """
        if count < 1:
            raise ConfigError(f"shown should be 1 or more, not {count}.")
        layers = {name: images[:count].clone() for name, images in self.layers.items()}
        return replace(self, originals=self.originals[:count].clone(), layers=layers)


DEFAULT = Recipe(steps=500, rate=0.4, schedule="cosine", memory=(0.5, 0.9), leak=0.3)
"""Long wild steps that calm down. Short even ones (rate 0.1, memory 0.9, no leak) ended beside layers behind
pools and rectifiers: of 12 digits at relu3 of a LeNet at errors of 14 % on average, these at 0.7 %.
"""


def invert(
    subject: Subject,
    images: Tensor,
    layers: Sequence[str] | None = None,
    recipe: Recipe = DEFAULT,
    *,
    distance: Distance = "euclidean",
    start: Start = "noise",
    watch: Watch | None = None,
) -> Inverted:
    """``x* = argmin ‖φ(x) − φ0‖² / ‖φ0‖² + λ R(x)`` for every layer: what is left of an image there.

    Args:
        subject: any whose preprocessing scales and shifts.
        images: ``(N, C, H, W)`` uint8 pixels.
        layers: addresses; all that change a value when not given.
        recipe: how.
        distance: ``euclidean`` as above; ``l1``, the sum of amounts over that of φ0; ``cosine``, 1 less the
            cosine; ``gram``, the euclidean one of the channels' products, which forgets places.
        start: as for :func:`maximize`.
        watch: shown every step; ends by giving True, and what there is comes back.

    Raises:
        ConfigError: the images are no pixels, or do not fit.
        CutawayError: as :func:`maximize` does.

    Source: Mahendran, Vedaldi, "Understanding deep image representations by inverting them", 2014.
    """
    if images.is_floating_point():
        raise ConfigError("invert takes uint8 pixels, for what it finds is compared with pixels.")
    if distance not in _DISTANCES:
        raise ConfigError(f'distance should be {", ".join(_DISTANCES)}, not "{distance}".')
    names = chosen_layers(subject, layers)
    space = PixelSpace.of(subject)
    originals = images.float() / 255
    found: dict[str, list[Tensor]] = {}
    features: dict[str, list[Tensor]] = {}
    losses: dict[str, list[Tensor]] = {}
    stopped = False
    begin = started(start, subject.input_shape, len(images), recipe.seed)
    for name in names:
        at = 0
        for inputs, _ in chunks(subject, images, (), subject.batch or AT_ONCE):
            count = len(inputs)
            leak = Leak(subject, recipe.leak)
            with graphs(subject, [name], leak.rules, to_end=False) as forward:
                wanted = forward(inputs).root(Target(ROOT, name)).clone()
                measure = FeatureDistance(name, wanted, _DISTANCES[distance])
                first = begin[at : at + count]
                ended = approach(
                    forward, space, first, measure, recipe, leak=leak, watch=watch, name=f"inverting {name}"
                )
                reached = forward(space.inputs(ended.images)).root(Target(ROOT, name))
            error = (reached - wanted).flatten(1).norm(dim=1) / wanted.flatten(1).norm(dim=1).clamp_min(1e-12)
            found.setdefault(name, []).append(ended.images)
            features.setdefault(name, []).append(error.float().cpu())
            losses.setdefault(name, []).append(-ended.values)
            at += count
            stopped = stopped or ended.stopped
        if stopped:
            break
    joined = {name: torch.cat(parts) for name, parts in found.items()}
    return Inverted(
        originals,
        joined,
        {name: torch.cat(parts) for name, parts in features.items()},
        {
            name: (value - originals[: len(value)]).square().flatten(1).mean(1).sqrt()
            for name, value in joined.items()
        },
        {name: _beside(parts) for name, parts in losses.items()},
        recipe,
        distance,
        subject.name,
        stopped,
    )


def _beside(parts: Sequence[Tensor]) -> Tensor:
    """The curves of all chunks, cut where one was stopped."""
    return torch.cat([part[: min(map(len, parts))] for part in parts], 1)


def approach(
    forward: Forward,
    space: PixelSpace,
    begin: Tensor,
    measure: FeatureDistance,
    recipe: Recipe,
    *,
    leak: Leak,
    watch: Watch | None,
    name: str,
) -> Ascended:
    """Change images until their features are as near as they get to those that ``measure`` wants.

    Args:
        forward: as for :func:`ascend`.
        space: likewise.
        begin: the first images, ``(B, C, H, W)`` from 0 to 1.
        measure: how far their features are.
        recipe: how.
        leak: that ``forward`` was made with.
        watch: shown every step.
        name: for progress and messages.

    Raises:
        DataError: as :func:`ascend` does.
    """
    canvas = canvas_of(recipe, begin)
    return ascend(
        forward, space, canvas, measure, recipe, scaled=False, eased=True, leak=leak, watch=watch, name=name
    )


class FeatureDistance:
    """How far each image's features are from those wanted, with the sign turned.

    Args:
        layer: whose features.
        wanted: ``(B, …)``.
        distance: from two batches of features to ``(B,)``.
    """

    def __init__(self, layer: str, wanted: Tensor, distance: Callable[[Tensor, Tensor], Tensor]) -> None:
        self.layer, self.wanted, self.distance = layer, wanted, distance

    def __call__(self, graph: Graph) -> tuple[Tensor, str | None, Tensor]:
        """As :data:`cutaway.look.optimising.ascent.Measure`."""
        with torch.enable_grad():
            root = graph.root(Target(ROOT, self.layer)).requires_grad_()
            loss = self.distance(root, self.wanted)
            (gradient,) = torch.autograd.grad(loss.sum(), root)
        return -loss.detach(), self.layer, -gradient


def euclidean(found: Tensor, wanted: Tensor) -> Tensor:
    """``‖found − wanted‖² / ‖wanted‖²`` of each image, ``(N,)``."""
    return (found - wanted).square().flatten(1).sum(1) / wanted.square().flatten(1).sum(1).clamp_min(1e-12)


def _l1(found: Tensor, wanted: Tensor) -> Tensor:
    return (found - wanted).abs().flatten(1).sum(1) / wanted.abs().flatten(1).sum(1).clamp_min(1e-12)


def _cosine(found: Tensor, wanted: Tensor) -> Tensor:
    return 1 - torch.cosine_similarity(found.flatten(1), wanted.flatten(1), dim=1)


def _gram(found: Tensor, wanted: Tensor) -> Tensor:
    def products(values: Tensor) -> Tensor:
        maps = values.flatten(2) if values.dim() > 2 else values[:, :, None]  # (n, C, places)
        return maps @ maps.transpose(1, 2) / maps.shape[2]

    return euclidean(products(found), products(wanted))


_DISTANCES = {"euclidean": euclidean, "cosine": _cosine, "l1": _l1, "gram": _gram}
