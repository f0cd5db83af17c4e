"""Judgement of all cores at once: their clock, and what they do in one. Single cores: `cores`."""

from collections.abc import Mapping
from typing import Annotated, Any

from nodeproof.check import check
from nodeproof.errors import FactError
from nodeproof.probes.cpu import CPUS, CpuTopology
from nodeproof.verdict import Verdict, fail, named, ok, warn
from nodeproof_bench.checks.common import (
    RATE_MARGIN,
    certain,
    cpus_of,
    doubt,
    learnt,
    number,
    raise_doubts,
    refuse,
    rounded,
)
from nodeproof_bench.cores import Cores
from nodeproof_bench.physics import flops_per_clock as possible_flops_per_clock
from nodeproof_bench.result import BenchHistory, BenchResult
from nodeproof_bench.units import scaled

#: Operations in a clock are counted, not measured: this much is what the clock's own measurement is off.
_EXACT = 0.01

#: A clock is the same everywhere in a class, but for what silicon and heat make of it.
_CLOCK_MARGIN = 0.97

_FP64 = "fp64"


def _one(history: BenchHistory, name: str) -> BenchResult:
    """Return the result of a benchmark that is run once for the whole machine."""
    return history.need(name)[0]


def _points(result: BenchResult, key: str) -> dict[str, Mapping[str, Any]]:
    return {str(p.get(key)): p for p in result.points}


def _work_and_clock(result: BenchResult) -> tuple[float, float]:
    """Return operations in a clock, and the clock: of few samples, or of disturbed ones, neither is known."""
    keys = "flops_per_clock", "clock_hz"
    if any(key in result.fields and result.fields[key] is None for key in keys):
        refuse(result, doubt(result) or "the clock was not measured: too few samples, measure for longer")
    work, hz = (number(result.fields, key, result) for key in keys)
    return work, hz


def _learn_flops_per_clock(history: BenchHistory) -> Mapping[str, object]:
    for result in learnt(history, "cpu.flops"):
        return {"flops_per_clock": float(round(number(result.fields, "flops_per_clock", result)))}
    return {}


@check(
    "cpu.flops_per_clock",
    tags="boot bench",
    beta=True,
    remedy="Look for what shares the cores: a busy SMT sibling, steal in a virtual machine, a CPU quota. Then for what "
    "holds wide vectors back: a BIOS option or a microcode that switches AVX-512 off, a licence. `cpu.per_core` names "
    "single cores.",
    learn=_learn_flops_per_clock,
)
def flops_per_clock(
    history: BenchHistory,
    *,
    flops_per_clock: Annotated[
        float | None,
        "fp64 operations of one core in one clock, e.g. 32; unset: what is no multiple of its lanes is a warning",
    ] = None,
) -> Verdict:
    """Every clock does as much arithmetic as the core is built for.

    Operations in a clock do not depend on heat, power or boost, and repeat within a fraction of a percent: lanes x 2 x
    pipes, or something is wrong. A node that does half of it shares its cores with somebody, or is not the model
    that it should be.
    """
    result = _one(history, "cpu.flops")
    found, _ = _work_and_clock(result)
    possible = [flops_per_clock] if flops_per_clock is not None else possible_flops_per_clock(result.isa)
    expected = min(possible, key=lambda f: (abs(found - f), f), default=None)
    evidence = {"flops_per_clock": round(found, 3), "isa": result.isa}
    words = f"a core does {found:.2f} fp64 operations in one clock with {result.isa}"
    if expected is None or abs(found - expected) <= _EXACT * expected:
        return ok(words, **evidence)
    if found > expected and flops_per_clock is not None:
        return warn(
            f"{words}, more than the expected {expected:g}: another CPU, or a clock that was misread", **evidence
        )
    raise_doubts(history, [result], [result])
    cause = "a busy SMT sibling, steal, or a licence for wide vectors"
    if flops_per_clock is None:
        return warn(f"{words}, expected {named([f'{f:g}' for f in possible], 8)}: {cause}", **evidence)
    return fail(f"{words}, expected {expected:g}: {cause}", **evidence)


def _learn_clock(history: BenchHistory, cores: Cores) -> Mapping[str, object]:
    del cores
    for result in learnt(history, "cpu.frequency"):
        loads = {
            load: rounded(_CLOCK_MARGIN * number(p, "value", result))
            for load, p in _points(result, "load").items()
            if load != "scalar"
        }
        return {"min_hz": rounded(_CLOCK_MARGIN * result.value), "min_load_hz": loads}
    return {}


@check(
    "cpu.clock",
    tags="boot bench",
    beta=True,
    remedy="Compare `cpu.governor` and `cpu.frequency_limits`, then power and thermal limits in the BIOS and the "
    "service processor (power cap, fan failure, a power supply less), then heat sink and paste of the named CPU.",
    learn=_learn_clock,
)
def clock(
    history: BenchHistory,
    cores: Cores,
    *,
    min_hz: Annotated[
        float | None, "least clock of all cores at once under additions, in Hz; unset: what the vendor promises"
    ] = None,
    min_load_hz: Annotated[
        dict[str, float] | None, 'least clock under the load of vectors, in Hz, e.g. {"avx512" = 2.5e9}'
    ] = None,
) -> Verdict:
    """All cores at once keep the clock that they should have.

    What sysfs calls the current frequency is what was asked for; this is what the cores did. A power cap, a dead
    fan or one supply less lowers it by a third, silently, and each collective waits for that node.
    """
    result = _one(history, "cpu.frequency")
    promised = [khz for cpu in cpus_of(result) if (khz := cores.base_khz.get(cpu))]
    least_hz = min_hz if min_hz is not None or not promised else _CLOCK_MARGIN * 1000 * sum(promised) / len(promised)
    limits = {**({} if least_hz is None else {"scalar": least_hz}), **(min_load_hz or {})}
    if not limits:
        raise FactError(f"{CPUS}/cpu*/cpufreq/base_frequency", "absent", "neither kernel nor policy says which clock")
    loads = _points(result, "load")
    if missing := [load for load in limits if load not in loads]:
        refuse(result, f"was not measured under the load of {named(missing)}")
    found = {load: number(p, "value", result) for load, p in loads.items()}
    slow = [load for load in limits if found[load] < limits[load]]
    evidence = {"clock_hz": {load: round(hz) for load, hz in found.items()}}
    if slow and certain([result]):
        words = [
            f"{scaled(found[v], 'Hz')} under {v} load (the slowest is CPU {loads[v].get('slowest_cpu')}), "
            f"expected at least {scaled(limits[v], 'Hz')}"
            for v in slow
        ]
        return fail(f"all cores at once run at {named(words, 2)}", **evidence)
    raise_doubts(history, [result], [result] if slow else [])
    words = [f"{scaled(hz, 'Hz')} ({load})" for load, hz in found.items()]
    return ok(f"all cores at once run at {named(words)}", **evidence)


def _learn_flops(history: BenchHistory, topology: CpuTopology, cores: Cores) -> Mapping[str, object]:
    del cores
    for result in learnt(history, "cpu.flops"):
        if result.threads >= topology.cores:
            return {"min_flops_per_s": rounded(RATE_MARGIN * result.value)}
    return {}


@check(
    "cpu.flops",
    tags="boot bench",
    beta=True,
    remedy="`cpu.flops_per_clock` and `cpu.clock` say which half of it is low, `cpu.topology` whether all cores are "
    "there. Run `nodeproof bench cpu.flops` on the idle node to confirm.",
    learn=_learn_flops,
)
def flops(
    history: BenchHistory,
    topology: CpuTopology,
    cores: Cores,
    *,
    min_flops_per_s: Annotated[
        float | None, "least fp64 operations of all cores in a second; unset: what their clock and number come to"
    ] = None,
) -> Verdict:
    """All cores together do the arithmetic that their number and clock come to.

    Cores x operations in a clock x clock is what the node was bought for. What all do together can be less than
    the sum of what each does: somebody else has some of them, or a quota caps them all.
    """
    result = _one(history, "cpu.flops")
    if min_flops_per_s is None and len(cores.kinds(cpus_of(result))) > 1:
        raise FactError(f"{CPUS}/cpu*/cpufreq", "absent", "cores of several kinds have no clock in common")
    per_clock, hz = _work_and_clock(result)
    peak = result.threads * per_clock * hz
    least = min_flops_per_s if min_flops_per_s is not None else RATE_MARGIN * peak
    words = f"{result.threads} cores do {scaled(result.value, 'FLOP/s')} in fp64 with {result.isa}"
    evidence = {"flops_per_s": round(result.value), "peak_flops_per_s": round(peak)}
    # without policy it is the clock of the same run that says what to expect
    if (why := doubt(result)) and (result.value < least or min_flops_per_s is None):
        refuse(result, why)
    if result.value >= least:
        return ok(words, **evidence)
    if result.threads < topology.cores and min_flops_per_s is not None:
        refuse(result, f"not measured: this process may use only {result.threads} of {topology.cores} cores")
    product = f"{result.threads} cores x {per_clock:.1f} x {scaled(hz, 'Hz')} = {scaled(peak, 'FLOP/s')}"
    return fail(f"{words}, expected at least {scaled(least, 'FLOP/s')} ({product})", **evidence)
