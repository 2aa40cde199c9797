"""How alike two maps order their pixels: Spearman's correlation, and the share of the top that they share."""

from __future__ import annotations

import torch
from torch import Tensor


def average_ranks(values: Tensor) -> Tensor:
    """The rank of each value in its row, from 1 for the smallest; equal values have their mean rank.

    Args:
        values: ``(..., P)``, without NaN.

    Returns:
        ``(..., P)`` float64.
    """
    values = values.contiguous()
    ordered = values.sort(-1).values
    below = torch.searchsorted(ordered, values)
    through = torch.searchsorted(ordered, values, right=True)
    return (below + 1 + through).double() / 2


def spearman(one: Tensor, other: Tensor) -> Tensor:
    """Spearman's rank correlation of rows: Pearson's of their ranks, −1 to 1; 0 where a row is constant.

    Args:
        one: ``(..., P)``.
        other: likewise.

    Returns:
        ``(...)`` float64.

    Source: Spearman, "The proof and measurement of association between two things", 1904.
    """
    first, second = (_centred(average_ranks(values)) for values in (one, other))
    amount = first.square().sum(-1) * second.square().sum(-1)
    found = (first * second).sum(-1) / amount.clamp_min(1e-300).sqrt()
    return found.clamp(-1, 1)


def order(heats: Tensor, seed: int) -> Tensor:
    """The place of each pixel from the hottest, 0, to the coldest: ``(N, P)`` int64.

    Equal pixels stand in an order that the seed draws, the same for all maps: in that of the rows, the
    upper half of an empty background would count for more than the lower one.

    Args:
        heats: ``(N, P)``.
        seed: of the order among equals.
    """
    drawn = torch.randperm(heats.shape[1], generator=torch.Generator().manual_seed(seed)).to(heats.device)
    sorted_pixels = drawn[heats[:, drawn].argsort(dim=1, descending=True, stable=True)]
    return torch.empty_like(sorted_pixels).scatter_(
        1, sorted_pixels, torch.arange(heats.shape[1], device=heats.device).expand_as(sorted_pixels)
    )


def overlap(one: Tensor, other: Tensor, count: int) -> Tensor:
    """The share of their ``count`` hottest pixels that two maps have in common, 0 to 1: ``(N,)`` float64.

    Args:
        one: places of the pixels, ``(N, P)``, as :func:`order` gives them.
        other: likewise.
        count: how many pixels are the top.
    """
    return ((one < count) & (other < count)).sum(1).double() / count


def _centred(values: Tensor) -> Tensor:
    return values - values.mean(-1, keepdim=True)
