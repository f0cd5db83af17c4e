"""Memory facts from procfs and sysfs: size, huge pages, swap. DIMMs are in `smbios`, error counters in `edac`."""

from typing import NamedTuple, Self

from nodeproof.errors import FactError
from nodeproof.host import Host
from nodeproof.probes import fact
from nodeproof.probes.parse import integer, read_int

HUGE_PAGES = "/sys/kernel/mm/hugepages"
TRANSPARENT = "/sys/kernel/mm/transparent_hugepage/enabled"


@fact("/proc/meminfo")
class MemorySize(NamedTuple):
    """Memory that the kernel has: what is installed, less what firmware and kernel keep for themselves."""

    total_bytes: int

    @classmethod
    def read(cls, host: Host) -> Self:
        for line in host.text("/proc/meminfo").splitlines():
            words = line.split()
            if len(words) >= 2 and words[0] == "MemTotal:":
                return cls(integer("/proc/meminfo", words[1]) * 1024)
        raise FactError("/proc/meminfo", "malformed", "no MemTotal")


@fact("/sys/kernel/mm/transparent_hugepage/enabled")
class TransparentHugePages(NamedTuple):
    """When the kernel backs ordinary memory with huge pages: `always`, `madvise` or `never`."""

    mode: str

    @classmethod
    def read(cls, host: Host) -> Self:
        text = host.text(TRANSPARENT)
        _, bracket, rest = text.partition("[")
        mode, end, _ = rest.partition("]")
        if not (bracket and end):
            raise FactError(TRANSPARENT, "malformed", f"expected one word in brackets, found {text[:40]!r}")
        return cls(mode)


@fact("/sys/kernel/mm/hugepages/hugepages-*/nr_hugepages")
class HugePages(NamedTuple):
    """Persistent huge pages in the pool by page size (`2048kB`), all NUMA nodes together.

    Source: kernel documentation, admin-guide/mm/hugetlbpage.rst.
    """

    pages: dict[str, int]

    @classmethod
    def read(cls, host: Host) -> Self:
        directories = host.glob(f"{HUGE_PAGES}/hugepages-*")
        if not directories:
            raise FactError(HUGE_PAGES, "absent", "no huge page support")
        return cls({d.rpartition("hugepages-")[2]: read_int(host, f"{d}/nr_hugepages") for d in directories})


@fact("/proc/swaps")
class Swap(NamedTuple):
    """Size of each active swap area in bytes by name, as the kernel writes it (blanks in octal)."""

    areas: dict[str, int]

    @property
    def total_bytes(self) -> int:
        return sum(self.areas.values())

    @classmethod
    def read(cls, host: Host) -> Self:
        areas = {}
        for line in host.text("/proc/swaps").splitlines()[1:]:
            words = line.split()
            if len(words) < 5:
                raise FactError("/proc/swaps", "malformed", f"expected 5 columns, found {line[:40]!r}")
            areas[words[0]] = integer("/proc/swaps", words[2]) * 1024
        return cls(areas)
