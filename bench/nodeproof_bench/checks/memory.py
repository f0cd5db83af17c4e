"""Judgement of memory bandwidth and latency. Between NUMA nodes: `numa`."""

from collections.abc import Mapping, Sequence
from typing import Annotated

from nodeproof.check import check
from nodeproof.probes.smbios import Dimms
from nodeproof.verdict import Verdict, fail, named, ok, plural, warn
from nodeproof_bench.checks.common import (
    MIN_STABILITY,
    RATE_MARGIN,
    TIME_MARGIN,
    certain,
    learnt,
    number,
    place,
    raise_doubts,
    rounded,
    wrong_values,
)
from nodeproof_bench.physics import MemoryPeak, memory_peak, missing_channel
from nodeproof_bench.result import BenchHistory, BenchResult
from nodeproof_bench.stats import median
from nodeproof_bench.units import scaled

#: A share of the peak that servers reach easily: 0.72 to 0.79 are published for two-socket ones.
USUAL_SHARE = 0.6

#: A median of fewer earlier results is no reference.
_LEAST_EARLIER = 5


def _learn_triad(history: BenchHistory) -> Mapping[str, object]:
    """Learn nothing from a machine that was busy: the next run would then be judged by the noise of this one."""
    results = learnt(history, "memory.triad")
    return {"min_bytes_per_s": rounded(RATE_MARGIN * min(r.value for r in results))} if results else {}


@check(
    "memory.triad",
    tags="boot bench",
    remedy="Compare `memory.dimms` and `memory.edac` with a good node: a missing, slow or throttled DIMM costs its "
    "channel. Then the BIOS (NUMA per socket, memory speed, power profile). Run `nodeproof bench memory.triad` "
    "on the idle node to confirm.",
    learn=_learn_triad,
)
def triad(
    history: BenchHistory,
    *,
    min_bytes_per_s: Annotated[float, "least memory bandwidth of each NUMA node, in bytes per second"],
    min_stability: Annotated[
        float, "slow results whose 10th percentile is below this share of the 90th are not judged, from 0 to 1"
    ] = MIN_STABILITY,
) -> Verdict:
    """Every NUMA node has the memory bandwidth that its class promises.

    Most HPC codes and the CPU side of training wait for memory, not for arithmetic. A node that lost
    one of twelve DIMM channels still boots, still passes every functional test, and slows each job
    it takes part in to its own pace.
    """
    results = history.need("memory.triad")
    if wrong := wrong_values(results):
        return wrong
    slow = [r for r in results if r.value < min_bytes_per_s]
    rates = {str(r.node): round(r.value) for r in results}
    if proven := certain(slow, min_stability):
        found = [f"{place(r)} moves {scaled(r.value, 'B/s')}" for r in proven]
        least = scaled(min_bytes_per_s, "B/s")
        return fail(f"{named(found)} through memory, expected at least {least}", bytes_per_s=rates)
    raise_doubts(history, results, slow, min_stability)
    lowest = min(results, key=lambda r: r.value)
    who = f"{len(results)} NUMA nodes move" if len(results) > 1 else f"{place(lowest)} moves"
    return ok(f"{who} {scaled(lowest.value, 'B/s')} or more through memory", bytes_per_s=rates)


def _learn_share(history: BenchHistory, dimms: Dimms) -> Mapping[str, object]:
    results, peak = learnt(history, "memory.triad"), memory_peak(dimms)
    return {"min_share": rounded(RATE_MARGIN * sum(r.value for r in results) / peak.bytes_per_s)} if results else {}


@check(
    "memory.peak_share",
    tags="boot bench",
    beta=True,
    remedy="Look for the missing or disabled module (`memory.dimms`, firmware event log), reseat or replace it, and "
    "compare the population of slots with the board's manual: unequal channels do not interleave. A processor with "
    "few core dies cannot use all channels: set `min_share` for its class.",
    learn=_learn_share,
)
def peak_share(
    history: BenchHistory,
    dimms: Dimms,
    *,
    min_share: Annotated[
        float | None, "least share of what the memory modules can do, from 0 to 1; unset: below 0.6 is a warning"
    ] = None,
    channels: Annotated[
        int | None, "populated memory channels of all sockets; unset: as the names of the slots say"
    ] = None,
    usual_bytes_per_s: Annotated[
        float | None,
        "what a NUMA node of this class moves, in bytes per second, to tell a missing module; "
        "unset: what it moved before, or what the fastest of the nodes moves",
    ] = None,
) -> Verdict:
    """Memory bandwidth is what the installed modules can do, and no channel is missing.

    Channels x configured transfers per second x 8 bytes is a limit that needs no reference node. Far below it,
    modules are in the wrong slots or throttled; above it, something else than memory was measured. A loss of one
    part in as many as there are channels is what a module that failed training leaves behind.
    """
    results, peak = history.need("memory.triad"), memory_peak(dimms, channels)
    measured = sum(r.value for r in results)
    share = measured / peak.bytes_per_s
    least = USUAL_SHARE if min_share is None else min_share
    raise_doubts(history, results, results if share < least else [])
    words = _of_peak(measured, share, peak)
    evidence = {"share": round(share, 3), "channels": peak.channels, "peak_bytes_per_s": round(peak.bytes_per_s)}
    if missing := _missing(history, results, peak, usual_bytes_per_s):
        return fail(missing, **evidence)
    if share > 1:
        cause = "caches were measured, NUMA nodes share channels, or the firmware names wrong speeds"
        return warn(f"{words}, expected less: {cause}", **evidence)
    if share < least and min_share is not None:
        return fail(f"{words}, expected at least {least:.0%}", **evidence)
    if share < least and peak.is_certain:
        return warn(f"{words}, expected at least {least:.0%}, policy does not say how much", **evidence)
    return ok(words, **evidence)


def _of_peak(measured: float, share: float, peak: MemoryPeak) -> str:
    what = plural(peak.channels, "channel" if peak.is_certain else "memory module")
    return (
        f"memory moves {scaled(measured, 'B/s')}, {share:.0%} of the {scaled(peak.bytes_per_s, 'B/s')} "
        f"of {what} at {peak.mts} MT/s"
    )


def _missing(
    history: BenchHistory, results: Sequence[BenchResult], peak: MemoryPeak, usual_bytes_per_s: float | None
) -> str:
    """Return which nodes are slower than they should be by as much as one channel, or nothing."""
    found = []
    for result in certain(results):
        earlier = [r.value for r in certain(history.earlier(result))]
        most = max(r.value for r in results)
        if usual_bytes_per_s is not None:
            usual, words = usual_bytes_per_s, "of its class"
        elif len(earlier) >= _LEAST_EARLIER:
            usual, words = median(earlier), "that it moved before"
        else:
            usual, words = most, "of the fastest node"
        if channels := missing_channel(result.value / usual, max(1, peak.channels // len(results))):
            found.append(
                f"{place(result)} moves {scaled(result.value, 'B/s')}, {result.value / usual:.2f} of the "
                f"{scaled(usual, 'B/s')} {words}, as if one of its {channels} memory channels was missing"
            )
    return named(found, 2)


def _learn_latency(history: BenchHistory) -> Mapping[str, object]:
    results = learnt(history, "memory.latency")
    return {"max_latency_s": rounded(TIME_MARGIN * max(r.value for r in results), up=True)} if results else {}


@check(
    "memory.latency",
    tags="boot bench",
    remedy="Compare the BIOS with a good node: power profile, uncore or fabric clock, memory speed and timings, "
    "patrol scrub, sub-NUMA clustering. Then `cpu.clock`: caches run at the core's clock. Run `nodeproof bench "
    "memory.latency` on the idle node to confirm.",
    learn=_learn_latency,
)
def latency(
    history: BenchHistory,
    *,
    max_latency_s: Annotated[float, "longest that a load from memory may take, in seconds"],
    max_level_latency_s: Annotated[
        dict[str, float] | None, 'longest that a load from a cache may take, in seconds by level, e.g. {"l1" = 1.2e-9}'
    ] = None,
) -> Verdict:
    """A load from memory, and from each cache, takes no longer than its class promises.

    Graph codes, sparse solvers and interpreters wait for single loads. An uncore clock or a fabric that was left in
    a power-saving state costs them a quarter, while bandwidth and peak flops look as they should.
    """
    results = history.need("memory.latency")
    limits = {"memory": max_latency_s, **(max_level_latency_s or {})}
    slow = [(r, level, t) for r in results for level, t in _levels(r).items() if t > limits.get(level, t)]
    evidence = {"latency_s": {str(r.node): _levels(r) for r in results}}
    proven = certain(r for r, _, _ in slow)
    if words := [f"{place(r)} takes {scaled(t, 's')} from {level}" for r, level, t in slow if r in proven]:
        most = [f"{scaled(limits[v], 's')} from {v}" for v in dict.fromkeys(v for r, v, _ in slow if r in proven)]
        return fail(f"a load at {named(words)}, expected at most {named(most)}", **evidence)
    raise_doubts(history, results, [r for r, _, _ in slow])
    return ok(f"a load from memory takes {scaled(max(r.value for r in results), 's')} at most", **evidence)


def _levels(result: BenchResult) -> dict[str, float]:
    """Return the latency of each cache that was measured, and of memory."""
    return {str(p.get("level")): number(p, "value", result) for p in result.points} | {"memory": result.value}
