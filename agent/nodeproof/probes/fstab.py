"""What an administrator wrote down to be mounted, and what of it may be said of other nodes too."""

from typing import NamedTuple, Self

from nodeproof.errors import FactError
from nodeproof.host import Host
from nodeproof.probes import fact
from nodeproof.probes.identity import HOST_NAME, host_name
from nodeproof.probes.mounts import Mounts, unescape
from nodeproof.probes.parse import optional_text

#: Buses whose disks are plugged in and pulled out, as they stand in the path of a device.
_PLUGGED = ("/usb", "/mmc")


class TableEntry(NamedTuple):
    """What /etc/fstab says of one mount point."""

    type: str
    options: frozenset[str]


@fact("/etc/fstab", "/proc/self/mountinfo", "/sys/dev/block/* (link)", "/sys/block/*/removable", HOST_NAME)
class FilesystemTable(NamedTuple):
    """What shall be mounted, by mount point; empty where there is no /etc/fstab.

    `removable` are mount points that may be missing (`nofail`) and whose disk can be taken away.
    """

    entries: dict[str, TableEntry]
    removable: frozenset[str]
    host_name: str

    @classmethod
    def read(cls, host: Host) -> Self:
        lines = (optional_text(host, "/etc/fstab") or "").split("\n")
        rows = [line.split() for line in lines if not line.lstrip().startswith("#")]
        entries = {unescape(r[1]): TableEntry(r[2], frozenset(r[3].split(","))) for r in rows if len(r) > 3}
        mounts = Mounts.read(host).reachable
        blocks = {p: mounts[p].block for p, entry in entries.items() if "nofail" in entry.options and p in mounts}
        removable = frozenset(p for p, block in blocks.items() if block and _is_removable(host, block))
        return cls(entries, removable, host_name(host))


def _is_removable(host: Host, block: str) -> bool:
    """Return whether a block device (major:minor, or a path) can be taken away; what is in doubt can."""
    try:
        link = f"/sys/class/block/{block.rpartition('/')[2]}" if block.startswith("/") else f"/sys/dev/block/{block}"
        target = host.link(link)
        if any(bus in target for bus in _PLUGGED):
            return True
        # a partition says nothing: its disk is the directory above it
        disks = target.split("/")[-2:]
        return any(optional_text(host, f"/sys/block/{disk}/removable") == "1" for disk in disks)
    except FactError as error:
        return error.kind != "absent"
