"""Multinomial logistic regression: a linear classifier at its one optimum."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor


@dataclass(frozen=True)
class Logistic:
    """A linear classifier, logits = W x + b.

    Args:
        weights: W, ``(K, D)``.
        bias: b, ``(K,)``; −∞ for a class that it never saw.
        strength: s, of its regularisation.
    """

    weights: Tensor
    bias: Tensor
    strength: float

    def logits(self, features: Tensor) -> Tensor:
        """``(N, K)`` of ``(N, D)``."""
        return features @ self.weights.T + self.bias


def fit_logistic(
    features: Tensor, labels: Tensor, classes: int, strengths: Sequence[float], flat: float = 1e-5
) -> Iterator[Logistic]:
    """The minimum of mean(−log softmax(W x + b)[label]) + s/2 · ‖W‖², for one strength s after another.

    The objective is convex, and strictly so in W: the optimum does not depend on where one begins. It
    is found by L-BFGS in the basis of the features' principal components, each of them scaled by the
    root of its curvature λ/K + s, λ its variance: ‖W‖ is the same in that basis, and the steps are few. From
    one strength to the next the weights are taken along, so give the strongest first.

    Args:
        features: x, ``(N, D)``, standardised.
        labels: ``(N,)``, from 0 to ``classes`` − 1.
        classes: K.
        strengths: s, each above 0.
        flat: the largest slope at which the optimum is taken for reached, in nats by a scaled step.

    Yields:
        a classifier for each strength, in the features' dtype.
    """
    seen, targets = labels.unique(return_inverse=True)
    variances, basis = _principal(features)
    turned = features @ basis  # (N, r)
    hot = F.one_hot(targets, len(seen)).to(features.dtype)
    weights = features.new_zeros(len(seen), len(variances))
    bias = features.new_zeros(len(seen))
    for strength in strengths:
        steps = (variances / len(seen) + strength).rsqrt()
        weights, bias = _minimum(turned, hot, strength, steps, (weights, bias), flat=flat)
        whole = features.new_zeros(classes, features.shape[1])
        shift = features.new_full((classes,), -torch.inf)
        whole[seen] = weights @ basis.T
        shift[seen] = bias
        yield Logistic(whole, shift, strength)


def _principal(features: Tensor) -> tuple[Tensor, Tensor]:
    """Variances ``(r,)`` and directions ``(D, r)`` of the features; directions without any are left out."""
    wide = features.double()
    count, width = wide.shape
    # Of fewer images than features, the inner products of images have the same variances.
    few = count < width
    variances, basis = torch.linalg.eigh((wide @ wide.T if few else wide.T @ wide) / count)
    kept = variances > _NOTHING * variances[-1].clamp_min(_NOTHING)
    variances, basis = variances[kept], basis[:, kept]
    if few:
        basis = wide.T @ basis / (count * variances).sqrt()
    return variances.to(features.dtype), basis.to(features.dtype)


def _minimum(
    features: Tensor,
    hot: Tensor,
    strength: float,
    steps: Tensor,
    start: tuple[Tensor, Tensor],
    *,
    flat: float,
) -> tuple[Tensor, Tensor]:
    """W and b at the optimum, from W and b somewhere.

    Args:
        features: ``(N, r)``.
        hot: ``(N, K)``, the labels as ones.
        strength: s.
        steps: the unit of length in each direction, ``(r,)``.
        start: W ``(K, r)`` and b ``(K,)``.
        flat: the largest slope that is left.
    """
    weights = (start[0] / steps).requires_grad_()
    bias = start[1].clone().requires_grad_()
    search = torch.optim.LBFGS(
        [weights, bias],
        max_iter=_MOST_STEPS,
        max_eval=2 * _MOST_STEPS,
        tolerance_grad=flat,
        tolerance_change=0,
        history_size=20,
        line_search_fn="strong_wolfe",
    )

    def objective() -> float:
        with torch.no_grad():
            at = weights * steps  # (K, r)
            logs = (features @ at.T + bias).log_softmax(1)  # (N, K)
            wrong = (logs.exp() - hot) / len(hot)
            weights.grad = (wrong.T @ features + strength * at) * steps
            bias.grad = wrong.sum(0)
            return float(-(logs * hot).sum() / len(hot) + strength / 2 * at.square().sum())

    search.step(objective)
    return (weights * steps).detach(), bias.detach()


_NOTHING = 1e-9
"""Of the largest variance: what is below it is rounding."""

_MOST_STEPS = 500
"""Steps of L-BFGS; 20 to 200 are usual."""
