"""How much a unit prefers one class."""

from __future__ import annotations

import torch
from torch import Tensor


def selectivity(class_means: Tensor) -> Tensor:
    """The class selectivity of each unit, 0 where it answers all classes alike to 1 where only one.

        s = (μ_max − μ_rest) / (μ_max + μ_rest)

    with the largest class mean μ_max, and the mean μ_rest of the other classes' means. It is defined for
    activations that are not negative: NaN where a class mean is below zero, where all are zero, or where
    there is only one class. A. S. Morcos et al., "On the importance of single directions for
    generalization", ICLR 2018.

    Args:
        class_means: ``(K, U)``; classes without images, NaN, are left out.

    Returns:
        ``(U,)``, of the same dtype.
    """
    known = class_means[~class_means.isnan().any(1)]
    if len(known) < 2:
        return torch.full_like(class_means[0], torch.nan)
    largest = known.amax(0)
    rest = (known.sum(0) - largest) / (len(known) - 1)
    index = (largest - rest) / (largest + rest)
    # Rounding of the sum may take it below 0 where all means are equal.
    return index.clamp(0, 1).where((known >= 0).all(0), torch.nan)
