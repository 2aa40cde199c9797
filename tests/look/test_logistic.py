"""Logistic regression against plain gradient descent to the same optimum."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from cutaway.look.logistic import Logistic, fit_logistic

Array = NDArray[np.float64]


def some_data(images: int = 60, width: int = 5, classes: int = 3) -> tuple[Tensor, Tensor]:
    """Overlapping classes with features of very different variances, one of them a sum of two others."""
    generator = torch.Generator().manual_seed(2)
    labels = torch.arange(images) % classes
    features = torch.randn(images, width, generator=generator, dtype=torch.float64)
    features[:, 0] += labels
    features[:, 1] = features[:, 1] * 0.05 + (labels == 1) * 0.03
    features[:, 2] = features[:, 0] + features[:, 3]
    return features - features.mean(0), labels


def objective(weights: Array, bias: Array, features: Array, labels: Array, strength: float) -> float:
    """Written once more, image by image."""
    total = 0.0
    for row, label in zip(features, labels, strict=True):
        logits = weights @ row + bias
        total += np.log(np.exp(logits).sum()) - logits[int(label)]
    return float(total / len(features) + strength / 2 * (weights**2).sum())


def descended(features: Array, labels: Array, classes: int, strength: float) -> tuple[Array, Array]:
    """Plain full-batch gradient descent, until nothing changes."""
    weights, bias = np.zeros((classes, features.shape[1])), np.zeros(classes)
    hot = np.eye(classes)[labels]
    step = 1 / (0.5 * np.linalg.eigvalsh(features.T @ features / len(features))[-1] + 0.5 + strength)
    for _ in range(60_000):
        logits = features @ weights.T + bias
        shares = np.exp(logits - logits.max(1, keepdims=True))
        wrong = (shares / shares.sum(1, keepdims=True) - hot) / len(features)
        slope = wrong.T @ features + strength * weights
        weights, bias = weights - step * slope, bias - step * wrong.sum(0)
        if max(abs(slope).max(), abs(wrong.sum(0)).max()) < 1e-10:
            break
    return weights, bias


@pytest.mark.parametrize("strength", [1.0, 0.01, 0.001])
def test_it_ends_where_gradient_descent_ends(strength: float) -> None:
    features, labels = some_data()
    (found,) = fit_logistic(features, labels, 3, [strength], flat=1e-9)
    weights, bias = descended(features.numpy(), labels.numpy(), 3, strength)
    assert found.strength == strength
    np.testing.assert_allclose(found.weights, weights, atol=1e-5)
    values = [
        objective(w, b, features.numpy(), labels.numpy(), strength)
        for w, b in ((found.weights.numpy(), found.bias.numpy()), (weights, bias))
    ]
    assert values[0] == pytest.approx(values[1], abs=1e-10)
    # Logits may differ by a number for all classes; probabilities may not.
    np.testing.assert_allclose(
        found.logits(features).softmax(1),
        torch.tensor(features.numpy() @ weights.T + bias).softmax(1),
        atol=1e-6,
    )


def test_a_path_of_strengths_gives_what_each_gives_alone() -> None:
    features, labels = some_data()
    path = list(fit_logistic(features, labels, 3, [1.0, 0.1, 0.001], flat=1e-9))
    for found in path:
        (alone,) = fit_logistic(features, labels, 3, [found.strength], flat=1e-9)
        torch.testing.assert_close(found.weights, alone.weights, atol=1e-5, rtol=0)


def test_single_precision_reaches_the_same_objective() -> None:
    features, labels = some_data()
    (exact,) = fit_logistic(features, labels, 3, [0.01], flat=1e-9)
    (found,) = fit_logistic(features.float(), labels, 3, [0.01])
    assert found.weights.dtype == torch.float32

    def reached(model: Logistic) -> float:
        weights, bias = model.weights.double().numpy(), model.bias.double().numpy()
        return objective(weights, bias, features.numpy(), labels.numpy(), 0.01)

    assert reached(found) == pytest.approx(reached(exact), abs=1e-6)


def test_a_class_that_is_never_seen_is_never_named() -> None:
    features, labels = some_data()
    (found,) = fit_logistic(features, labels * 2, 6, [0.1])
    probabilities = found.logits(features).softmax(1)
    assert not probabilities[:, [1, 3, 5]].any()
    (three,) = fit_logistic(features, labels, 3, [0.1])
    torch.testing.assert_close(probabilities[:, [0, 2, 4]], three.logits(features).softmax(1))


def test_features_that_never_vary_leave_the_shares_of_the_classes() -> None:
    labels = torch.tensor([0] * 6 + [1] * 3 + [2])
    (found,) = fit_logistic(torch.zeros(10, 4), labels, 3, [0.1])
    shares = F.softmax(found.bias, 0)
    torch.testing.assert_close(shares, torch.tensor([0.6, 0.3, 0.1]), atol=1e-4, rtol=0)
    assert not found.weights.any()


@pytest.mark.parametrize("images", [12, 40])
def test_more_features_than_images_end_at_the_same_optimum(images: int) -> None:
    """Their principal directions come from the images' inner products: a way of its own."""
    features, labels = some_data(images=images, width=30)
    (found,) = fit_logistic(features, labels, 3, [0.01], flat=1e-9)
    weights, _ = descended(features.numpy(), labels.numpy(), 3, 0.01)
    np.testing.assert_allclose(found.weights, weights, atol=1e-5)
