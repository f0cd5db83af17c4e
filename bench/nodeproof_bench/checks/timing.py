"""Judgement of time: what CPUs lose of it to others, and whether they agree on it."""

from collections.abc import Mapping
from typing import Annotated, Any

from nodeproof.check import check
from nodeproof.verdict import Verdict, fail, named, ok, plural, warn
from nodeproof_bench.checks.common import cpu, number, refuse
from nodeproof_bench.result import BenchHistory, BenchResult
from nodeproof_bench.stats import median, outlier_limit
from nodeproof_bench.units import scaled

#: A thread that had its CPU for less was not alone on it.
_LEAST_ON_CPU = 0.9

#: A CPU that loses that much more than others is worth a word: 5 ms of each second.
_ODD_LOST_SHARE = 0.005

#: The kernel counts what a hypervisor takes in ticks, and rounds them down.
_TICK_S = 0.01


@check(
    "cpu.jitter",
    tags="boot bench",
    beta=True,
    remedy="Find what interrupts the named CPUs: /proc/interrupts, daemons and their timers, then firmware (SMIs, "
    "power management) and, in a virtual machine, the host. `rtla osnoise` names the source where the kernel has "
    "it. Move interrupts and daemons to CPUs that jobs do not use.",
)
def jitter(
    history: BenchHistory,
    *,
    max_lost_share: Annotated[float, "most of its time that a CPU may lose to others, from 0 to 1"] = 0.02,
) -> Verdict:
    """No CPU loses much of its time to interrupts, daemons and firmware.

    A bulk-synchronous job runs at the pace of the CPU that is interrupted most: one percent on one node costs all
    of them. What counts is the share of time lost; the longest single detour is chance, and information only.
    """
    result = history.need("cpu.jitter")[0]
    lost = {cpu(p, result): number(p, "value", result) for p in result.points}
    points = {cpu(p, result): p for p in result.points}
    if not lost:
        refuse(result, "the result has no points")
    evidence = {"lost_share": {str(n): round(share, 5) for n, share in lost.items()}}
    usual = median(lost.values())
    bad = [n for n, share in sorted(lost.items(), key=lambda item: -item[1]) if share > max_lost_share]
    if bad and result.is_inconclusive:
        refuse(result, f"inconclusive: {result.reason}")
    if alone := [n for n in bad if number(points[n], "on_cpu_share", result) >= _LEAST_ON_CPU]:
        stolen_s = _stolen_s(result)
        if sum(lost[n] - max_lost_share for n in alone) * result.seconds <= stolen_s:
            refuse(result, f"inconclusive: the hypervisor took up to {stolen_s:.2f} s of {result.seconds:.1f} s")
        words = [_words(n, points[n], result) for n in alone]
        return fail(f"{named(words, 2)}, expected at most {max_lost_share:.1%}", **evidence)
    if bad:
        refuse(result, f"not repeatable: other processes used CPU {named(bad)}")
    odd = usual + max(_ODD_LOST_SHARE, outlier_limit([*lost.values()], 0, 1e3))
    if outliers := [n for n, share in lost.items() if share > odd and not result.is_inconclusive]:
        words = [_words(n, points[n], result) for n in outliers]
        return warn(f"{named(words, 2)}, {usual:.2%} is usual on this node", **evidence)
    return ok(f"CPUs lose {usual:.2%} of their time, the worst of {len(lost)} {max(lost.values()):.2%}", **evidence)


def _stolen_s(result: BenchResult) -> float:
    """Return what the hypervisor took of all CPUs together at most: the kernel counts ticks. 0 where it counts none."""
    conditions = result.fields.get("conditions")
    stolen_s = conditions.get("steal_s") if isinstance(conditions, Mapping) else None
    return stolen_s + _TICK_S if isinstance(stolen_s, int | float) and stolen_s > 0 else 0.0


def _words(number_of_cpu: int, point: Mapping[str, Any], result: BenchResult) -> str:
    rate, longest_s = (number(point, key, result) for key in ("detours_per_s", "longest_s"))
    share = number(point, "value", result)
    return (
        f"CPU {number_of_cpu} loses {share:.2%} of its time in {rate:.0f} detours a second, "
        f"the longest {scaled(longest_s, 's')}"
    )


@check(
    "clock.consistency",
    tags="boot bench",
    remedy="Update the firmware, which sets the counters at boot, and power-cycle the node; until then boot with "
    "tsc=unstable, so that the kernel uses another clock (`cpu.clocksource` then says so).",
)
def consistency(
    history: BenchHistory,
    *,
    max_offset_s: Annotated[float, "most that the clocks of two CPUs may certainly differ, in seconds"] = 1e-6,
    max_drift_ratio: Annotated[
        float, "most that the counter may run faster or slower than the kernel believes; more is a warning"
    ] = 1e-4,
) -> Verdict:
    """All CPUs have the same time.

    A program that moves between CPUs whose counters differ sees time go backwards: timeouts fire, traces are out
    of order, locks with leases break. It takes a firmware bug or a socket that was reset alone.
    """
    result = history.need("clock.consistency")[0]
    offsets = {cpu(p, result): number(p, "value", result) for p in result.points}
    warps = {cpu(p, result): int(number(p, "warps", result)) for p in result.points}
    evidence = {"offset_s": {str(n): s for n, s in offsets.items()}, "warps": sum(warps.values())}
    reference = result.fields.get("reference_cpu")
    if warped := [n for n, count in warps.items() if count]:
        found = f"time goes backwards between CPU {reference} and CPU {named(warped)}"
        return fail(f"{found}: {plural(sum(warps.values()), 'time warp')}, expected none", **evidence)
    if far := [f"CPU {n} by {scaled(s, 's')}" for n, s in offsets.items() if s > max_offset_s]:
        most = scaled(max_offset_s, "s")
        return fail(f"clocks differ from that of CPU {reference}: {named(far)}, expected at most {most}", **evidence)
    drift = result.fields.get("drift")
    if isinstance(drift, int | float) and abs(drift) > max_drift_ratio:
        way = "faster" if drift > 0 else "slower"
        return warn(f"the counter runs {abs(drift):.2e} {way} than the kernel believes", **evidence)
    return ok(f"{len(offsets) + 1} CPUs have the same time within {scaled(max_offset_s, 's')}", **evidence)
