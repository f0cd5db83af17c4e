"""Nodes that could not be measured: what they run beside the measurement disturbs it far more often than on others."""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from nodeproof_bench.analysis.discoveries import q_values
from nodeproof_bench.analysis.distributions import binomial_tail

#: Of the repeats of one metric, by share and by number, so many have to be disturbed before that is worth a word.
_LEAST_DISTURBED_SHARE, _LEAST_DISTURBED = 0.6, 3


class Disturbed(NamedTuple):
    """The metric that is most surely disturbed: how many times of how many, and the share that is usual of its class.

    `metrics` is how many metrics of this node are disturbed more often than usual.
    """

    node: int
    metric: int
    times: int
    tries: int
    usual: float
    metrics: int
    p: float
    q: float


def often_disturbed(
    bad: NDArray[np.int64], done: NDArray[np.int64], classes: Sequence[str], least_nodes: int, rate: float
) -> Iterator[Disturbed]:
    """Yield nodes of which most repeats of a metric were disturbed, by the binomial distribution of the others' share.

    `bad` and `done` are node x metric. In small classes nobody knows what is usual.
    """
    tries, usual, of = bad + done, np.ones(bad.shape), np.array(classes)
    for name in sorted(set(classes)):
        rows = np.flatnonzero(of == name)
        if len(rows) >= least_nodes:
            others, all_others = bad[rows].sum(0) - bad[rows], tries[rows].sum(0) - tries[rows]
            usual[rows] = (others + 0.5) / (all_others + 1)  # never quite nothing: the prior of Jeffreys
    p = binomial_tail(bad, tries, usual)
    q = q_values(p.ravel(), int(np.count_nonzero(tries))).reshape(p.shape)
    is_bad = (bad >= _LEAST_DISTURBED_SHARE * tries) & (bad >= _LEAST_DISTURBED) & (q <= rate)
    for node in np.flatnonzero(is_bad.any(1)).tolist():
        at = int(np.argmin(np.where(is_bad[node], p[node], 2.0)))
        numbers = int(bad[node, at]), int(tries[node, at]), float(usual[node, at]), int(np.count_nonzero(is_bad[node]))
        yield Disturbed(node, at, *numbers, float(p[node, at]), float(q[node, at]))
