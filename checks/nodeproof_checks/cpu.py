"""Judgement of CPUs: how many there are and how fast they may run. Microcode and kernel choices: `cpu_system`."""

from typing import Annotated, Literal

from nodeproof.check import check
from nodeproof.probes.cpu import CpuFrequency, CpuIdle, CpuTopology, Smt
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
    lost = _lost(topology)
    found = {"sockets": topology.sockets, "cores": topology.cores, "threads": len(topology.online)}
    if lost:
        summary = f"CPU {named(lost)} {'is' if len(lost) == 1 else 'are'} offline"
        return fail(f"{summary}, expected all {len(topology.present)} CPUs online", offline_cpus=lost, **found)
    expected = {"sockets": sockets, "cores": cores, "threads": threads}
    wrong = [f"{found[n]} {n}, expected {e}" for n, e in expected.items() if e not in (None, found[n])]
    if wrong:
        return fail("; ".join(wrong), offline_cpus=[], **found)
    return ok(
        ", ".join(plural(n, what.removesuffix("s")) for what, n in found.items()) + " online",
        offline_cpus=[],
        **found,
    )


def _lost(topology: CpuTopology) -> list[int]:
    """Return the CPUs that are offline and should not be.

    With SMT switched off, or limited to a number of threads (POWER), the secondary threads are present
    and offline by design. The kernel does not say which those are, but that they are as many for each
    core that is online; a hybrid CPU has cores without any.
    """
    offline = sorted(set(topology.present) - set(topology.online))
    if topology.smt_control in ("off", "forceoff") or (topology.smt_control or "").isdigit():
        online = len(topology.online)
        if len(offline) <= online or (online and len(offline) % online == 0):
            return []
    return offline


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
    tags="prolog healthcheck boot",
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
    for it. With intel_pstate in active mode `powersave` is the driver's adaptive governor: allow it
    only if your energy policy asks for it.
    """
    wrong = {n: p.governor for n, p in frequency.policies.items() if p.governor != required}
    if wrong:
        return fail(
            f"{len(wrong)} of {len(frequency.policies)} CPUs use governor {named(set(wrong.values()))}, "
            f"expected {required}: CPU {named(sorted(wrong))}",
            cpus=sorted(wrong),
        )
    return ok(f"{len(frequency.policies)} CPUs use governor {required}")


def _least_percent(frequency: CpuFrequency) -> int:
    return min(p.max_khz * 100 // max(p.hardware_max_khz, 1) for p in frequency.policies.values())


def _learn_limits(frequency: CpuFrequency) -> dict[str, object]:
    learned: dict[str, object] = {"min_limit_percent": min(99, _least_percent(frequency))}
    if frequency.is_boost_on is not None:
        learned["boost"] = "on" if frequency.is_boost_on else "off"
    return learned


@check(
    "cpu.frequency_limits",
    tags="prolog healthcheck boot",
    remedy="Write cpuinfo_max_freq to scaling_max_freq of the named CPUs; for boost write 1 to "
    "/sys/devices/system/cpu/cpufreq/boost or 0 to /sys/devices/system/cpu/intel_pstate/no_turbo. Then look for "
    "what changed it: tuned, a power-capping agent, a job script.",
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
    """
    low = [n for n, p in frequency.policies.items() if p.max_khz * 100 < p.hardware_max_khz * min_limit_percent]
    if low:
        worst = min(low, key=lambda n: frequency.policies[n].max_khz)
        limit = frequency.policies[worst]
        return fail(
            f"{len(low)} of {len(frequency.policies)} CPUs are capped, the lowest at {limit.max_khz} kHz, expected "
            f"{min_limit_percent} % of {limit.hardware_max_khz} kHz: CPU {named(low)}",
            cpus=low,
        )
    found = {None: "not reported", True: "on", False: "off"}[frequency.is_boost_on]
    evidence = {"cpus": [], "boost": found}
    if boost is not None and frequency.is_boost_on is not None and found != boost:
        return fail(f"boost is {found}, expected {boost}", **evidence)
    if boost is None and found == "off":
        return warn("boost is off, policy does not say whether it should be", **evidence)
    return ok(f"{len(frequency.policies)} CPUs may run at full frequency, boost is {found}", **evidence)


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
    that waited for one.
    """
    deep = {n: s for n, s in idle.states.items() if s.enabled_cpus and s.exit_latency_us > max_exit_latency_us}
    evidence = {"exit_latency_us": {n: s.exit_latency_us for n, s in idle.states.items() if s.enabled_cpus}}
    if deep:
        found = [f"{n} ({s.exit_latency_us} us) on {len(s.enabled_cpus)} CPUs" for n, s in deep.items()]
        return fail(
            f"idle state {named(found)} is enabled, expected an exit latency of at most {max_exit_latency_us} us",
            cpus=sorted({cpu for s in deep.values() for cpu in s.enabled_cpus}),
            **evidence,
        )
    return ok(f"enabled idle states are left within {max_exit_latency_us} us", cpus=[], **evidence)
