"""Which variants go on at a rung: successive halving.

Jamieson and Talwalkar, "Non-stochastic best arm identification and hyperparameter optimization", 2016:
all are trained for a share of the budget, the better ones go on, and so again.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from cutaway.training import Score


def survivors(scores: Mapping[str, Sequence[Score]], keep: float) -> list[str]:
    """The names of the variants that go on, in their order.

    Variants are ranked by their mean validation error over seeds, and by their mean objective where
    that is the same.

    Args:
        scores: by variant, of the trials that are under way, on the validation split; a variant none
            of whose trials is has none, and does not go on.
        keep: the share that goes on, above 0 and below 1, rounded up.
    """
    running = [name for name, found in scores.items() if found]
    ranked = sorted(running, key=lambda name: _rank(scores[name]))
    chosen = set(ranked[: math.ceil(keep * len(ranked))])
    return [name for name in running if name in chosen]


def _rank(scores: Sequence[Score]) -> tuple[float, float]:
    count = len(scores)
    return sum(score.top1_error for score in scores) / count, sum(s.objective for s in scores) / count
