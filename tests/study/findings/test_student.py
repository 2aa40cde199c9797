"""Student's t against SciPy, closed forms and itself."""

from __future__ import annotations

import math

import pytest
from scipy import stats

from cutaway.study.findings.student import cdf, quantile, two_sided

DEGREES = [1, 2, 3, 4, 5, 7, 9, 10, 19, 30, 49, 99, 100, 200, 333, 500, 999, 1000]
TS = [1e-3, 0.1, 0.5, 0.9, 1, 1.5, 2, 2.5, 3, 4, 5, 10, 30, 100, 300, 1000]


@pytest.mark.parametrize("df", DEGREES)
def test_probabilities_are_those_of_scipy(df: int) -> None:
    for t in TS:
        assert cdf(t, df) == pytest.approx(stats.t.cdf(t, df), rel=1e-11, abs=0)
        # The lower tail to its own precision, however small it is.
        assert cdf(-t, df) == pytest.approx(stats.t.cdf(-t, df), rel=1e-10, abs=1e-300)
        assert two_sided(t, df) == pytest.approx(2 * stats.t.sf(t, df), rel=1e-10, abs=1e-300)


@pytest.mark.parametrize("df", DEGREES)
def test_quantiles_are_those_of_scipy(df: int) -> None:
    for p in [1e-12, 1e-9, 1e-6, 1e-4, 0.001, 0.01, 0.025, 0.05, 0.1, 0.2, 0.25, 0.3, 0.4, 0.49]:
        assert quantile(p, df) == pytest.approx(stats.t.ppf(p, df), rel=1e-10, abs=0)
        assert quantile(1 - p, df) == pytest.approx(stats.t.isf(1 - (1 - p), df), rel=1e-10, abs=0)


@pytest.mark.parametrize("t", [1e-9, 1e-4, 0.3, 1, 2, 50, 1e6, 1e12])
def test_one_and_two_degrees_of_freedom_have_closed_forms(t: float) -> None:
    # Cauchy's distribution, and 1 − t / √(2 + t²), written without cancellation.
    root = math.sqrt(2 + t * t)
    assert two_sided(t, 1) == pytest.approx(2 / math.pi * math.atan(1 / t), rel=1e-13, abs=0)
    assert two_sided(t, 2) == pytest.approx(2 / (root * (root + t)), rel=1e-13, abs=0)


@pytest.mark.parametrize("p", [1e-100, 1e-30, 1e-12, 1e-3, 0.2, 0.25, 0.3, 0.49, 0.5 - 1e-9, 0.5 - 1e-15])
def test_quantiles_of_one_and_two_degrees_have_closed_forms(p: float) -> None:
    # Near 1/2 the difference 1/2 − p is exact; tan(π (p − 1/2)) and its like keep it.
    cauchy = -math.tan(math.pi * (0.5 - p)) if p > 0.25 else -1 / math.tan(math.pi * p)
    assert quantile(p, 1) == pytest.approx(cauchy, rel=1e-12, abs=0)
    assert quantile(p, 2) == pytest.approx((2 * p - 1) / math.sqrt(2 * p * (1 - p)), rel=1e-12, abs=0)


@pytest.mark.parametrize("df", [1, 4, 1000])
def test_it_is_symmetric_and_has_its_ends(df: int) -> None:
    assert (quantile(0, df), quantile(0.5, df), quantile(1, df)) == (-math.inf, 0, math.inf)
    assert (cdf(-math.inf, df), cdf(0, df), cdf(math.inf, df)) == (0, 0.5, 1)
    assert (two_sided(0, df), two_sided(math.inf, df)) == (1, 0)
    assert two_sided(-1.7, df) == two_sided(1.7, df)
    assert quantile(0.975, df) == -quantile(1 - 0.975, df)


def test_many_degrees_of_freedom_come_to_the_normal_distribution() -> None:
    assert quantile(0.975, 1e7) == pytest.approx(1.959963984540054, rel=1e-6)


def test_what_is_no_probability_or_degree_of_freedom_is_refused() -> None:
    with pytest.raises(ValueError, match=r"p should be from 0 to 1, not 1\.5"):
        quantile(1.5, 4)
    with pytest.raises(ValueError, match="p should be from 0 to 1, not nan"):
        quantile(math.nan, 4)
    with pytest.raises(ValueError, match="df should be above 0, not 0"):
        two_sided(1.0, 0)
