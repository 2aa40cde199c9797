"""Ascent: images changed step by step, until something in a net is as large as it gets.

``x ← x + α ∂ (φ(x) − λ R(x)) / ∂ x``, many images at once, each for a target of its own; none depends on
what the others are, and the pass goes no deeper than the targets.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Literal

import torch
from torch import Tensor

from cutaway.errors import ConfigError, DataError
from cutaway.look.backward.graph import INPUT, Forward, Graph
from cutaway.look.backward.target import Target
from cutaway.look.optimising.canvas import CANVASES, Canvas
from cutaway.look.optimising.leak import Leak
from cutaway.look.optimising.pixels import PixelSpace
from cutaway.look.optimising.priors import Blur, Clip, Prior, penalties
from cutaway.look.optimising.wobble import Wobble
from cutaway.progress import tracked

Stepper = Literal["gradient", "momentum", "adam"]
CanvasName = Literal["pixels", "fourier"]


@dataclass(frozen=True)
class Recipe:
    """How images are changed.

    Args:
        steps: how many, 1 or more.
        rate: the length of a step: for ``gradient`` and ``momentum`` of the gradient divided by the root of
            its mean square, so that 0.05 moves pixels by about a twentieth; for ``adam`` its learning rate.
        stepper: ``gradient`` is the plain ascent of the papers; ``momentum`` keeps 0.9 of the step before.
        schedule: ``constant``, or ``cosine``: the rate falls to zero over all steps, so the end is still.
        canvas: ``pixels`` or ``fourier``.
        memory: how much of adam's mean of gradients is kept from step to step, at the beginning and from 70 %
            of the steps on. A short one makes steps wild, and so leaves places where others get stuck.
        leak: share of a gradient that passes rectifiers that are off; falls to 0. See
            :mod:`cutaway.look.optimising.leak`.
        priors: any of :mod:`cutaway.look.optimising.priors`.
        wobble: between steps.
        seed: of the start and of the wobble.

    Raises:
        ConfigError: a value is out of range, or a prior does not fit the canvas.
    """

    steps: int = 128
    rate: float = 0.05
    stepper: Stepper = "adam"
    schedule: Literal["constant", "cosine"] = "constant"
    memory: tuple[float, float] = (0.9, 0.9)
    leak: float = 0.0
    canvas: CanvasName = "pixels"
    priors: Sequence[Prior] = ()
    wobble: Wobble = field(default_factory=Wobble)
    seed: int = 0

    def __post_init__(self) -> None:
        if self.steps < 1 or not self.rate > 0:
            raise ConfigError(
                f"steps should be 1 or more and rate above 0, not {self.steps} and {self.rate}."
            )
        if self.stepper not in {"gradient", "momentum", "adam"}:
            raise ConfigError(f'stepper should be gradient, momentum or adam, not "{self.stepper}".')
        if not all(0 <= kept < 1 for kept in self.memory) or not 0 <= self.leak <= 1:
            raise ConfigError(
                f"memory should be 0 to below 1 and leak 0 to 1, not {self.memory} and {self.leak}."
            )
        if self.canvas not in CANVASES:
            raise ConfigError(f'canvas should be pixels or fourier, not "{self.canvas}".')
        if self.canvas == "fourier" and any(isinstance(prior, Blur | Clip) for prior in self.priors):
            raise ConfigError("Blur and Clip change pixels; they do not go with the fourier canvas.")


@dataclass(frozen=True)
class Step:
    """What whoever listens is shown.

    Args:
        number: of steps done.
        images: ``(B, C, H, W)`` from 0 to 1, on the subject's device.
        values: of each target, ``(B,)``.
    """

    number: int
    images: Tensor
    values: Tensor


Watch = Callable[[Step], bool | None]
"""Shown every step; what it gives ends the ascent when it is True."""

Measure = Callable[[Graph], tuple[Tensor, str | None, Tensor]]
"""From a pass to each image's value ``(B,)``, the layer that it is read from (None for the logits), and the
value's derivative by what that gives."""


ROOT = {0: 1.0}
"""The weights of a target that only names a layer."""


@dataclass(frozen=True)
class Ascended:
    """Where an ascent ended.

    Args:
        images: ``(B, C, H, W)`` float32 from 0 to 1.
        values: before each step and behind the last, ``(S + 1, B)``, without priors; each step's of the image
            as the wobble moved it, the last of the image as it stands.
        stopped: it was ended before its last step.
    """

    images: Tensor
    values: Tensor
    stopped: bool = False


def canvas_of(recipe: Recipe, start: Tensor) -> Canvas:
    """The canvas that a recipe names, showing ``start``: ``(B, C, H, W)`` from 0 to 1."""
    return CANVASES[recipe.canvas](start)


def ascend(
    forward: Forward,
    space: PixelSpace,
    canvas: Canvas,
    measure: Measure,
    recipe: Recipe,
    *,
    scaled: bool = True,
    eased: bool = False,
    leak: Leak | None = None,
    watch: Watch | None = None,
    name: str = "ascent",
) -> Ascended:
    """Change images until their values are as large as they get.

    Args:
        forward: a pass of the subject, as :func:`cutaway.look.backward.graph.graphs` gives it.
        space: from images to its inputs.
        canvas: what is changed; see :func:`canvas_of`.
        measure: what should become large.
        recipe: how.
        scaled: divide each image's gradient by the root of its mean square, so that a prior's weight means
            the same for every unit; without, values and penalties are added as they are.
        eased: for distances, which fall with the square of what is left: with adam divide what moves an image
            by the root of its value, so that the first steps are not all that adam remembers.
        leak: that ``forward`` was made with.
        watch: shown every step.
        name: for progress and messages.

    Raises:
        DataError: a value or a gradient is not finite; the step and the image are named.
    """
    mover = _Mover(recipe)
    eased = eased and recipe.stepper == "adam"
    generator = torch.Generator().manual_seed(recipe.seed)
    seen: list[Tensor] = []
    stopped = False

    def apply(images: Tensor) -> tuple[Graph, Tensor]:
        inputs = space.inputs(recipe.wobble(images, generator))
        return forward(inputs), inputs

    with tracked(name, recipe.steps, "steps") as add:
        for number in range(1, recipe.steps + 1):
            if leak:
                leak.begin((number - 1) / recipe.steps)
            values, gradient = _gradient(canvas, apply, measure, recipe.priors, scaled)
            _refuse_infinite(name, number, values, gradient, recipe)
            seen.append(values.cpu())
            with torch.no_grad():
                canvas.values += mover.step(_eased(gradient, values) if eased else gradient, number)
            canvas.settle()
            _change(canvas, recipe, gradient, number)
            add(1)
            if watch and watch(Step(number, canvas.images().detach(), values)):
                stopped = number < recipe.steps
                break
    images = canvas.images().detach()
    final, _, _ = measure(forward(space.inputs(images)))
    return Ascended(images.float().cpu(), torch.stack([*seen, final.cpu()]).float(), stopped)


def _gradient(
    canvas: Canvas,
    apply: Callable[[Tensor], tuple[Graph, Tensor]],
    measure: Measure,
    priors: Sequence[Prior],
    scaled: bool,
) -> tuple[Tensor, Tensor]:
    """Each image's value, and the direction in which the canvas should change."""
    leaf = canvas.values.detach().requires_grad_()
    canvas.values = leaf
    with torch.enable_grad():
        images = canvas.images()
        graph, inputs = apply(images)
        values, layer, seed = measure(graph)
        (arriving,) = graph.back(Target(ROOT, layer), seed, [INPUT])
        (upward,) = torch.autograd.grad(inputs, images, arriving, retain_graph=True)
        if scaled:
            upward = upward / upward.flatten(1).square().mean(1).sqrt().clamp_min(1e-12).view(-1, 1, 1, 1)
        total = penalties(priors, images)
        if total.requires_grad:
            (downward,) = torch.autograd.grad(total.sum(), images, retain_graph=True)
            # Penalties are means over pixels: by their number, to stand beside a gradient of size 1.
            count = downward[0].numel() if scaled else 1
            upward = upward - count * downward
        (gradient,) = torch.autograd.grad(images, leaf, upward) if images is not leaf else (upward,)
    canvas.values = leaf.detach()
    return values.detach(), gradient


def _eased(gradient: Tensor, values: Tensor) -> Tensor:
    size = values.to(gradient).abs().sqrt().clamp_min(1e-6)
    return gradient / size.view(-1, *[1] * (gradient.dim() - 1))


def _change(canvas: Canvas, recipe: Recipe, gradient: Tensor, number: int) -> None:
    for prior in recipe.priors:
        if isinstance(prior, Blur | Clip):
            canvas.values = prior.changed(canvas.values, gradient, number)


_SETTLED = 0.7
"""Share of the steps from which on adam's memory is the later one."""


class _Mover:
    """Steps from gradients, image by image and value by value."""

    def __init__(self, recipe: Recipe) -> None:
        self.recipe = recipe
        self.moments: tuple[Tensor, Tensor] | None = None
        self.begun = 1.0  # how much of adam's first mean is still the zero that it began with

    def step(self, gradient: Tensor, number: int) -> Tensor:
        rate = self.recipe.rate
        if self.recipe.schedule == "cosine":
            rate *= (1 + math.cos(math.pi * (number - 1) / self.recipe.steps)) / 2
        if self.recipe.stepper == "gradient":
            return rate * gradient
        if self.moments is None:
            self.moments = torch.zeros_like(gradient), torch.zeros_like(gradient)
        first, second = self.moments
        if self.recipe.stepper == "momentum":
            return rate * first.mul_(0.9).add_(gradient)
        early, late = self.recipe.memory
        kept = early + (late - early) * min(1.0, (number - 1) / self.recipe.steps / _SETTLED)
        self.begun *= kept
        first.mul_(kept).add_(gradient, alpha=1 - kept)
        second.mul_(0.99).addcmul_(gradient, gradient, value=0.01)
        mean = first / (1 - self.begun)
        square = second / (1 - 0.99**number)
        return rate * mean / (square.sqrt() + 1e-8)


def _refuse_infinite(name: str, number: int, values: Tensor, gradient: Tensor, recipe: Recipe) -> None:
    if math.isfinite(float(values.sum() + gradient.sum())):
        return  # whatever is not finite makes the sum so
    finite = values.isfinite() & gradient.flatten(1).isfinite().all(1)
    if bool(finite.all()):
        return
    image = int((~finite).nonzero()[0])
    priors = ", ".join(type(prior).__name__ for prior in recipe.priors) or "no prior"
    raise DataError(
        f"{name}: image {image} is not finite at step {number} (rate {recipe.rate:g}, {priors}). "
        "Lower the rate or the priors' weights."
    )
