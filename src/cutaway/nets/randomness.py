"""Drawing random numbers without a trace."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch


@contextmanager
def seeded(seed: int) -> Iterator[None]:
    """Inside, PyTorch's global generators start from ``seed``; behind, they are as before."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        yield
