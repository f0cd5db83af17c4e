"""The statistics by which a node stands out of its class: each one z value for every node and metric.

All is done on the logarithm of values, turned so that more is worse: a share lost is a difference then, for rates and
for times, and differences of a node's metrics and campaigns can be compared.
"""

from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from nodeproof_bench.analysis import robust
from nodeproof_bench.analysis.distributions import MOST_DF, USUAL_DF, coarse_df, df_of_tail
from nodeproof_bench.analysis.measured import LEAST_SPREAD, Measured
from nodeproof_bench.analysis.more_repeats import EFFICIENCY, Surer, surer
from nodeproof_bench.analysis.robust import Floats
from nodeproof_bench.stats import LEAST_SIGMA_SHARE

Indices = NDArray[np.int64]

#: One metric's spread, or deviation, counts for at most so many sigma where several are summed up.
_MOST_SIGMA = 3.0

#: Where a column's own values tell of its tails; in smaller classes only all columns together do.
_LEAST_OWN_TAIL = 4000

#: Degrees of freedom of sums over metrics, where there are too few nodes to tell: more normal than each of them.
_USUAL_DF_OF_SUMS = 50.0

#: Fewer metrics are no part of a machine that has anything in common.
_LEAST_PART = 3

#: What other metrics let expect needs so many nodes for each metric, and shrinks correlations by this share.
_NODES_A_METRIC, _SHRINKAGE = 5, 0.05

#: A class too small to tell how its nodes differ: at least so many others, and as much as this between healthy nodes.
LEAST_OTHERS, _SMALL_CLASS_SPREAD = 3, 0.03

#: Without a class, a node's own scatter between campaigns needs at least this many differences.
_LEAST_OWN = 4


#: Tests of parts; the largest one of a node counts.
_OF_PARTS = frozenset({"part", "distribution"})


class Group(NamedTuple):
    """The nodes of a class, as rows, and the metrics that belong together, as columns.

    The class has `size` nodes: some rows may be of nodes that were measured again, and stand there twice.
    """

    name: str
    rows: Indices
    parts: Sequence[Indices]
    size: int


class Test(NamedTuple):
    """One test of every node and metric: z where more is worse (NaN: not tested), and its degrees of freedom.

    `value` and `expected` are what was found and what should be; z is the largest of `tries`.
    """

    detector: str
    z: Floats
    df: Floats
    value: Floats
    expected: Floats
    tries: int = 1


def run(measured: Measured, groups: Sequence[Group], excluded: NDArray[np.bool_], least_nodes: int) -> list[Test]:
    """Return all tests. Nodes that are `excluded` are tested, and nobody is compared with them."""
    shape = measured.worse.shape
    names = ("class", "too_good", "part", "history", "profile", "distribution")
    parts = max((len(group.parts) for group in groups), default=1)
    tests = {name: _untested(name, shape, parts if name in _OF_PARTS else 1) for name in names}
    for group in groups:
        part = Measured(*(a[group.rows] if a is not measured.sign else a for a in measured))
        good = ~excluded[group.rows]
        for name, at, z, df, value, expected in _of_class(part, group, good, least_nodes):
            for array, new in zip(tests[name][1:5], (z, df, value, expected), strict=True):
                array[np.ix_(group.rows, at)] = new
    return list(tests.values())


def _untested(name: str, shape: tuple[int, ...], tries: int) -> Test:
    z, df, value, expected = (np.full(shape, np.nan) for _ in range(4))
    return Test(name, z, df, value, expected, tries)


_Part = tuple[str, Indices, Floats, Floats, Floats, Floats]


def _of_class(m: Measured, group: Group, good: NDArray[np.bool_], least_nodes: int) -> Iterator[_Part]:
    everything = np.arange(m.worse.shape[1])
    deviation, scale, z, df = _standardised(m.worse, good, least_nodes)
    is_small = group.size < least_nodes
    if is_small:
        deviation, z, df = _small_class(m, good)
    error = np.nan_to_num(robust.median(m.error[good], 0))
    number = robust.count(m.worse[good], 0)
    fewer = np.minimum(np.sqrt(m.repeats), 1.0)
    sure = Surer(fewer, df) if is_small else surer(m.repeats, error, scale, df, number)
    yield "class", everything, z * sure.times, sure.df, m.value, _expected(m, deviation)
    yield "too_good", everything, -z * sure.times, sure.df, m.value, _expected(m, deviation)
    if not is_small:
        slow, df_slow = _together(deviation, group.parts, good, least_nodes, lambda d: robust.median(d, 1))
        yield "part", everything, slow, df_slow, m.value, _expected(m, deviation)
    change, z_change, df_change = _history(m, group.size, good, least_nodes, error)
    yield "history", everything, z_change, df_change, m.value, _expected(m, change)
    known = _profile(z * fewer, good)
    if known is not None:
        columns, rest = known
        _, of_rest, z_rest, df_rest = _standardised(rest, good, least_nodes)
        part = Measured(*(a[:, columns] if a.ndim > 1 else a[columns] for a in m))
        sigma, at_least = of_rest * scale[columns], np.maximum(part.repeats, 1.0)
        sure = surer(at_least, error[columns], sigma, df_rest, number[columns])
        yield "profile", columns, z_rest * sure.times, sure.df, part.value, _expected(part, rest * scale[columns])
    yield from _noise(m, group.parts, good, least_nodes)


def _expected(m: Measured, deviation: Floats) -> Floats:
    return np.asarray(np.exp(m.sign * (m.worse - deviation)))


class _Standardised(NamedTuple):
    """Deviations from the median of the good nodes, their sigma, the ratio, and its degrees of freedom."""

    deviation: Floats
    scale: Floats
    z: Floats
    df: Floats


def _standardised(
    worse: Floats, good: NDArray[np.bool_], least_nodes: int, usual_df: float = USUAL_DF
) -> _Standardised:
    number = robust.count(worse[good], 0)
    deviation = worse - robust.median(worse[good], 0)
    scale = np.fmax(robust.scaled_mad(deviation[good]), LEAST_SIGMA_SHARE)
    z = np.where(number >= least_nodes, deviation / scale, np.nan)
    return _Standardised(deviation, scale, z, np.broadcast_to(_df(z[good], number, usual_df), worse.shape))


def _small_class(m: Measured, good: NDArray[np.bool_]) -> tuple[Floats, Floats, Floats]:
    """Return deviation, z and degrees of freedom of a few nodes, each by the median of the others that are good.

    How much healthy nodes differ cannot be told from so few: it is taken to be much, unless they differ even more. The
    usual spread of repeats comes on top: it is at least what their median scatters.
    """
    noise = robust.median(m.spread, 0)
    deviation, z = np.full(m.worse.shape, np.nan), np.full(m.worse.shape, np.nan)
    for node in range(len(good)):
        is_other = good.copy()
        is_other[node] = False
        others = m.worse[is_other]
        deviation[node] = m.worse[node] - robust.median(others, 0)
        scatter = robust.scaled_mad(others - robust.median(others, 0))
        sigma = np.sqrt(np.fmax(scatter, _SMALL_CLASS_SPREAD) ** 2 + np.nan_to_num(noise) ** 2)
        z[node] = np.where(robust.count(others, 0) >= LEAST_OTHERS, deviation[node] / sigma, np.nan)
    return deviation, z, np.full(z.shape, coarse_df(np.array(USUAL_DF)))


def _df(z: Floats, number: NDArray[np.int64], usual: float) -> Floats:
    """Return the degrees of freedom of each column: of its better tail, where no fault is, and of its scale.

    The latter is known badly by few values. The former is known badly by a few dozen in the tail, and therefore taken
    half from those of all columns.
    """
    pooled = df_of_tail(z, usual) if z.shape[1] > 1 else usual
    own = [df_of_tail(column, pooled) for column in z.T] if len(z) >= _LEAST_OWN_TAIL else [pooled] * z.shape[1]
    tail = 2 / (1 / pooled + 1 / np.array(own))
    of_scale = np.maximum(EFFICIENCY * (number - 1), 1.0)
    return coarse_df(np.clip(np.minimum(tail, of_scale), 1.0, MOST_DF))


def _history(
    m: Measured, size: int, good: NDArray[np.bool_], least_nodes: int, error: Floats
) -> tuple[Floats, Floats, Floats]:
    """Return the same for the change since earlier campaigns, relative to how the class changed.

    A median of k earlier values adds 1 / k of their variance, pi / 2 times that from three on.
    """
    campaigns = robust.count(m.earlier, 2)
    factor = np.sqrt(1 + np.where(campaigns < 3, 1.0, np.pi / 2) / np.maximum(campaigns, 1))
    if np.count_nonzero(good) >= least_nodes:
        usual = robust.median(m.earlier[good], 0)
        change = (m.worse - robust.median(m.worse[good], 0)) - robust.median(m.earlier - usual, 2)
        centred, scale, z, df = _standardised(change / factor, good, least_nodes)
        sure = surer(m.repeats, error, scale * factor, df, robust.count(change[good], 0))
        return centred * factor, z * sure.times, sure.df
    change, z, df = _own_history(m, size, campaigns, factor)
    return change, z * np.minimum(np.sqrt(m.repeats), 1.0), df


def _own_history(m: Measured, size: int, campaigns: NDArray[np.int64], factor: Floats) -> tuple[Floats, Floats, Floats]:
    """Return the same for the few nodes of a small class: their scatter is that between their earlier campaigns.

    Rows behind the first `size` are nodes that stand there already.
    """
    middle = robust.median(m.earlier, 2)
    change, rest = m.worse - middle, m.earlier[:size] - middle[:size, :, None]
    freedom = np.maximum(campaigns[:size] - 1, 0).sum(0)
    scale = np.sqrt(np.nansum(rest * rest, axis=(0, 2)) / np.maximum(freedom, 1))
    z = change / np.maximum(scale, LEAST_SIGMA_SHARE) / factor
    return (
        change,
        np.where(freedom >= _LEAST_OWN, z, np.nan),
        np.broadcast_to(coarse_df(np.maximum(freedom, 1.0)), z.shape),
    )


def _profile(z: Floats, good: NDArray[np.bool_]) -> tuple[Indices, Floats] | None:
    """Return how far each metric is from what the node's other metrics let expect, in sigma of the class.

    A node with a fast processor is fast in all that depends on it, and so the scatter of what is left is smaller than
    that of the class. The rest of the regression of one variable on all others is a row of the inverse of their
    correlations: Cox and Wermuth, Multivariate Dependencies, 1996, section 3.4. What is far off, or not measured,
    takes little or no part in it.
    """
    clipped = np.nan_to_num(np.clip(z, -_MOST_SIGMA, _MOST_SIGMA))
    columns = np.flatnonzero(clipped[good].any(0) & (robust.count(z[good], 0) >= _NODES_A_METRIC * z.shape[1]))
    if len(columns) < 2:
        return None
    part = clipped[:, columns]
    correlation = np.asarray((1 - _SHRINKAGE) * np.corrcoef(part[good], rowvar=False))
    np.fill_diagonal(correlation, 1.0)
    inverse = np.linalg.inv(correlation)
    of_others = part - part @ inverse / np.diag(inverse)
    return columns, z[:, columns] - of_others


def _noise(m: Measured, parts: Sequence[Indices], good: NDArray[np.bool_], least_nodes: int) -> Iterator[_Part]:
    """Yield, for metrics that belong together, how much more than its class's a node's repeats differ in all of them.

    The scatter of a few repeats is itself scattered: only many metrics tell.
    """
    logs = np.log(np.maximum(m.spread, LEAST_SPREAD))
    more, _, z, _ = _standardised(logs, good, least_nodes)
    clipped = np.clip(z, -_MOST_SIGMA, _MOST_SIGMA)

    def mean(part: Floats) -> Floats:
        return np.asarray(np.nansum(part, 1) / np.sqrt(np.maximum(robust.count(part, 1), 1)))

    found, df = _together(clipped, parts, good, least_nodes, mean)
    yield "distribution", np.arange(logs.shape[1]), found, df, np.exp(logs), np.exp(logs - more)


def _together(
    worse: Floats,
    parts: Sequence[Indices],
    good: NDArray[np.bool_],
    least_nodes: int,
    of_part: Callable[[Floats], Floats],
) -> tuple[Floats, Floats]:
    """Return z and degrees of freedom of each node's worst part, at the metric that is typical of it; NaN elsewhere."""
    speaker, best = np.zeros(len(worse), int), np.full(len(worse), -np.inf)
    df = np.full(len(worse), USUAL_DF)
    for columns in parts:
        part = worse[:, columns]
        enough = robust.count(part, 1) >= _LEAST_PART
        total = np.where(enough, of_part(part), np.nan)[:, None]
        _, _, z, df_here = _standardised(total, good, least_nodes, _USUAL_DF_OF_SUMS)
        from_middle = np.nan_to_num(np.abs(part - robust.median(part, 1)[:, None]), nan=np.inf)
        is_best = np.nan_to_num(z[:, 0], nan=-np.inf) > best
        speaker = np.where(is_best, columns[np.argmin(from_middle, 1)], speaker)
        best, df = np.where(is_best, z[:, 0], best), np.where(is_best, df_here[:, 0], df)
    found = np.full(worse.shape, np.nan)
    rows = np.flatnonzero(np.isfinite(best))
    found[rows, speaker[rows]] = best[rows]
    return found, np.broadcast_to(df[:, None], worse.shape)
