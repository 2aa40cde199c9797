"""Integrated gradients: from a baseline to the image, step by step."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
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
from cutaway.look.backward.graph import INPUT, Graph
from cutaway.look.backward.silence import cause_of
from cutaway.look.backward.target import Asked, Target, as_targets
from cutaway.nets.subject import Subject
from cutaway.progress import tracked

AT_ONCE = 64
"""Points of the way in a pass."""


def integrated_gradients(
    subject: Subject,
    images: Tensor,
    targets: Asked | Sequence[Asked] | None = None,
    *,
    baseline: Baseline = "black",
    steps: int = 50,
    seed: int = 0,
) -> Attribution:
    """The gradient along the straight way from a baseline to the image, times the way.

    ``(x − x') · ∫ ∂ target(x' + a (x − x')) / ∂ x da`` for a from 0 to 1, by Gauss–Legendre quadrature.
    The map adds up to the target's difference between image and baseline, except for what the sum of
    ``steps`` points lacks of the integral: the ``gap``.

    Args:
        subject: any.
        images: ``(N, C, H, W)``: uint8 pixels, or float inputs.
        targets: as for :func:`saliency`; the predicted class is that of the image itself, all the way.
        baseline: x': a name, or inputs.
        steps: points on the way, 1 or more.
        seed: of a random baseline.

    Raises:
        ConfigError: there are no steps, or the baseline does not fit.
        CutawayError: as :func:`saliency` does.

    Source: Sundararajan, Taly, Yan, "Axiomatic attribution for deep networks", 2017.
    """
    if steps < 1:
        raise ConfigError(f"steps should be 1 or more, not {steps}.")
    wanted = as_targets(subject, targets)
    places, weights = quadrature(steps)
    start, maps, values, gaps = 0, [], [], []
    with walks(subject, wanted) as forward, tracked("integrated gradients", len(images), "images") as add:
        for inputs, chosen in chunks(subject, images, wanted):
            count = len(inputs)
            grounds = baselines(subject, part_of(images, start, count), part_of(baseline, start, count), seed)
            grounds = grounds.to(inputs).expand_as(inputs)
            clean, ground = forward(inputs), forward(grounds)
            seeds = [target.seed(clean.root(target)) for target in chosen]
            way = inputs - grounds
            # Many small parts are added: not in half precision.
            kind = torch.promote_types(inputs.dtype, torch.float32)
            total = torch.zeros(len(chosen), *inputs.shape, dtype=kind, device=inputs.device)
            # All points of all images stand in one row, which is cut into passes.
            points = torch.cartesian_prod(torch.arange(count), torch.arange(steps))
            for part in points.split(subject.batch or AT_ONCE):
                images_at, steps_at = part[:, 0].to(inputs.device), part[:, 1]
                amount = places[steps_at].to(inputs).view(-1, 1, 1, 1)
                weight = weights[steps_at].to(inputs).view(-1, 1, 1, 1)
                graph = forward(grounds[images_at] + amount * way[images_at])
                for place, (target, one) in enumerate(zip(chosen, seeds, strict=True)):
                    keep = place + 1 < len(chosen)
                    (found,) = graph.back(target, one[images_at], [INPUT], keep=keep)
                    total[place].index_add_(0, images_at, (weight * found).to(kind))
            total *= way
            difference = torch.stack(
                [
                    _values(clean, target, one) - _values(ground, target, one)
                    for target, one in zip(chosen, seeds, strict=True)
                ]
            )
            gaps.append((difference.double() - total.double().flatten(2).sum(2)).cpu())
            values.append(
                torch.stack([_values(clean, t, one) for t, one in zip(chosen, seeds, strict=True)]).cpu()
            )
            maps.append(torch.stack([as_images(subject, one) for one in total]).float().cpu())
            start += count
            add(count)
    result = Attribution(
        images,
        torch.cat(maps, 1),
        torch.cat(values, 1).float(),
        tuple(map(str, wanted)),
        "integrated gradients",
        subject.name,
        torch.cat(gaps, 1).float(),
    )
    refuse_unfinite(subject, images, result.values, result.maps)
    return with_zero_noted(result, cause_of(subject, images, wanted, times=LIKE_BASELINE))


def quadrature(steps: int) -> tuple[Tensor, Tensor]:
    """Gauss–Legendre points in 0 … 1 and their weights, which sum to 1: both ``(steps,)`` float64."""
    points, weights = np.polynomial.legendre.leggauss(steps)
    return torch.from_numpy((points + 1) / 2), torch.from_numpy(weights / 2)


def _values(graph: Graph, target: Target, seed: Tensor) -> Tensor:
    return (seed * graph.root(target)).flatten(1).sum(1)
