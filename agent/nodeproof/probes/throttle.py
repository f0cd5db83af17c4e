"""How often CPUs slowed down because they were too hot."""

from collections.abc import Iterator
from typing import NamedTuple, Self

from nodeproof.errors import FactError
from nodeproof.host import Host
from nodeproof.probes import fact
from nodeproof.probes.counter import Counter
from nodeproof.probes.cpu import CPUS, cpu_of
from nodeproof.probes.parse import number_list, optional_int, optional_text


@fact(
    "/sys/devices/system/cpu/cpu*/thermal_throttle/{core,package}_throttle_count",
    "/sys/devices/system/cpu/cpu*/topology/{core,package}_cpus_list",
)
class CpuThrottles(NamedTuple):
    """Thermal events since boot of cores and of packages, each by its first CPU.

    All CPUs of a core or package count its events, each by itself: the largest count is taken. Only Intel's CPUs have
    these files. Source: kernel documentation, ABI/testing/sysfs-devices-system-cpu (`thermal_throttle`);
    drivers/thermal/intel/therm_throt.c.
    """

    cores: dict[int, int]
    packages: dict[int, int]

    @classmethod
    def read(cls, host: Host) -> Self:
        """Raise FactError `absent` where CPUs count no thermal events."""
        cpus = [cpu_of(directory) for directory in host.glob(f"{CPUS}/cpu[0-9]*/thermal_throttle")]
        cores = _most(host, cpus, "core_throttle_count", ("core_cpus_list", "thread_siblings_list"))
        packages = _most(host, cpus, "package_throttle_count", ("package_cpus_list", "core_siblings_list"))
        if not cores and not packages:
            raise FactError(f"{CPUS}/cpu*/thermal_throttle", "absent", "no CPU counts thermal events")
        return cls(cores, packages)

    def counters(self) -> Iterator[Counter]:
        for cpu, count in self.cores.items():
            yield Counter("cpu.core_throttles", f"cpu:{cpu}", count)
        for cpu, count in self.packages.items():
            yield Counter("cpu.package_throttles", f"cpu:{cpu}", count)


def _most(host: Host, cpus: list[int], counter: str, groups: tuple[str, str]) -> dict[int, int]:
    """Return the largest count of each group of CPUs, by the first of them that counts."""
    most, first_of = dict[int, int](), dict[int, int]()
    for cpu in cpus:
        count = optional_int(host, f"{CPUS}/cpu{cpu}/thermal_throttle/{counter}")
        if count is None:
            continue
        if cpu not in first_of:
            first_of |= dict.fromkeys(_group(host, cpu, groups), cpu)
        first = first_of[cpu]
        most[first] = max(count, most.get(first, 0))
    return most


def _group(host: Host, cpu: int, names: tuple[str, str]) -> list[int]:
    """Return the CPUs that a file lists, `cpu` among them (the second name: before Linux 5.3)."""
    for name in names:
        path = f"{CPUS}/cpu{cpu}/topology/{name}"
        if (text := optional_text(host, path)) is not None:
            return [cpu, *number_list(path, text)]
    return [cpu]
