"""Thresholds over benchmark results."""

from collections.abc import Mapping
from typing import Annotated

from nodeproof.check import check
from nodeproof.errors import FactError
from nodeproof.verdict import Verdict, fail, named, ok
from nodeproof_bench.result import MemoryTriad, Triad


def _learn(measured: MemoryTriad) -> Mapping[str, object]:
    """Learn nothing from a machine that was busy: the next run would then be judged by the noise of this one."""
    if measured.unread or not measured.nodes or any(_doubt(t) or _noise(t, 0.5) for t in measured.nodes.values()):
        return {}
    slowest = min(t.capability_bytes_per_s for t in measured.nodes.values())
    return {"min_bytes_per_s": round(0.9 * slowest, -8)}


@check(
    "memory.triad",
    tags="boot bench",
    remedy="Compare `memory.dimms` and `memory.edac` with a good node: a missing, slow or throttled DIMM costs its "
    "channel. Then the BIOS (NUMA per socket, memory speed, power profile). Run `nodeproof-bench memory.triad` "
    "on the idle node to confirm.",
    learn=_learn,
)
def triad(
    measured: MemoryTriad,
    *,
    min_bytes_per_s: Annotated[float, "least memory bandwidth of each NUMA node, in bytes per second"],
    min_stability: Annotated[
        float, "slow results whose 10th percentile is below this share of the 90th are not judged, from 0 to 1"
    ] = 0.5,
) -> Verdict:
    """Every NUMA node has the memory bandwidth that its class promises.

    Most HPC codes and the CPU side of training wait for memory, not for arithmetic. A node that lost
    one of twelve DIMM channels still boots, still passes every functional test, and slows each job
    it takes part in to its own pace.
    """
    nodes = measured.nodes
    if wrong := {n: t.wrong_elements for n, t in nodes.items() if t.wrong_elements}:
        return fail(
            f"{named([f'NUMA node {n} computed or stored {w} wrong values' for n, w in wrong.items()])}, expected none",
            wrong_elements={str(n): w for n, w in wrong.items()},
        )
    slow = {n: t for n, t in nodes.items() if t.capability_bytes_per_s < min_bytes_per_s}
    doubts = {n: d for n, t in nodes.items() if (d := _doubt(t) or (_noise(t, min_stability) if n in slow else ""))}
    rates = {str(n): round(t.capability_bytes_per_s) for n, t in nodes.items()}
    if proven := {n: t for n, t in slow.items() if n not in doubts}:
        parts = [f"NUMA node {n} moves {_gigabytes(t.capability_bytes_per_s)}" for n, t in proven.items()]
        return fail(
            f"{named(parts)} through memory, expected at least {_gigabytes(min_bytes_per_s)}", bytes_per_s=rates
        )
    for node, doubt in doubts.items():
        raise FactError(f"bench memory.triad --node {node}", "failed", doubt)
    for error in measured.unread:
        raise error
    least = min(t.capability_bytes_per_s for t in nodes.values())
    who = f"{len(nodes)} NUMA nodes move" if len(nodes) > 1 else f"NUMA node {next(iter(nodes))} moves"
    return ok(f"{who} {_gigabytes(least)} or more through memory", bytes_per_s=rates)


def _doubt(measured: Triad) -> str:
    """Return why even a fast result says nothing about the hardware, or nothing."""
    return "not measured: too little free memory to get past the caches" if measured.is_cache_bound else ""


def _noise(measured: Triad, min_stability: float) -> str:
    """Return why a slow result says nothing about the hardware, or nothing."""
    if measured.is_contended:
        return "not repeatable: other processes used the CPUs all the time"
    if measured.is_partial:
        return f"not measured: of the node's cores this process may use only CPU {measured.cpus}"
    if measured.stability < min_stability:
        return f"not repeatable: the 10th percentile is {measured.stability:.0%} of the 90th"
    return ""


def _gigabytes(bytes_per_s: float) -> str:
    return f"{bytes_per_s / 1e9:.1f} GB/s"
