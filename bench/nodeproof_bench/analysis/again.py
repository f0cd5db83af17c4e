"""Judge nodes by all their repeats, after those that stood out were measured again.

What stood out first did so by its fault and by luck, and all repeats together keep some of that luck. No harm comes of
it: they are judged as strictly as if every node had been measured so often, among as many tests as were made first. To
measure only some nodes again takes findings away from that, and adds none. References are those of the first judgement:
nobody is compared with the nodes that were measured again.
"""

import math
from collections.abc import Iterable, Sequence
from typing import NamedTuple

import numpy as np

from nodeproof_bench.analysis import detectors, robust
from nodeproof_bench.analysis.fleet import Finding
from nodeproof_bench.analysis.judging import First
from nodeproof_bench.analysis.measured import LEAST_SPREAD, Measured, spreads
from nodeproof_bench.analysis.robust import Flags, Floats
from nodeproof_bench.analysis.ruled_out import bounds
from nodeproof_bench.analysis.significant import Indices, chosen, findings, odd

#: These are about many metrics, and the error of one is not theirs.
_OF_PARTS = frozenset({"part", "distribution"})


class Fresh(NamedTuple):
    """The repeats of each time that a metric of a node was measured again."""

    node: str
    metric: str
    times: Sequence[Sequence[float]]


def times_again(first: First, usual: int) -> dict[Finding, int]:
    """Return how many times to measure again what is not sure: more often than usual if values have a large error.

    The error is that of one time, and of k times together it is smaller by the root of k.
    """
    row_of = {node: row for row, node in enumerate(first.fleet.nodes)}
    column_of = {metric.name: n for n, metric in enumerate(first.fleet.metrics)}
    made, rules = dict[Finding, int](), first.rules
    for doubt in (*first.judgement.doubts, *first.judgement.undecided):
        error = first.errors[row_of[doubt.node], column_of[doubt.metric]]
        needed = 0 if doubt.detector in _OF_PARTS else math.ceil((error / rules.good_error) ** 2 - 1)
        made[doubt] = max(usual, min(needed, rules.most_times * usual))
    return made


class Again(NamedTuple):
    """The findings in what was measured again, and what all nodes have less than now: `First.below` once more."""

    findings: Sequence[Finding]
    below: Floats


def judge_again(first: First, fresh: Iterable[Fresh]) -> Again:
    """Return what there is in what was measured again, by these and the first repeats together."""
    row_of = {node: row for row, node in enumerate(first.fleet.nodes)}
    column_of = {metric.name: n for n, metric in enumerate(first.fleet.metrics)}
    known = [one for one in fresh if one.node in row_of and one.metric in column_of]
    if not known:
        return Again((), first.below)
    rows = np.array(sorted({row_of[one.node] for one in known}))
    places = [(int(np.searchsorted(rows, row_of[one.node])), column_of[one.metric], one.times) for one in known]
    usual, is_again = len(first.fleet.nodes), np.zeros((len(rows), len(column_of)), bool)
    for row, column, _ in places:
        is_again[row, column] = True
    old_number = np.append(np.arange(usual), rows)
    tests, below = _tests(first, rows, places), first.below.copy()
    below[rows] = np.where(is_again, bounds(tests, first.measured.sign).loss[usual:], below[rows])
    stand_out = [one.at(one.node >= usual).of(old_number) for one in odd(tests)]
    others = ~np.isin(np.arange(usual), rows)
    places_of_all = [*stand_out, *(one.at(others[one.node]) for one in first.places)]
    found = chosen(places_of_all, first.tries, first.rules, first.rules.rate_again).found
    sure = [(one, q, _are_in(one.node, one.metric, rows, is_again)) for one, q in found]
    made = [f for one, q, keep in sure for f in findings(first.fleet, one.at(keep), q[keep].tolist())]
    return Again(made, below)


def _are_in(nodes: Indices, metrics: Indices, rows: Indices, is_again: Flags) -> Flags:
    place = np.minimum(np.searchsorted(rows, nodes), len(rows) - 1)
    return np.asarray((rows[place] == nodes) & is_again[place, metrics])


_Place = tuple[int, int, Sequence[Sequence[float]]]


def _tests(first: First, rows: Indices, places: Sequence[_Place]) -> list[detectors.Test]:
    """Return the tests of nodes that stand once more behind all nodes, as they are now."""
    m, now = first.measured, _now(first, rows, places)
    whole = Measured(*(a if a is m.sign else np.concatenate([a, b]) for a, b in zip(m, now, strict=True)))
    excluded, groups = np.append(first.excluded, np.ones(len(rows), bool)), list[detectors.Group]()
    for group in first.groups:
        own = np.flatnonzero(np.isin(rows, group.rows))
        if not len(own):
            continue
        groups.append(group._replace(rows=np.append(group.rows, len(m.value) + own)))
        if group.size < first.rules.least_class_nodes:
            excluded[rows[own]] = True  # of a few nodes each is compared with the others: itself is none of them
    return [
        t for t in detectors.run(whole, groups, excluded, first.rules.least_class_nodes) if t.detector != "too_good"
    ]


def _now(first: First, rows: Indices, places: Sequence[_Place]) -> Measured:
    """Return what is known of some nodes by all their repeats."""
    m = first.measured
    now = Measured(*(a if a is m.sign else a[rows] for a in m))
    at, columns = np.array([place for place, _, _ in places]), np.array([column for _, column, _ in places])
    fresh = _as_array([times for _, _, times in places])
    before, share = first.fleet.values[rows[at], columns], m.repeats[rows[at], columns]
    is_known = share > 0
    usual = np.where(is_known, robust.count(before, 1) / np.where(is_known, share, 1.0), fresh.shape[2])
    values = np.concatenate([before, fresh.reshape(len(places), -1)], axis=1)
    value = robust.better_middle(values, m.sign[columns] < 0)
    keep = value > 0
    at, columns, value, fresh = at[keep], columns[keep], value[keep], fresh[keep]
    now.value[at, columns], now.worse[at, columns] = value, m.sign[columns] * np.log(value)
    now.repeats[at, columns] = robust.count(values[keep], 1) / usual[keep]
    now.spread[at, columns] = _mean_spread(m.spread[rows[at], columns], fresh)
    return now


def _as_array(places: Sequence[Sequence[Sequence[float]]]) -> Floats:
    """Return place x time x repeat, NaN where a place has fewer."""
    most = max(len(times) for times in places), max(len(values) for times in places for values in times)
    made = np.full((len(places), *most), np.nan)
    for place, times in zip(made, places, strict=True):
        for one, values in zip(place, times, strict=False):
            one[: len(values)] = values
    return made


def _mean_spread(before: Floats, fresh: Floats) -> Floats:
    """Return the geometric mean of how far repeats are apart each time. It is less a matter of luck than one."""
    logs = np.log(np.where(fresh > 0, fresh, np.nan))
    told = np.log(np.maximum(np.column_stack([before, spreads(logs)]), LEAST_SPREAD))
    number = robust.count(told, 1)
    return np.where(number > 0, np.exp(np.nansum(told, 1) / np.maximum(number, 1)), np.nan)
