"""Questions to a mounted file system and to the device below it that no file in /proc or /sys answers."""

import os
import time

#: A multiple of every logical block size, so that a direct read is aligned on every device.
_READ_BYTES = 1 << 16


def statvfs(path: str) -> dict[str, int | float]:
    """Return sizes, inode counts and flags of the file system at `path`, and the seconds it took to answer.

    Network file systems ask their server. A local one answers from memory, even when its device hangs.
    stat(2) comes first: XFS answers it with EIO after a shutdown, and NFS with ESTALE.
    """
    began = time.perf_counter()
    os.stat(path)
    answer = os.statvfs(path)
    return {
        "block_bytes": answer.f_frsize,
        "blocks": answer.f_blocks,
        "blocks_free": answer.f_bfree,
        "blocks_available": answer.f_bavail,
        "files": answer.f_files,
        "files_free": answer.f_ffree,
        "flags": answer.f_flag,
        "seconds": round(time.perf_counter() - began, 3),
    }


def read_block_device(path: str) -> dict[str, float]:
    """Read the first blocks of a block device past the page cache, and return the seconds it took.

    On a hung device stat, statvfs and readdir of a mounted file system all answer from memory; this
    read does not. O_DIRECT neither fills nor drops a cache, and a read-only open wakes no udev rule.
    """
    import mmap

    began = time.perf_counter()
    device = os.open(path, os.O_RDONLY | os.O_DIRECT | os.O_CLOEXEC)
    try:
        with mmap.mmap(-1, _READ_BYTES) as page_aligned:
            os.preadv(device, [page_aligned], 0)
    finally:
        os.close(device)
    return {"seconds": round(time.perf_counter() - began, 3)}
