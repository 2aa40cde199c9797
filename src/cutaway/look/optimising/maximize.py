"""Activation maximisation: the image that a class, a unit or a direction prefers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from cutaway.data import Split
from cutaway.errors import ConfigError, DataError
from cutaway.look.backward.graph import Graph, float_inputs, graphs
from cutaway.look.backward.reading import readings, value
from cutaway.look.backward.rules import Call, Rules, applied
from cutaway.look.backward.target import Asked, Target, as_targets
from cutaway.look.optimising.ascent import ROOT, Ascended, Recipe, Watch, ascend, canvas_of
from cutaway.look.optimising.canvas import Start, started
from cutaway.look.optimising.generator import Generator, GeneratorCanvas
from cutaway.look.optimising.narrow import narrow_to
from cutaway.look.optimising.pixels import PixelSpace
from cutaway.look.optimising.priors import Blur, Clip
from cutaway.nets.subject import Subject
from cutaway.progress import tracked

AT_ONCE = 64
"""Images that are changed at once; more need several rounds, and no more memory."""

_READ_AT_ONCE = 128
"""Images of a dataset that are read at once."""

_TRIED = 24
"""Steps in which a unit that gives no gradient is looked for by way of units that are off."""


@dataclass(frozen=True)
class Maximized:
    """The images that some targets prefer.

    Args:
        images: ``(B, C, H, W)`` float32 from 0 to 1, ``diverse`` of them for each target, target by target.
        targets: the name of each image's target, B.
        values: what the target comes to, before each step and behind the last, ``(S + 1, B)``; without
            wobble and priors.
        probabilities: what the net says of each image, ``(B, K)``.
        best_value: the largest value that any image of the dataset reaches, ``(B,)``; None without a dataset.
        best_image: its position, ``(B,)`` int64.
        classes: K names, or none.
        recipe: how they were made.
        subject: the subject's name.
        notes: what a reader should know, such as dead units.
        stopped: somebody ended it before the last step.
        generated: a generator made them.
    """

    images: Tensor
    targets: tuple[str, ...]
    values: Tensor
    probabilities: Tensor
    best_value: Tensor | None
    best_image: Tensor | None
    classes: tuple[str, ...]
    recipe: Recipe
    subject: str = ""
    notes: tuple[str, ...] = ()
    stopped: bool = False
    generated: bool = False

    @property
    def reached(self) -> Tensor:
        """What each target comes to for its image, ``(B,)``."""
        return self.values[-1]


@torch.inference_mode(False)  # whatever mode the caller is in: gradients are needed
def maximize(
    subject: Subject,
    targets: Asked | Sequence[Asked],
    recipe: Recipe | None = None,
    *,
    start: Start = "noise",
    diverse: int = 1,
    difference: float = 1.0,
    generator: Generator | None = None,
    dataset: Split | None = None,
    watch: Watch | None = None,
) -> Maximized:
    """``x* = argmax φ(x) − λ R(x)``: gradient ascent on the image, all targets at once.

    The net is applied no deeper than the targets, and its parameters have no gradients. A unit that is off
    for the start, and so gives no gradient, is looked for by letting gradients through units that are off;
    one that stays off is dead, and is said to be so before the ascent begins.

    Args:
        subject: any whose preprocessing scales and shifts.
        targets: classes or :class:`cutaway.look.Target`: a unit of a layer with ``place`` "sum" for the
            channel, or one place of it; several units with weights for a direction, or a difference.
        recipe: how; :class:`Recipe` as it stands when not given.
        start: ``noise``, ``grey``, or images from 0 to 1.
        diverse: images for each target, which are kept unlike by ``difference``.
        difference: weight of their likeness (cosine) at the targets' layer.
        generator: its code is changed in place of pixels, from codes drawn at random. Whether it learnt from
            the subject's images, :meth:`Generator.refuse_other` tells.
        dataset: its images are asked for the largest value of each target, for comparison.
        watch: shown every step; ends the ascent by giving True, and what there is comes back.

    Raises:
        DataError: all units are dead, or a value is not finite.
        CutawayError: there is no such class, layer or unit, or the preprocessing has no gradient.

    Source: Erhan, Bengio, Courville, Vincent, "Visualizing higher-layer features of a deep network", 2009.
    """
    recipe = recipe or Recipe()
    if diverse < 1:
        raise ConfigError(f"diverse should be 1 or more, not {diverse}.")
    wanted = as_targets(subject, targets)
    if any(target.weights is None for target in wanted):
        raise ConfigError(
            "maximize needs classes or units by number or name; a predicted class is of an image."
        )
    if generator is not None and generator.image != subject.input_shape:
        raise ConfigError(
            "This generator makes images of another size than the subject takes; train one for it."
        )
    if generator is not None and any(isinstance(prior, Blur | Clip) for prior in recipe.priors):
        raise ConfigError(
            "Blur and Clip change pixels; they do not go with a generator, whose code is changed."
        )
    space = PixelSpace.of(subject)
    every = [target for target in wanted for _ in range(diverse)]
    begin = started(start, subject.input_shape, len(every), recipe.seed)
    if any(target.layer is None for target in wanted):
        subject.predict(space.inputs(begin[:1]))  # what it refuses is told before the work
    if diverse > 1:
        begin = _unlike(begin, diverse, recipe.seed)
    parts: list[tuple[list[int], Ascended]] = []
    notes: list[str] = []
    stopped = False
    for layer in dict.fromkeys(target.layer for target in every):
        places = [place for place, target in enumerate(every) if target.layer == layer]
        # Images of one target stay together: they are kept unlike.
        step = max(diverse, (subject.batch or AT_ONCE) // diverse * diverse)
        for first in range(0, len(places), step):
            if stopped:
                break
            chunk = places[first : first + step]
            chosen = [every[place] for place in chunk]
            layers = [] if layer is None else [layer]
            alive, notes_here = _awake(subject, space, chosen, begin[chunk], recipe)
            notes += notes_here
            measure = _Measured(chosen, layer, diverse, difference)
            # How unlike images are is told by all channels.
            apart = diverse > 1 and difference
            narrow = narrow_to(subject.model, layer, [] if apart else chosen)
            with graphs(subject, layers, to_end=layer is None) as forward:
                canvas = (
                    canvas_of(recipe, alive)
                    if generator is None
                    else GeneratorCanvas(generator, len(chunk), recipe.seed, diverse)
                )
                found = ascend(
                    narrow(forward), space, canvas, measure, recipe, watch=watch, name="maximising"
                )
            parts.append((chunk, found))
            stopped = found.stopped
    order = torch.tensor([place for chunk, _ in parts for place in chunk]).argsort()
    images = torch.cat([found.images for _, found in parts])[order]
    steps = min(len(found.values) for _, found in parts)
    # A part that was stopped has fewer steps; behind them all stands where each ended.
    values = [torch.cat([found.values[: steps - 1], found.values[-1:]]) for _, found in parts]
    made = [every[place] for place in sorted(place for chunk, _ in parts for place in chunk)]
    best_value, best_image = (None, None) if dataset is None else dataset_best(subject, made, dataset)
    return Maximized(
        images,
        tuple(map(str, made)),
        torch.cat(values, 1)[:, order],
        subject.predict(space.inputs(images)),
        best_value,
        best_image,
        tuple(subject.classes),
        recipe,
        subject.name,
        tuple(notes),
        stopped,
        generator is not None,
    )


class _Measured:
    """Each image's own target, and how unlike images of the same target are."""

    def __init__(
        self, targets: Sequence[Target], layer: str | None, diverse: int = 1, difference: float = 0.0
    ) -> None:
        self.targets, self.layer, self.diverse, self.difference = targets, layer, diverse, difference
        self.fixed: Tensor | None = None

    def __call__(self, graph: Graph) -> tuple[Tensor, str | None, Tensor]:
        root = graph.root(Target(ROOT, self.layer))
        seeds = self._seeds(root)
        values = (seeds * root).flatten(1).sum(1)
        if self.diverse > 1 and self.difference:
            seeds = seeds - self.difference * self._likeness(root, seeds)
        return values, self.layer, seeds

    def _seeds(self, root: Tensor) -> Tensor:
        if self.fixed is not None:
            return self.fixed
        seeds = torch.cat([target.seed(root[at : at + 1]) for at, target in enumerate(self.targets)])
        if all(root.dim() == 2 or target.place != "max" for target in self.targets):
            self.fixed = seeds  # the same whatever the layer gives
        return seeds

    def _likeness(self, root: Tensor, seeds: Tensor) -> Tensor:
        """The gradient of the cosines between one target's images' features, as large as the seeds."""
        groups = root.flatten(1).view(-1, self.diverse, root[0].numel()).detach().requires_grad_()
        with torch.enable_grad():
            unit = groups / groups.norm(dim=2, keepdim=True).clamp_min(1e-12)
            alike = (unit @ unit.transpose(1, 2)).triu(1).sum()
            (gradient,) = torch.autograd.grad(alike, groups)
        gradient = gradient.view_as(root)
        size = seeds.flatten(1).norm(dim=1) / gradient.flatten(1).norm(dim=1).clamp_min(1e-12)
        found: Tensor = gradient * size.view(-1, *[1] * (root.dim() - 1))
        return found


def _unlike(begin: Tensor, diverse: int, seed: int) -> Tensor:
    """Starts that differ among the images of one target, and are the same for every target."""
    generator = torch.Generator().manual_seed(seed + 1)
    noise = 0.05 * torch.randn(diverse, *begin.shape[1:], generator=generator)
    return (begin + noise.repeat(len(begin) // diverse, 1, 1, 1)).clamp(0, 1)


class _LetThrough(torch.autograd.Function):
    """``max(0, x)`` whose gradient passes units that are off, too."""

    @staticmethod
    def forward(_: object, x: Tensor, call: Call) -> Tensor:
        return call.of(x)

    @staticmethod
    def backward(_: object, *arriving: Tensor) -> tuple[Tensor, None]:
        return arriving[0], None


def _awake(
    subject: Subject, space: PixelSpace, targets: Sequence[Target], begin: Tensor, recipe: Recipe
) -> tuple[Tensor, list[str]]:
    """Starts for which every target has a gradient, if there are any; and a note for each dead unit.

    Raises:
        DataError: all of them are dead.
    """
    layer = targets[0].layer
    layers = [] if layer is None else [layer]

    def silent(images: Tensor) -> Tensor:
        with graphs(subject, layers, to_end=layer is None) as forward:
            graph = forward(space.inputs(images))
            values, _, seeds = _Measured(targets, layer)(graph)
            (gradient,) = graph.back(Target(ROOT, layer), seeds)
        return ((gradient.flatten(1) == 0).all(1) & (values <= 0)).cpu()

    off = silent(begin)  # starts lie on the CPU, whatever the model does
    if not bool(off.any()):
        return begin, []
    rules = Rules("maximize", {"relu": lambda call: applied(_LetThrough, call.args[0], call)}, "gradient")
    tried = Recipe(min(_TRIED, recipe.steps), 0.1, "gradient", seed=recipe.seed)
    asleep = [target for target, one in zip(targets, off, strict=True) if one]
    with graphs(subject, layers, rules, to_end=layer is None) as forward:
        canvas = canvas_of(tried, begin[off])
        found = ascend(forward, space, canvas, _Measured(asleep, layer), tried, name="waking units")
    awake = begin.clone()
    awake[off] = found.images
    dead = silent(awake)
    names = [str(target) for target, one in zip(targets, dead, strict=True) if one]
    if names and len(names) == len(targets):
        raise DataError(
            f"{', '.join(dict.fromkeys(names))}: dead, no image was found that it answers. "
            "cutaway look activity tells whether any image of a dataset does."
        )
    awake[dead] = begin[dead]
    return awake, [f"{name}: dead, no image was found that it answers." for name in dict.fromkeys(names)]


def dataset_best(subject: Subject, targets: Sequence[Target], dataset: Split) -> tuple[Tensor, Tensor]:
    """The largest value of each target over a dataset's images, and the image: ``(B,)`` each."""
    best = torch.full((len(targets),), -torch.inf)
    where = torch.zeros(len(targets), dtype=torch.int64)
    seen = 0
    with readings(subject, targets) as roots, tracked("Reading images", len(dataset), "images") as add:
        for pixels, _ in dataset.chunks(subject.batch or _READ_AT_ONCE):
            inputs = float_inputs(subject, pixels)
            for place, (target, root) in enumerate(zip(targets, roots(inputs), strict=True)):
                found, at = value(target.seed(root), root).max(0)
                if float(found) > float(best[place]):
                    best[place], where[place] = found.cpu(), seen + int(at)
            seen += len(inputs)
            add(len(inputs))
    return best, where
