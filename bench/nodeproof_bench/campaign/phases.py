"""From a plan and a list of nodes to tasks, and to how long they will take: pure, nothing is asked or submitted."""

import math
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from nodeproof.slurm.placed import Placed
from nodeproof_bench.analysis.tournament import Round, full, path, sparse
from nodeproof_bench.campaign.book_rows import Task
from nodeproof_bench.campaign.plan import PAIR_BENCHMARKS, Phase, Plan
from nodeproof_bench.campaign.times import seconds_of
from nodeproof_bench.placement import LEAST_CACHE_BYTES, Place, Topology
from nodeproof_bench.placement import plan as placed_runs

#: Up to so many nodes every two are paired where a plan names no rounds; of more, each meets eight others.
MOST_OF_FULL, SPARSE_ROUNDS = 16, 8

#: Phases that only confirm findings are called after the phase that they repeat.
CONFIRM = "confirm."

#: What a job takes besides measuring: to start, to look around, to write its result, and to free the node.
OVERHEAD_S = 15.0

#: All checks of a node, and all facts for the inventory.
_INVENTORY_S = 60.0

#: What a benchmark of a pair takes: its ends meet, it measures many sizes, and they part.
_PAIR_S, _PAIR_SETUP_S = 12.0, 3.0

#: A job's limit in times of what it should take: a sick node is slow, and shall still tell so.
_LIMIT_TIMES, _LIMIT_MORE_S = 3.0, 120.0


class Estimate(NamedTuple):
    """What a phase comes down to. `seconds` is from its first job to its last, if no node is busy with others."""

    phase: Phase
    tasks: int
    jobs: int
    node_hours: float
    seconds: float


def tasks_of(campaign_id: str, plan: Plan, nodes: Sequence[str], switches: Mapping[str, str]) -> list[Task]:
    """Return all tasks, phase by phase and round by round, numbered from 1."""
    found: list[Task] = []
    for phase in plan.named_phases():
        if phase.kind == "pairs":
            rounds = rounds_of(phase, nodes, plan.seed, switches)
            found += pair_tasks(campaign_id, phase, rounds, switches, len(found) + 1)
        else:
            found += single_tasks(campaign_id, phase, nodes, len(found) + 1)
    return found


def single_tasks(campaign_id: str, phase: Phase, nodes: Sequence[str], first: int, repeat: int = 1) -> list[Task]:
    suite = " ".join(words_of(phase))
    return [
        Task(campaign_id, n, phase.name, phase.kind, suite, repeat, 0, (node,)) for n, node in enumerate(nodes, first)
    ]


def pair_tasks(
    campaign_id: str, phase: Phase, rounds: Sequence[Round], switches: Mapping[str, str], first: int
) -> list[Task]:
    suite = " ".join(words_of(phase))
    pairs = [(number, pair) for number, one in enumerate(rounds, 1) for pair in one.pairs]
    return [
        Task(campaign_id, n, phase.name, phase.kind, suite, 1, number, pair, path(*pair, switches))
        for n, (number, pair) in enumerate(pairs, first)
    ]


def rounds_of(phase: Phase, nodes: Sequence[str], seed: int, switches: Mapping[str, str]) -> list[Round]:
    """Return the rounds of a tournament: of every two nodes, or as many as the plan names."""
    is_all = phase.rounds == "all" or (phase.rounds is None and len(nodes) <= MOST_OF_FULL)
    if is_all:
        return full(nodes)
    count = phase.rounds if isinstance(phase.rounds, int) else SPARSE_ROUNDS
    least = len(nodes) - 1 if len(nodes) % 2 == 0 else len(nodes)
    return full(nodes) if count >= least else sparse(nodes, count, seed, switches)


def words_of(phase: Phase) -> tuple[str, ...]:
    """Return the suite or the benchmarks of a phase, as `nodeproof bench` takes them."""
    match phase.kind:
        case "bench" | "repeat":
            return phase.benchmarks or (phase.suite or "quick",)
        case "pairs":
            return phase.benchmarks or PAIR_BENCHMARKS
        case "stress":
            return ("burnin",)
        case _:
            return ()


def repeats_of(phase: Phase) -> int:
    """Return how often a job measures its suite."""
    return phase.repeats or {"bench": 5, "repeat": 3}.get(phase.kind, 1)


def duration_s_of(phase: Phase) -> float:
    """Return how long a stress phase takes; 0 of any other."""
    return seconds_of(phase.duration or "10m") if phase.kind == "stress" else 0.0


def task_s(phase: Phase, placed: Placed) -> float:
    """Return how long a task of this phase should take on a node of this size, starting and ending included."""
    match phase.kind:
        case "inventory":
            return OVERHEAD_S + _INVENTORY_S
        case "stress":
            return OVERHEAD_S + duration_s_of(phase)
        case "pairs":
            return OVERHEAD_S + len(words_of(phase)) * (_PAIR_SETUP_S + (phase.seconds or _PAIR_S))
        case _:
            runs = placed_runs(words_of(phase), _topology(placed), seconds=phase.seconds)
            return OVERHEAD_S + repeats_of(phase) * runs.estimate_s


def limit_s(phase: Phase, placed: Placed) -> float:
    """Return how long a job of this phase may take before Slurm ends it."""
    return phase.limit_s or _LIMIT_TIMES * task_s(phase, placed) + _LIMIT_MORE_S


def estimates(plan: Plan, tasks: Sequence[Task], nodes: Mapping[str, Placed]) -> list[Estimate]:
    """Return what each phase takes. Phases of one node follow each other; so do, roughly, those of all."""
    found = []
    at_once = nodes_at_once(plan, nodes)
    for phase in plan.named_phases():
        own = [task for task in tasks if task.phase == phase.name]
        each_s = max((task_s(phase, nodes[name]) for task in own for name in task.nodes), default=0.0)
        jobs = sum(len(task.nodes) for task in own)
        by_round = [sum(len(t.nodes) for t in own if t.round == n) for n in sorted({t.round for t in own})]
        waves = sum(math.ceil(count / max(len(own[0].nodes), at_once)) for count in by_round)
        found.append(Estimate(phase, len(own), jobs, jobs * each_s / 3600, waves * each_s))
    return found


def nodes_at_once(plan: Plan, nodes: Mapping[str, Placed]) -> int:
    """Return how many of these nodes may be at work at once, if they are all there is in their partitions."""
    shares = [len(nodes)]
    for partition in {p for placed in nodes.values() for p in placed.node.partitions}:
        total = sum(partition in placed.node.partitions for placed in nodes.values())
        outside = len(nodes) - total
        shares.append(share_limit(plan.submit.share_of_partition, total) + outside)
    return max(1, min(plan.submit.nodes_at_once, *shares))


def share_limit(share: float, total: int) -> int:
    """Return how many nodes of a partition may be at work: at least two, or no pair ever would."""
    return max(2, int(share * total + 1e-6))


def _topology(placed: Placed) -> Topology:
    """Return what is known of a node's size: Slurm tells of no caches, and takes a socket for a NUMA node."""
    cpus, sockets = placed.cpus, placed.sockets
    memory_bytes = (placed.memory_mib << 20) // sockets
    place = Place(0, max(1, cpus // sockets), memory_bytes, LEAST_CACHE_BYTES, LEAST_CACHE_BYTES)
    places = tuple(place._replace(node=n) for n in range(sockets))
    return Topology(sockets, sockets * placed.cores_per_socket, cpus, places, sockets * sockets)
