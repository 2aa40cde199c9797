"""What training descends."""

from __future__ import annotations

import torch
from torch import Tensor

from cutaway.data import Varied


def objectives(logits: Tensor, batch: Varied, part: slice, smoothing: float = 0.0) -> tuple[Tensor, Tensor]:
    """Cross-entropy of each image with its own class, and the mean that training descends.

    With smoothing ε over K classes: mean over images of (1 − ε) · (−log p_label) + ε · mean over
    classes of (−log p). Szegedy et al., "Rethinking the Inception Architecture", 2016. Of images
    that were blended each class counts by its share: Zhang et al., "mixup: Beyond Empirical Risk
    Minimization", 2018.

    Args:
        logits: ``(n, K)``.
        batch: the whole batch.
        part: which n of its images the logits are of.
        smoothing: ε.

    Returns:
        ``(n,)`` in nats, without smoothing and blending; and a scalar.
    """
    log_p = torch.log_softmax(logits, 1)
    plain = -log_p.gather(1, batch.labels[part, None])[:, 0]
    aims = plain
    if batch.others is not None and batch.share is not None:
        share = batch.share[part]
        aims = share * plain - (1 - share) * log_p.gather(1, batch.others[part, None])[:, 0]
    if not smoothing:
        return plain, aims.mean()
    return plain, (1 - smoothing) * aims.mean() - smoothing * log_p.mean()
