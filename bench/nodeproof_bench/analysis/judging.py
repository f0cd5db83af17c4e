"""Judge every node of a fleet by every metric: which are worse than they should be, and how sure that is.

A node is compared with fixed limits, with its hardware class, with its own earlier campaigns, with what its other
metrics let expect, and in how far apart its repeats are (`detectors`). All these tests share one rate of false
discoveries. Who is found is taken out of the class that all others are compared with, and everything is judged
anew, until nobody new is found.

Deliberately not here: pairs of nodes (`pair_model`), what measuring again comes to (`again`), and where values come
from (`campaign.assess`).
"""

from collections import defaultdict
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np

from nodeproof.verdict import plural
from nodeproof_bench.analysis import detectors, robust
from nodeproof_bench.analysis.detectors import Group, Test
from nodeproof_bench.analysis.disturbed import often_disturbed
from nodeproof_bench.analysis.fleet import Baseline, Finding, Fleet, Judgement, Rules
from nodeproof_bench.analysis.measured import Measured, measure
from nodeproof_bench.analysis.robust import Flags, Floats
from nodeproof_bench.analysis.ruled_out import bounds, still_open
from nodeproof_bench.analysis.significant import Indices, Odd, chosen, doubtful, findings, odd, tries
from nodeproof_bench.analysis.words import in_words

#: Judged anew at most so often; nearly always nobody new is found the second time.
_MOST_ROUNDS = 3

#: A class that loses more of its nodes than this share is not one class: then its baseline keeps them all.
_MOST_FLAGGED = 1 / 3


class First(NamedTuple):
    """A fleet as it was judged first, with all that judging some nodes again is compared with.

    `excluded` nodes are in no baseline. `places` is where tests stood out, of `tries` tests of each node. `errors` is
    node x metric: the standard error of a value by its repeats, 0 where it is not known. `below` is node x metric: the
    loss, as a share, that a node surely has less than; NaN where nothing compares its value.
    """

    fleet: Fleet
    rules: Rules
    judgement: Judgement
    measured: Measured
    groups: Sequence[Group]
    excluded: Flags
    places: Sequence[Odd]
    tries: Indices
    errors: Floats
    below: Floats


def judge(fleet: Fleet, rules: Rules | None = None) -> Judgement:
    """Return who stands out in what."""
    return examine(fleet, rules).judgement


def examine(fleet: Fleet, rules: Rules | None = None) -> First:
    """Return who stands out in what, with what judging some of them again needs."""
    rules = rules or Rules()
    rate = rules.false_discovery_rate
    measured = measure(fleet.values, fleet.earlier, [m.is_higher_better for m in fleet.metrics])
    groups = _groups(fleet)
    excluded = np.zeros(len(fleet.nodes), bool)
    limits = list(_limits(fleet, measured.value))
    beyond = {finding.node for finding in limits}
    beyond_limit = np.array([node in beyond for node in fleet.nodes], bool)
    for _ in range(_MOST_ROUNDS):
        tests = detectors.run(measured, groups, excluded, rules.least_class_nodes)
        slow, good = (_places(tests, is_good=is_good) for is_good in (False, True))
        places, tries_of = slow
        below = bounds(tests, measured.sign)
        undecided = still_open(tests, below, groups, rules)
        del tests  # they are large
        worse, better = chosen(places, tries_of, rules, rate), chosen(*good, rules, rate)
        found = beyond_limit | _who(len(fleet.nodes), [one for one, _ in (*worse.found, *better.found)])
        now = _without_broken_classes(found, groups)
        if np.array_equal(now, excluded):
            break
        excluded = now
    of_tests = [f for one, q in (*worse.found, *better.found) for f in findings(fleet, one, q.tolist())]
    sure = [*limits, *of_tests, *_disturbed(fleet, rules)]
    sure.sort(key=_key)
    errors = _errors(measured, groups, excluded)
    slower = beyond_limit | _who(len(fleet.nodes), [one for one, _ in worse.found])
    doubts = doubtful(places, tries_of, slower, errors, rules)
    judgement = Judgement(
        tuple(sure),
        _baselines(fleet, measured, groups, excluded),
        int(np.sum(tries_of)),
        worse.expected_false,
        _shifts(fleet, measured, groups, excluded, rules),
        _looks(fleet, doubts),
        _looks(fleet, undecided),
    )
    return First(fleet, rules, judgement, measured, groups, excluded, places, tries_of, errors, below.loss)


def _places(tests: Sequence[Test], *, is_good: bool) -> tuple[list[Odd], Indices]:
    """Return where tests stand out, and how many were made of each node: of what is worse, or of what is too good."""
    kind = [test for test in tests if (test.detector == "too_good") == is_good]
    return odd(kind), tries(kind)


def _looks(fleet: Fleet, ones: Sequence[Odd]) -> tuple[Finding, ...]:
    """Return what is to be measured again as findings, which it is not: it has no q value."""
    return tuple(sorted((f for one in ones for f in findings(fleet, one, [None] * len(one.node))), key=_key))


def _key(finding: Finding) -> tuple[str, str, str]:
    return finding.node, finding.metric, finding.detector


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
    return [Group(name, np.array(rows), columns, len(rows)) for name, rows in sorted(members.items())]


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


def _who(count: int, found: Sequence[Odd]) -> Flags:
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


def _errors(measured: Measured, groups: Sequence[Group], excluded: Flags) -> Floats:
    """Return the standard error of values by their repeats, by class and metric; 0 where it is not known."""
    errors = np.zeros(measured.value.shape)
    for group in groups:
        errors[group.rows] = np.nan_to_num(robust.median(measured.error[group.rows[~excluded[group.rows]]], 0))
    return errors


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
