"""DeepLift: differences from a baseline, handed back through every operation."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from cutaway.errors import ConfigError
from cutaway.look.backward.attribution import (
    Attribution,
    as_images,
    chunks,
    refuse_unfinite,
    walks,
    with_zero_noted,
)
from cutaway.look.backward.baseline import LIKE_BASELINE, Baseline, baselines, part_of
from cutaway.look.backward.graph import INPUT
from cutaway.look.backward.operations import ACTIVATIONS, ARITHMETIC, AVERAGES, MAXIMA, MOVES, NORMS, WEIGHTED
from cutaway.look.backward.rules import Call, Otherwise, Rule, Rules, applied, depends, plain
from cutaway.look.backward.silence import cause_of
from cutaway.look.backward.target import Asked, as_targets
from cutaway.nets.subject import Subject
from cutaway.progress import tracked

_METHOD = "DeepLift"

_POOLS = MAXIMA - {"max"}

EQUAL = 1e-6
"""Inputs that differ by less than this from the baseline's have their gradient in place of the quotient."""


def deeplift(
    subject: Subject,
    images: Tensor,
    targets: Asked | Sequence[Asked] | None = None,
    *,
    baseline: Baseline = "black",
    seed: int = 0,
    otherwise: Otherwise = "refuse",
) -> Attribution:
    """DeepLift with the rescale rule: what each value adds to the difference from a baseline.

    A function f of single numbers hands back ``(f(x) − f(x')) / (x − x')`` times what arrives, everything
    linear its gradient, a max-pool the difference of its maxima to the places that they come from. The map
    adds up to the target's difference between image and baseline; the ``gap`` is what it lacks.

    Args:
        subject: any.
        images: ``(N, C, H, W)``: uint8 pixels, or float inputs.
        targets: as for :func:`saliency`; the predicted class is that of the image.
        baseline: x': a name, or inputs.
        seed: of a random baseline.
        otherwise: ``gradient`` passes operations without a rule, such as products of two values, with
            their plain gradient.

    Raises:
        ConfigError: the baseline does not fit, or an operation has no rule.
        CutawayError: as :func:`saliency` does.

    Source: Shrikumar, Greenside, Kundaje, "Learning important features through propagating activation
    differences", 2017.
    """
    wanted = as_targets(subject, targets)
    rules = _Rescale(otherwise)
    start, maps, values, gaps = 0, [], [], []
    with walks(subject, wanted, (), rules) as forward, tracked(_METHOD, len(images), "images") as add:
        for inputs, chosen in chunks(subject, images, wanted):
            count = len(inputs)
            grounds = baselines(subject, part_of(images, start, count), part_of(baseline, start, count), seed)
            grounds = grounds.to(inputs).expand_as(inputs)
            rules.remember()
            ground = forward(grounds)
            rules.compare()
            graph = forward(inputs)
            found, gap = [], []
            for target in chosen:
                root = graph.root(target)
                one = target.seed(root)
                (multiplier,) = graph.back(target, one, [INPUT], keep=True)
                found.append((inputs - grounds) * multiplier)
                difference = (one * (root - ground.root(target))).double().flatten(1).sum(1)
                gap.append(difference - found[-1].double().flatten(1).sum(1))
            maps.append(torch.stack([as_images(subject, one) for one in found]).float().cpu())
            values.append(torch.stack([graph.value(target) for target in chosen]).float().cpu())
            gaps.append(torch.stack(gap).float().cpu())
            start += count
            add(count)
    result = Attribution(
        images,
        torch.cat(maps, 1),
        torch.cat(values, 1),
        tuple(map(str, wanted)),
        _METHOD,
        subject.name,
        torch.cat(gaps, 1),
    )
    refuse_unfinite(subject, images, result.values, result.maps)
    return with_zero_noted(result, cause_of(subject, images, wanted, times=LIKE_BASELINE))


class _Rescale(Rules):
    """Two passes: one that remembers what the baseline comes to, and one that is compared with it."""

    def __init__(self, otherwise: Otherwise) -> None:
        rules: dict[str, Rule] = dict.fromkeys(MOVES | AVERAGES, plain)
        rules |= dict.fromkeys(WEIGHTED, self._weighted)
        rules |= dict.fromkeys(NORMS, self._normed)
        rules |= dict.fromkeys((name for name in MOVES if "dropout" in name), self._dropped)
        rules |= dict.fromkeys(ACTIVATIONS, self._each)
        rules |= dict.fromkeys(_POOLS, self._pooled)
        rules |= dict.fromkeys(ARITHMETIC, self._arithmetic)
        super().__init__(_METHOD, rules, otherwise, gates=False)
        self.known: list[tuple[str, Tensor]] = []
        self.place = 0
        self.remembering = True

    def remember(self) -> None:
        """The next pass is the baseline's."""
        self.remembering = True

    def compare(self) -> None:
        """The next pass is that of the images."""
        self.remembering = False

    def begin(self) -> None:
        """A forward pass begins."""
        self.place = 0
        if self.remembering:
            self.known = []

    def replaces(self, name: str) -> bool:
        """As of :class:`Rules`; the baseline's pass is only remembered."""
        return not self.remembering and name in ACTIVATIONS

    def _ground(self, call: Call) -> Tensor | None:
        """What stood here for the baseline; None while that is being remembered."""
        x = call.args[0]
        if self.remembering:
            # A copy: the model may change the value in place later on.
            self.known.append((call.name, x.detach().clone()))
            return None
        name, ground = self.known[self.place] if self.place < len(self.known) else ("", x)
        if (name, ground.shape) != (call.name, x.shape):
            raise ConfigError(
                "DeepLift can't compare the image with the baseline: the model takes another way for it."
            )
        self.place += 1
        return ground

    def _each(self, call: Call) -> Any:
        if len(call.tensors) > 1 or not depends(call.args[0]):
            return self.refused(call)
        ground = self._ground(call)
        return call.plain() if ground is None else applied(_Quotient, call.args[0], ground, call)

    def _pooled(self, call: Call) -> Any:
        if call.kwargs.get("return_indices") or "indices" in call.name:
            return self.refused(call)
        ground = self._ground(call)
        return call.plain() if ground is None else applied(_Pool, call.args[0], ground, call)

    def _weighted(self, call: Call) -> Any:
        """Linear, unless the weights depend on the image too."""
        return self.refused(call) if len(call.tensors) > 1 else call.plain()

    def _normed(self, call: Call) -> Any:
        """Linear with stored statistics, but not with the batch's own."""
        own = call.argument(5, "training", False) or call.argument(1, "running_mean") is None
        return self.refused(call) if own else call.plain()

    def _dropped(self, call: Call) -> Any:
        """Linear where it is off; where it is on, image and baseline lose other values."""
        default = not call.name.startswith(("alpha", "feature_alpha"))
        on = call.argument(2, "training", call.kwargs.get("train", default))
        return self.refused(call) if on else call.plain()

    def _arithmetic(self, call: Call) -> Any:
        """Sums are linear; so are products and quotients by a constant."""
        both = len(call.tensors) > 1
        floored = call.kwargs.get("rounding_mode") is not None
        divided = call.name == "div" and not depends(call.args[0])
        if (both and call.name in {"mul", "div"}) or divided or floored:
            return self.refused(call)
        return call.plain()


def _local(call: Call, x: Tensor) -> tuple[Tensor, Tensor]:
    """A value cut off from the graph, and what the call makes of it."""
    with torch.enable_grad():
        leaf = x.detach().requires_grad_()
        return leaf, call.of(leaf)


class _Quotient(torch.autograd.Function):
    """A function of single numbers whose derivative is its quotient of differences."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, ground: Tensor, call: Call) -> Tensor:
        result = call.of(x)
        change = x - ground
        slope = (result - call.function(ground, *call.args[1:], **call.kwargs)) / change
        same = change.abs() < EQUAL
        if bool(same.any()):
            leaf, value = _local(call, x)
            (own,) = torch.autograd.grad(value, leaf, torch.ones_like(value))
            slope = torch.where(same, own, slope)
        # The slope alone is kept: the model may change x in place later on.
        ctx.save_for_backward(slope)
        return result

    @staticmethod
    def backward(ctx: Any, *arriving: Tensor) -> tuple[Tensor, None, None]:
        (slope,) = ctx.saved_tensors
        return arriving[0] * slope, None, None


class _Pool(torch.autograd.Function):
    """A max-pool: what the maximum gains goes to where it is, what it loses to where it was."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, ground: Tensor, call: Call) -> Tensor:
        ctx.save_for_backward(x, ground)
        ctx.call = call
        return call.of(x)

    @staticmethod
    def backward(ctx: Any, *arriving: Tensor) -> tuple[Tensor, None, None]:
        x, ground = ctx.saved_tensors
        leaf, value = _local(ctx.call, x)
        leaf_before, before = _local(ctx.call, ground.expand_as(x))
        larger = torch.maximum(value, before).detach()
        (gained,) = torch.autograd.grad(
            value, leaf, arriving[0] * (larger - before.detach()), retain_graph=True
        )
        (lost,) = torch.autograd.grad(before, leaf_before, arriving[0] * (value.detach() - larger))
        (own,) = torch.autograd.grad(value, leaf, arriving[0])
        change = x - ground
        return torch.where(change.abs() < EQUAL, own, (gained + lost) / change), None, None
