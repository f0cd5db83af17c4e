"""CPU facts from sysfs and /proc/cpuinfo."""

from typing import NamedTuple, Self

from nodeproof.errors import FactError
from nodeproof.host import Host
from nodeproof.probes import fact
from nodeproof.probes.parse import integer, number_list, optional_int, optional_text, read_int

CPUS = "/sys/devices/system/cpu"
PSTATE = f"{CPUS}/intel_pstate"
DMA_LATENCY = "/dev/cpu_dma_latency"


def cpu_of(path: str) -> int:
    """Return the CPU number of a path below `/sys/devices/system/cpu/cpuN`."""
    return int(path.split("/")[5][3:])


class FrequencyPolicy(NamedTuple):
    """Frequency policy of one CPU. Frequencies are in kHz, as the kernel gives them.

    `hardware_max_khz` is the most that the driver lets one ask for. `is_boost_on` is None where the CPU
    has no boost switch of its own.
    """

    governor: str
    driver: str
    max_khz: int
    hardware_max_khz: int
    is_boost_on: bool | None = None


@fact(
    "/sys/devices/system/cpu/cpu*/cpufreq/{scaling_governor,scaling_driver,scaling_max_freq,cpuinfo_max_freq}",
    "/sys/devices/system/cpu/cpu*/cpufreq/{scaling_available_frequencies,scaling_boost_frequencies,boost}",
    "/sys/devices/system/cpu/cpufreq/boost",
    "/sys/devices/system/cpu/intel_pstate/{status,no_turbo,max_perf_pct}",
)
class CpuFrequency(NamedTuple):
    """Frequency policy by CPU, and whether boost is on (None: the driver does not say).

    `max_percent` is intel_pstate's own cap on all CPUs, in percent of the highest turbo frequency.
    Source: kernel documentation, admin-guide/pm/cpufreq.rst and intel_pstate.rst.
    """

    policies: dict[int, FrequencyPolicy]
    is_boost_on: bool | None
    max_percent: int | None = None

    @classmethod
    def read(cls, host: Host) -> Self:
        """Raise FactError `absent` where no cpufreq driver is loaded (most virtual machines)."""
        online = _online(host)
        directories = [d for d in host.glob(f"{CPUS}/cpu[0-9]*/cpufreq") if online is None or cpu_of(d) in online]
        if not directories:
            raise FactError(f"{CPUS}/cpu*/cpufreq", "absent", "no cpufreq driver")
        policies = {cpu_of(d): _policy(host, d) for d in directories}
        boost, max_percent, no_turbo = optional_int(host, f"{CPUS}/cpufreq/boost"), None, None
        if optional_text(host, f"{PSTATE}/status") != "off":  # then its files answer EAGAIN or mean nothing
            max_percent = optional_int(host, f"{PSTATE}/max_perf_pct")
            no_turbo = optional_int(host, f"{PSTATE}/no_turbo")
        if boost is None and no_turbo is not None:
            boost = 1 - no_turbo
        return cls(policies, None if boost is None else boost == 1, max_percent)


def _policy(host: Host, directory: str) -> FrequencyPolicy:
    boost = optional_int(host, f"{directory}/boost")
    return FrequencyPolicy(
        governor=host.text(f"{directory}/scaling_governor"),
        driver=host.text(f"{directory}/scaling_driver"),
        max_khz=read_int(host, f"{directory}/scaling_max_freq"),
        hardware_max_khz=_hardware_max_khz(host, directory),
        is_boost_on=None if boost is None else boost == 1,
    )


def _hardware_max_khz(host: Host, directory: str) -> int:
    """Return cpuinfo_max_freq, or the end of the driver's table where that comes earlier.

    Since Linux 5.12 acpi-cpufreq counts boost in the former on AMD, but nobody can ask it for more than the table has.
    """
    most_khz = read_int(host, f"{directory}/cpuinfo_max_freq")
    tables = [f"{directory}/scaling_{kind}_frequencies" for kind in ("available", "boost")]
    listed_khz = [integer(t, word) for t in tables for word in (optional_text(host, t) or "").split()]
    return min(most_khz, max(listed_khz, default=most_khz))


class IdleState(NamedTuple):
    """One idle state: how long it takes to leave it, and the CPUs that may enter it: enabled, and fast enough."""

    exit_latency_us: int
    enabled_cpus: tuple[int, ...]


@fact(
    "/sys/devices/system/cpu/cpu*/cpuidle/state*/{name,latency,disable}",
    "/sys/devices/system/cpu/cpu*/power/pm_qos_resume_latency_us",
    DMA_LATENCY,
)
class CpuIdle(NamedTuple):
    """Idle states by name.

    Name and latency are read once per state and not per CPU: all CPUs share the driver's one table.
    `unread`: a limit of latency, for a CPU or for all, that may keep CPUs out of states shown as enabled.
    Source: kernel documentation, admin-guide/pm/cpuidle.rst ("Power Management Quality of Service").
    """

    states: dict[str, IdleState]
    unread: tuple[FactError, ...] = ()

    @classmethod
    def read(cls, host: Host) -> Self:
        """Raise FactError `absent` where no cpuidle driver is loaded (most virtual machines)."""
        directories: dict[str, list[str]] = {}
        online = _online(host)
        for d in host.glob(f"{CPUS}/cpu[0-9]*/cpuidle/state[0-9]*"):
            if online is None or cpu_of(d) in online:
                directories.setdefault(d.rpartition("/")[2], []).append(d)
        if not directories:
            raise FactError(f"{CPUS}/cpu*/cpuidle", "absent", "no cpuidle driver")
        limits_us, unread = _limits_us(host, sorted({cpu_of(d) for group in directories.values() for d in group}))
        states = {host.text(f"{d[0]}/name"): _idle_state(host, d, limits_us) for d in directories.values()}
        return cls(states, tuple(unread))


def _idle_state(host: Host, directories: list[str], limits_us: dict[int, int]) -> IdleState:
    latency_us = read_int(host, f"{directories[0]}/latency")
    allowed = [d for d in directories if latency_us <= limits_us.get(cpu_of(d), latency_us)]
    return IdleState(latency_us, tuple(cpu_of(d) for d in allowed if read_int(host, f"{d}/disable") == 0))


def _limits_us(host: Host, cpus: list[int]) -> tuple[dict[int, int], list[FactError]]:
    """Return the longest exit latency that CPUs may take, for those that have a limit, and what could not be read."""
    limits_us, unread = dict[int, int](), list[FactError]()
    try:
        limits_us = dict.fromkeys(cpus, _dma_latency_us(host))
    except FactError as error:
        unread += [error] if error.kind != "absent" else []
    for cpu in cpus:
        path = f"{CPUS}/cpu{cpu}/power/pm_qos_resume_latency_us"
        try:
            text = optional_text(host, path) or "0"
            limit_us = 0 if text == "n/a" else integer(path, text)
        except FactError as error:
            unread.append(error)
            continue
        if limit_us or text == "n/a":
            limits_us[cpu] = min(limit_us, limits_us.get(cpu, limit_us))
    return limits_us, unread


def _dma_latency_us(host: Host) -> int:
    """Return the one limit of all CPUs, a 32-bit number: what tuned's force_latency holds on to."""
    content = host.data(DMA_LATENCY)
    if len(content) != 4:
        raise FactError(DMA_LATENCY, "malformed", f"expected 4 bytes, found {len(content)}")
    return int.from_bytes(content, "little")


@fact(
    "/sys/devices/system/cpu/{present,online}",
    "/sys/devices/system/cpu/smt/control",
    "/sys/devices/system/cpu/cpu*/topology/{package_cpus_list,core_cpus_list}",
)
class CpuTopology(NamedTuple):
    """Which CPUs there are and how they are grouped. Offline CPUs have no place in the topology.

    `smt_control` is None on kernels without that file. Source: kernel documentation,
    admin-guide/cputopology.rst.
    """

    present: tuple[int, ...]
    online: tuple[int, ...]
    smt_control: str | None
    sockets: int
    cores: int

    @classmethod
    def read(cls, host: Host) -> Self:
        present = number_list(f"{CPUS}/present", host.text(f"{CPUS}/present"))
        online = number_list(f"{CPUS}/online", host.text(f"{CPUS}/online"))
        return cls(
            present=tuple(present),
            online=tuple(online),
            smt_control=optional_text(host, f"{CPUS}/smt/control"),
            sockets=_groups(host, online, "package_cpus_list", "core_siblings_list"),
            cores=_groups(host, online, "core_cpus_list", "thread_siblings_list"),
        )


def _groups(host: Host, cpus: list[int], name: str, old_name: str) -> int:
    """Count the groups that `cpus` fall into, reading one file per group (`old_name`: before Linux 5.3)."""
    count, seen = 0, set[int]()
    for cpu in cpus:
        if cpu in seen:
            continue
        path = f"{CPUS}/cpu{cpu}/topology/{name}"
        text = optional_text(host, path)
        if text is None:
            path = f"{CPUS}/cpu{cpu}/topology/{old_name}"
            text = host.text(path)
        count, seen = count + 1, seen | {cpu, *number_list(path, text)}
    return count


@fact("/sys/devices/system/cpu/smt/{control,active}")
class Smt(NamedTuple):
    """Simultaneous multithreading: the kernel's control word, and whether any core runs more than one thread."""

    control: str
    is_active: bool

    @classmethod
    def read(cls, host: Host) -> Self:
        return cls(host.text(f"{CPUS}/smt/control"), read_int(host, f"{CPUS}/smt/active") == 1)


@fact("/sys/devices/system/cpu/cpu*/microcode/version", "/proc/cpuinfo")
class Microcode(NamedTuple):
    """Microcode revision by CPU (x86)."""

    revisions: dict[int, int]

    @classmethod
    def read(cls, host: Host) -> Self:
        """Raise FactError `absent` on CPUs without microcode revisions (arm64, some virtual machines)."""
        try:
            return cls(_microcode_sysfs(host) or _microcode_cpuinfo(host))
        except FactError as error:
            if error.kind != "denied":  # root only, before Linux 5.15
                raise
        return cls(_microcode_cpuinfo(host))


def _microcode_sysfs(host: Host) -> dict[int, int]:
    online = _online(host)
    paths = host.glob(f"{CPUS}/cpu[0-9]*/microcode/version")
    return {cpu_of(p): read_int(host, p, 16) for p in paths if online is None or cpu_of(p) in online}


def _microcode_cpuinfo(host: Host) -> dict[int, int]:
    revisions, cpu = {}, 0
    for line in host.text("/proc/cpuinfo").splitlines():
        key, _, value = line.partition(":")
        if key.strip() == "processor":
            cpu = integer("/proc/cpuinfo", value)
        elif key.strip() == "microcode":
            revisions[cpu] = integer("/proc/cpuinfo", value, 16)
    if not revisions:
        raise FactError("/proc/cpuinfo", "absent", "no microcode revision")
    return revisions


@fact("/sys/devices/system/cpu/vulnerabilities/*")
class Vulnerabilities(NamedTuple):
    """What the kernel says of each known CPU vulnerability, by name.

    Source: kernel documentation, admin-guide/hw-vuln.
    """

    states: dict[str, str]

    @classmethod
    def read(cls, host: Host) -> Self:
        files = host.glob(f"{CPUS}/vulnerabilities/*")
        if not files:
            raise FactError(f"{CPUS}/vulnerabilities", "absent")
        return cls({f.rpartition("/")[2]: host.text(f) for f in files})


@fact("/sys/devices/system/clocksource/clocksource0/{current_clocksource,available_clocksource}")
class Clocksource(NamedTuple):
    """The clock that the kernel reads the time from, and those it could use instead."""

    current: str
    available: tuple[str, ...]

    @classmethod
    def read(cls, host: Host) -> Self:
        d = "/sys/devices/system/clocksource/clocksource0"
        return cls(
            host.text(f"{d}/current_clocksource"),
            tuple(host.text(f"{d}/available_clocksource").split()),
        )


def _online(host: Host) -> set[int] | None:
    """Return the online CPUs, or None if the kernel does not say. Files of an offline CPU may answer EBUSY."""
    text = optional_text(host, f"{CPUS}/online")
    return None if text is None else set(number_list(f"{CPUS}/online", text))
