"""The objective, against its definition written out image by image and class by class."""

from __future__ import annotations

import math

import pytest
import torch

from cutaway.data import Varied
from cutaway.training.objective import objectives


@pytest.mark.parametrize("part", [slice(0, 9), slice(2, 6)])
@pytest.mark.parametrize("blended", [False, True])
@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_the_objective_is_that_of_the_definition(smoothing: float, blended: bool, part: slice) -> None:
    generator = torch.Generator().manual_seed(3)
    logits = torch.randn(9, 4, generator=generator, dtype=torch.float64)
    labels = torch.randint(0, 4, (9,), generator=generator)
    others = torch.randint(0, 4, (9,), generator=generator)
    shares = torch.rand(9, generator=generator, dtype=torch.float64)
    pixels = torch.zeros(9, 1, 1, 1, dtype=torch.uint8)
    batch = Varied(pixels, labels, others, shares) if blended else Varied(pixels, labels, None, None)
    plain, mean = objectives(logits[part], batch, part, smoothing)
    rows = range(part.start, part.stop)
    total = 0.0
    for n in rows:
        p = [math.exp(v) for v in logits[n].tolist()]
        p = [v / sum(p) for v in p]
        assert float(plain[n - part.start]) == pytest.approx(-math.log(p[int(labels[n])]))
        for k in range(4):
            own = float(k == int(labels[n]))
            share = float(shares[n]) if blended else 1.0
            aim = share * own + (1 - share) * float(k == int(others[n]))
            target = (1 - smoothing) * aim + smoothing / 4
            total -= target * math.log(p[k]) / len(rows)
    assert float(mean) == pytest.approx(total)
