"""Rules of layer-wise relevance propagation: how a sum hands its relevance to its inputs.

Each is called with a sum ``y = x ∗ w + b``, its input x, its result y and the relevance R of the result,
and gives the relevance of x. Written for a dense layer, with i over inputs and j over outputs.

Source: Bach et al., "On pixel-wise explanations for non-linear classifier decisions by layer-wise
relevance propagation", 2015; Montavon et al., "Layer-wise relevance propagation: an overview", 2019.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from cutaway.errors import ConfigError
from cutaway.look.backward.sums import Sums

RelevanceRule = Callable[[Sums, Tensor, Tensor, Tensor], Tensor]


def shares(relevance: Tensor, total: Tensor, epsilon: float = 0.0) -> Tensor:
    """``R / (z + ε sign z)``, with sign 0 = 1; zero where the quotient has no value."""
    if epsilon:
        return relevance / (total + torch.where(total < 0, -epsilon, epsilon))
    return torch.where(total == 0, 0.0, relevance / total)


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
        return x * sums.transposed(shares(relevance, y, self.epsilon), x, sums.weight)


@dataclass(frozen=True)
class Gamma:
    """``R_i = Σ_j x_i (w_ij + γ w_ij⁺) R_j / Σ_i x_i (w_ij + γ w_ij⁺)``, the bias likewise.

    For negative inputs the positive contributions count more just so: ``x_i⁻ (w_ij + γ w_ij⁻)``.

    Args:
        gamma: how much more what speaks for something counts than what speaks against it.
        epsilon: as of :class:`Epsilon`.
    """

    gamma: float = 0.25
    epsilon: float = 1e-6

    def __call__(self, sums: Sums, x: Tensor, y: Tensor, relevance: Tensor) -> Tensor:
        """The relevance of ``x``."""
        del y
        weight, bias = sums.weight, sums.bias
        up = weight + self.gamma * weight.clamp_min(0)
        parts = [(x, up)]
        if not _positive(x):
            parts = [(x.clamp_min(0), up), (x.clamp_max(0), weight + self.gamma * weight.clamp_max(0))]
        more = None if bias is None else bias + self.gamma * bias.clamp_min(0)
        return _divided(sums, parts, more, relevance, self.epsilon)


@dataclass(frozen=True)
class AlphaBeta:
    """``R_i = Σ_j (α z_ij⁺ / z_j⁺ − β z_ij⁻ / z_j⁻) R_j`` with ``z_ij = x_i w_ij`` and biases in the sums.

    Args:
        alpha: weight of what speaks for something; 1 with β = 0 is the z⁺ rule.
        beta: weight of what speaks against it; α − β = 1.

    Raises:
        ConfigError: α − β is not 1, or β is negative.
    """

    alpha: float = 2.0
    beta: float = 1.0

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
            found = _divided(sums, [(x, up)], more, relevance)
            if not self.beta:
                return found
            return self.alpha * found - self.beta * _divided(sums, [(x, down)], less, relevance)
        over, under = x.clamp_min(0), x.clamp_max(0)
        found = _divided(sums, [(over, up), (under, down)], more, relevance)
        if not self.beta:
            return found
        against = _divided(sums, [(over, down), (under, up)], less, relevance)
        return self.alpha * found - self.beta * against


Z = Epsilon(0.0)
"""Relevance in proportion to what each input adds."""

ZPLUS = AlphaBeta(1.0, 0.0)
"""Relevance in proportion to what each input adds, where that is positive."""


@dataclass(frozen=True)
class Flat:
    """``R_i = Σ_j R_j / Σ_i 1``: all inputs of a sum alike."""

    def __call__(self, sums: Sums, x: Tensor, y: Tensor, relevance: Tensor) -> Tensor:
        """The relevance of ``x``."""
        del y
        ones, weight = torch.ones_like(x), torch.ones_like(sums.weight)
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

    def __call__(self, sums: Sums, x: Tensor, y: Tensor, relevance: Tensor) -> Tensor:
        """The relevance of ``x``.

        Raises:
            ConfigError: x is not the model's input.
        """
        del y
        slack = 1e-4 * float((self.high - self.low).abs().max())
        outside = (
            x.shape[1:] != self.low.shape[1:] or ((x < self.low - slack) | (x > self.high + slack)).any()
        )
        if bool(outside):
            raise ConfigError(
                "The z-B rule is for a layer that sees the input as preprocessing gives it, and this model "
                'changes it before. Take "epsilon-plus-flat" or "epsilon-plus".'
            )
        weight = sums.weight
        low, high = self.low.expand_as(x), self.high.expand_as(x)
        parts = [(x, weight), (-low, weight.clamp_min(0)), (-high, weight.clamp_max(0))]
        return _divided(sums, parts, None, relevance, self.epsilon)


def _divided(
    sums: Sums,
    parts: list[tuple[Tensor, Tensor]],
    bias: Tensor | None,
    relevance: Tensor,
    epsilon: float = 0.0,
) -> Tensor:
    """Relevance in proportion to contributions: Σ over parts of value times weight, and the bias."""
    total = sums.apply(*parts[0])
    for value, weight in parts[1:]:
        total = total + sums.apply(value, weight)
    if bias is not None:
        total = total + sums.spread(bias, parts[0][0])
    share = shares(relevance, total, epsilon)
    found = parts[0][0] * sums.transposed(share, *parts[0])
    for value, weight in parts[1:]:
        found = found + value * sums.transposed(share, value, weight)
    return found


def _positive(x: Tensor) -> bool:
    return bool(x.min() >= 0)
