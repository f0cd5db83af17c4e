"""What else happened while a benchmark ran, and whether its result still says something of the hardware.

The C core counts what processes did; here is what the machine says: clocks, temperatures, throttling, load. What it
does not say is left out. Deliberately not here: what follows from a doubt (`nodeproof_bench.execute`).
"""

import math
import os
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

from nodeproof.errors import FactError
from nodeproof.host import Host
from nodeproof.probes.cpu import CPUS, cpu_of
from nodeproof.probes.parse import read_int
from nodeproof.verdict import named
from nodeproof_bench.suites import BENCHMARKS, FOREIGN_SHARE

#: Drivers of the sensors inside CPUs (kernel documentation, hwmon/coretemp.rst and k10temp.rst), and thermal zones
#: of CPUs without one.
_SENSORS = frozenset({"coretemp", "k10temp", "zenpower"})
_ZONES = frozenset({"x86_pkg_temp", "cpu-thermal", "cpu_thermal"})

#: Clocks that are sampled: reading one interrupts that CPU, and sleeps on some kernels.
_MOST_CLOCKS = 4

#: Foreign processor time that is no doubt: what the kernel's ticks of 10 ms misplace, which grows with the root of
#: the number of CPUs, and what is lost in rounding the five columns of /proc/stat to them.
_TICK_S, _ROUNDING_S = 0.02, 0.03

#: Share of its threads' time that a hypervisor may take away.
_STEAL_SHARE = 0.03


class Snapshot(NamedTuple):
    """The machine at one moment: throttle events by file, and what goes into the conditions of a result.

    `busy_s` is the processor time of all processes since boot, `own_s` that of our finished children.
    """

    time_s: float
    busy_s: float | None
    own_s: float
    throttled: Mapping[str, int]
    celsius: float | None
    load_average: float | None
    clocks_khz: tuple[int, ...]


class Sensors:
    """Where this machine says how it is. Found once: the list of files is long."""

    def __init__(self, host: Host) -> None:
        self.host = host
        self._throttles = _found(host, f"{CPUS}/cpu[0-9]*/thermal_throttle/*_throttle_count")
        self._temperatures = list(_temperatures(host))
        clocks = _found(host, f"{CPUS}/cpu[0-9]*/cpufreq/scaling_cur_freq")
        self._clocks = clocks[:: max(1, math.ceil(len(clocks) / _MOST_CLOCKS))]

    def look(self) -> Snapshot:
        """Return how the machine is now."""
        celsius = [milli / 1000 for milli in _numbers(self.host, self._temperatures).values()]
        spent = os.times()
        return Snapshot(
            time_s=spent.elapsed,
            busy_s=_busy_s(self.host),
            own_s=spent.children_user + spent.children_system,
            throttled=_numbers(self.host, self._throttles),
            celsius=max(celsius, default=None),
            load_average=_load_average(self.host),
            clocks_khz=tuple(_numbers(self.host, self._clocks).values()),
        )


def lasting(host: Host) -> dict[str, Any]:
    """Return the conditions that do not change while benchmarks run, as JSON values."""
    governors = {_text(host, path) for path in _found(host, f"{CPUS}/cpufreq/policy*/scaling_governor")}
    texts = {
        "kernel": _text(host, "/proc/sys/kernel/osrelease"),
        "smt": _text(host, f"{CPUS}/smt/control"),
        "transparent_hugepages": _text(host, "/sys/kernel/mm/transparent_hugepage/enabled"),
    }
    return {"governors": sorted(governors - {""}), **{key: text for key, text in texts.items() if text}}


def added(before: Snapshot, after: Snapshot) -> dict[str, Any]:
    """Return what the two moments add to the conditions of a result, as JSON values."""
    made: dict[str, Any] = {}
    if after.load_average is not None:
        made["load_average"] = after.load_average
    if before.celsius is not None and after.celsius is not None:
        made["celsius"] = [before.celsius, after.celsius]
    if after.clocks_khz:
        made["sampled_clocks_hz"] = [1000 * min(after.clocks_khz), 1000 * max(after.clocks_khz)]
    if after.throttled:
        made["throttled_cpus"] = throttled_cpus(before, after)
    return made


def throttled_cpus(before: Snapshot, after: Snapshot) -> list[int]:
    """Return the CPUs that the hardware slowed down in between, because they were too hot."""
    return sorted(
        {cpu_of(path) for path, count in after.throttled.items() if count > before.throttled.get(path, count)}
    )


def doubt_between(before: Snapshot, after: Snapshot, cpus: int) -> str:
    """Return what disturbed a run that gave no result, and so says nothing of its conditions itself."""
    if before.busy_s is None or after.busy_s is None:
        return ""
    foreign_s = after.busy_s - before.busy_s - (after.own_s - before.own_s)
    conditions = {"seconds": after.time_s - before.time_s, "foreign_cpu_s": foreign_s}
    return "; ".join(_reasons(conditions, {}, cpus, FOREIGN_SHARE))


def doubt(line: Mapping[str, Any], cpus: int) -> str:
    """Return why a result says nothing of the hardware, or nothing. `cpus` is how many the machine has.

    Values that were looked at are right or wrong however busy the machine was.
    """
    benchmark = BENCHMARKS.get(line["name"])
    if (benchmark is not None and benchmark.is_of_values) or wrong_values(line):
        return ""
    conditions = line.get("conditions")
    reasons = list(_reasons(conditions, line, cpus, benchmark.foreign_share if benchmark else FOREIGN_SHARE))
    if not reasons and line.get("is_contended") is True:
        reasons = ["other processes used its CPUs"]
    return "; ".join(reasons)


def wrong_values(line: Mapping[str, Any]) -> float:
    """Return how many values a benchmark found wrong: memory or a core that does not do what it should."""
    benchmark = BENCHMARKS.get(line["name"])
    is_count = benchmark is not None and benchmark.is_of_values
    keys = ("value",) if is_count else ("wrong_elements", "wrong_blocks", "wrong_messages")
    return sum(_number(line, key) for key in keys)


def _reasons(conditions: object, line: Mapping[str, Any], cpus: int, share: float) -> Iterable[str]:
    if not isinstance(conditions, dict):
        return
    if "foreign_cpu_s" in conditions and conditions["foreign_cpu_s"] is None:
        yield "the kernel does not say who used the CPUs"
    seconds = _number(conditions, "seconds")
    foreign_s, steal_s = _number(conditions, "foreign_cpu_s"), _number(conditions, "steal_s")
    if foreign_s > share * seconds + _TICK_S * math.sqrt(cpus) + _ROUNDING_S:
        yield f"other processes used {foreign_s / max(seconds, 1e-3):.1f} CPUs"
    if steal_s > _STEAL_SHARE * seconds * _number(line, "threads") + _TICK_S:
        yield f"the hypervisor took {steal_s:.2f} s of processor time"
    if throttled := conditions.get("throttled_cpus"):
        yield f"too hot, the hardware slowed down CPU {named(throttled)}"


def _number(values: Mapping[str, Any], key: str) -> float:
    value = values.get(key)
    return float(value) if isinstance(value, int | float) else 0.0


def _temperatures(host: Host) -> Iterable[str]:
    """Yield the files with the temperatures of CPUs, in thousandths of a degree Celsius."""
    for name in _found(host, "/sys/class/hwmon/hwmon*/name"):
        if _text(host, name) in _SENSORS:
            yield from _found(host, f"{name.removesuffix('/name')}/temp*_input")
    for kind in _found(host, "/sys/class/thermal/thermal_zone*/type"):
        if _text(host, kind) in _ZONES:
            yield f"{kind.removesuffix('/type')}/temp"


def _busy_s(host: Host) -> float | None:
    """Return the processor time that was spent, from the first line of /proc/stat, in ticks: proc_stat(5)."""
    try:
        user, nice, system, _idle, _iowait, irq, softirq = map(int, host.text("/proc/stat").split()[1:8])
    except (FactError, ValueError):
        return None
    return (user + nice + system + irq + softirq) / os.sysconf("SC_CLK_TCK")


def _load_average(host: Host) -> float | None:
    try:
        return float(host.text("/proc/loadavg").partition(" ")[0])
    except (FactError, ValueError):
        return None


def _found(host: Host, pattern: str) -> list[str]:
    try:
        return host.glob(pattern)
    except FactError:
        return []


def _text(host: Host, path: str) -> str:
    try:
        return host.text(path)
    except FactError:
        return ""


def _numbers(host: Host, paths: Iterable[str]) -> dict[str, int]:
    numbers = dict[str, int]()
    for path in paths:
        try:
            numbers[path] = read_int(host, path)
        except FactError:
            continue
    return numbers
