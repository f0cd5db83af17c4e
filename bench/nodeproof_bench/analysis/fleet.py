"""Judge every node of a fleet by every metric: which are worse than they should be, and how sure that is.

A node is compared with fixed limits, with its hardware class, with its own earlier campaigns, with what its other
metrics let expect, and in how far apart its repeats are (`detectors`). All these tests share one rate of false
discoveries. Who is found is taken out of the class that all others are compared with, and everything is judged
anew, until nobody new is found.

Deliberately not here: pairs of nodes (`pair_model`), and where values come from (`campaign.assess`).
"""

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from nodeproof.verdict import plural
from nodeproof_bench.analysis import detectors, robust
from nodeproof_bench.analysis.detectors import Group, Test
from nodeproof_bench.analysis.discoveries import choose
from nodeproof_bench.analysis.distributions import robust_t_tail
from nodeproof_bench.analysis.disturbed import often_disturbed
from nodeproof_bench.analysis.measured import Measured, measure
from nodeproof_bench.analysis.robust import Flags, Floats
from nodeproof_bench.analysis.words import in_words

#: Judged anew at most so often; nearly always nobody new is found the second time.
_MOST_ROUNDS = 3

#: Only what is beyond so many sigma can be a discovery: the p value of all others is not worth its time.
_LEAST_Z = 2.0

#: A class that loses more of its nodes than this share is not one class: then its baseline keeps them all.
_MOST_FLAGGED = 1 / 3


class Metric(NamedTuple):
    """What is measured. `floor` is the value, in `unit`, beyond which it is wrong whatever others have."""

    name: str
    unit: str
    is_higher_better: bool
    floor: float | None = None
    floor_source: str = ""


class Fleet(NamedTuple):
    """All that a campaign measured on single nodes; NaN where there is no value.

    `values` is node x metric x repeat, `earlier` node x metric x campaign with the medians of earlier campaigns,
    `disturbed` node x metric says how many repeats gave no value because the machine was disturbed; `floors` node x
    metric are limits of single nodes (NaN: none), beside those of metrics.
    """

    nodes: Sequence[str]
    classes: Sequence[str]
    metrics: Sequence[Metric]
    values: Floats
    earlier: Floats | None = None
    disturbed: NDArray[np.int64] | None = None
    floors: Floats | None = None


class Rules(NamedTuple):
    """What is worth reporting. A finding needs to be certain and large enough.

    `false_discovery_rate`: of all nodes that are found, this share is expected to be chance. `least_loss`: what is
    worse by a smaller share is no finding. `least_class_nodes`: fewer nodes are no class to compare with.
    `least_spread_times`, `least_spread`: a noisy node's repeats are so many times farther apart than its class's,
    and so far as a share of their median.
    """

    false_discovery_rate: float = 0.005
    least_loss: float = 0.03
    least_class_nodes: int = 8
    least_spread_times: float = 2.5
    least_spread: float = 0.005


class Finding(NamedTuple):
    """A node that is not as it should be. `loss` is the share by which `value` is worse than `expected`.

    `detector` is limit, class, part (metrics that belong together), history, profile (its own other metrics),
    distribution, disturbed or too_good. Of distribution, value and expected are how far the repeats are apart, as a
    share of their median; of disturbed, shares of repeats. `z`, `p` and `q` of a limit are None: it is no chance.
    """

    node: str
    metric: str
    detector: str
    value: float
    expected: float
    loss: float
    z: float | None
    p: float | None
    q: float | None
    text: str


class Baseline(NamedTuple):
    """What the nodes of a class have that were not found: the median in the metric's unit, the scatter as a share."""

    median: float
    scaled_mad: float
    count: int  # type: ignore[assignment]  # tuple has a method of that name; the report knows this field by it


class Judgement(NamedTuple):
    """`tests` were made; of the nodes that they found, so many as `expected_false` are chance.

    `shifts`: by which share the class as a whole is worse than in earlier campaigns, where that is at least
    `least_loss`: no comparison among its nodes shows it.
    """

    findings: tuple[Finding, ...]
    baselines: Mapping[tuple[str, str], Baseline]
    tests: int
    expected_false: float
    shifts: Mapping[tuple[str, str], float]


class _Found(NamedTuple):
    """Where a test was significant: index arrays of node and metric, with p and q of each."""

    test: Test
    node: NDArray[np.int64]
    metric: NDArray[np.int64]
    p: Floats
    q: Floats


def judge(fleet: Fleet, rules: Rules | None = None) -> Judgement:
    """Return who stands out in what."""
    rules = rules or Rules()
    measured = measure(fleet.values, fleet.earlier, [m.is_higher_better for m in fleet.metrics])
    groups = _groups(fleet)
    excluded = np.zeros(len(fleet.nodes), bool)
    limits = list(_limits(fleet, measured.value))
    beyond = {finding.node for finding in limits}
    beyond_limit = np.array([node in beyond for node in fleet.nodes], bool)
    for _ in range(_MOST_ROUNDS):
        tests = detectors.run(measured, groups, excluded, rules.least_class_nodes)
        worse, total, expected_false = _discoveries([t for t in tests if t.detector != "too_good"], rules)
        better, _, _ = _discoveries([t for t in tests if t.detector == "too_good"], rules)
        found = beyond_limit | _who(len(fleet.nodes), [*worse, *better])
        now = _without_broken_classes(found, groups)
        if np.array_equal(now, excluded):
            break
        excluded = now
    findings = [*limits, *_findings(fleet, [*worse, *better]), *_disturbed(fleet, rules)]
    findings.sort(key=lambda f: (f.node, f.metric, f.detector))
    shifts = _shifts(fleet, measured, groups, excluded, rules)
    return Judgement(tuple(findings), _baselines(fleet, measured, groups, excluded), total, expected_false, shifts)


def _groups(fleet: Fleet) -> list[Group]:
    """Return the nodes of each class, and the metrics of each part of the machine: what their names begin with."""
    parts = defaultdict[str, list[int]](list)
    for number, metric in enumerate(fleet.metrics):
        parts[metric.name.split(".")[0]].append(number)
    columns = [np.array(part) for part in parts.values()]
    if len(columns) > 1:
        columns.append(np.arange(len(fleet.metrics)))
    members = defaultdict[str, list[int]](list)
    for number, name in enumerate(fleet.classes):
        members[name].append(number)
    return [Group(name, np.array(members[name]), columns) for name in sorted(members)]


def _limits(fleet: Fleet, value: Floats) -> Iterator[Finding]:
    for number, metric in enumerate(fleet.metrics):
        floors = np.full(len(fleet.nodes), np.nan if metric.floor is None else metric.floor)
        if fleet.floors is not None:
            own = fleet.floors[:, number]
            floors = np.where(np.isnan(own), floors, own)
        if np.isnan(floors).all():
            continue
        column = np.where(floors == 0, _worst(fleet.values[:, number]), value[:, number])
        is_wrong = column < floors if metric.is_higher_better else column > floors
        for node in np.flatnonzero(is_wrong).tolist():
            found, floor = float(column[node]), float(floors[node])
            loss = (floor - found) / floor if metric.is_higher_better else (found - floor) / (floor or 1.0)
            bare = Finding(fleet.nodes[node], metric.name, "limit", found, floor, loss, None, None, None, "")
            yield bare._replace(text=in_words(bare, metric.unit, fleet.classes[node], metric.floor_source))


def _worst(repeats: Floats) -> Floats:
    """Return the largest of each node's repeats: where nothing may be wrong, once is too often."""
    return np.asarray(np.max(np.nan_to_num(repeats), axis=1, initial=0.0))


def _discoveries(tests: Sequence[Test], rules: Rules) -> tuple[list[_Found], int, float]:
    """Return what is significant and large enough, the number of tests, and how many nodes are expected by chance."""
    tries = sum((~np.isnan(test.z) * test.tries).sum(1) for test in tests)
    places = [np.nonzero(test.z > _LEAST_Z) for test in tests]
    p = [np.minimum(t.tries * robust_t_tail(t.z[at], t.df[at]), 1.0) for t, at in zip(tests, places, strict=True)]
    nodes = np.concatenate([node for node, _ in places])
    chosen = choose(nodes, np.concatenate(p), np.asarray(tries), rules.false_discovery_rate)
    found, start = list[_Found](), 0
    for test, (node, metric), p_here in zip(tests, places, p, strict=True):
        q = chosen.q[start : start + len(p_here)]
        start += len(p_here)
        keep = (q <= rules.false_discovery_rate) & _large_enough(test, node, metric, rules)
        found.append(_Found(test, node[keep], metric[keep], p_here[keep], q[keep]))
    return found, int(np.sum(tries)), chosen.expected_false


def _large_enough(test: Test, node: NDArray[np.int64], metric: NDArray[np.int64], rules: Rules) -> Flags:
    value, expected = test.value[node, metric], test.expected[node, metric]
    if test.detector == "distribution":
        return np.asarray((value >= rules.least_spread_times * expected) & (value >= rules.least_spread))
    return np.asarray(np.abs(value - expected) >= rules.least_loss * np.abs(expected))


def _who(count: int, found: Sequence[_Found]) -> Flags:
    flagged = np.zeros(count, bool)
    for one in found:
        flagged[one.node] = True
    return flagged


def _without_broken_classes(flagged: Flags, groups: Sequence[Group]) -> Flags:
    kept = flagged.copy()
    for group in groups:
        if np.mean(flagged[group.rows]) > _MOST_FLAGGED:
            kept[group.rows] = False
    return kept


def _findings(fleet: Fleet, found: Sequence[_Found]) -> Iterator[Finding]:
    for test, nodes, metrics, p, q in found:
        for node, number, p_here, q_here in zip(nodes.tolist(), metrics.tolist(), p, q, strict=True):
            metric = fleet.metrics[number]
            value, expected = float(test.value[node, number]), float(test.expected[node, number])
            worse = (
                expected - value if metric.is_higher_better and test.detector != "distribution" else value - expected
            )
            loss = worse if test.detector == "distribution" else worse / expected
            bare = Finding(
                fleet.nodes[node],
                metric.name,
                test.detector,
                value,
                expected,
                loss,
                float(test.z[node, number]),
                float(p_here),
                float(q_here),
                "",
            )
            yield bare._replace(text=in_words(bare, metric.unit, fleet.classes[node]))


def _baselines(
    fleet: Fleet, measured: Measured, groups: Sequence[Group], excluded: Flags
) -> dict[tuple[str, str], Baseline]:
    made = dict[tuple[str, str], Baseline]()
    for group in groups:
        rows = group.rows[~excluded[group.rows]]
        if not len(rows):
            continue
        centre = robust.median(measured.value[rows], 0)
        scale = robust.scaled_mad(measured.worse[rows] - robust.median(measured.worse[rows], 0))
        counts = robust.count(measured.value[rows], 0)
        for metric, middle, spread, count in zip(fleet.metrics, centre, scale, counts, strict=True):
            if count:
                made[group.name, metric.name] = Baseline(float(middle), float(np.nan_to_num(spread)), int(count))
    return made


def _shifts(
    fleet: Fleet, measured: Measured, groups: Sequence[Group], excluded: Flags, rules: Rules
) -> dict[tuple[str, str], float]:
    """Return by how much each class as a whole is worse: by nodes that were measured then and now."""
    found = dict[tuple[str, str], float]()
    for group in groups:
        rows = group.rows[~excluded[group.rows]]
        change = measured.worse[rows] - robust.median(measured.earlier[rows], 2)
        enough = robust.count(change, 0) >= rules.least_class_nodes
        for number in np.flatnonzero(enough).tolist():
            metric, shift = fleet.metrics[number], float(robust.median(change[:, number], 0))
            share = -float(np.expm1(-shift)) if metric.is_higher_better else float(np.expm1(shift))
            if share >= rules.least_loss:
                found[group.name, metric.name] = share
    return found


def _disturbed(fleet: Fleet, rules: Rules) -> Iterator[Finding]:
    if fleet.disturbed is None:
        return
    done = robust.count(fleet.values, 2)
    for one in often_disturbed(
        fleet.disturbed, done, fleet.classes, rules.least_class_nodes, rules.false_discovery_rate
    ):
        share, name = one.times / one.tries, fleet.metrics[one.metric].name
        excess = share - one.usual
        bare = Finding(fleet.nodes[one.node], name, "disturbed", share, one.usual, excess, None, one.p, one.q, "")
        detail = f"{one.times} of {one.tries} repeats; so in {plural(one.metrics, 'metric')}"
        yield bare._replace(text=in_words(bare, "", fleet.classes[one.node], detail))
