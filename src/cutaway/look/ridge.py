"""Ridge regression: a linear map at its one optimum."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class Ridge:
    """A linear map, y = W x + b.

    Args:
        weights: W, ``(P, D)`` float64.
        bias: b, ``(P,)`` float64.
        strength: s, of its regularisation.
    """

    weights: Tensor
    bias: Tensor
    strength: float

    def values(self, features: Tensor) -> Tensor:
        """y, ``(N, P)`` float64, of ``(N, D)``."""
        return torch.addmm(self.bias, features.double(), self.weights.T)


def fit_ridge(features: Tensor, targets: Tensor, strengths: Sequence[float]) -> Iterator[Ridge]:
    """The minimum of mean(‖W x + b − y‖²) + s · ‖W‖², for each strength s.

    From the normal equations (XᵀX/N + s I) Wᵀ = XᵀY/N of centred X and Y, in float64. Hoerl and Kennard,
    "Ridge regression: biased estimation for nonorthogonal problems", 1970.

    Args:
        features: x, ``(N, D)``, standardised.
        targets: y, ``(N, P)``.
        strengths: s, each above 0.
    """
    wide, wanted = features.double(), targets.double()
    middle, mean = wide.mean(0), wanted.mean(0)
    wide, wanted = wide - middle, wanted - mean
    inner, outer = wide.T @ wide / len(wide), wide.T @ wanted / len(wide)
    for strength in strengths:
        root = torch.linalg.cholesky(inner + strength * torch.eye(len(inner), device=inner.device))
        weights = torch.cholesky_solve(outer, root).T
        yield Ridge(weights, mean - weights @ middle, strength)
