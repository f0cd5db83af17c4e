"""Errors that ext4 has noted down.

The mount table does not tell: since Linux 6.12, and in stable kernels that took the change, a file
system that stopped writing after an error is still listed as `rw`.
"""

from typing import NamedTuple, Self

from nodeproof.errors import FactError
from nodeproof.host import Host
from nodeproof.probes import fact
from nodeproof.probes.mounts import Mounts
from nodeproof.probes.parse import integer, read_int

#: What notes an error when something wants to write and the journal has given up.
_JOURNAL_IS_GONE = "ext4_journal_check_start"


class Ext4State(NamedTuple):
    """Errors noted since the last fsck, and whether one since boot made the file system stop writing."""

    errors: int
    has_stopped: bool


@fact(
    "/sys/fs/ext4/*/{errors_count,last_error_time,last_error_func}",
    "/proc/fs/ext4/*/options",
    "/proc/stat",
)
class Ext4Errors(NamedTuple):
    """State of every mounted ext2, ext3 and ext4 by `Mount.block`, and why some could not be had.

    Source: kernel documentation, ABI/testing/sysfs-fs-ext4 and admin-guide/ext4.rst.
    """

    known: dict[str, Ext4State]
    unread: dict[str, FactError]

    @classmethod
    def read(cls, host: Host) -> Self:
        known: dict[str, Ext4State] = {}
        unread: dict[str, FactError] = {}
        mounts = Mounts.read(host).reachable.values()
        for block in dict.fromkeys(m.block for m in mounts if m.block and m.type in ("ext2", "ext3", "ext4")):
            try:
                known[block] = _state(host, host.link(f"/sys/dev/block/{block}").rpartition("/")[2])
            except FactError as error:
                if error.kind != "absent":
                    unread[block] = error
        return cls(known, unread)


def _state(host: Host, name: str) -> Ext4State:
    errors = read_int(host, f"/sys/fs/ext4/{name}/errors_count")
    if errors == 0 or read_int(host, f"/sys/fs/ext4/{name}/last_error_time") < _boot_time_s(host):
        return Ext4State(errors, has_stopped=False)
    options = host.text(f"/proc/fs/ext4/{name}/options").split()
    last = host.text(f"/sys/fs/ext4/{name}/last_error_func")
    return Ext4State(errors, has_stopped="errors=remount-ro" in options or last == _JOURNAL_IS_GONE)


def _boot_time_s(host: Host) -> int:
    for line in host.text("/proc/stat").split("\n"):
        if line.startswith("btime "):
            return integer("/proc/stat", line.removeprefix("btime "))
    raise FactError("/proc/stat", "malformed", "no btime")
