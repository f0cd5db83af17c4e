"""One thing that happened to one part of this machine.

A part is named the same wherever it is spoken of, so that what has one cause can be put together:
`pci:0000:3b:00.0`, `nic:eth0`, `ib:mlx5_0/1`, `nvme:nvme0`, `disk:sda`, `dimm:CPU0_DIMM_A1`, `cpu:12`, `gpu:<UUID>`,
`fs:/scratch`, `process:python3`; empty where it is the whole node.
"""

from collections.abc import Mapping
from typing import Literal, NamedTuple

Source = Literal["kmsg", "pstore", "uevent", "rtnetlink", "nvml", "agent"]


class Event(NamedTuple):
    """`rule` is the id of the catalogue's row, `variant` what else tells events of it apart (the code of an XID).

    `at` is in seconds since the epoch. `sequence` is the kernel's number of a log line, unique within a boot;
    None where the source has none. `fields` is what was read from `text`, one harmless line. `count` is more than 1
    where a flood of the same was put together.
    """

    rule: str
    at: float
    boot_id: str
    source: Source
    text: str
    part: str = ""
    variant: str = ""
    sequence: int | None = None
    fields: Mapping[str, str] = {}
    count: int = 1  # type: ignore[assignment]  # no tuple of ours is searched
