"""Rules of layer-wise relevance propagation: how a sum hands its relevance to its inputs.

Each is called with a sum ``y = x ∗ w + b``, its input x, its result y and the relevance R of the result,
and gives the relevance of x. One that says ``reads_result = False`` is given something empty for y, which
then need not be kept. Written for a dense layer, with i over inputs and j over outputs.

Source: Bach et al., "On pixel-wise explanations for non-linear classifier decisions by layer-wise
relevance propagation", 2015; Montavon et al., "Layer-wise relevance propagation: an overview", 2019.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from cutaway.errors import ConfigError
from cutaway.look.backward.sums import Sums

RelevanceRule = Callable[[Sums, Tensor, Tensor, Tensor], Tensor]

CHANGED = (
    "The z-B rule is for a layer that sees the input as preprocessing gives it, and this model changes it "
    'before, or the images are floats beyond the range of pixels. Take "epsilon-plus-flat" or "epsilon-plus".'
)


def shares(relevance: Tensor, total: Tensor, epsilon: float = 0.0) -> Tensor:
    """``R / (z + ε sign z)``, with sign 0 = 1; zero where the quotient has no value."""
    if epsilon:
        step = total.new_full((), epsilon)
        return relevance / (total + torch.where(total < 0, -step, step))
    return (relevance / total).nan_to_num_(0.0, 0.0, 0.0)


@dataclass(frozen=True)
class Epsilon:
    """``R_i = x_i Σ_j w_ij R_j / (z_j + ε sign z_j)``, where ``z_j = Σ_i x_i w_ij + b_j``.

    Args:
        epsilon: absorbs relevance where sums nearly cancel; 0 for the z rule, which absorbs none but
            the biases' share.
    """

    epsilon: float = 1e-6

    def __call__(self, sums: Sums, x: Tensor, y: Tensor, relevance: Tensor) -> Tensor:
        """The relevance of ``x``."""
        return sums.transposed(shares(relevance, y, self.epsilon), x, sums.weight).mul_(x)


@dataclass(frozen=True)
class Gamma:
    """``R_i = Σ_j (z_ij + γ z_ij⁺) R_j / Σ_i (z_ij + γ z_ij⁺)`` with ``z_ij = x_i w_ij``, biases likewise.

    That is for sums of 0 or more. In a sum below 0, whose denominator might vanish, what makes it negative
    counts more: ``z_ij + γ z_ij⁻``. Behind a ReLU such a sum has no relevance anyway.

    Args:
        gamma: how much more what speaks for a sum's sign counts than what speaks against it.
        epsilon: as of :class:`Epsilon`.

    Source: Montavon et al., 2019; for negative sums Andéol et al., "Learning domain invariant
    representations by joint Wasserstein distance minimization", 2021.
    """

    gamma: float = 0.25
    epsilon: float = 1e-6

    def __call__(self, sums: Sums, x: Tensor, y: Tensor, relevance: Tensor) -> Tensor:
        """The relevance of ``x``."""
        below = y < 0
        against = relevance * below
        if not bool(against.any()):
            return self._signed(sums, x, relevance, positive=True)
        found = self._signed(sums, x, relevance * ~below, positive=True)
        return found.add_(self._signed(sums, x, against, positive=False))

    def _signed(self, sums: Sums, x: Tensor, relevance: Tensor, *, positive: bool) -> Tensor:
        """For sums of one sign."""
        weight, bias = sums.weight, sums.bias
        up = weight + self.gamma * weight.clamp_min(0)
        down = weight + self.gamma * weight.clamp_max(0)
        more, less = (up, down) if positive else (down, up)
        parts = [(x, more)] if _positive(x) else [(x.clamp_min(0), more), (x.clamp_max(0), less)]
        if bias is not None:
            bias = bias + self.gamma * (bias.clamp_min(0) if positive else bias.clamp_max(0))
        return _divided(sums, parts, bias, relevance, self.epsilon)


@dataclass(frozen=True)
class AlphaBeta:
    """``R_i = Σ_j (α z_ij⁺ / z_j⁺ − β z_ij⁻ / z_j⁻) R_j`` with ``z_ij = x_i w_ij`` and biases in the sums.

    A sum that nothing speaks for, or nothing against, hands back its other part alone, as in the paper;
    what that adds or takes stands in the gap.

    Args:
        alpha: weight of what speaks for something; 1 with β = 0 is the z⁺ rule.
        beta: weight of what speaks against it; α − β = 1.

    Raises:
        ConfigError: α − β is not 1, or β is negative.
    """

    alpha: float = 2.0
    beta: float = 1.0
    reads_result: ClassVar[bool] = False

    def __post_init__(self) -> None:
        if abs(self.alpha - self.beta - 1) > 1e-6 or self.beta < 0:
            raise ConfigError(
                f"alpha − beta should be 1 and beta 0 or more, not {self.alpha} and {self.beta}."
            )

    def __call__(self, sums: Sums, x: Tensor, y: Tensor, relevance: Tensor) -> Tensor:
        """The relevance of ``x``."""
        del y
        weight, bias = sums.weight, sums.bias
        up, down = weight.clamp_min(0), weight.clamp_max(0)
        more = None if bias is None else bias.clamp_min(0)
        less = None if bias is None else bias.clamp_max(0)
        if _positive(x):
            speaking, opposing = [(x, up)], [(x, down)]
        else:
            over, under = x.clamp_min(0), x.clamp_max(0)
            speaking, opposing = [(over, up), (under, down)], [(over, down), (under, up)]
        found = _divided(sums, speaking, more, relevance)
        if not self.beta:
            return found
        return found.mul_(self.alpha).sub_(_divided(sums, opposing, less, relevance), alpha=self.beta)


Z = Epsilon(0.0)
"""Relevance in proportion to what each input adds."""

ZPLUS = AlphaBeta(1.0, 0.0)
"""Relevance in proportion to what each input adds, where that is positive."""


@dataclass(frozen=True)
class Flat:
    """``R_i = Σ_j R_j / Σ_i 1``: all inputs of a sum alike."""

    reads_result: ClassVar[bool] = False

    def __call__(self, sums: Sums, x: Tensor, y: Tensor, relevance: Tensor) -> Tensor:
        """The relevance of ``x``."""
        del y
        ones, weight = torch.ones_like(x[:1]), torch.ones_like(sums.weight)
        return sums.transposed(shares(relevance, sums.apply(ones, weight)), x, weight)


@dataclass(frozen=True)
class Box:
    """z-B: ``R_i = Σ_j (x_i w_ij − l_i w_ij⁺ − h_i w_ij⁻) R_j / Σ_i (…)`` for inputs from l to h.

    Args:
        low: the least value of each input, ``(1, C, H, W)``.
        high: the largest.
        epsilon: as of :class:`Epsilon`.
    """

    low: Tensor
    high: Tensor
    epsilon: float = 1e-6
    reads_result: ClassVar[bool] = False

    def __call__(self, sums: Sums, x: Tensor, y: Tensor, relevance: Tensor) -> Tensor:
        """The relevance of ``x``.

        Raises:
            ConfigError: x is not the model's input.
        """
        del y
        low, high = _shaped(self.low.to(x), x), _shaped(self.high.to(x), x)
        slack = 1e-4 * float((high - low).abs().max())
        if low.shape[1:] != x.shape[1:] or bool(((x < low - slack) | (x > high + slack)).any()):
            raise ConfigError(CHANGED)
        weight = sums.weight
        parts = [(x, weight), (-low, weight.clamp_min(0)), (-high, weight.clamp_max(0))]
        return _divided(sums, parts, None, relevance, self.epsilon)


def _divided(
    sums: Sums,
    parts: list[tuple[Tensor, Tensor]],
    bias: Tensor | None,
    relevance: Tensor,
    epsilon: float = 0.0,
) -> Tensor:
    """Relevance in proportion to contributions: Σ over parts of value times weight, and the bias.

    Values behind the first may be one for all images.
    """
    like = parts[0][0]
    total = sums.apply(*parts[0])
    for value, weight in parts[1:]:
        total += sums.apply(value, weight)
    if bias is not None:
        total += sums.spread(bias)
    share = shares(relevance, total, epsilon)
    found = sums.transposed(share, like, parts[0][1]).mul_(like)
    for value, weight in parts[1:]:
        found.addcmul_(sums.transposed(share, like, weight), value)
    return found


def _shaped(ends: Tensor, x: Tensor) -> Tensor:
    """The range of the input as the first sum sees it: flattened, or with its channels moved forward."""
    if ends.shape[1:] == x.shape[1:]:
        return ends
    if x.dim() == 2 and ends[0].numel() == x.shape[1]:
        return ends.flatten(1)
    return ends.movedim(-1, 1) if ends.dim() == x.dim() else ends


def _positive(x: Tensor) -> bool:
    return bool(x.min() >= 0)
