"""Robust figures of small samples, in plain Python: the fast path imports this, too, and numpy takes 100 ms.

Written by hand what the module `statistics` has, because importing that one takes longer than the whole pass.
"""

import math
from collections.abc import Iterable, Sequence
from typing import NamedTuple

#: From a median absolute deviation to the standard deviation of a normal distribution, 1 / quantile(0.75).
MAD_TO_SIGMA = 1.4826

#: The same from a mean absolute deviation, sqrt(pi / 2). It is also what the median of many values scatters more than
#: their mean does.
MEAN_DEVIATION_TO_SIGMA = math.sqrt(math.pi / 2)

#: No benchmark repeats better than this share of its value, however alike a few results look by chance.
LEAST_SIGMA_SHARE = 0.003

#: Deviations beyond this many sigma do not count for more: an outlier is no scatter.
_MOST_SIGMA = 4

#: A loss is told from this many of the newest values, and of those right before them; fewer of the latter at first.
NEWEST, BEFORE, LEAST_BEFORE = 5, 9, 7

#: A step between two groups of values is none below this many standard errors.
_MOST_ERRORS = 4.0

#: Drift is told from this many of the first values: few enough to be early, enough to know their median and scatter.
REFERENCE = 20

#: Of the cumulative sum: the change that is none, and how much beyond it is one, both in sigma.
_SLACK, _DRIFT = 1.0, 8.0


def median(values: Iterable[float]) -> float:
    """Return the median. Raises ValueError for no values."""
    ordered = sorted(values)
    if not ordered:
        raise ValueError("no median of no values")
    middle = len(ordered) // 2
    return ordered[middle] if len(ordered) % 2 else (ordered[middle - 1] + ordered[middle]) / 2


def mad(values: Sequence[float]) -> float:
    """Return the median absolute deviation from the median."""
    centre = median(values)
    return median(abs(v - centre) for v in values)


def robust_sigma(values: Sequence[float]) -> float:
    """Return the standard deviation that the middle of the values speaks for."""
    return MAD_TO_SIGMA * mad(values)


def outlier_limit(values: Sequence[float], least_share: float, most_share: float) -> float:
    """Return how far from their median a value of `values` may be before it stands out.

    That is 3.5 robust sigma (Iglewicz and Hoaglin, How to Detect and Handle Outliers, 1993), but at least and at most
    a share of the median: where half of the values are wrong, their scatter must not excuse them.
    """
    centre = abs(median(values))
    return min(max(3.5 * robust_sigma(values), least_share * centre), most_share * centre)


class Change(NamedTuple):
    """Values that were higher before: the medians then and now, and how certain that is (in standard errors)."""

    before: float
    newest: float
    errors: float

    @property
    def share(self) -> float:
        """How much is lost, as a share of what it was."""
        return (self.before - self.newest) / self.before


def loss(values: Sequence[float], least_share: float) -> Change | None:
    """Return how much lower the newest of `values` are than those before them, if that is no chance.

    Values of a time when there was a loss are no baseline: what was lost once is lost until it comes back.
    """
    baseline, newest, found = list[float](), list[float](), None
    for value in values:
        newest.append(value)
        if len(newest) > NEWEST:
            oldest = newest.pop(0)
            if found is None:
                baseline.append(oldest)
        found = _step(baseline, newest, least_share)
    return found


def _step(baseline: Sequence[float], newest: Sequence[float], least_share: float) -> Change | None:
    """Compare the median of the newest values with that of the end of the baseline.

    The scatter is taken from all values. In 300 000 simulated histories of normal noise without a loss, four standard
    errors were exceeded by 0.07 % of those of 14 values and 0.01 % of 20. With the median absolute deviation of the
    nine in its place it was 1 %, because that of so few values scatters itself.
    """
    if len(baseline) < LEAST_BEFORE or len(newest) < NEWEST:
        return None
    before = baseline[-BEFORE:]
    old, new = median(before), median(newest)
    if old - new < least_share * old:
        return None
    sigma = _sigma([*_deviations(baseline), *_deviations(newest)], old)
    error = sigma * MEAN_DEVIATION_TO_SIGMA * math.hypot(len(before) ** -0.5, len(newest) ** -0.5)
    return Change(old, new, (old - new) / error) if old - new > _MOST_ERRORS * error else None


def drift(values: Sequence[float], least_share: float) -> Change | None:
    """Return how much lower the newest of `values` are than the first, if their cumulative sum fell beyond chance.

    Finds what is too slow for `loss`, whose baseline moves along. Page's one-sided test (Biometrika 41, 1954)
    with a slack of one sigma, because the median of so few first values is uncertain itself.
    """
    reference, later = values[:REFERENCE], values[REFERENCE:]
    if len(later) < NEWEST:
        return None
    centre, newest = median(reference), median(values[-NEWEST:])
    sigma = _sigma(_deviations(reference), centre)
    if centre - newest < least_share * centre or cusum(later, centre, sigma) < _DRIFT:
        return None
    return Change(centre, newest, (centre - newest) / sigma)


def cusum(values: Iterable[float], centre: float, sigma: float) -> float:
    """Return the cumulative sum of how far values fall below the centre, in sigma; it starts anew wherever it ends."""
    total = 0.0
    for value in values:
        total = max(0.0, total + (centre - value) / sigma - _SLACK)
    return total


def _deviations(values: Sequence[float]) -> list[float]:
    centre = median(values)
    return [abs(v - centre) for v in values]


def _sigma(deviations: Sequence[float], centre: float) -> float:
    """Return the standard deviation by the mean of clipped deviations: steadier than a median, and still robust.

    Two degrees of freedom are given away for the two medians that the deviations are from.
    """
    most = _MOST_SIGMA * MAD_TO_SIGMA * median(deviations)
    mean = sum(min(d, most) for d in deviations) / (len(deviations) - 2)
    return max(MEAN_DEVIATION_TO_SIGMA * mean, LEAST_SIGMA_SHARE * abs(centre))
