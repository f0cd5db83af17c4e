"""Which cores are of one kind, as far as the kernel says: only those can be compared.

A fact that is never absent: a virtual machine says nothing of this, and its cores count as alike.
"""

from collections.abc import Iterable
from typing import NamedTuple, Self

from nodeproof.host import Host
from nodeproof.probes import fact
from nodeproof.probes.cpu import CPUS, cpu_of
from nodeproof.probes.parse import number_list, read_int

#: Cores whose highest clocks differ by less are of one kind: of some processors a few are favoured with a little more.
_SAME_KIND = 0.9

_FILES = "cpu_capacity", "cpufreq/cpuinfo_max_freq", "cpufreq/base_frequency", "acpi_cppc/nominal_freq"
_PACKAGE = "topology/package_cpus_list"


@fact(*(f"{CPUS}/cpu*/{name}" for name in (*_FILES, _PACKAGE)))
class Cores(NamedTuple):
    """What the kernel says of each CPU, and which CPUs share a package.

    `capacity` is 1024 for the fastest kind (arm64); `base_khz` is the clock that the vendor promises. Source: kernel
    documentation, ABI/testing/sysfs-devices-system-cpu, admin-guide/pm/intel_pstate.rst and acpi/cppc_sysfs.rst.
    """

    capacity: dict[int, int]
    max_khz: dict[int, int]
    base_khz: dict[int, int]
    packages: tuple[tuple[int, ...], ...]

    @classmethod
    def read(cls, host: Host) -> Self:
        capacity, max_khz, base_khz, nominal_mhz = (_numbers(host, name) for name in _FILES)
        nominal_khz = {cpu: 1000 * mhz for cpu, mhz in nominal_mhz.items()}
        return cls(capacity, max_khz, nominal_khz | base_khz, _groups(host, _PACKAGE))

    def kinds(self, cpus: Iterable[int]) -> list[list[int]]:
        """Return these CPUs in groups of one kind, the fastest kind last."""
        kinds: list[list[int]] = []
        for cpu in sorted(cpus, key=lambda c: (*self._strength(c), c)):
            is_new = not kinds or any(
                low < _SAME_KIND * high
                for low, high in zip(self._strength(kinds[-1][0]), self._strength(cpu), strict=True)
            )
            kinds += [[]] if is_new else []
            kinds[-1].append(cpu)
        return [sorted(kind) for kind in kinds]

    def share_package(self, cpu: int, other: int) -> bool:
        return any(cpu in package and other in package for package in self.packages)

    def _strength(self, cpu: int) -> tuple[int, int]:
        return self.capacity.get(cpu, 0), self.max_khz.get(cpu, 0)


def _numbers(host: Host, name: str) -> dict[int, int]:
    return {cpu_of(path): read_int(host, path) for path in host.glob(f"{CPUS}/cpu[0-9]*/{name}")}


def _groups(host: Host, name: str) -> tuple[tuple[int, ...], ...]:
    """Return the sets of CPUs that a file of each CPU names, reading one file of each set."""
    groups, seen = list[tuple[int, ...]](), set[int]()
    for path in host.glob(f"{CPUS}/cpu[0-9]*/{name}"):
        if cpu_of(path) not in seen:
            groups.append(tuple(number_list(path, host.text(path))))
            seen |= {cpu_of(path), *groups[-1]}
    return tuple(groups)
