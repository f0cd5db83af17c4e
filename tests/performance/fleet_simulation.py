"""How many planted faults the judgement of a fleet finds, and how many healthy nodes it blames. Prints tables.

    PYTHONPATH=tests .venv/bin/python tests/performance/fleet_simulation.py [--from SEED] [--seeds N]
        [--thorough | --roc FILE.svg | --healthy]

10,000 nodes, as `planted_fleet` describes them: with three earlier campaigns, and in their first. They are judged as in
a campaign: what stands out is measured again, with fresh noise, and only what is confirmed then is blamed. Beside it
the usual rules: 3.5 robust sigma from the median of the class, and 5 % from it.
"""

import argparse
import resource
import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from functools import partial
from typing import NamedTuple

import numpy as np

from nodeproof_bench.analysis import robust
from nodeproof_bench.analysis.again import judge_again, times_again
from nodeproof_bench.analysis.fleet import THOROUGH, Fleet, Rules
from nodeproof_bench.analysis.judging import First, examine, judge
from nodeproof_bench.campaign.assess import CONFIRMATIONS
from nodeproof_bench.campaign.recheck import Recheck
from nodeproof_bench.campaign.states import row_of, settled
from performance.planted_fleet import EARLIER, REPEATS, Fault, Planted, measured_again, simulate
from performance.roc_plot import Curve, svg

#: The points of the curve.
RATES = (1e-5, 1e-4, 1e-3, 0.005, 0.02, 0.05, 0.1, 0.2, 0.4)
SIGMAS = (2.5, 3.0, 3.5, 4.0, 4.5, 5.0, 6.0, 8.0)

#: What must be found: at least this loss, in metrics that repeat to this coefficient of variation.
MUST_LOSS, MUST_VARIATION = 0.05, 0.02

_EARLIER, _FIRST = f"{EARLIER} earlier campaigns", "first campaign"

#: Nodes of small fleets.
SMALL = (5, 8, 12, 24, 48, 100, 200)

#: No fault that makes a node slow.
_APART = frozenset({"too_good", "disturbed"})

#: What is about many metrics.
_OF_MANY = frozenset({"part", "distribution"})


class Score(NamedTuple):
    """Of each fault how many are found, the faults planted, the healthy nodes blamed, and all healthy ones."""

    found: Mapping[Fault, int]
    planted: Mapping[Fault, int]
    wrong: int
    healthy: int

    def __add__(self, other: object) -> "Score":
        assert isinstance(other, Score)
        found = {f: n + other.found.get(f, 0) for f, n in self.found.items()} or other.found
        planted = {f: n + other.planted.get(f, 0) for f, n in self.planted.items()} or other.planted
        return Score(found, planted, self.wrong + other.wrong, self.healthy + other.healthy)

    @property
    def false_per_1000(self) -> float:
        return 1000 * self.wrong / self.healthy

    @property
    def must(self) -> float:
        """The share found of what must be found."""
        must = [fault for fault in self.planted if is_must(fault)]
        return sum(self.found[f] for f in must) / sum(self.planted[f] for f in must)


class Effort(NamedTuple):
    """How many nodes of how many were measured again: for findings, and for doubts; and their repeats altogether.

    `first_s` and `again_s` are the longest times that the first judgement and the last one took.
    """

    nodes: int = 0
    found: int = 0
    doubted: int = 0
    repeats: float = 0
    first_s: float = 0.0
    again_s: float = 0.0

    def __add__(self, other: object) -> "Effort":
        assert isinstance(other, Effort)
        return Effort(
            self.nodes + other.nodes,
            self.found + other.found,
            self.doubted + other.doubted,
            self.repeats + other.repeats,
            max(self.first_s, other.first_s),
            max(self.again_s, other.again_s),
        )


NONE = Score({}, {}, 0, 0)


def is_must(fault: Fault) -> bool:
    return fault.loss >= MUST_LOSS and (fault.band is None or fault.band[1] <= MUST_VARIATION)


def score(planted: Planted, blamed: set[str]) -> Score:
    names = planted.fleet.nodes
    sick = {names[n] for nodes in planted.faults.values() for n in nodes}
    found = {fault: sum(names[n] in blamed for n in nodes) for fault, nodes in planted.faults.items()}
    counts = {fault: len(nodes) for fault, nodes in planted.faults.items()}
    return Score(found, counts, len(blamed - sick), len(names) - len(sick))


def ours(fleet: Fleet, rate: float = Rules().false_discovery_rate) -> set[str]:
    findings = judge(fleet, Rules(false_discovery_rate=rate)).findings
    return {f.node for f in findings if f.detector not in _APART}


def in_first(fleet: Fleet, rate: float = Rules().false_discovery_rate) -> set[str]:
    """Return whom we blame in a fleet's first campaign."""
    return ours(fleet._replace(earlier=None), rate)


class Trial:
    """A fleet that is judged as a campaign does: at first, and again when what stood out was measured again."""

    def __init__(self, planted: Planted, seed: int, rules: Rules | None = None) -> None:
        fleet, began_s = planted.fleet, time.monotonic()
        self._first = examine(fleet, rules)
        first_s = time.monotonic() - began_s
        self._rows = [row_of("", finding) for finding in self._first.judgement.findings]
        times = _times(self._first)
        source, place = np.random.default_rng([seed, 1]), {node: row for row, node in enumerate(fleet.nodes)}
        self._fresh = [f for n in sorted(times) for f in measured_again(planted, source, place[n], times[n])]
        is_higher = {metric.name: metric.is_higher_better for metric in fleet.metrics}
        self._again = {(f.node, f.metric): Recheck(is_higher[f.metric], f.times) for f in self._fresh}
        self.at_first = {row.node for row in self._rows if row.detector not in _APART}
        self.measured_again = set(times)
        doubted = len(times) - len(self.at_first)
        again = REPEATS * sum(sum(of_node.values()) for of_node in times.values()) / len(fleet.metrics)
        self.effort = Effort(len(fleet.nodes), len(self.at_first), doubted, again, first_s)

    def in_the_end(self, rules: Rules | None = None) -> set[str]:
        """Return whom we blame when all is measured."""
        rules, began_s = rules or self._first.rules, time.monotonic()
        by_all = judge_again(self._first._replace(rules=rules), self._fresh).findings
        self.effort = self.effort._replace(again_s=time.monotonic() - began_s)
        rows = settled(self._rows, [row_of("", f) for f in by_all], self._again, CONFIRMATIONS, rules)
        return {row.node for row in rows if row.state == "confirmed"}


def _times(first: First) -> dict[str, dict[str, int]]:
    """Return how many times which metrics of each node are measured again: all of them where many are in question."""
    times, names = defaultdict[str, dict[str, int]](dict), [metric.name for metric in first.fleet.metrics]
    found = {f: CONFIRMATIONS for f in first.judgement.findings if f.detector not in _APART}
    for one, wanted in (*found.items(), *times_again(first, CONFIRMATIONS).items()):
        for name in names if one.detector in _OF_MANY else (one.metric,):
            times[one.node][name] = max(wanted, times[one.node].get(name, 0))
    return times


def sigmas(fleet: Fleet, most: float) -> set[str]:
    """Return whose median of repeats is beyond so many robust sigma of its class in any metric."""
    return _beyond(fleet, robust.median(fleet.values, 2), lambda worse: most * robust.scaled_mad(worse))


def five_percent(fleet: Fleet) -> set[str]:
    """Return whose first repeat is 5 % worse than its class's median in any metric."""
    return _beyond(fleet, fleet.values[:, :, 0], lambda worse: np.full(worse.shape[1], 0.05))


def _beyond(fleet: Fleet, values: robust.Floats, limit: Callable[[robust.Floats], robust.Floats]) -> set[str]:
    sign = np.array([-1.0 if m.is_higher_better else 1.0 for m in fleet.metrics])
    classes, found = np.array(fleet.classes), set[str]()
    for name in set(fleet.classes):
        rows = np.flatnonzero(classes == name)
        worse = sign * (values[rows] / robust.median(values[rows], 0) - 1)
        if len(rows) >= Rules().least_class_nodes:
            found |= {fleet.nodes[row] for row in rows[(worse > limit(worse)).any(1)]}
    return found


def faults_table(seeds: Iterable[int], rules: Rules) -> None:
    """Print what each rule finds of each fault."""
    total, effort = defaultdict[str, Score](lambda: NONE), defaultdict[str, Effort](Effort)
    for seed in seeds:
        planted = simulate(seed)
        for name, whole in _campaigns(planted):
            trial = Trial(whole, seed, rules)
            total[f"{name}: at first"] += score(planted, trial.at_first)
            total[f"{name}: measured again"] += score(planted, trial.measured_again)
            total[f"{name}: **in the end**"] += score(planted, trial.in_the_end())
            effort[name] += trial.effort
        total["3.5 robust sigma"] += score(planted, sigmas(planted.fleet, 3.5))
        total["5 % rule"] += score(planted, five_percent(planted.fleet))
    _print_faults(total)
    for name, one in effort.items():
        _print_effort(name, one)
    print(f"peak memory with the simulation {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024:.0f} MiB")


def _print_faults(total: Mapping[str, Score]) -> None:
    names = list(total)
    print(f"| Fault | CV of a repeat | Planted | {' | '.join(names)} |\n|---|---|---|{'---|' * len(names)}")
    for fault, count in total[names[0]].planted.items():
        band = f"{fault.band[0]:.1%} to {fault.band[1]:.1%}" if fault.band else "all"
        print(f"| {fault.name} | {band} | {count} | {_cells(f'{total[n].found[fault] / count:.1%}' for n in names)} |")
    false = _cells(f"{total[n].false_per_1000:.2f}" for n in names)
    print(f"| **healthy nodes blamed, of 1,000** | | {total[names[0]].healthy} | {false} |\n")


def _print_effort(name: str, effort: Effort) -> None:
    found, doubted = effort.found / effort.nodes, effort.doubted / effort.nodes
    print(
        f"{name}: {found:.1%} of the nodes measured again for findings, {doubted:.1%} for doubts, "
        f"{effort.repeats / effort.nodes:.2f} repeats for each node of the fleet; "
        f"judged in {effort.first_s:.1f} s at most, again in {effort.again_s:.1f} s"
    )


def _cells(texts: Iterable[str]) -> str:
    return " | ".join(texts)


def roc(seeds: Iterable[int], file: str) -> None:
    """Print the points of the curves, and draw them."""
    ways: dict[str, list[tuple[str, Callable[[Fleet], set[str]]]]] = {
        f"{_EARLIER}, at first": [(f"rate {r:g}", partial(ours, rate=r)) for r in RATES],
        f"{_FIRST}, at first": [(f"rate {r:g}", partial(in_first, rate=r)) for r in RATES],
        "robust sigma of the class": [(f"{s:g} sigma", partial(sigmas, most=s)) for s in SIGMAS],
        "5 % rule": [("5 %", five_percent)],
    }
    total = defaultdict[tuple[str, str], Score](lambda: NONE)
    for seed in seeds:
        planted = simulate(seed)
        for way, whole in _campaigns(planted):
            trial = Trial(whole, seed)
            for rate in RATES:
                total[f"{way}, in the end", f"rate {rate:g}"] += score(
                    planted, trial.in_the_end(Rules(rate_again=rate))
                )
        for way, points in ways.items():
            for at, rule in points:
                total[way, at] += score(planted, rule(planted.fleet))
    print("| Rule | At | Found of what must be found | Healthy nodes blamed, of 1,000 |\n|---|---|---|---|")
    for (way, at), one in total.items():
        print(f"| {way} | {at} | {one.must:.1%} | {one.false_per_1000:.2f} |")
    names = dict.fromkeys(way for way, _ in total)
    curves = [
        Curve(way, [(one.false_per_1000, one.must) for (own, _), one in total.items() if own == way]) for way in names
    ]
    with open(file, "w", encoding="utf-8") as drawing:
        drawing.write(svg(curves, "healthy nodes blamed, of 1,000", "faults found"))


def healthy_table(seeds: Iterable[int]) -> None:
    """Print how many nodes are blamed in small fleets of one class without any fault."""
    print("| Nodes of the class | | Fleets | Nodes | Blamed at first | Measured again | Blamed in the end |")
    print("|---|---|---|---|---|---|---|")
    for size in SMALL:
        total = defaultdict[str, list[int]](lambda: [0] * 5)
        for seed in seeds:
            for way, whole in _campaigns(simulate(seed, {"A": size}, planted=0)):
                trial = Trial(whole, seed)
                sets = trial.at_first, trial.measured_again, trial.in_the_end()
                total[way] = [a + b for a, b in zip(total[way], (1, size, *map(len, sets)), strict=True)]
        for way, counts in total.items():
            print(f"| {size} | {way} | {_cells(map(str, counts))} |")


def _campaigns(planted: Planted) -> list[tuple[str, Planted]]:
    """Return a fleet with its earlier campaigns, and as in its first."""
    return [(_EARLIER, planted), (_FIRST, planted._replace(fleet=planted.fleet._replace(earlier=None)))]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--from", type=int, default=0, dest="first", metavar="SEED")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--roc", metavar="FILE", help="draw the curve instead")
    parser.add_argument("--thorough", action="store_true", help="measure again whatever does not rule out a loss")
    parser.add_argument("--healthy", action="store_true", help="judge small fleets without any fault")
    asked = parser.parse_args()
    seeds = range(asked.first, asked.first + asked.seeds)
    if asked.roc:
        roc(seeds, asked.roc)
    elif asked.healthy:
        healthy_table(seeds)
    else:
        faults_table(seeds, THOROUGH if asked.thorough else Rules())


if __name__ == "__main__":
    main()
