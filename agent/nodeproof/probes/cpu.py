"""CPU facts from sysfs and /proc/cpuinfo."""

from typing import NamedTuple, Self

from nodeproof.errors import FactError
from nodeproof.host import Host
from nodeproof.probes import fact
from nodeproof.probes.parse import integer, number_list, optional_int, optional_text, read_int

CPUS = "/sys/devices/system/cpu"


def cpu_of(path: str) -> int:
    """Return the CPU number of a path below `/sys/devices/system/cpu/cpuN`."""
    return int(path.split("/")[5][3:])


class FrequencyPolicy(NamedTuple):
    """Frequency policy of one CPU. Frequencies are in kHz, as the kernel gives them."""

    governor: str
    driver: str
    max_khz: int
    hardware_max_khz: int


@fact(
    "/sys/devices/system/cpu/cpu*/cpufreq/{scaling_governor,scaling_driver,scaling_max_freq,cpuinfo_max_freq}",
    "/sys/devices/system/cpu/cpufreq/boost",
    "/sys/devices/system/cpu/intel_pstate/no_turbo",
)
class CpuFrequency(NamedTuple):
    """Frequency policy by CPU, and whether boost is on (None: the driver does not say).

    Source: kernel documentation, admin-guide/pm/cpufreq.rst and intel_pstate.rst.
    """

    policies: dict[int, FrequencyPolicy]
    is_boost_on: bool | None

    @classmethod
    def read(cls, host: Host) -> Self:
        """Raise FactError `absent` where no cpufreq driver is loaded (most virtual machines)."""
        online = _online(host)
        directories = [d for d in host.glob(f"{CPUS}/cpu[0-9]*/cpufreq") if online is None or cpu_of(d) in online]
        if not directories:
            raise FactError(f"{CPUS}/cpu*/cpufreq", "absent", "no cpufreq driver")
        policies = {
            cpu_of(d): FrequencyPolicy(
                governor=host.text(f"{d}/scaling_governor"),
                driver=host.text(f"{d}/scaling_driver"),
                max_khz=read_int(host, f"{d}/scaling_max_freq"),
                hardware_max_khz=read_int(host, f"{d}/cpuinfo_max_freq"),
            )
            for d in directories
        }
        return cls(policies, _boost(host))


def _boost(host: Host) -> bool | None:
    boost = optional_int(host, f"{CPUS}/cpufreq/boost")
    if boost is not None:
        return boost == 1
    no_turbo = optional_int(host, f"{CPUS}/intel_pstate/no_turbo")
    return None if no_turbo is None else no_turbo == 0


class IdleState(NamedTuple):
    """One idle state: how long it takes to leave it, and the CPUs that may enter it."""

    exit_latency_us: int
    enabled_cpus: tuple[int, ...]


@fact("/sys/devices/system/cpu/cpu*/cpuidle/state*/{name,latency,disable}")
class CpuIdle(NamedTuple):
    """Idle states by name.

    Name and latency are read once per state and not per CPU: all CPUs share the driver's one table.
    Source: kernel documentation, admin-guide/pm/cpuidle.rst.
    """

    states: dict[str, IdleState]

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
        return cls({host.text(f"{d[0]}/name"): _idle_state(host, d) for d in directories.values()})


def _idle_state(host: Host, directories: list[str]) -> IdleState:
    enabled = tuple(cpu_of(d) for d in directories if read_int(host, f"{d}/disable") == 0)
    return IdleState(read_int(host, f"{directories[0]}/latency"), enabled)


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
