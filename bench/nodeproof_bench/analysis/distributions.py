"""The few distribution functions that a judgement needs, over arrays and without further libraries."""

import math
from functools import cache

import numpy as np
from numpy.typing import NDArray

from nodeproof_bench.analysis.robust import Floats

#: More degrees of freedom than these are a normal distribution, for all that is told from it here.
MOST_DF = 200.0

_UPPER_QUARTILE = 0.6744897501960817
"""Of the normal distribution."""

#: How heavy tails are is told from about so many values in them, of at least so many in all.
_BEYOND, _LEAST_FOR_TAIL = 40, 1000

#: What they are taken for where it cannot be told: heavier than medians of five repeats mostly have.
USUAL_DF = 10.0

#: Where a distribution's degrees of freedom are looked up; more tightly where tails are heavy.
_DF = (1.5, 2.0, 2.5, 3.0, 4.0, 5.0, 6.0, 8.0, 10.0, 14.0, 20.0, 30.0, 50.0, 100.0, MOST_DF)


def t_tail(t: Floats, df: Floats) -> Floats:
    """Return P(T > t) of Student's t distribution for t >= 0.

    Half the regularised incomplete beta function I_x(df/2, 1/2) at x = df / (df + t^2): Abramowitz and Stegun,
    Handbook of Mathematical Functions, 26.5.27 with 26.7.1.
    """
    t, df = np.broadcast_arrays(np.asarray(t, float), np.asarray(df, float))
    return np.asarray(0.5 * _incomplete_beta(df / 2, np.full(df.shape, 0.5), df / (df + t * t)))


def _incomplete_beta(a: Floats, b: Floats, x: Floats) -> Floats:
    """Return I_x(a, b): the continued fraction of DLMF 8.17.22 where it is quick, else 1 - I_1-x(b, a), DLMF 8.17.4."""
    is_quick = x < (a + 1) / (a + b + 2)
    p, q, y = np.where(is_quick, a, b), np.where(is_quick, b, a), np.where(is_quick, x, 1 - x)
    with np.errstate(divide="ignore"):
        log_front = p * np.log(y) + q * np.log1p(-y) - np.log(p) - _log_beta(p, q)
    part = np.exp(log_front) * _beta_fraction(p, q, y)
    return np.asarray(np.where(is_quick, part, 1 - part))


def _log_beta(a: Floats, b: Floats) -> Floats:
    return _log_gamma(a) + _log_gamma(b) - _log_gamma(a + b)


def _log_gamma(values: Floats) -> Floats:
    """Return log Gamma; there are few different values, as many as there are degrees of freedom."""
    unique, place = np.unique(values, return_inverse=True)
    return np.array([math.lgamma(v) for v in unique])[place].reshape(values.shape)


def _beta_fraction(a: Floats, b: Floats, x: Floats) -> Floats:
    """Evaluate the continued fraction from its first term on, by Lentz's method as modified by Thompson and Barnett.

    Press and others, Numerical Recipes, 3rd edition, sections 5.2 and 6.4. It takes O(sqrt(max(a, b))) terms.
    """
    c, d = np.ones_like(x), 1 / (1 - (a + b) * x / (a + 1))
    value = d.copy()
    for m in range(1, 200):
        even = m * (b - m) * x / ((a + 2 * m - 1) * (a + 2 * m))
        odd = -(a + m) * (a + b + m) * x / ((a + 2 * m) * (a + 2 * m + 1))
        for term in (even, odd):
            d = 1 / (1 + term * d)
            c = 1 + term / c
            value *= c * d
        if np.all(np.abs(c * d - 1) < 1e-12):
            break
    return value


def coarse_df(df: Floats) -> Floats:
    """Return degrees of freedom rounded by up to 4 %, so that there are few different ones to find quantiles of."""
    return np.asarray(np.exp2(np.round(8 * np.log2(df)) / 8))


@cache
def t_quantile(share: float, df: float) -> float:
    """Return what a share (at least one half) of Student's t distribution is below, by bisection."""
    low, high = 0.0, 1.0
    while 1 - _one_tail(high, df) < share:
        high *= 2
    while high - low > 1e-10 * high:
        middle = (low + high) / 2
        low, high = (middle, high) if 1 - _one_tail(middle, df) < share else (low, middle)
    return (low + high) / 2


def _one_tail(t: float, df: float) -> float:
    return float(t_tail(np.array(t), np.array(df)))


def robust_t_tail(z: Floats, df: Floats) -> Floats:
    """Return P(Z > z) where Z is a t distribution in units of its scaled median absolute deviation, for z >= 0.

    So scaled, its upper quartile is that of the normal distribution.
    """
    unique, place = np.unique(np.broadcast_to(df, np.shape(z)), return_inverse=True)
    factor = np.array([t_quantile(0.75, float(d)) / _UPPER_QUARTILE for d in unique])[place].reshape(np.shape(z))
    return t_tail(z * factor, np.broadcast_to(df, np.shape(z)))


def df_of_tail(z: Floats, usual: float = USUAL_DF) -> float:
    """Return the degrees of freedom of a t distribution in units of its scaled MAD, by the lower one of its tails.

    By the quantile that about `_BEYOND` of the values are below. With too few values it is not known, and `usual`.
    """
    number = int(np.count_nonzero(~np.isnan(z)))
    if number < _LEAST_FOR_TAIL:
        return usual
    halvings = round(math.log2(number / _BEYOND))
    lowest = -float(np.sort(z, axis=None)[number >> halvings])  # NaN comes last
    quantiles = [robust_t_quantile(1 - 0.5**halvings, df) for df in _DF]
    return float(1 / np.interp(lowest, quantiles[::-1], [1 / df for df in reversed(_DF)]))


def robust_t_quantile(share: float, df: float) -> float:
    """Return what a share (at least one half) is below, in units of the scaled median absolute deviation."""
    return t_quantile(share, df) / t_quantile(0.75, df) * _UPPER_QUARTILE


def binomial_tail(successes: NDArray[np.int64], trials: NDArray[np.int64], share: Floats) -> Floats:
    """Return P(X >= successes) of `trials` with probability `share` each: I_share(k, n - k + 1), DLMF 8.17.5."""
    k, n, p = np.broadcast_arrays(successes, trials, np.clip(share, 1e-300, 1 - 1e-16))
    inner = np.clip(k, 1, np.maximum(n, 1))
    tail = _incomplete_beta(inner.astype(float), (np.maximum(n, 1) - inner + 1).astype(float), p)
    return np.where(k <= 0, 1.0, np.where(k > n, 0.0, tail))
