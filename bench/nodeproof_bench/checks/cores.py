"""Judgement of single cores against their siblings inside the node."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Annotated, NamedTuple

from nodeproof.check import check
from nodeproof.verdict import Verdict, fail, named, ok, plural
from nodeproof_bench.checks.common import MIN_STABILITY, cpu, doubt, number, raise_doubts, refuse
from nodeproof_bench.cores import Cores
from nodeproof_bench.result import BenchHistory, BenchResult
from nodeproof_bench.stats import median, outlier_limit
from nodeproof_bench.units import scaled

#: Of fewer siblings the median is no measure of what is usual.
_LEAST_SIBLINGS = 3

#: Cores that differ by more than this stand out, however many of them differ.
_MOST_DIFFERENCE = 0.15

#: A core on which the measuring thread ran less of the time was taken away by a quota or by others: in the short spans
#: that are left, clocks and caches are not what they are in a job.
_LEAST_ON_CPU = 0.5

#: Pairs of cores of the same relation: a mesh makes some of them a third farther apart than others.
_LEAST_PAIRS, _USUAL_DISTANCE, _MOST_DISTANCE = 6, 0.35, 1.0


class _Core(NamedTuple):
    """One core, or what is usual of several."""

    cpu: int
    package: int
    flops_per_s: float
    clock_hz: float
    flops_per_clock: float


def _cores(result: BenchResult) -> list[_Core]:
    """Return the cores, those left out that were disturbed."""
    return [
        _Core(
            cpu=cpu(p, result),
            package=cpu(p, result, "package"),
            flops_per_s=number(p, "value", result),
            clock_hz=number(p, "clock_hz", result),
            flops_per_clock=number(p, "flops_per_clock", result),
        )
        for p in result.points
        if p.get("is_contended") is not True
        and number(p, "stability", result) >= MIN_STABILITY
        and number({"on_cpu_share": 1, **p}, "on_cpu_share", result) >= _LEAST_ON_CPU
    ]


@check(
    "cpu.per_core",
    tags="boot bench",
    beta=True,
    remedy="Low clock: look at temperature, throttle counters and power limits of the core's package. Few operations "
    "in a clock: look for an interrupt or a process bound to it or to its SMT sibling. If it stays slow after a reboot "
    "on an idle node, the processor has a bad core.",
)
def per_core(
    history: BenchHistory,
    cores: Cores,
    *,
    min_sibling_share: Annotated[
        float, "least speed of a core, as a share of the median of cores of its kind, from 0 to 1"
    ] = 0.97,
) -> Verdict:
    """Every core is as fast as its siblings.

    One slow core in 128 cannot be seen in the sum, yet each barrier waits for it. Cores are compared within their
    package, by kind where a processor has several, and then the packages with each other; what is low is named: the
    clock, or the work done in one.
    """
    result = history.need("cpu.per_core")[0]
    undisturbed = _cores(result)
    by_cpu = {c.cpu: c for c in undisturbed}
    slow: dict[str, str] = {}
    for kind in cores.kinds(by_cpu):
        slow |= _slow([by_cpu[n] for n in kind], min_sibling_share)
    evidence = {"slow": list(slow), "flops_per_s": {str(c.cpu): round(c.flops_per_s) for c in undisturbed}}
    if slow and result.is_inconclusive:
        refuse(result, f"inconclusive: {result.reason}")
    if slow:
        return fail(named(list(slow.values()), 2), **evidence)
    if lost := sorted({cpu(p, result) for p in result.points} - by_cpu.keys()):
        refuse(result, f"not repeatable: others used CPU {named(lost)} all the time, or it was not stable")
    if len(undisturbed) < _LEAST_SIBLINGS:
        return ok(f"{plural(len(undisturbed), 'core')}: too few to tell which is the odd one", **evidence)
    least, most = (scaled(c([s.flops_per_s for s in undisturbed]), "FLOP/s") for c in (min, max))
    return ok(f"{len(undisturbed)} cores as fast as their siblings, from {least} to {most}", **evidence)


def _slow(kind: Sequence[_Core], min_share: float) -> dict[str, str]:
    """Return what is slow among cores of one kind, by its name."""
    packages = {p: [c for c in kind if c.package == p] for p in sorted({c.package for c in kind})}
    packages = {p: siblings for p, siblings in packages.items() if len(siblings) >= _LEAST_SIBLINGS}
    usual = {p: _usual(siblings) for p, siblings in packages.items()}
    slow: dict[str, str] = {}
    best = max(usual.values(), key=lambda c: c.flops_per_s, default=None)
    for package, here in usual.items():
        if best is not None and here.flops_per_s < min_share * best.flops_per_s:
            slow[f"package {package}"] = _words(f"package {package}", here, f"package {best.package}", best)
    for package, siblings in packages.items():
        allowed = outlier_limit([c.flops_per_s for c in siblings], 1 - min_share, max(_MOST_DIFFERENCE, 1 - min_share))
        for core in siblings:
            if core.flops_per_s < usual[package].flops_per_s - allowed:
                slow[f"CPU {core.cpu}"] = _words(f"CPU {core.cpu}", core, "its siblings", usual[package])
    return slow


def _usual(siblings: Sequence[_Core]) -> _Core:
    rates, clocks, works = zip(*(c[2:] for c in siblings), strict=True)
    return _Core(siblings[0].cpu, siblings[0].package, median(rates), median(clocks), median(works))


def _words(name: str, slow: _Core, others: str, usual: _Core) -> str:
    what = f"the clock is {scaled(slow.clock_hz, 'Hz')}, theirs {scaled(usual.clock_hz, 'Hz')}"
    if slow.flops_per_clock / usual.flops_per_clock < slow.clock_hz / usual.clock_hz:
        what = f"{slow.flops_per_clock:.1f} operations in a clock, theirs {usual.flops_per_clock:.1f}"
    return f"{name} has {slow.flops_per_s / usual.flops_per_s:.0%} of the speed of {others}: {what}"


@check(
    "cpu.core_to_core",
    tags="boot bench",
    remedy="Run `nodeproof bench cpu.core_to_core` again on the idle node. A core that stays far from all others: "
    "compare the BIOS (fabric or uncore clock, sub-NUMA clustering) and firmware with a good node.",
    beta=True,
)
def core_to_core(history: BenchHistory, cores: Cores) -> Verdict:
    """No core is farther from the others than cores of its relation are.

    Locks, barriers and messages inside the node pass cache lines between cores. Pairs under one cache, in one package
    and across packages are compared each with their like: one that stands out sits behind a link or a slice of
    cache that is not as it should be.
    """
    result = history.need("cpu.core_to_core")[0]
    groups: dict[tuple[object, ...], dict[tuple[int, int], float]] = {}
    kind_of = {n: i for i, kind in enumerate(cores.kinds(_all_cpus(result))) for n in kind}
    for point in result.points:
        pair = cpu(point, result), cpu(point, result, "to_cpu")
        relation = point.get("shares_cache"), cores.share_package(*pair), *sorted(kind_of[n] for n in pair)
        groups.setdefault(relation, {})[pair] = number(point, "value", result)
    odd = [words for pairs in groups.values() for words in _odd_pairs(pairs)]
    times = {f"{a}-{b}": t for pairs in groups.values() for (a, b), t in pairs.items()}
    if odd:
        raise_doubts(history, [result], [result])
        return fail(named(odd, 2))
    if not times:
        refuse(result, doubt(result) or "the result has no points")
    took = " to ".join(dict.fromkeys(scaled(t, "s") for t in (min(times.values()), max(times.values()))))
    return ok(f"a cache line takes {took} between cores, in {plural(len(times), 'pair')}")


def _all_cpus(result: BenchResult) -> set[int]:
    return {cpu(p, result, key) for p in result.points for key in ("cpu", "to_cpu")}


def _odd_pairs(pairs: Mapping[tuple[int, int], float]) -> Iterator[str]:
    """Say which cores stand out in the median of their pairs, and then which other pairs do."""
    if len(pairs) < _LEAST_PAIRS:
        return
    usual = median(pairs.values())
    most = usual + outlier_limit([*pairs.values()], _USUAL_DISTANCE, _MOST_DISTANCE)
    by_cpu: dict[int, list[float]] = {}
    for pair, time_s in pairs.items():
        for n in pair:
            by_cpu.setdefault(n, []).append(time_s)
    far = {n: median(times) for n, times in by_cpu.items() if len(times) > 1 and median(times) > most}
    for n, time_s in far.items():
        yield f"a cache line takes {scaled(time_s, 's')} between CPU {n} and others, {scaled(usual, 's')} is usual"
    for (a, b), time_s in pairs.items():
        if time_s > most and not {a, b} & far.keys():
            yield f"a cache line takes {scaled(time_s, 's')} between CPU {a} and CPU {b}, {scaled(usual, 's')} is usual"
