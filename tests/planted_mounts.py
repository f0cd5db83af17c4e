"""A node with a root, a scratch disk and network mounts, to plant and to break."""

from typing import Any

from nodeproof.host.filesystem import read_block_device, statvfs

MOUNTINFO = "/proc/self/mountinfo"
ROOT = "27 1 259:2 / / rw,relatime shared:1 - ext4 /dev/nvme0n1p2 rw,errors=remount-ro"
PROC = "22 27 0:21 / /proc rw,nosuid - proc proc rw"
SCRATCH = "40 27 253:0 / /local rw,noatime shared:9 - xfs /dev/mapper/vg-local rw,attr2"
HOME = "41 27 0:50 / /home rw,relatime shared:10 - nfs4 nas1:/export/home rw,vers=4.2,hard,addr=10.0.0.1"
LUSTRE = "42 27 0:51 / /lustre rw shared:11 - lustre 10.0.0.2@o2ib:10.0.0.3@o2ib:/fs1 rw,flock,lazystatfs"
SHM = "43 27 0:24 / /dev/shm rw - tmpfs tmpfs rw"
IMAGE = "44 27 7:1 / /snap/core/1 ro - squashfs /dev/loop1 ro"
LINES = [ROOT, PROC, SCRATCH, HOME, LUSTRE, SHM, IMAGE]
POINTS = ("/", "/local", "/home", "/lustre", "/dev/shm")


def answer(used: int = 40, inodes_used: int = 10, seconds: float = 0.001, files: int = 100) -> dict[str, float]:
    return {
        "block_bytes": 4096,
        "blocks": 100,
        "blocks_free": 100 - used,
        "blocks_available": 100 - used,
        "files": files,
        "files_free": files - inodes_used if files else 0,
        "flags": 0,
        "seconds": seconds,
    }


def node(
    lines: list[str] = LINES,
    fstab: str | None = None,
    errors: dict[str, tuple[str, str]] | None = None,
    **usage: dict[str, float],
) -> dict[str, Any]:
    """What `machine` needs to plant a node; `usage` overrides the answer of a mount (`root`, `local`, …)."""
    by_point = {"/" + name.replace("root", ""): told for name, told in usage.items()}
    calls: dict[tuple[Any, ...], Any] = {(statvfs, p): by_point.get(p, answer()) for p in POINTS}
    calls |= {(read_block_device, f"/dev/{d}"): {"seconds": 0.001} for d in ("nvme0n1p2", "dm-0")}
    return {
        "files": {MOUNTINFO: "\n".join(lines) + "\n"} | ({"/etc/fstab": fstab} if fstab else {}),
        "calls": calls,
        "links": {
            "/sys/dev/block/259:2": "../../devices/pci/nvme/nvme0/nvme0n1/nvme0n1p2",
            "/sys/dev/block/253:0": "../../devices/virtual/block/dm-0",
        },
        "directories": ("/sys/dev/block/259:2", "/sys/dev/block/253:0"),
        "errors": errors or {},
    }
