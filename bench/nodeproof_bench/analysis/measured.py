"""What is judged of a node: medians of repeats, their logarithms, and how far repeats are apart."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from nodeproof_bench.analysis import robust
from nodeproof_bench.analysis.robust import Floats

#: A rate of nothing has no logarithm; in the place of zero stands this share of the class's median.
_NOTHING = 1e-9

#: Repeats that are needed for a median, as a share of those that the metric has most often.
_LEAST_REPEATS = 0.5

#: A spread is told from at least this many repeats, and is never less than this share.
_LEAST_FOR_SPREAD, LEAST_SPREAD = 3, 1e-4


class Measured(NamedTuple):
    """Medians of repeats, and their logarithms where more is worse. `weight` is less than 1 for fewer repeats.

    `earlier` are the logarithms of earlier campaigns, `spread` is how far repeats are apart.
    """

    value: Floats
    worse: Floats
    sign: Floats
    weight: Floats
    earlier: Floats
    spread: Floats


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
        weight = np.minimum(1.0, np.sqrt(number / most))
        before = np.empty((*value.shape, 0)) if earlier is None else np.where(earlier > 0, earlier, np.nan)
        return Measured(value, worse, sign, weight, sign[:, None] * np.log(before), _spread(logs, number, most))


def _spread(logs: Floats, number: NDArray[np.int64], most: Floats) -> Floats:
    """Return how far repeats are from their median: the second largest distance, since one repeat may be an accident.

    NaN where there are few repeats, or two fewer than others have: the second of fewer is smaller.
    """
    distances = np.sort(np.abs(logs - robust.median(logs, 2)[:, :, None]), axis=2)
    place = np.maximum(number - 2, 0)[:, :, None]
    second = np.take_along_axis(distances, place, 2)[:, :, 0]
    return np.where(number >= np.maximum(_LEAST_FOR_SPREAD, np.nan_to_num(most) - 1), second, np.nan)


def spread(values: Floats) -> Floats:
    """Return how far the repeats of one metric are apart, as a share: as `measure` tells it of all."""
    logs = np.log(values)
    return np.asarray(np.sort(np.abs(logs - np.median(logs)))[-2])
