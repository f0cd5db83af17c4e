"""Judgement of CPUs: how many there are and how fast they may run. Microcode and kernel choices: `cpu_system`."""

from collections.abc import Iterable
from typing import Annotated, Literal

from nodeproof.check import check
from nodeproof.errors import FactError
from nodeproof.probes.cpu import CPUS, CpuFrequency, CpuIdle, CpuTopology, Smt
from nodeproof.verdict import Verdict, fail, named, ok, plural, warn


@check(
    "cpu.topology",
    tags="prolog healthcheck boot",
    remedy="Switch an offline CPU on with `echo 1 > /sys/devices/system/cpu/cpuN/online` and find out who switched it "
    "off (`dmesg`, machine-check handlers); for wrong numbers compare firmware settings and maxcpus=, nr_cpus=, "
    "nosmt on the kernel command line.",
    learn=lambda topology: {
        "sockets": topology.sockets,
        "cores": topology.cores,
        "threads": len(topology.online),
    },
)
def topology(
    topology: CpuTopology,
    *,
    sockets: Annotated[int | None, "CPU packages"] = None,
    cores: Annotated[int | None, "physical cores, all sockets together"] = None,
    threads: Annotated[int | None, "CPUs as Linux counts them, all cores together"] = None,
) -> Verdict:
    """All CPUs are online, and there are as many as expected.

    One CPU taken offline, by a machine-check handler or by hand, leaves a job with two ranks on one core
    or unable to bind at all. A core lost to firmware shows only in the numbers.
    """
    lost, summary = _lost(topology)
    found = {"sockets": topology.sockets, "cores": topology.cores, "threads": len(topology.online)}
    if lost:
        return fail(summary, offline_cpus=lost, **found)
    expected = {"sockets": sockets, "cores": cores, "threads": threads}
    wrong = [f"{found[n]} {n}, expected {e}" for n, e in expected.items() if e not in (None, found[n])]
    if wrong:
        return fail("; ".join(wrong), offline_cpus=[], **found)
    return ok(
        ", ".join(plural(n, what.removesuffix("s")) for what, n in found.items()) + " online",
        offline_cpus=[],
        **found,
    )


def _lost(topology: CpuTopology) -> tuple[list[int], str]:
    """Return the CPUs that are offline and should not be, and a sentence about them.

    With SMT switched off, or limited to a number of threads (POWER), the secondary threads are present
    and offline by design. The kernel does not say which those are, but that they are as many for each
    core that is online; a hybrid CPU has cores without any.
    """
    offline = sorted(set(topology.present) - set(topology.online))
    control, online = topology.smt_control or "", len(topology.online)
    if control not in ("off", "forceoff") and not control.isdigit():
        return offline, f"{_offline(offline)}, expected all {len(topology.present)} CPUs online"
    if len(offline) <= online or (online and len(offline) % online == 0):
        return [], ""
    if first := _first_threads(topology):
        return first, f"{_offline(first)}, expected the first thread of every core online (SMT is {control})"
    accounted = f"{len(offline) - online} more than SMT {control} accounts for"
    return offline, f"{plural(len(offline), 'CPU')} offline, {accounted}: CPU {named(offline)}"


def _offline(cpus: list[int]) -> str:
    return f"CPU {named(cpus)} {'is' if len(cpus) == 1 else 'are'} offline"


def _first_threads(topology: CpuTopology) -> list[int]:
    """Return the offline CPUs that are the first thread of their core; empty if the numbering does not tell.

    Firmware numbers either all first threads before the second ones, or the threads of each core in a row.
    """
    present, online = topology.present, set(topology.online)
    if topology.smt_control in ("off", "forceoff", "1"):
        for threads in (n for n in (2, 4, 8) if len(present) % n == 0):
            ways = [set(present[: len(present) // threads]), set(present[::threads])]
            fitting = [first for first in ways if online <= first]
            if fitting:
                return sorted(fitting[0] - online) if len(fitting) == 1 else []
    return []


@check(
    "cpu.smt",
    tags="healthcheck boot",
    remedy="Run `echo {required} > /sys/devices/system/cpu/smt/control`; make it permanent in the firmware or with "
    "nosmt on the kernel command line.",
    learn=lambda smt: {"required": "on" if smt.is_active else "off"},
)
def smt(
    smt: Smt,
    *,
    required: Annotated[Literal["on", "off"], "state that simultaneous multithreading must be in"],
) -> Verdict:
    """Simultaneous multithreading (Hyper-Threading) is switched as required.

    It changes how many CPUs Slurm hands out and how much cache and bandwidth each has: a node that
    differs slows every job that spans it.
    """
    found = "on" if smt.is_active else "off"
    if found != required:
        return fail(f"SMT is {found} ({smt.control}), expected {required}", control=smt.control)
    return ok(f"SMT is {found} ({smt.control})", control=smt.control)


@check(
    "cpu.governor",
    tags="prolog boot",
    remedy="Run `cpupower frequency-set -g {required}` and make it permanent in tuned or the cpupower service.",
    learn=lambda frequency: {"required": next(iter(frequency.policies.values())).governor},
)
def governor(
    frequency: CpuFrequency,
    *,
    required: Annotated[str, "governor that every CPU must use"] = "performance",
) -> Verdict:
    """Every CPU uses the required frequency governor.

    One CPU left in `powersave` or `ondemand` answers late, and at the next barrier the whole job waits
    for it. Stock distributions run intel_pstate and amd-pstate-epp with `powersave`, the driver's adaptive
    governor, and this check reports just that: allow it only if your energy policy asks for it.
    Not part of the health check: `srun --cpu-freq` changes the governor for as long as a job runs.
    """
    wrong = {n: p.governor for n, p in frequency.policies.items() if p.governor != required}
    if wrong:
        return fail(
            f"{len(wrong)} of {len(frequency.policies)} CPUs use governor {named(set(wrong.values()))}, "
            f"expected {required}: CPU {named(sorted(wrong))}",
            cpus=sorted(wrong),
        )
    return ok(f"governor {required} on {plural(len(frequency.policies), 'CPU')}")


def _least_percent(frequency: CpuFrequency) -> int:
    least = min(p.max_khz * 100 // max(p.hardware_max_khz, 1) for p in frequency.policies.values())
    return least if frequency.max_percent is None else min(least, frequency.max_percent)


def _boosts(frequency: CpuFrequency) -> dict[int, bool | None]:
    """Return whether boost is on by CPU; a CPU's own switch counts where it has one."""
    common = frequency.is_boost_on
    return {n: common if p.is_boost_on is None else p.is_boost_on for n, p in frequency.policies.items()}


def _learn_limits(frequency: CpuFrequency) -> dict[str, object]:
    learned: dict[str, object] = {"min_limit_percent": min(99, _least_percent(frequency))}
    states = set(_boosts(frequency).values())
    if states in ({True}, {False}):
        learned["boost"] = "on" if states == {True} else "off"
    return learned


@check(
    "cpu.frequency_limits",
    tags="prolog boot",
    remedy="Write cpuinfo_max_freq to scaling_max_freq of the named CPUs, and 100 to "
    "/sys/devices/system/cpu/intel_pstate/max_perf_pct; for boost write 1 to "
    "/sys/devices/system/cpu/cpufreq/boost (or cpuN/cpufreq/boost) or 0 to "
    "/sys/devices/system/cpu/intel_pstate/no_turbo. Then look for what changed it: tuned, a power-capping agent, "
    "a job script.",
    learn=_learn_limits,
)
def frequency_limits(
    frequency: CpuFrequency,
    *,
    min_limit_percent: Annotated[int, "lowest frequency limit, in percent of what the hardware can do"] = 99,
    boost: Annotated[Literal["on", "off"] | None, "state of boost (turbo); unset: off is only a warning"] = None,
) -> Verdict:
    """No CPU is capped below its hardware maximum, and boost is switched as required.

    A cap that a power experiment or a job left behind costs the next jobs that much speed, silently.
    Boost off on one node makes it the straggler of every job that spans it.
    Not part of the health check: `srun --cpu-freq` lowers the limit for as long as a job runs.
    """
    if capped := _capped(frequency, min_limit_percent):
        return capped
    states = _boosts(frequency)
    found = "not reported" if None in states.values() else _on_or_off(states.values())
    unwanted = [n for n, is_on in states.items() if is_on is (boost == "off")]
    where = f" on CPU {named(unwanted)}" if len(unwanted) < len(states) else ""
    evidence = {"cpus": unwanted if where else [], "boost": found}
    if unwanted and boost is not None:
        return fail(f"boost is {'off' if boost == 'on' else 'on'}{where}, expected {boost}", **evidence)
    if boost is not None and None in states.values():
        raise FactError(f"{CPUS}/cpufreq/boost", "failed", "the driver does not report whether boost is on")
    # cppc_cpufreq shows boost as off where the CPU has none
    if unwanted and {p.driver for p in frequency.policies.values()} != {"cppc_cpufreq"}:
        return warn(f"boost is off{where}, policy does not say whether it should be", **evidence)
    return ok(f"{plural(len(states), 'CPU')} may run at full frequency, boost is {found}", **evidence)


def _on_or_off(states: Iterable[bool | None]) -> str:
    words = {"on" if is_on else "off" for is_on in states}
    return words.pop() if len(words) == 1 else "mixed"


def _capped(frequency: CpuFrequency, min_limit_percent: int) -> Verdict | None:
    count = len(frequency.policies)
    low = [n for n, p in frequency.policies.items() if p.max_khz * 100 < p.hardware_max_khz * min_limit_percent]
    if low:
        worst = min(low, key=lambda n: frequency.policies[n].max_khz)
        limit = frequency.policies[worst]
        return fail(
            f"{len(low)} of {count} CPUs are capped, the lowest at {limit.max_khz} kHz, expected "
            f"{min_limit_percent} % of {limit.hardware_max_khz} kHz: CPU {named(low)}",
            cpus=low,
        )
    if frequency.max_percent is not None and frequency.max_percent < min_limit_percent:
        return fail(
            f"intel_pstate caps {plural(count, 'CPU')} at {frequency.max_percent} % (max_perf_pct), "
            f"expected at least {min_limit_percent} %",
            cpus=sorted(frequency.policies),
        )
    return None


def _learn_latency(idle: CpuIdle) -> dict[str, object]:
    return {"max_exit_latency_us": max((s.exit_latency_us for s in idle.states.values() if s.enabled_cpus), default=0)}


@check(
    "cpu.idle_states",
    remedy="Disable the named states (`cpupower idle-set -D {max_exit_latency_us}`, or force_latency in tuned), or "
    "allow them if energy comes first.",
    learn=_learn_latency,
)
def idle_states(
    idle: CpuIdle,
    *,
    max_exit_latency_us: Annotated[int, "longest exit latency of an idle state that CPUs may enter, in us"],
) -> Verdict:
    """No CPU may enter an idle state that it leaves too slowly.

    Waking from a deep state takes 100 us and more: as long as dozens of small messages, paid by the rank
    that waited for one. States that a latency limit rules out (tuned's force_latency) do not count.
    """
    deep = {n: s for n, s in idle.states.items() if s.enabled_cpus and s.exit_latency_us > max_exit_latency_us}
    evidence = {"exit_latency_us": {n: s.exit_latency_us for n, s in idle.states.items() if s.enabled_cpus}}
    for error in idle.unread if deep else ():
        raise error
    if deep:
        found = [f"{n} ({s.exit_latency_us} us) on {plural(len(s.enabled_cpus), 'CPU')}" for n, s in deep.items()]
        return fail(
            f"idle state {named(found)} is enabled, expected an exit latency of at most {max_exit_latency_us} us",
            cpus=sorted({cpu for s in deep.values() for cpu in s.enabled_cpus}),
            **evidence,
        )
    return ok(f"enabled idle states are left within {max_exit_latency_us} us", cpus=[], **evidence)
