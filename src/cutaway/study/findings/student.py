"""Student's t distribution: its probabilities and quantiles, in double precision.

Student, "The probable error of a mean", Biometrika 6, 1908. All come from the regularised incomplete
beta function, I_x(a, b):

    P(|T| >= t) = I_x(df / 2, 1 / 2)  with  x = df / (df + t²)

and that from its continued fraction (DLMF, 8.17.22), which is summed by Lentz's method: W. Lentz,
"Generating Bessel functions in Mie scattering calculations using continued fractions", 1976. Both x and
1 − x are carried along: neither tail is ever one minus something. Up to |t| = 10^150, whose square is a
number still.
"""

from __future__ import annotations

import math
from functools import lru_cache

_TINY = 1e-300
"""Stands for zero in a denominator."""

_MOST = 10_000
"""Terms of a continued fraction: √max(a, b) and a few are needed."""


def cdf(t: float, df: float) -> float:
    """P(T <= t).

    Args:
        t: any number, infinities too.
        df: degrees of freedom, above 0.
    """
    tail = two_sided(t, df) / 2
    return tail if t < 0 else 1 - tail


def two_sided(t: float, df: float) -> float:
    """P(|T| >= |t|), the two-sided p-value of a t: from 1 at zero down to 0."""
    _check(df)
    x, rest = _split(t, df)
    return _beta(df / 2, 0.5, x, rest)


@lru_cache(maxsize=1024)
def quantile(p: float, df: float) -> float:
    """The t with P(T <= t) = p, by Newton's method between bounds, on logarithms of both.

    Args:
        p: from 0, which gives −∞, to 1, which gives ∞.
        df: degrees of freedom, above 0.
    """
    _check(df)
    if not 0 <= p <= 1:
        raise ValueError(f"p should be from 0 to 1, not {p}")
    if p == 0.5:
        return 0.0
    if p > 0.5:
        return -quantile(1 - p, df)
    if p == 0:
        return -math.inf
    # Near the middle what is told apart from p is the share inside ±t, which is small there.
    inside = p > 0.25
    wanted = math.log(1 - 2 * p if inside else 2 * p)
    low, high = math.log(1e-300), math.log(1e150)
    at = 0.0
    for _ in range(200):
        t = math.exp(at)
        x, rest = _split(t, df)
        share = _beta(0.5, df / 2, rest, x) if inside else _beta(df / 2, 0.5, x, rest)
        error = (math.log(share) if share else -math.inf) - wanted
        if (error < 0) == inside:
            low = at
        else:
            high = at
        slope = (1 if inside else -1) * 2 * t * _density(t, df) / share if share else 0.0
        step = error / slope if slope else math.nan
        following = at - step
        if not low < following < high:  # NaN too
            following = (low + high) / 2
        if abs(following - at) < 1e-15:
            break
        at = following
    return -math.exp(at)


def _check(df: float) -> None:
    if not df > 0:
        raise ValueError(f"df should be above 0, not {df}")


def _split(t: float, df: float) -> tuple[float, float]:
    """Both x = df / (df + t²) and 1 − x = t² / (df + t²)."""
    ratio = t / math.sqrt(df)
    square = ratio * ratio
    return (1 / (1 + square), square / (1 + square) if square < math.inf else 1.0)


def _density(t: float, df: float) -> float:
    power = (df + 1) / 2 * math.log1p(t * t / df)
    return math.exp(math.lgamma((df + 1) / 2) - math.lgamma(df / 2) - power) / math.sqrt(df * math.pi)


def _beta(a: float, b: float, x: float, rest: float) -> float:
    """I_x(a, b), given x and ``rest`` = 1 − x, each to its own full precision."""
    if x == 0 or rest == 0:
        return 0.0 if x == 0 else 1.0
    log_x = math.log(x) if x < 0.5 else math.log1p(-rest)
    log_rest = math.log(rest) if rest < 0.5 else math.log1p(-x)
    front = math.exp(
        a * log_x + b * log_rest + math.lgamma(a + b) - math.lgamma(a) - math.lgamma(b)
    )  # x^a (1 − x)^b / B(a, b)
    # The fraction converges fast below the mean of the beta distribution, about; above it I_x(a, b) is
    # one minus the other tail.
    if x <= (a + 1) / (a + b + 2):
        return front / a * _fraction(a, b, x)
    return 1 - front / b * _fraction(b, a, rest)


def _fraction(a: float, b: float, x: float) -> float:
    """1 / (1 + d1 / (1 + d2 / (1 + …))), DLMF 8.17.22 without its front factor."""
    c, d = 1.0, 1 / _not_zero(1 - (a + b) * x / (a + 1))
    value = d
    for m in range(1, _MOST):
        even = m * (b - m) * x / ((a + 2 * m - 1) * (a + 2 * m))
        odd = -(a + m) * (a + b + m) * x / ((a + 2 * m) * (a + 2 * m + 1))
        for term in (even, odd):
            d = 1 / _not_zero(1 + term * d)
            c = _not_zero(1 + term / c)
            value *= c * d
        if abs(c * d - 1) < 1e-16:
            return value
    raise ArithmeticError(f"the incomplete beta function of {a}, {b}, {x} does not converge")


def _not_zero(value: float) -> float:
    return value if abs(value) > _TINY else _TINY
