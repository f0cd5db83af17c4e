"""How many planted faults the judgement of a fleet finds, and how many healthy nodes it blames. Prints tables.

    PYTHONPATH=tests .venv/bin/python tests/performance/fleet_simulation.py [--seeds N] [--roc FILE.svg]

10,000 nodes, as `planted_fleet` describes them: with three earlier campaigns, and in their first. Beside it the usual
rules: 3.5 robust sigma from the median of the class, and 5 % from it.
"""

import argparse
import resource
import time
from collections import defaultdict
from collections.abc import Callable, Iterable
from functools import partial
from typing import NamedTuple

import numpy as np

from nodeproof_bench.analysis import robust
from nodeproof_bench.analysis.fleet import Fleet, Rules, judge
from performance.planted_fleet import EARLIER, Fault, Planted, simulate
from performance.roc_plot import Curve, svg

#: The points of the curve.
RATES = (1e-5, 1e-4, 1e-3, 0.01, 0.03, 0.1, 0.2, 0.4)
SIGMAS = (2.5, 3.0, 3.5, 4.0, 4.5, 5.0, 6.0, 8.0)

#: What must be found: at least this loss, in metrics that repeat to this coefficient of variation.
MUST_LOSS, MUST_VARIATION = 0.05, 0.008

#: No fault that makes a node slow.
_APART = frozenset({"too_good", "disturbed"})


class Score(NamedTuple):
    """Of each fault how many are found, the faults planted, the healthy nodes blamed, and all healthy ones."""

    found: dict[Fault, int]
    planted: dict[Fault, int]
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


def faults_table(seeds: int) -> None:
    """Print what each rule finds of each fault."""
    total, longest = defaultdict[str, Score](lambda: NONE), 0.0
    for seed in range(seeds):
        planted = simulate(seed)
        for name, rule in ((f"{EARLIER} earlier campaigns", ours), ("first campaign", in_first)):
            began = time.monotonic()
            total[name] += score(planted, rule(planted.fleet))
            longest = max(longest, time.monotonic() - began)
        total["3.5 robust sigma"] += score(planted, sigmas(planted.fleet, 3.5))
        total["5 % rule"] += score(planted, five_percent(planted.fleet))
    names = list(total)
    print(f"| Fault | CV of a repeat | Planted | {' | '.join(names)} |\n|---|---|---|{'---|' * len(names)}")
    for fault, count in total[names[0]].planted.items():
        band = f"{fault.band[0]:.1%} to {fault.band[1]:.1%}" if fault.band else "all"
        print(f"| {fault.name} | {band} | {count} | {_cells(f'{total[n].found[fault] / count:.1%}' for n in names)} |")
    false = _cells(f"{total[n].false_per_1000:.2f}" for n in names)
    print(f"| **healthy nodes blamed, of 1,000** | | {total[names[0]].healthy} | {false} |")
    shape = planted.fleet.values.shape
    print(f"\n{shape[0]} nodes x {shape[1]} metrics x {shape[2]} repeats: longest judgement {longest:.1f} s, ", end="")
    print(f"peak memory with the simulation {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024:.0f} MiB")


def _cells(texts: Iterable[str]) -> str:
    return " | ".join(texts)


def roc(seeds: int, file: str) -> None:
    """Print the points of the curves, and draw them."""
    ways: dict[str, list[tuple[str, Callable[[Fleet], set[str]]]]] = {
        f"nodeproof, {EARLIER} earlier campaigns": [(f"rate {r:g}", partial(ours, rate=r)) for r in RATES],
        "nodeproof, first campaign": [(f"rate {r:g}", partial(in_first, rate=r)) for r in RATES],
        "robust sigma of the class": [(f"{s:g} sigma", partial(sigmas, most=s)) for s in SIGMAS],
        "5 % rule": [("5 %", five_percent)],
    }
    total = defaultdict[tuple[str, str], Score](lambda: NONE)
    for seed in range(seeds):
        planted = simulate(seed)
        for way, points in ways.items():
            for at, rule in points:
                total[way, at] += score(planted, rule(planted.fleet))
    print("| Rule | At | Found of what must be found | Healthy nodes blamed, of 1,000 |\n|---|---|---|---|")
    for (way, at), one in total.items():
        print(f"| {way} | {at} | {one.must:.1%} | {one.false_per_1000:.2f} |")
    curves = [
        Curve(way, [(one.false_per_1000, one.must) for (own, _), one in total.items() if own == way]) for way in ways
    ]
    with open(file, "w", encoding="utf-8") as drawing:
        drawing.write(svg(curves, "healthy nodes blamed, of 1,000", "faults found"))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--roc", metavar="FILE", help="draw the curve instead")
    asked = parser.parse_args()
    if asked.roc:
        roc(asked.seeds, asked.roc)
    else:
        faults_table(asked.seeds)


if __name__ == "__main__":
    main()
