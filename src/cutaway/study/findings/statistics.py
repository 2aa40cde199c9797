"""What a few numbers say of the many that they stand for: means, paired differences, intervals.

Intervals and p-values are Student's, over seeds: other seeds, the same images. Three seeds leave two
degrees of freedom, and t is 4.3 then, not 2. How far the images themselves are luck they don't say.

**A spread of nothing is no certainty.** Errors are counts of images. Seeds that happen to give the same
count, or the same difference of counts, have a sample deviation of 0, and t would be infinite: among the
many comparisons of a study the luckiest small spreads would win (V. G. Tusher, R. Tibshirani and G. Chu,
"Significance analysis of microarrays applied to the ionizing radiation response", PNAS 98, 2001, put a
floor under the deviation for that). Here a count of ``n`` images is never taken to be known better than by
one image, so the deviation of a share is at least the resolution 1/n, and that of a difference of two
shares at least √2/n. No smaller floor would do: differences of one image up or down, as a coin falls, all
agree in N seeds with a probability of 2^(1 − N), which is what signs alone can say (R. A. Fisher, "The
design of experiments", 1935, chapter 3), and with this floor their p is never below that. Where no
resolution is known and nothing spreads, there is nothing to judge by, and the interval is NaN.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from cutaway.study.findings.student import quantile, two_sided

LEVEL = 0.05
"""A corrected p-value below it is a claim. Intervals hold with one minus it: 95 %."""

_ROUNDING = 1e-12
"""A spread below this share of the largest value is the rounding of sums, not of measurements."""


@dataclass(frozen=True)
class Estimate:
    """A mean over seeds.

    Args:
        mean: of the values.
        low: the lower end of its 95 % interval; NaN where there are fewer than two values.
        high: the upper end.
        count: how many values there are.
    """

    mean: float
    low: float
    high: float
    count: int


@dataclass(frozen=True)
class Difference:
    """A mean difference of a variant to the base, paired by seed.

    Args:
        mean: of variant minus base, over the seeds that both have.
        low: the lower end of its 95 % interval; NaN where there are fewer than two pairs.
        high: the upper end.
        p: two-sided p-value of no difference; NaN likewise.
        adjusted: p corrected for the number of variants that the study compares (Holm, 1979).
        count: pairs.
    """

    mean: float
    low: float
    high: float
    p: float
    adjusted: float
    count: int

    @property
    def half(self) -> float:
        """Half the width of the interval: the ± of a sentence."""
        return (self.high - self.low) / 2


def estimate(values: Iterable[float], resolution: float = 0.0) -> Estimate:
    """The mean and its interval, ``mean ± t(0.975, N − 1) s / √N``.

    Args:
        values: one a seed; those that are not finite are left out, as ``count`` tells.
        resolution: 1/n for a share of n images: the least deviation that is believed; 0 for a value that
            is measured as finely as it varies.
    """
    kept = [value for value in values if math.isfinite(value)]
    mean, error = _mean(kept, resolution, max(map(abs, kept), default=0.0))
    half = _half(error, len(kept))
    return Estimate(mean, mean - half, mean + half, len(kept))


def paired(variant: Mapping[int, float], base: Mapping[int, float], resolution: float = 0.0) -> Difference:
    """The paired t-test: mean, interval and p-value of variant minus base, by seed.

    A seed decides weights, order and augmentation of both, so that what it does to both goes away in the
    difference.

    Args:
        variant: a value by seed.
        base: likewise; seeds that only one of them has, or whose value is not finite, are left out, as
            ``count`` tells.
        resolution: as in :func:`estimate`, of each of the two.

    Returns:
        with ``adjusted`` = ``p``: :func:`corrected` corrects it.
    """
    seeds = [
        seed
        for seed in sorted(variant.keys() & base.keys())
        if math.isfinite(variant[seed]) and math.isfinite(base[seed])
    ]
    scale = max((max(abs(variant[seed]), abs(base[seed])) for seed in seeds), default=0.0)
    mean, error = _mean([variant[seed] - base[seed] for seed in seeds], math.sqrt(2) * resolution, scale)
    half = _half(error, len(seeds))
    p = two_sided(mean / error, len(seeds) - 1) if error > 0 else math.nan
    return Difference(mean, mean - half, mean + half, p, p, len(seeds))


def holm(p_values: Sequence[float]) -> list[float]:
    """p-values corrected so that all of them together err in at most 5 % of studies.

    The k-th smallest of m is multiplied by m − k + 1; none comes out below a smaller one's, or above 1.
    Whatever they have in common, the same base above all, may be. S. Holm, "A simple sequentially
    rejective multiple test procedure", Scandinavian Journal of Statistics 6, 1979.

    Args:
        p_values: NaN for what could not be tested; it stays NaN, and is not counted.
    """
    adjusted = [math.nan] * len(p_values)
    tested = sorted((p, at) for at, p in enumerate(p_values) if not math.isnan(p))
    least = 0.0
    for rank, (p, at) in enumerate(tested):
        least = adjusted[at] = min(1.0, max(least, (len(tested) - rank) * p))
    return adjusted


def corrected(differences: Sequence[Difference], stages: int = 1) -> list[Difference]:
    """The differences of one measure with ``adjusted`` by Holm's method.

    Args:
        differences: of all variants that a study compares.
        stages: points of the budget at which each could have been compared. Where a study ends variants
            early, what they showed decides at which of them they are: one test is made and several could
            have been, so that each p counts as often.
    """
    adjusted = holm([min(1.0, stages * one.p) if one.p == one.p else one.p for one in differences])
    return [replace(one, adjusted=p) for one, p in zip(differences, adjusted, strict=True)]


def _mean(values: Sequence[float], floor: float, scale: float) -> tuple[float, float]:
    """The mean and its standard error; NaN where it is not known."""
    count = len(values)
    if not count:
        return math.nan, math.nan
    mean = math.fsum(values) / count
    if count < 2:
        return mean, math.nan
    spread = math.sqrt(math.fsum((value - mean) ** 2 for value in values) / (count - 1))
    if spread <= _ROUNDING * scale:
        spread = 0.0
    deviation = max(spread, floor)
    return mean, deviation / math.sqrt(count) if deviation else math.nan


def _half(error: float, count: int) -> float:
    return math.nan if math.isnan(error) else quantile(1 - LEVEL / 2, count - 1) * error
