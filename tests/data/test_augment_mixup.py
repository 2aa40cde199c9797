"""Mixup: the blend from its definition, and shares against NumPy's Beta."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from cutaway.config import AugmentConfig
from cutaway.data import Augment
from cutaway.data.augment.mixup import beta


@pytest.mark.parametrize("alpha", [0.2, 1.0, 5.0])
def test_mixup_blends_each_image_with_another(alpha: float) -> None:
    pixels = torch.randint(0, 256, (400, 3, 4, 5), generator=torch.Generator().manual_seed(0)).to(torch.uint8)
    found = Augment(AugmentConfig(mixup=alpha))(pixels, torch.arange(400), 0)
    assert found.others is not None
    assert found.share is not None
    assert torch.equal(found.labels, torch.arange(400))
    assert found.share.dtype == torch.float32
    assert found.others.sort().values.tolist() == list(range(400))
    assert (found.others == found.labels).sum() < 8  # a random order keeps one in its place, on average
    own, other = pixels.numpy().astype(float), pixels.numpy()[found.others.numpy()].astype(float)
    share = found.share.numpy().astype(float)[:, None, None, None]
    wanted = share * own + (1 - share) * other
    assert np.abs(found.pixels.numpy() - wanted).max() < 0.5 + 1e-3


@pytest.mark.parametrize("alpha", [0.05, 0.2, 0.5, 1.0, 4.0, 100.0])
def test_shares_have_the_beta_distribution(alpha: float) -> None:
    """As NumPy's by the test of Kolmogorov and Smirnov (p = 0.001), and by the variance of Beta."""
    count = 20_000
    drawn = beta(alpha, count, torch.Generator().manual_seed(5)).numpy()
    reference = np.random.default_rng(5).beta(alpha, alpha, count)
    # With a small alpha many are nearer to 0 than 1e-16, which is the precision near 1.
    drawn, reference = (np.sort(sample.round(9)) for sample in (drawn, reference))
    both = np.concatenate((drawn, reference))
    steps = [np.searchsorted(sample, both, side="right") / count for sample in (drawn, reference)]
    assert np.abs(steps[0] - steps[1]).max() < 1.95 * (2 / count) ** 0.5
    assert abs(drawn.mean() - 0.5) < 0.015
    assert drawn.var() == pytest.approx(1 / (4 * (2 * alpha + 1)), rel=0.05)
    pixels = torch.zeros(count, 1, 1, 1, dtype=torch.uint8)
    share = Augment(AugmentConfig(mixup=alpha))(pixels, torch.arange(count), 0).share
    assert share is not None
    assert 0.5 <= float(share.min()) <= float(share.max()) <= 1
    assert float((share - 0.5).square().mean()) == pytest.approx(1 / (4 * (2 * alpha + 1)), rel=0.05)


def test_the_smallest_and_largest_of_alphas_give_numbers() -> None:
    generator = torch.Generator().manual_seed(0)
    drawn = beta(1e-6, 2000, generator)
    assert set(drawn.tolist()) == {0.0, 1.0}
    assert 850 < drawn.sum() < 1150
    assert (beta(1e9, 2000, generator) - 0.5).abs().max() < 1e-3
