"""How small a fault of one RDMA port is found by `rdma.latency`, and how often there is one where there is none.

Runs are drawn from published latencies (`tests/latency_histograms.py`), and judged by the check itself. What came of
it is in `bench/README.md`. Run it with `PYTHONPATH=tests .venv/bin/python tests/performance/rdma_outliers.py`.
"""

import argparse
import sys
from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

import numpy as np

from latency_histograms import NO_FAULT, Fault, Node, points
from nodeproof.verdict import Status
from nodeproof_bench.checks.rdma import rdma_latency
from nodeproof_bench.port_kinds import PortKinds
from planted_bench import history, result

FAULTS = (
    NO_FAULT,
    Fault(50),
    Fault(50, 0.05),
    Fault(50, 0.01),
    Fault(50, 0.005),
    Fault(50, 0.002),
    Fault(10, 0.05),
    Fault(10, 0.01),
    Fault(5, 0.05),
    Fault(5, 0.01),
    Fault(5),
    Fault(2),
    Fault(1),
    Fault(0.7),
    Fault(0.5),
    Fault(0.3),
)

NODES = {
    "8 ports": Node(),
    "8 in a ring": Node(is_ring=True),
    "4 ports": Node(ports=4),
    "3 ports": Node(ports=3),
    "2 ports": Node(ports=2),
}


class Tally(NamedTuple):
    """Of so many runs: in how many the right port alone was named, one of its links, another one too, or nothing."""

    right: int
    link: int
    wrong: int
    silent: int


def tally(node: Node, fault: Fault, runs: int, seed: int) -> Tally:
    """Judge so many runs."""
    source = np.random.default_rng(seed)
    found = [_named(points(source, node, fault)) for _ in range(runs)]
    bad = f"mlx5_{node.ports - 3 if node.ports > 3 else node.ports - 1}/1"
    right = sum(names == [bad] for names in found) if fault.added_us else 0
    link = sum(names != [bad] and all(bad in n for n in names) for names in found if names) if fault.added_us else 0
    silent = sum(not names for names in found)
    return Tally(right, link, runs - right - link - silent, silent)


def _named(measured: list[dict[str, object]]) -> list[str]:
    one = result("rdma.latency", 2e-6, "s", points=measured, threads=1, cpus="0")
    verdict = rdma_latency(history(one), PortKinds({}))
    if verdict.status == Status.OK:
        return []
    ports = verdict.evidence["ports"]
    assert isinstance(ports, list)
    return ports


def lines(runs: int, seed: int, faults: Sequence[Fault], nodes: Mapping[str, Node]) -> Iterator[str]:
    """Yield the table, one line for each kind of fault and node."""
    yield f"{'FAULT':28}  {'NODE':12}  {'RIGHT':>8}  {'ITS LINK':>8}  {'WRONG':>8}  {'SILENT':>8}"
    for fault in faults:
        for name, node in nodes.items():
            found = tally(node, fault, runs, seed)
            words = f"+{fault.added_us:g} µs on {fault.share:.1%} of messages" if fault.added_us else "none"
            shares = "  ".join(f"{100 * n / runs:7.2f}%" for n in found)
            yield f"{words:28}  {name:12}  {shares}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0] if __doc__ else "")
    parser.add_argument("--runs", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--node", choices=NODES, action="append", help="kind of node, all by default")
    parser.add_argument("--faults", type=int, default=len(FAULTS), help="how many of the kinds of faults, in order")
    options = parser.parse_args()
    nodes = {name: NODES[name] for name in options.node or NODES}
    for line in lines(options.runs, options.seed, FAULTS[: options.faults], nodes):
        sys.stdout.write(f"{line}\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
