"""Medians, intervals that suppose no distribution, coefficients of variation."""

import math
import statistics
from collections.abc import Sequence
from typing import NamedTuple

CONFIDENCE = 0.95


class Summary(NamedTuple):
    """What is said of a series. `low` and `high` are None where there are too few values for an interval."""

    median: float
    low: float | None
    high: float | None
    variation: float | None


def summary(values: Sequence[float]) -> Summary:
    """Return median, its interval and the coefficient of variation. Raises StatisticsError without values."""
    low, high = interval(values)
    return Summary(statistics.median(values), low, high, variation(values))


def interval(values: Sequence[float]) -> tuple[float, float] | tuple[None, None]:
    """Return the order statistics that enclose the true median with at least 95 %, whatever the distribution.

    The number of values below the median is binomial with one half; six values are the fewest that suffice.
    """
    ordered, count = sorted(values), len(values)
    outside, rank = 0.0, 0
    while rank < count // 2:
        outside += 2 * math.comb(count, rank) / 2**count
        if outside > 1 - CONFIDENCE:
            break
        rank += 1
    return (ordered[rank - 1], ordered[count - rank]) if rank else (None, None)


def variation(values: Sequence[float]) -> float | None:
    """Return the coefficient of variation: sample standard deviation over mean."""
    mean = statistics.fmean(values)
    return statistics.stdev(values) / mean if len(values) > 1 and mean else None


def repeatability(pairs: Sequence[tuple[float, float]]) -> float | None:
    """Return the coefficient of variation of two runs in a row, pooled over all pairs: what drifts is not in it.

    The variance of two values is half the square of their difference (ISO 5725-2, repeatability variance).
    """
    squares = [((a - b) / (a + b) * 2) ** 2 / 2 for a, b in pairs if a + b]
    return math.sqrt(statistics.fmean(squares)) if len(squares) > 1 else None
