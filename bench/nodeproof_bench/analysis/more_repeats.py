"""What more repeats than usual, or fewer, make of how far a node is from its class."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from nodeproof_bench.analysis.distributions import coarse_df
from nodeproof_bench.analysis.robust import Floats

#: A median absolute deviation of n values is as uncertain as a standard deviation of 0.37 n: its efficiency (Rousseeuw
#: and Croux, Alternatives to the median absolute deviation, J. Am. Statist. Assoc. 88, 1993).
EFFICIENCY = 0.37

#: Deviations of repeats from their median that a node has, at least, and tells the scatter of repeats by.
_VALUES_A_NODE = 2

#: Of what nodes differ by, without what repeats scatter, about so many degrees of freedom are to be left.
_LEAST_LEFT_DF = 20.0


class Surer(NamedTuple):
    """What other numbers of repeats than usual come to: how many times as much a deviation counts, and its freedom."""

    times: Floats
    df: Floats


def surer(repeats: Floats, error: Floats, sigma: Floats, df: Floats, number: NDArray[np.int64]) -> Surer:
    """Return what more repeats than usual, or fewer, make of deviations with this `sigma` of so many nodes.

    The variance has two components: what repeats scatter, the square of `error`, becomes smaller with their number,
    what nodes differ by stays. As the difference of two variances the latter is known worse than they are, the more so
    the smaller it is: Satterthwaite (Biometrics Bulletin 2, 1946). It is not taken to be so small that hardly anything
    is known of it; of few nodes, nothing is taken off. The variance of repeats is told from several times as many
    values. With fewer repeats than usual all of the variance is taken to be of repeats.
    """
    freedom = np.maximum(EFFICIENCY * (number - 1), 1.0)
    without = np.minimum(error / sigma, 1.0) ** 2 * (1 - 1 / np.maximum(repeats, 1.0))
    left = np.maximum(1 - without, np.minimum(np.sqrt(_LEAST_LEFT_DF / freedom), 1.0))
    of_left = freedom * left**2 / (1 + (1 - left) ** 2 / _VALUES_A_NODE)
    of_more = coarse_df(np.maximum(np.minimum(df, of_left), 1.0))
    return Surer(np.where(repeats < 1, np.sqrt(repeats), 1 / np.sqrt(left)), np.where(repeats > 1, of_more, df))
