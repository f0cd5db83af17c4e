"""Medians and spreads along one axis of an array in which some values were not measured (NaN)."""

import numpy as np
from numpy.typing import NDArray

from nodeproof_bench.stats import MAD_TO_SIGMA

Floats = NDArray[np.float64]
Flags = NDArray[np.bool_]


def median(values: Floats, axis: int) -> Floats:
    """Return the median of what was measured, NaN where nothing was. `numpy.nanmedian` takes fifty times as long."""
    if not values.shape[axis]:
        return np.full(np.delete(values.shape, axis), np.nan)
    ordered = np.sort(values, axis=axis)  # NaN comes last
    count = np.count_nonzero(~np.isnan(values), axis=axis, keepdims=True)
    low = np.take_along_axis(ordered, np.maximum(count - 1, 0) // 2, axis)
    high = np.take_along_axis(ordered, np.minimum(count // 2, values.shape[axis] - 1), axis)
    return np.asarray(np.squeeze((low + high) / 2, axis))


def better_middle(values: Floats, is_higher_better: Flags) -> Floats:
    """Return the median of the last axis, and of an even number of values the better one of both in the middle.

    `is_higher_better` is one for each of the axis before. Disturbances only make results worse: two disturbed repeats
    of four must not count for half.
    """
    ordered = np.sort(values, axis=-1)
    number = np.count_nonzero(~np.isnan(values), axis=-1)
    place = np.where(is_higher_better, number // 2, np.maximum(number - 1, 0) // 2)
    place = np.minimum(place, values.shape[-1] - 1)
    return np.asarray(np.take_along_axis(ordered, place[..., None], -1)[..., 0])


def count(values: Floats, axis: int) -> NDArray[np.int64]:
    """Return how many were measured."""
    return np.asarray(np.count_nonzero(~np.isnan(values), axis=axis))


def scaled_mad(values: Floats, axis: int = 0) -> Floats:
    """Return the standard deviation by the median absolute deviation from zero: `values` are deviations already.

    For few values the factor is larger by n / (n - 0.8): Croux and Rousseeuw, Time-efficient algorithms for two highly
    robust estimators of scale, COMPSTAT 1992, for n > 9, and within 3 % of their table from n = 5 on.
    """
    number = count(values, axis)
    return np.asarray(MAD_TO_SIGMA * median(np.abs(values), axis) * number / np.maximum(number - 0.8, 0.2))
