"""What RDMA ports count, as files in sysfs."""

from collections.abc import Mapping

IB = "/sys/class/infiniband"

Counts = Mapping[str, Mapping[str, int | str]]
"""By adapter what its port 1 counts: `name` in counters/, `hw/name` in hw_counters/."""


def counter_files(counts: Counts) -> dict[str, str]:
    files = {}
    for adapter, found in counts.items():
        for name, count in found.items():
            directory = "hw_counters" if name.startswith("hw/") else "counters"
            files[f"{IB}/{adapter}/ports/1/{directory}/{name.removeprefix('hw/')}"] = f"{count}\n"
    return files
