"""CPU facts from sysfs and /proc/cpuinfo."""

from typing import NamedTuple, Self

from nodeproof.errors import FactError
from nodeproof.host import Host
from nodeproof.probes import fact
from nodeproof.probes.parse import optional_int, read_int

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
        directories = host.glob(f"{CPUS}/cpu[0-9]*/cpufreq")
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
