"""What the healthy nodes of a campaign reached, as limits for policy: one class of policy for each class of hardware.

A limit is the median of the class less a margin that follows from its spread: six robust standard deviations of all
single runs, so that a healthy node of the class fails it by chance in less than one of a million runs, were they
normal. It is never tighter than `LEAST`, because a class is measured on one day and judged on all others, and no
healthy node of the campaign is beyond it. Where the spread is so large that such a limit would find nothing, there is
none. Deliberately not here: how it is written down (`report.baseline_text`).
"""

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import NamedTuple

from nodeproof_bench.campaign.book import Book
from nodeproof_bench.campaign.figures import figures
from nodeproof_bench.campaign.limits import Target, target_of
from nodeproof_bench.campaign.phases import CONFIRM
from nodeproof_bench.campaign.report.distributions import OPEN
from nodeproof_bench.campaign.report.gathered import Gathered
from nodeproof_bench.checks.common import RATE_MARGIN, TIME_MARGIN, rounded
from nodeproof_bench.stats import median, robust_sigma

#: Standard deviations between the median and the limit, the least margin, and the one that is of no use any more.
SIGMAS, LEAST, MOST = 6.0, 0.02, 0.30

#: Of fewer nodes the spread is not known well: the margins of `nodeproof policy learn` are the least then.
FEW_NODES = 8

#: A healthy node that is farther away than the margin gets this much room beyond it.
_BEYOND_WORST = 0.01

#: A module less makes a larger difference than this: what differs more is no common figure of the NUMA nodes.
_ALIKE = 0.03

#: Kinds of phases that say what nodes can do.
_KINDS = frozenset({"bench", "repeat", "pairs"})


class Limit(NamedTuple):
    """A limit, and what it comes from: nodes (or pairs), single runs, median, robust deviation, the share taken off."""

    target: Target
    metric: str
    unit: str
    value: float
    nodes: int
    runs: int
    median: float
    sigma_share: float
    margin: float


class Unlearned(NamedTuple):
    """A metric that gave no limit, and why."""

    metric: str
    why: str


class Class(NamedTuple):
    """A class of hardware: all its nodes, how many of them are healthy, and their limits by target."""

    name: str
    nodes: Sequence[str]
    healthy: int
    limits: Sequence[Limit]
    usual_bytes_per_s: float | None
    unlearned: Sequence[Unlearned]


def learn(book: Book, gathered: Gathered, healthy: Iterable[str]) -> list[Class]:
    """Return the classes, with limits from their healthy nodes alone."""
    class_of = {node: gathered.classes[node] for node in healthy if node in gathered.classes}
    runs = _runs(book, gathered, class_of)
    classes = []
    for name in sorted(set(gathered.classes.values())):
        learned = [_limit(*key[1:], by_node) for key, by_node in sorted(runs.items()) if key[0] == name]
        limits = [limit for limit in learned if isinstance(limit, Limit)]
        classes.append(
            Class(
                name=name,
                nodes=sorted(node for node, of in gathered.classes.items() if of == name),
                healthy=sum(of == name for of in class_of.values()),
                limits=_loosest(limits),
                usual_bytes_per_s=_usual([limit for limit in limits if limit.target.check == "memory.triad"]),
                unlearned=[limit for limit in learned if isinstance(limit, Unlearned)],
            )
        )
    return classes


#: Class, metric, unit and target; then the single runs by node, or by pair of nodes.
_Runs = dict[tuple[str, str, str, Target], dict[str, list[float]]]


def _runs(book: Book, gathered: Gathered, class_of: Mapping[str, str]) -> _Runs:
    """Return what healthy nodes measured, and pairs of healthy nodes of one class on paths that nothing is wrong with.

    Not what was measured under stress, which is slower by design, or to confirm a finding.
    """
    tasks = [t for t in gathered.tasks if t.kind in _KINDS and not t.phase.startswith(CONFIRM)]
    bad_paths = {finding.path for finding in gathered.findings if finding.path and finding.state in OPEN}
    left_out = {task.task for task in tasks if task.path in bad_paths}
    runs: _Runs = {}
    for figure in figures(book, gathered.campaign.id, {task.phase for task in tasks}):
        target = target_of(figure.metric, is_pair=bool(figure.peer))
        name = class_of.get(figure.node)
        if target is None or name is None or figure.is_inconclusive or figure.task in left_out:
            continue
        value = figure.sustained if target.is_sustained else figure.value
        if value is not None and 0 < value < math.inf and (not figure.peer or class_of.get(figure.peer) == name):
            of_metric = runs.setdefault((name, figure.metric, figure.unit, target), {})
            of_metric.setdefault(f"{figure.node} {figure.peer}".strip(), []).append(value)
    return runs


def _limit(metric: str, unit: str, target: Target, by_node: Mapping[str, Sequence[float]]) -> Limit | Unlearned:
    is_least = target.parameter.startswith("min_")
    values = [value for of_node in by_node.values() for value in of_node]
    centre, sigma = median(values), robust_sigma(values)
    margin = max(LEAST, SIGMAS * sigma / centre)
    if len(by_node) < FEW_NODES:
        margin = max(margin, 1 - RATE_MARGIN if is_least else TIME_MARGIN - 1)
    medians = [median(of_node) for of_node in by_node.values()]
    worst = 1 - min(medians) / centre if is_least else max(medians) / centre - 1
    if worst > margin:
        margin = worst + _BEYOND_WORST
    if margin > MOST:
        return Unlearned(metric, f"healthy nodes differ too much: a limit would be {margin:.0%} off the median")
    value = rounded(centre * (1 - margin)) if is_least else rounded(centre * (1 + margin), up=True)
    return Limit(target, metric, unit, value, len(by_node), len(values), centre, sigma / centre, margin)


def _loosest(limits: Iterable[Limit]) -> list[Limit]:
    """Return one limit for each target: one parameter is for all NUMA nodes and operations, so the worst decides."""
    by_target: dict[Target, Limit] = {}
    for limit in limits:
        key, is_least = limit.target, limit.target.parameter.startswith("min_")
        before = by_target.get(key)
        if before is None or (limit.value < before.value if is_least else limit.value > before.value):
            by_target[key] = limit
    return sorted(by_target.values(), key=lambda limit: limit.target.check)


def _usual(limits: Sequence[Limit]) -> float | None:
    """Return what a NUMA node of the class moves, to tell a missing module, if its NUMA nodes are alike."""
    medians = [limit.median for limit in limits]
    if not medians or min(medians) < (1 - _ALIKE) * max(medians):
        return None
    return rounded(median(medians))


def by_check(limits: Iterable[Limit]) -> Iterator[tuple[str, list[Limit]]]:
    """Yield the checks and their limits."""
    found: dict[str, list[Limit]] = {}
    for limit in limits:
        found.setdefault(limit.target.check, []).append(limit)
    yield from sorted(found.items())
