"""What is judged of a node: medians of repeats, their logarithms, and how far repeats are apart."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from nodeproof_bench.analysis import robust
from nodeproof_bench.analysis.robust import Flags, Floats

#: A rate of nothing has no logarithm; in the place of zero stands this share of the class's median.
_NOTHING = 1e-9

#: Repeats that are needed for a median, as a share of those that the metric has most often.
_LEAST_REPEATS = 0.5

#: A spread is told from at least this many repeats, and is never less than this share.
LEAST_FOR_SPREAD, LEAST_SPREAD = 3, 1e-4


class Measured(NamedTuple):
    """Medians of repeats, and their logarithms where more is worse. `repeats` are how many there are, 1 as usual.

    `earlier` are the logarithms of earlier campaigns, `spread` is how far repeats are apart, `error` the standard error
    that a median of the usual number of repeats has, by these repeats.
    """

    value: Floats
    worse: Floats
    sign: Floats
    repeats: Floats
    earlier: Floats
    spread: Floats
    error: Floats


def measure(values: Floats, earlier: Floats | None, is_higher_better: Sequence[bool]) -> Measured:
    """Return what is judged of each node and metric: its median where there are enough repeats, and its spread."""
    number = robust.count(values, 2)
    most = robust.median(np.where(number > 0, number, np.nan).astype(float), 0)
    enough = number >= np.maximum(1, _LEAST_REPEATS * np.nan_to_num(most))
    higher = np.array(is_higher_better, bool)
    value = np.where(enough, robust.better_middle(values, higher), np.nan)
    sign = np.where(higher, -1.0, 1.0)
    centre = robust.median(value, 0)
    least = np.where(centre > 0, _NOTHING * centre, np.nan)
    with np.errstate(divide="ignore", invalid="ignore"):
        logs = np.log(np.maximum(values, least[None, :, None]))
        worse = sign * np.log(np.maximum(value, least))
        repeats = np.minimum(number / most, 1.0)
        before = np.empty((*value.shape, 0)) if earlier is None else np.where(earlier > 0, earlier, np.nan)
        return Measured(value, worse, sign, repeats, sign[:, None] * np.log(before), *_scatter(logs, number, most))


def _scatter(logs: Floats, number: NDArray[np.int64], most: Floats) -> tuple[Floats, Floats]:
    """Return how far repeats are from their median, and the standard error of the usual median.

    The latter is told from the median distance, and has the variance of a median of normal values, pi / 2 that of a
    mean.
    """
    distances = _distances(logs)
    is_known = number >= np.maximum(LEAST_FOR_SPREAD, np.nan_to_num(most) - 1)
    error = np.sqrt(np.pi / 2 / most) * robust.scaled_mad(distances, 2)
    return _second(distances, number, is_known), np.where(is_known, error, np.nan)


def spreads(logs: Floats) -> Floats:
    """Return how far repeats, the last axis of three, are apart: as `measure` tells it of all."""
    number = robust.count(logs, 2)
    return _second(_distances(logs), number, number >= max(LEAST_FOR_SPREAD, logs.shape[2] - 1))


def _distances(logs: Floats) -> Floats:
    return np.sort(np.abs(logs - robust.median(logs, 2)[:, :, None]), axis=2)


def _second(distances: Floats, number: NDArray[np.int64], is_known: Flags) -> Floats:
    """Return the second largest distance, since one repeat may be an accident.

    NaN where there are few repeats, or two fewer than others have: the second of fewer is smaller.
    """
    second = np.take_along_axis(distances, np.maximum(number - 2, 0)[:, :, None], 2)[:, :, 0]
    return np.where(is_known, second, np.nan)


def spread(values: Floats) -> Floats:
    """Return how far the repeats of one metric are apart, as a share."""
    logs = np.log(values)
    return np.asarray(np.sort(np.abs(logs - np.median(logs)))[-2])
