"""Mounted file systems: what is mounted, how full it is, and whether it and its device still answer."""

import re
from collections.abc import Callable
from typing import Any, NamedTuple, Self

from nodeproof.errors import FactError
from nodeproof.host import Host
from nodeproof.host.filesystem import read_block_device, statvfs
from nodeproof.probes import fact

#: Most mounts asked in one pass (then as many again of servers and disks that none was asked of), and how many
#: may hang before the others are left alone: each costs a deadline.
MAX_ASKED = 256
MAX_HUNG = 3

#: File systems without storage of their own, and images, which are full and read-only by nature.
_NO_STORAGE = frozenset(
    "autofs bdev binder binfmt_misc bpf cgroup cgroup2 configfs cpuset debugfs devpts devtmpfs efivarfs fusectl "  # noqa: SIM905  # a word a line would be no clearer
    "fuse.gvfsd-fuse fuse.lxcfs fuse.portal hugetlbfs mqueue nfsd nsfs overlay proc pstore ramfs resctrl rootfs "
    "rpc_pipefs securityfs selinuxfs smackfs sysfs tracefs "
    "cramfs erofs iso9660 romfs squashfs udf".split()
)
NETWORK = frozenset(
    "9p afs beegfs ceph cifs fuse.ceph fuse.glusterfs glusterfs gpfs lustre nfs nfs4 orangefs panfs "  # noqa: SIM905  # as above
    "pvfs2 smb3 virtiofs wekafs".split()
)
#: Where users, removable media and container runtimes mount.
_PASSING = (  # noqa: SIM905  # a list of words
    "/dev/ /media/ /proc/ /run/ /snap/ /sys/ /tmp/ /var/lib/containerd/ /var/lib/containers/ "
    "/var/lib/docker/ /var/lib/kubelet/ /var/lib/lxc/ /var/lib/lxd/ /var/lib/machines/ /var/snap/ /var/tmp/"
).split()


class Mount(NamedTuple):
    """One mount. `options` belong to the mount, `super_options` to the file system below it.

    `device` is major:minor; the major number 0 stands for no block device (or for several, as in btrfs).
    `is_on_demand`: an automounter mounted it, and will unmount it.
    """

    point: str
    type: str
    source: str
    options: frozenset[str]
    super_options: frozenset[str]
    device: str
    is_on_demand: bool

    @property
    def block(self) -> str | None:
        """The block device below: major:minor, or a path where the kernel gives no number."""
        if not self.device.startswith("0:"):
            return self.device
        return self.source if self.type in ("btrfs", "bcachefs") and self.source.startswith("/dev/") else None

    @property
    def origin(self) -> str:
        """What hangs as one: the block device, the server, or the source."""
        return self.block or self.source.partition(":/")[0]

    @property
    def is_read_only(self) -> bool:
        return "ro" in self.options or "ro" in self.super_options

    @property
    def has_storage(self) -> bool:
        """Whether there is storage of the node's own below: no pseudo, image, container or user's FUSE mount."""
        is_users = any(o.startswith("user_id=") and o != "user_id=0" for o in self.super_options)
        return not is_users and (self.type not in _NO_STORAGE or (self.type, self.point) == ("overlay", "/"))

    @property
    def is_in_passing(self) -> bool:
        """Whether it lies where users, removable media and containers come and go."""
        return self.is_on_demand or self.point.startswith(tuple(_PASSING))


@fact("/proc/self/mountinfo")
class Mounts(NamedTuple):
    """Reachable mounts by mount point: those that another one hides are left out.

    Source: kernel documentation, filesystems/proc.rst, section 3.5.
    """

    reachable: dict[str, Mount]

    @classmethod
    def read(cls, host: Host) -> Self:
        source = "/proc/self/mountinfo"
        rows = [_row(source, line) for line in host.text(source).split("\n") if line]
        types = {row.id: row.mount.type for row in rows}
        children = {(row.parent, row.mount.point) for row in rows}
        hidden: set[str] = set()
        reachable = {}
        for row in rows:
            point = row.mount.point
            if row.parent in hidden or any((row.parent, above) in children for above in _above(point)):
                hidden.add(row.id)
            elif (row.id, point) not in children:
                reachable[point] = row.mount._replace(is_on_demand=types.get(row.parent) == "autofs")
        return cls(reachable)


class _Row(NamedTuple):
    id: str
    parent: str
    mount: Mount


def _row(source: str, line: str) -> _Row:
    of_mount, separator, of_super = line.partition(" - ")
    first, second = of_mount.split(" "), of_super.split(" ")
    if not separator or len(first) < 6 or len(second) < 3:
        raise FactError(source, "malformed", f"expected a mount, found {line[:80]!r}")
    mount = Mount(
        point=unescape(first[4]),
        type=unescape(second[0]),
        source=unescape(second[1]),
        options=frozenset(first[5].split(",")),
        super_options=frozenset(unescape(" ".join(second[2:])).split(",")),
        device=first[2],
        is_on_demand=False,
    )
    return _Row(first[0], first[1], mount)


def _above(point: str) -> list[str]:
    """Return the directories above a mount point, e.g. `/`, `/a` for `/a/b`; none for the root."""
    return [point[:i] or "/" for i, c in enumerate(point) if c == "/"] if point != "/" else []


def unescape(text: str) -> str:
    """Undo the kernel's octal escapes of blanks, newlines and backslashes."""
    return re.sub(r"\\([0-3][0-7]{2})", lambda m: chr(int(m[1], 8)), text) if "\\" in text else text


class Usage(NamedTuple):
    """How full a file system is. `available_bytes` is what is left for ordinary users."""

    total_bytes: int
    free_bytes: int
    available_bytes: int
    inodes: int
    free_inodes: int
    seconds: float

    @property
    def used_percent(self) -> float:
        """As `df` counts: of what ordinary users can ever use."""
        used = self.total_bytes - self.free_bytes
        return 100 * used / max(1, used + self.available_bytes)

    @property
    def used_inodes_percent(self) -> float:
        return 100 * (self.inodes - self.free_inodes) / max(1, self.inodes)


@fact("/proc/self/mountinfo", "statvfs(2) of every mount with storage", isolated=True)
class MountUsage(NamedTuple):
    """Usage by mount point, and for mounts that did not say: why. `left_out` were not asked at all.

    Mounts of one file system (bind mounts, subvolumes) share one answer.
    """

    mounts: dict[str, Mount]
    known: dict[str, Usage]
    unread: dict[str, FactError]
    left_out: tuple[str, ...]

    @classmethod
    def read(cls, host: Host) -> Self:
        mounts = {p: m for p, m in Mounts.read(host).reachable.items() if m.has_storage}
        alike: dict[str, list[str]] = {}
        for mount in sorted(mounts.values(), key=lambda m: m.type in NETWORK):
            alike.setdefault(mount.device, []).append(mount.point)
        asked = {points[0]: points for points in alike.values()}
        questions = {point: mounts[point].origin for point in asked}
        answers, errors, left_out = _ask(questions, lambda point: host.call(statvfs, point))
        known = {p: _usage(answer) for point, answer in answers.items() for p in asked[point]}
        unread = {p: error for point, error in errors.items() for p in asked[point]}
        return cls(mounts, known, unread, tuple(p for point in left_out for p in asked[point]))


def _usage(answer: dict[str, Any]) -> Usage:
    unit = answer["block_bytes"]
    return Usage(
        total_bytes=answer["blocks"] * unit,
        free_bytes=answer["blocks_free"] * unit,
        available_bytes=answer["blocks_available"] * unit,
        inodes=answer["files"],
        free_inodes=answer["files_free"],
        seconds=answer["seconds"],
    )


@fact("/proc/self/mountinfo", "/sys/dev/block/*", "a direct read of every mounted block device", isolated=True)
class MountedDevices(NamedTuple):
    """Seconds that each mounted block device took to answer a read, by `Mount.block`.

    Root alone may read a block device: for others it is denied.
    """

    known: dict[str, float]
    unread: dict[str, FactError]
    left_out: tuple[str, ...]

    @classmethod
    def read(cls, host: Host) -> Self:
        mounts = Mounts.read(host).reachable.values()
        blocks = {m.block: m.block for m in mounts if m.has_storage and m.block is not None}
        present = frozenset(host.glob("/sys/dev/block/*"))
        answers, unread, left_out = _ask(blocks, lambda block: _seconds(host, block, present))
        return cls(answers, unread, left_out)


def _seconds(host: Host, block: str, present: frozenset[str]) -> float:
    path = block
    if not block.startswith("/"):
        link = f"/sys/dev/block/{block}"
        if present and link not in present:
            raise FactError(f"block device {block}", "failed", "ENODEV")
        path = "/dev/" + host.link(link).rpartition("/")[2].replace("!", "/")
    return float(host.call(read_block_device, path)["seconds"])


def _ask(
    questions: dict[str, str], ask: Callable[[str], Any]
) -> tuple[dict[str, Any], dict[str, FactError], tuple[str, ...]]:
    """Put each question (a name, and what hangs as one with it) and keep answers and errors apart.

    Where one hung, others of the same origin are not asked: that would cost a deadline each. Beyond the
    limit, those are asked whose origin has not answered yet.
    """
    answers: dict[str, Any] = {}
    unread: dict[str, FactError] = {}
    hung: dict[str, FactError] = {}
    answered: set[str] = set()
    for name, origin in questions.items():
        if origin in hung:
            unread[name] = hung[origin]
        elif len(hung) < MAX_HUNG and len(answers) + len(unread) < MAX_ASKED * (1 if origin in answered else 2):
            try:
                answers[name] = ask(name)
                answered.add(origin)
            except FactError as error:
                unread[name] = error
                if error.kind == "timed_out":
                    hung[origin] = error
    return answers, unread, tuple(n for n in questions if n not in answers and n not in unread)
