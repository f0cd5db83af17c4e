"""How often the pair model names three bad nodes and one bad path among 1,024 nodes, and nobody else. Prints a table.

    .venv/bin/python tests/performance/pair_simulation.py [--seeds N] [--rounds N]

32 switches of 32 nodes, a sparse design. See bench/README.md.
"""

import argparse
import time
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from nodeproof_bench.analysis.pair_model import PairValue, fit
from nodeproof_bench.analysis.tournament import path, sparse

NODES, A_SWITCH = 1024, 32

#: How healthy nodes and paths truly differ, and the coefficient of variation of one pair's result, with heavy tails.
NODE_SPREAD, PATH_SPREAD, VARIATION, NOISE_DF = 0.01, 0.003, 0.015, 4

#: Of all pairs, and what is lost then: a disturbance that nobody noticed.
DISTURBED, DISTURBANCE = 0.01, 0.3


class Fault(NamedTuple):
    """What bad nodes and the bad path take: a share of a rate, or a time that is added."""

    name: str
    share: float = 0.0
    seconds: float = 0.0


FAULTS = (Fault("-10 % bandwidth", share=0.10), Fault("-5 % bandwidth", share=0.05),
          Fault("+50 µs latency", seconds=50e-6), Fault("+1 µs latency", seconds=1e-6))  # fmt: skip


def simulate(seed: int, fault: Fault, rounds: int) -> tuple[list[PairValue], set[str], str]:
    """Return what all pairs reached, the bad nodes, and the bad path."""
    source = np.random.default_rng(seed)
    nodes = [f"n{n:04d}" for n in range(NODES)]
    switches = {node: f"s{n // A_SWITCH:02d}" for n, node in enumerate(nodes)}
    pairs = [pair for design in sparse(nodes, rounds, seed, switches) for pair in design.pairs]
    paths = [path(*pair, switches) for pair in pairs]
    bad = set(source.choice(nodes, 3, replace=False).tolist())
    bad_path = str(source.choice(sorted(set(paths))))
    own = dict(zip(nodes, source.normal(0, NODE_SPREAD, NODES), strict=True))
    of_path = dict(zip(sorted(set(paths)), source.normal(0, PATH_SPREAD, len(set(paths))), strict=True))
    values = list[PairValue]()
    for (a, b), between in zip(pairs, paths, strict=True):
        faults = (a in bad) + (b in bad) + (between == bad_path)
        worse = own[a] + own[b] + of_path[between] + VARIATION * source.standard_t(NOISE_DF) / np.sqrt(2)
        worse += DISTURBANCE * source.random() * (source.random() < DISTURBED)
        if fault.seconds:
            base = 1.5e-6 if between.startswith("within") else 2.2e-6
            values.append(PairValue(a, b, between, base * float(np.exp(worse)) + faults * fault.seconds))
        else:
            values.append(PairValue(a, b, between, 24e9 * float(np.exp(-worse)) * (1 - fault.share) ** faults))
    return values, bad, bad_path


def attempt(seed: int, fault: Fault, rounds: int) -> tuple[bool, int, int, float]:
    """Return whether exactly the bad ones are named, how many are missed, how many good ones named, and the time."""
    values, bad, bad_path = simulate(seed, fault, rounds)
    began = time.monotonic()
    found = fit(values, is_higher_better=not fault.seconds)
    took = time.monotonic() - began
    named = {s.node or s.path for s in found.suspects}
    wanted = {*bad, bad_path}
    return named == wanted, len(wanted - named), len(named - wanted), took


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=100)
    parser.add_argument("--rounds", type=int, nargs="+", default=[8])
    asked = parser.parse_args(arguments)
    print("| Fault | Rounds | All four named and nobody else | Missed | Wrongly named | Longest fit, s |")
    print("|---|---|---|---|---|---|")
    for rounds in asked.rounds:
        for fault in FAULTS:
            tried = [attempt(seed, fault, rounds) for seed in range(asked.seeds)]
            right, missed, wrong = (sum(t[n] for t in tried) for n in range(3))
            longest = max(t[3] for t in tried)
            print(f"| {fault.name} | {rounds} | {right} of {len(tried)} | {missed} | {wrong} | {longest:.2f} |")


if __name__ == "__main__":
    main()
