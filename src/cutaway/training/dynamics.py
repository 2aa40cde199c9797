"""How every layer learns, measured while it does: gradients, steps, distances, dead units.

Layers with parameters are measured at some steps of every epoch, so that it costs little; units are
watched at an epoch's end, on a sample of training images.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields

import torch
from torch import Tensor, nn

from cutaway.data import Split
from cutaway.nets.builder import Net
from cutaway.nets.walk import walk

SAMPLE = 500
"""Training images that units are watched on at an epoch's end: a thirtieth of the epoch's, at most these."""

LEAST = 100
"""Fewer images say little of a unit; and with no more than these none is rare, since one of them is 1 %."""

RARE = 0.01
"""A unit that is above zero for less than this share of the images is rarely active."""

NEAR = 0.95
"""A bounded activation is at its bound from this share of the way from the middle to it."""

MOSTLY = 0.5
"""A unit is saturated when more than this share of what it gives is at a bound."""

ACTIVATIONS = (nn.ReLU, nn.Tanh, nn.Sigmoid, nn.LeakyReLU, nn.GELU)


@dataclass(frozen=True)
class LayerStep:
    """One layer with parameters in one step; means and norms are over all its weights, or its biases.

    Args:
        weight_gradient: mean of |∂E/∂w|.
        weight_gradient_norm: L2 norm of ∂E/∂w.
        bias_gradient: mean of |∂E/∂b|; NaN for a layer without biases.
        bias_gradient_norm: L2 norm of ∂E/∂b; NaN likewise.
        weight_norm: ‖w‖ before the step.
        update: ‖Δw‖ / ‖w‖; NaN where memory was short.
        distance: ‖w − w₀‖ / ‖w₀‖ after the step, w₀ being the weights that training began with; NaN
            likewise.
    """

    weight_gradient: float
    weight_gradient_norm: float
    bias_gradient: float
    bias_gradient_norm: float
    weight_norm: float
    update: float
    distance: float


MEASURES = tuple(field.name for field in fields(LayerStep))


@dataclass(frozen=True)
class LayerUnits:
    """The units of an activation layer over a sample of images.

    Args:
        units: channels, or numbers of a dense layer.
        dead: how many were never above zero, anywhere, for any image.
        rare: how many were above zero for less than 1 % of the images, without the dead ones.
        saturated: of bounded activations, how many gave values near their bounds most of the time.
    """

    units: int
    dead: int
    rare: int
    saturated: int


@dataclass(frozen=True)
class Measured:
    """What was measured in an epoch.

    Args:
        steps: for each measured step, from 1, every layer with parameters by its dotted name.
        units: every activation layer by its dotted name.
    """

    steps: Mapping[int, Mapping[str, LayerStep]]
    units: Mapping[str, LayerUnits]


NOTHING = Measured({}, {})
"""Of an epoch in which nothing was measured."""


class Dynamics:
    """Measures a net while it learns. What it gathers stays on the net's device until an epoch ends.

    Args:
        net: is trained.
        start: the same net with the weights that training began with; None where memory is short: then
            steps and distances, which need copies of the weights, are left out.
        steps: in an epoch.
        measured: how many of them are measured; 0 for none.
    """

    def __init__(self, net: Net, start: Net | None, steps: int, measured: int) -> None:
        self._net = net
        layers = {
            name: module
            for name, module in net.named_modules()
            if isinstance(getattr(module, "weight", None), nn.Parameter)
        }
        self._names = list(layers)
        self._weights = [module.get_parameter("weight") for module in layers.values()]
        self._biases = [
            (at, bias)
            for at, module in enumerate(layers.values())
            if isinstance(bias := getattr(module, "bias", None), nn.Parameter)
        ]
        self._start: list[Tensor] = []
        if start is not None:
            own = dict(start.named_modules())
            device = next(net.parameters()).device if self._weights else torch.device("cpu")
            self._start = [own[name].get_parameter("weight").detach().to(device) for name in layers]
        count = min(measured, steps) if self._names else 0
        self._due = sorted({at * steps // count for at in range(count)}) if count else []
        self._rows: list[Tensor] = []
        self._before: list[Tensor] = []
        self._half: Tensor | None = None

    @property
    def tensor(self) -> Tensor:
        """What the epoch under way has gathered so far, ``(steps, layers, measures)`` float32."""
        if not self._rows:
            return torch.empty(0, len(self._names), len(MEASURES))
        return torch.stack(self._rows)

    @tensor.setter
    def tensor(self, rows: Tensor) -> None:
        self._rows = list(rows.to(next(self._net.parameters()).device)) if len(rows) else []

    @torch.no_grad()
    def before(self, step: int) -> None:
        """Look at the gradients of a step, from 0, that is about to be taken."""
        if step not in self._due:
            return
        weights = [weight.detach() for weight in self._weights]
        found = torch.full((len(self._names), len(MEASURES)), math.nan, device=weights[0].device)
        found[:, 0], found[:, 1] = _sizes([_gradient(weight) for weight in self._weights])
        if self._biases:
            places = torch.tensor([at for at, _ in self._biases], device=found.device)
            sizes = _sizes([_gradient(bias) for _, bias in self._biases])
            found[places, 2], found[places, 3] = (size.float() for size in sizes)
        found[:, 4] = torch.stack(torch._foreach_norm(weights))
        if self._start:
            self._before = [weight.clone() for weight in weights]
        self._half = found

    @torch.no_grad()
    def after(self) -> None:
        """Look at what the step has changed."""
        if self._half is None:
            return
        found, weights = self._half, [weight.detach() for weight in self._weights]
        if self._start:
            moved = torch._foreach_sub(weights, self._before)
            found[:, 5] = torch.stack(torch._foreach_norm(moved)) / found[:, 4]
            away = torch._foreach_sub(weights, self._start)
            begun = torch.stack(torch._foreach_norm(self._start))
            found[:, 6] = torch.stack(torch._foreach_norm(away)) / begun
        self._rows.append(found)
        self._before, self._half = [], None

    def epoch(self, train: Split, preprocess: Callable[[Tensor], Tensor], chunk: int) -> Measured:
        """What the epoch has gathered, and what its units answer; then begin a new one.

        Args:
            train: images that units are watched on are taken from it, evenly.
            preprocess: from uint8 pixels to inputs.
            chunk: images in one forward pass.
        """
        values = self.tensor.cpu().tolist()
        steps = {
            at + 1: {name: LayerStep(*row) for name, row in zip(self._names, layers, strict=True)}
            for at, layers in zip(self._due, values, strict=False)
        }
        self._rows = []
        return Measured(steps, watch_units(self._net, train, preprocess, chunk) if self._due else {})


@torch.inference_mode()
def watch_units(
    net: Net, train: Split, preprocess: Callable[[Tensor], Tensor], chunk: int
) -> dict[str, LayerUnits]:
    """What the units of every activation layer give for a sample of images, the net as it is applied.

    Args:
        net: in evaluation mode.
        train: :func:`sample_size` of its images are taken, evenly spread.
        preprocess: from uint8 pixels to inputs.
        chunk: images in one forward pass.
    """
    fired: dict[str, Tensor] = {}
    bound: dict[str, Tensor] = {}
    count = sample_size(len(train))

    def see(name: str, module: nn.Module, value: Tensor) -> None:
        if not isinstance(module, ACTIVATIONS):
            return
        flat = value.flatten(2) if value.dim() > 2 else value[..., None]
        fired[name] = fired.get(name, 0) + (flat.amax(2) > 0).sum(0)
        if isinstance(module, nn.Tanh | nn.Sigmoid):
            swing = flat if isinstance(module, nn.Tanh) else 2 * flat - 1
            at_bound = (swing.abs() > NEAR).float().mean(2).sum(0)
            bound[name] = bound.get(name, 0) + at_bound

    sample = torch.linspace(0, len(train) - 1, count).long().to(train.labels.device)
    device = next((p.device for p in net.parameters()), torch.device("cpu"))
    for part in sample.split(chunk):
        walk(net, preprocess(train.batch(part).to(device)), see)
    found = {}
    for name, times in fired.items():
        dead = times == 0
        rare = (times < RARE * count) & ~dead
        saturated = int((bound[name] > MOSTLY * count).sum()) if name in bound else 0
        found[name] = LayerUnits(len(times), int(dead.sum()), int(rare.sum()), saturated)
    return found


def sample_size(images: int) -> int:
    """How many images of a split units are watched on: a thirtieth, from 100 to 500, and no more than all.

    A forward pass is a third of a training step, so this takes about a hundredth of a long epoch.
    """
    return min(SAMPLE, max(LEAST, images // 30), images)


def _sizes(gradients: list[Tensor]) -> tuple[Tensor, Tensor]:
    """The mean of the magnitudes and the L2 norm of each tensor."""
    counts = torch.tensor([gradient.numel() for gradient in gradients], device=gradients[0].device)
    sums = torch.stack(torch._foreach_norm(gradients, 1))
    return sums / counts, torch.stack(torch._foreach_norm(gradients))


def _gradient(parameter: Tensor) -> Tensor:
    return torch.zeros_like(parameter) if parameter.grad is None else parameter.grad
