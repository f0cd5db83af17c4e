"""What is shown of nodes that do not stand out: which loss they do not have, and in what that cannot be told.

Not to be found is no proof of health: where repeats scatter, a slow node looks like all others. So each value has a
bound that its node's loss is surely below. A node is measured again where that is not below what is to be found; where
it is not for many nodes, to measure them all again is too much, and it is said of the metric that it cannot tell.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

import numpy as np

from nodeproof_bench.analysis import robust
from nodeproof_bench.analysis.detectors import Group, Indices, Test
from nodeproof_bench.analysis.fleet import Rules
from nodeproof_bench.analysis.robust import Flags, Floats
from nodeproof_bench.analysis.significant import Odd, at_places

#: Tests that compare the value of a single metric.
_OF_VALUES = frozenset({"class", "history", "profile"})

#: A node may be worse than it looks by so many sigma. Of a large class one of a thousand is by more; of eight nodes,
#: whose sigma is known badly, one of a hundred.
_SURELY = 3.0

#: A metric shows a loss if it shows so for this share of the nodes.
_MOST_NODES = 0.95


class Bounds(NamedTuple):
    """By node and metric: the loss, as a share, that a node surely has less than, and the number of the test of values.

    NaN and -1 where nothing compares its value. A node at the very median has no sigma: half of its class is worse.
    """

    loss: Floats
    nearest: Indices


def bounds(tests: Sequence[Test], sign: Floats) -> Bounds:
    """Return what is ruled out, for each value by the test that has the smallest sigma.

    `sign` is that of each metric: a share lost is of a rate (-1) what is missing, and of a time what it is longer.
    """
    shape = tests[0].z.shape
    least, loss, nearest = np.full(shape, np.inf), np.full(shape, np.nan), np.full(shape, -1)
    for number, test in enumerate(_of_values(tests)):
        with np.errstate(divide="ignore", invalid="ignore"):
            off = np.abs(np.log(test.value / test.expected))
            sigma = off / np.abs(test.z)
        is_nearer = sigma < least  # never of a NaN
        loss[is_nearer] = (np.sign(test.z) * off + _SURELY * sigma)[is_nearer]
        least[is_nearer], nearest[is_nearer] = sigma[is_nearer], number
    return Bounds(np.asarray(sign * np.expm1(sign * loss)), nearest)


def _of_values(tests: Sequence[Test]) -> list[Test]:
    return [test for test in tests if test.detector in _OF_VALUES]


def still_open(tests: Sequence[Test], found: Bounds, groups: Sequence[Group], rules: Rules) -> list[Odd]:
    """Return where a loss that is to be found is not ruled out, but could be: by the tests that would say so."""
    can_tell = np.zeros(found.loss.shape, bool)
    for group, column, seen in _quantiles(found.loss, groups, 1 - rules.most_undecided):
        can_tell[group.rows, column] = seen < rules.find_loss or rules.most_undecided >= 1
    is_open = can_tell & (np.nan_to_num(found.loss) >= rules.find_loss)
    return [
        at_places(test, *np.nonzero(is_open & (found.nearest == number)))
        for number, test in enumerate(_of_values(tests))
    ]


def resolution(below: Floats, groups: Sequence[Group], apart: Flags) -> Mapping[tuple[str, int], float]:
    """Return, by class and column of a metric, the loss that it would show: a smaller one may be there unseen.

    Nodes that are `apart` have been found.
    """
    told = np.where(apart[:, None], np.nan, below)
    return {(group.name, column): max(0.0, seen) for group, column, seen in _quantiles(told, groups, _MOST_NODES)}


def _quantiles(loss: Floats, groups: Sequence[Group], share: float) -> Iterator[tuple[Group, int, float]]:
    for group in groups:
        of_class = loss[group.rows]
        for column in np.flatnonzero(robust.count(of_class, 0)).tolist():
            told = of_class[:, column]
            yield group, column, float(np.quantile(told[~np.isnan(told)], share))
