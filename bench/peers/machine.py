"""The machine that the tools run on: which CPUs and sizes go into their commands, and what the page says of it."""

import glob
import os
import platform
import re
from typing import NamedTuple, Self

_CPUS = "/sys/devices/system/cpu"
_UNITS = {"K": 1 << 10, "M": 1 << 20, "G": 1 << 30}

#: As our own benchmarks assume where the kernel names no cache.
_LEAST_CACHE_BYTES, _LEAST_L1_BYTES = 32 << 20, 32 << 10

#: Flops of one core and clock in double precision, where the maker's documents leave no doubt.
_AMD_FLOPS_PER_CLOCK = {23: 16, 25: 16, 26: 32}


class Machine(NamedTuple):
    """One NUMA node. `cpus`: the first thread of each of its cores; `vectors`: the widest that likwid-bench can use."""

    model: str
    kernel: str
    architecture: str
    cpus: tuple[int, ...]
    cache_bytes: int
    l1_bytes: int
    vectors: str | None
    flops_per_clock: int | None

    @classmethod
    def read(cls) -> Self:
        cpu_info = _text("/proc/cpuinfo")
        flags = _field(cpu_info, "flags").split()
        cpus = _one_per_core(_node_cpus() & os.sched_getaffinity(0))
        return cls(
            model=_field(cpu_info, "model name") or platform.processor(),
            kernel=platform.release(),
            architecture=platform.machine(),
            cpus=cpus,
            cache_bytes=max(_cache_bytes(cpus), _LEAST_CACHE_BYTES),
            l1_bytes=_l1_bytes(cpus[0]),
            vectors=next(
                (v for flag, v in (("avx512f", "avx512"), ("avx", "avx"), ("sse2", "sse")) if flag in flags), None
            ),
            flops_per_clock=_flops_per_clock(cpu_info, flags),
        )


def _text(path: str) -> str:
    try:
        with open(path, encoding="utf-8") as file:
            return file.read().strip()
    except OSError:
        return ""


def _field(cpu_info: str, name: str) -> str:
    match = re.search(rf"^{name}\s*: (.*)$", cpu_info, re.MULTILINE)
    return match[1] if match else ""


def _numbers(text: str) -> set[int]:
    ranges = [[int(end) for end in part.split("-")] for part in text.split(",") if part]
    return {number for ends in ranges for number in range(ends[0], ends[-1] + 1)}


def _node_cpus() -> set[int]:
    return _numbers(_text("/sys/devices/system/node/node0/cpulist") or _text(f"{_CPUS}/online"))


def _one_per_core(cpus: set[int]) -> tuple[int, ...]:
    return tuple(
        sorted({min(_numbers(_text(f"{_CPUS}/cpu{c}/topology/thread_siblings_list")) & cpus or {c}) for c in cpus})
    )


def _caches(cpu: int) -> dict[tuple[int, str], int]:
    """Return the size of each data cache of a CPU, by level and the CPUs that share it."""
    found = {}
    for directory in glob.glob(f"{_CPUS}/cpu{cpu}/cache/index*"):
        size = _text(f"{directory}/size")
        if size and _text(f"{directory}/type") != "Instruction":
            level, shared = int(_text(f"{directory}/level")), _text(f"{directory}/shared_cpu_list")
            found[level, shared] = int(size[:-1]) * _UNITS[size[-1]]
    return found


def _cache_bytes(cpus: tuple[int, ...]) -> int:
    caches = {key: size for cpu in cpus for key, size in _caches(cpu).items()}
    last = max((level for level, _ in caches), default=0)
    return sum(size for (level, _), size in caches.items() if level == last)


def _l1_bytes(cpu: int) -> int:
    return next((size for (level, _), size in sorted(_caches(cpu).items()) if level == 1), _LEAST_L1_BYTES)


def _flops_per_clock(cpu_info: str, flags: list[str]) -> int | None:
    """Return what the core's documents promise; Intel's client cores and some Xeons have one AVX-512 pipe less."""
    if _field(cpu_info, "vendor_id") == "AuthenticAMD":
        return _AMD_FLOPS_PER_CLOCK.get(int(_field(cpu_info, "cpu family")))
    if _field(cpu_info, "vendor_id") == "GenuineIntel" and "fma" in flags:
        return 32 if "avx512f" in flags else 16
    return None
