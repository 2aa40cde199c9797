"""Structural similarity against a loop over windows and their pixels."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from cutaway.look.judging.structure import ssim


def slow_ssim(one: Tensor, other: Tensor, size: int) -> float:
    """Wang et al., equation 13, with the Gaussian of 1.5 pixels, for each window that lies inside."""
    x, y = (values.double() / (float(values.abs().max()) or 1) for values in (one, other))
    weights = {
        (r, c): math.exp(-((r - (size - 1) / 2) ** 2 + (c - (size - 1) / 2) ** 2) / (2 * 1.5**2))
        for r in range(size)
        for c in range(size)
    }
    amount = sum(weights.values())
    found = []
    for top in range(x.shape[0] - size + 1):
        for left in range(x.shape[1] - size + 1):
            parts = [
                (weight / amount, float(x[top + r, left + c]), float(y[top + r, left + c]))
                for (r, c), weight in weights.items()
            ]
            mean_x, mean_y = (sum(part[0] * part[at] for part in parts) for at in (1, 2))
            spread_x = sum(w * (a - mean_x) ** 2 for w, a, _ in parts)
            spread_y = sum(w * (b - mean_y) ** 2 for w, _, b in parts)
            shared = sum(w * (a - mean_x) * (b - mean_y) for w, a, b in parts)
            c1, c2 = (0.01 * 2) ** 2, (0.03 * 2) ** 2
            found.append(
                (2 * mean_x * mean_y + c1)
                * (2 * shared + c2)
                / ((mean_x**2 + mean_y**2 + c1) * (spread_x + spread_y + c2))
            )
    return sum(found) / len(found)


@pytest.mark.parametrize(("height", "width", "size"), [(13, 12, 11), (6, 9, 6), (5, 5, 5)])
def test_ssim_is_that_of_the_paper(height: int, width: int, size: int) -> None:
    generator = torch.Generator().manual_seed(1)
    one = torch.randn(2, height, width, generator=generator)
    other = one + torch.tensor([0.3, 2.0])[:, None, None] * torch.randn(one.shape, generator=generator)
    wanted = [slow_ssim(a, b, size) for a, b in zip(one, other, strict=True)]
    assert ssim(one, other).tolist() == pytest.approx(wanted, abs=1e-9)


def test_the_scale_of_a_map_has_no_part_in_it() -> None:
    maps = torch.randn(3, 12, 12, generator=torch.Generator().manual_seed(2))
    assert ssim(maps, 1000 * maps).tolist() == pytest.approx([1, 1, 1])


def test_a_map_of_zeros_is_like_itself_alone() -> None:
    zeros, other = torch.zeros(1, 12, 12), torch.randn(1, 12, 12, generator=torch.Generator().manual_seed(3))
    assert ssim(zeros, zeros).tolist() == [1]
    assert abs(float(ssim(zeros, other))) < 0.1
