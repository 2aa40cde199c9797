"""Ridge regression against numpy's least squares on the augmented system."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from cutaway.look.ridge import fit_ridge


@pytest.mark.parametrize(("images", "width"), [(50, 7), (9, 20)])
@pytest.mark.parametrize("strength", [1.0, 1e-3, 1e-6])
def test_it_equals_least_squares_with_the_penalty_as_further_rows(
    images: int, width: int, strength: float
) -> None:
    """mean‖Wx + b − y‖² + s‖W‖² is a least-squares problem with √(s N) times W as rows; b pays nothing."""
    generator = np.random.default_rng(3)
    features = generator.normal(size=(images, width)) * np.logspace(0, -2, width) + 5
    targets = generator.normal(size=(images, 3)) + features[:, :3] - 2
    rows = np.hstack([features, np.ones((images, 1))])
    penalty = np.hstack([np.sqrt(strength * images) * np.eye(width), np.zeros((width, 1))])
    wanted, *_ = np.linalg.lstsq(
        np.vstack([rows, penalty]), np.vstack([targets, np.zeros((width, 3))]), rcond=None
    )
    (found,) = fit_ridge(torch.tensor(features), torch.tensor(targets), [strength])
    np.testing.assert_allclose(found.weights, wanted[:-1].T, atol=1e-6)
    np.testing.assert_allclose(found.bias, wanted[-1], atol=1e-5)
    np.testing.assert_allclose(found.values(torch.tensor(features)), rows @ wanted, atol=1e-6)


def test_features_that_never_vary_give_the_mean() -> None:
    targets = torch.arange(12.0).view(4, 3)
    (found,) = fit_ridge(torch.zeros(4, 2), targets, [0.1])
    torch.testing.assert_close(found.values(torch.ones(1, 2)), targets.double().mean(0, keepdim=True))
