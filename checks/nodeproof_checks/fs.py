"""Judgement of mounted file systems."""

import re
from collections.abc import Callable, Mapping
from fnmatch import fnmatchcase
from typing import Annotated

from nodeproof.check import check
from nodeproof.errors import FactError
from nodeproof.probes.ext4 import Ext4Errors
from nodeproof.probes.fstab import FilesystemTable
from nodeproof.probes.mounts import NETWORK, Mount, MountedDevices, Mounts, MountUsage, Usage
from nodeproof.verdict import Verdict, fail, named, ok, plural, warn

#: An error of these says that the file system or its device is broken; any other, that we could not ask.
_BROKEN = frozenset(
    "EIO ENODATA ENODEV ENOLINK ENOTCONN ENXIO EHOSTDOWN EHOSTUNREACH "  # noqa: SIM905  # a list of words
    "EREMOTEIO ESHUTDOWN ESTALE EUCLEAN".split()
)


def _expected(mounts: Mounts, table: FilesystemTable) -> dict[str, object]:
    """Learn mounts that belong to the node: the root, network mounts, and what /etc/fstab mounts at every boot."""
    claimed: dict[str, str] = {}
    for point, mount in mounts.reachable.items():
        entry = table.entries.get(point)
        is_listed = entry is not None and not entry.options & {"noauto", "user", "users", "owner"}
        is_at_boot = is_listed and point not in table.removable
        is_network = mount.type in NETWORK and not point.startswith("/mnt/")  # where admins mount by hand
        if point == "/" or (not mount.is_in_passing and (is_network or is_at_boot)):
            source = _pattern(mount.source, table.host_name)
            claimed[point] = f"{source} {mount.type}" if mount.type in NETWORK else mount.type
    return {"claimed": claimed} if claimed else {}


def _pattern(source: str, host_name: str) -> str:
    """Return a pattern for this source on every node: the node's own name in it (diskless roots) becomes `*`.

    Blanks separate our fields, so they become `?`.
    """
    literal = "".join("?" if c in " \t\n*[" else c for c in source)
    short = host_name.partition(".")[0]
    return re.sub(rf"(?<![A-Za-z0-9]){re.escape(short)}(?![A-Za-z0-9])", "*", literal) if short else literal


@check(
    "fs.mounted",
    tags="prolog healthcheck boot",
    remedy="Compare `findmnt` with /etc/fstab and mount what is missing; look in the kernel log for why it was not.",
    learn=_expected,
)
def mounted(
    mounts: Mounts,
    table: FilesystemTable,
    *,
    claimed: Annotated[
        dict[str, str],
        'by mount point: a type ("xfs"), or "SOURCE TYPE" or "SOURCE TYPE OPTION,OPTION"; `*` and `?` match any text',
    ],
) -> Verdict:
    """Every claimed file system is mounted, from the right source, with the right type and options.

    A job that starts without /scratch writes its terabyte into the root file system, or dies at its
    first open. A mount with the wrong options (`soft` for `hard`, no `flock`) corrupts or hangs it later.
    """
    del table  # learnt from, not judged
    wrong = {p: why for p, wanted in claimed.items() if (why := _mismatch(mounts.reachable.get(p), wanted))}
    if wrong:
        first = next(iter(wrong))
        more = f"; also wrong: {named(list(wrong)[1:])}" if len(wrong) > 1 else ""
        return fail(f"{first} {wrong[first]}{more}", mounts=wrong)
    return ok(f"{plural(len(claimed), 'claimed file system')} mounted as expected")


def _mismatch(mount: Mount | None, wanted: str) -> str | None:
    words = wanted.split()
    source, kind = ("*", "".join(words)) if len(words) < 2 else words[:2]
    if mount is None:
        return f"is not mounted, expected {wanted or 'a file system'}"
    if not fnmatchcase(mount.type, kind or "*"):
        return f"is of type {mount.type}, expected {kind}"
    if not fnmatchcase(mount.source, source):
        return f"is mounted from {mount.source}, expected {source}"
    present = mount.options | mount.super_options
    if mount.is_read_only:
        present -= {"rw"}
    lacking = [o for o in ",".join(words[2:]).split(",") if o and not any(fnmatchcase(p, o) for p in present)]
    return f"is mounted without option {named(lacking)}" if lacking else None


@check(
    "fs.space",
    tags="prolog healthcheck boot",
    remedy="Find what fills it with `du -xh --max-depth=2`; remove old logs, core files and what dead jobs left.",
)
def space(
    usage: MountUsage,
    *,
    max_used_percent: Annotated[float, "most that may be used, in percent as `df` counts it"] = 95.0,
    mounts: Annotated[
        tuple[str, ...],
        "mount points to judge, `*` allowed; none: every writable local disk, and a root of the node's own",
    ] = (),
) -> Verdict:
    """No local file system is about to run full.

    With a full root or /var no job can start, no log is written and slurmd loses its state; with a full
    local scratch the next job fails after hours. Network file systems are the site's matter and no reason
    to drain a node: they are judged only where policy names them.
    """
    return _full(usage, mounts, max_used_percent, "space", lambda u: u.used_percent if u.total_bytes else None)


@check(
    "fs.inodes",
    tags="prolog healthcheck boot",
    remedy="Find the directory with the most files (`du -x --inodes --max-depth=2`) and remove what dead jobs left.",
)
def inodes(
    usage: MountUsage,
    *,
    max_used_percent: Annotated[float, "most of its inodes that may be used, in percent"] = 95.0,
    mounts: Annotated[
        tuple[str, ...],
        "mount points to judge, `*` allowed; none: every writable local disk, and a root of the node's own",
    ] = (),
) -> Verdict:
    """No local file system is about to run out of inodes.

    Millions of small files (Python environments, data sets unpacked by jobs) use up the inodes while
    `df` still shows free space; then every open for writing fails with "no space left on device".
    File systems without a fixed number of inodes (btrfs, vfat) are not judged.
    """
    return _full(usage, mounts, max_used_percent, "inodes", lambda u: u.used_inodes_percent if u.inodes else None)


def _full(
    usage: MountUsage, chosen: tuple[str, ...], limit: float, what: str, percent: Callable[[Usage], float | None]
) -> Verdict:
    judged = {p for p, m in usage.mounts.items() if _is_chosen(m, chosen)}
    used = {p: u for p in judged if p in usage.known and (u := percent(usage.known[p])) is not None}
    full = {p: round(used[p], 1) for p in sorted(used, key=lambda p: -used[p]) if used[p] > limit}
    if full:
        each = [f"{p} {u:g}%" for p, u in full.items()]
        return fail(f"{named(each)} of {what} used, expected at most {limit:g}%", used_percent=full)
    silent = sorted(p for p in judged if p in usage.unread)
    for point in silent:
        if not _is_broken(usage.unread[point]):
            raise usage.unread[point]
    _raise_missing(usage, chosen)
    left = f"; {named(silent)} gave no answer (see fs.responsive)" if silent else ""
    if not used:
        return ok(f"no file system to judge for {what}{left}", unread=silent)
    fullest = max(used, key=lambda p: used[p])
    top = f"most used on {fullest} ({used[fullest]:.1f}%)"
    return ok(f"{plural(len(used), 'file system')} with {what} left, {top}{left}", unread=silent)


def _raise_missing(usage: MountUsage, chosen: tuple[str, ...]) -> None:
    """Raise FactError for a chosen mount point that is not there; a pattern may match none, but not all of them."""
    for point in chosen:
        if point not in usage.mounts and not any(c in point for c in "*?["):
            raise FactError(f"mount {point}", "failed", "no such mount")
    if chosen and not any(_is_chosen(m, chosen) for m in usage.mounts.values()):
        raise FactError(f"mount {named(chosen)}", "absent", "no such mount")


def _is_chosen(mount: Mount, chosen: tuple[str, ...]) -> bool:
    if chosen:
        return any(fnmatchcase(mount.point, pattern) for pattern in chosen)
    is_local = mount.block is not None or mount.type == "zfs"
    is_own_root = mount.point == "/" and mount.type not in NETWORK  # a shared one is every node's
    return not mount.is_read_only and (is_own_root or (is_local and not mount.is_in_passing))


@check(
    "fs.read_only",
    tags="prolog healthcheck boot",
    remedy="Read the kernel log for the I/O or metadata error behind it, check the drive, then `fsck` and mount again.",
)
def read_only(
    mounts: Mounts,
    table: FilesystemTable,
    ext4: Ext4Errors,
    *,
    allowed: Annotated[
        tuple[str, ...], "mount points that may be read-only whatever /etc/fstab says, `*` allowed"
    ] = (),
) -> Verdict:
    """No disk has become read-only against its will.

    After a metadata or I/O error ext4, btrfs and others stop writing to protect what is left, and every
    job that writes there fails. The mount still says `rw` while the file system below it is `ro`: this
    tells an emergency from a read-only image. Newer kernels list ext4 as `rw` throughout: there the errors
    that it noted since boot tell. A disk that came up read-only against /etc/fstab is found too.
    """
    disks = {p: m for p, m in mounts.reachable.items() if m.block is not None and m.has_storage}
    found = {p: why for p, m in disks.items() if (why := _why_read_only(m, table, ext4))}
    found = {p: why for p, why in found.items() if not any(fnmatchcase(p, a) for a in allowed)}
    if found:
        first = next(iter(found))
        more = f"; also read-only: {named(list(found)[1:])}" if len(found) > 1 else ""
        return fail(f"{first} ({disks[first].source}) {found[first]}{more}", mounts=found)
    for error in ext4.unread.values():
        raise error
    return ok(f"no mounted disk is read-only against its will ({len(disks)} mounted)")


def _why_read_only(mount: Mount, table: FilesystemTable, ext4: Ext4Errors) -> str | None:
    for word in ("emergency_ro", "shutdown"):
        if word in mount.super_options:
            return f"stopped writing after an error ({word})"
    if "ro" in mount.super_options and "ro" not in mount.options:
        return "was mounted for writing and has become read-only"
    state = ext4.known.get(mount.block or "")
    if state and state.has_stopped:
        return f"stopped writing after an error ({state.errors} noted since the last fsck)"
    entry = table.entries.get(mount.point)
    if mount.is_read_only and entry and entry.type in (mount.type, "auto") and "ro" not in entry.options:
        return "is read-only, but /etc/fstab mounts it for writing"
    return None


@check(
    "fs.responsive",
    tags="prolog healthcheck boot",
    remedy="Look for hung tasks in the kernel log; check the drive or the path to the server. "
    "`umount -f -l` frees the mount point, processes in D state need the device back or a reboot.",
)
def responsive(
    usage: MountUsage,
    devices: MountedDevices,
    *,
    max_s: Annotated[float, "slowest answer of a file system or its device that is no warning, in seconds"] = 2.0,
    ignored: Annotated[tuple[str, ...], "mount points that are not judged, `*` allowed"] = (),
) -> Verdict:
    """Every mounted file system, and every disk below one, answers.

    A hung mount stops everything that touches it in D state: jobs, prologs, `df`, the scheduler's own
    daemons, and none of them can be killed. Each file system is asked for its size; since a local one
    answers that from memory while its device is dead, its device is also read once, past the cache.
    """
    judged = {p: m for p, m in usage.mounts.items() if not any(fnmatchcase(p, i) for i in ignored)}
    errors = {p: e for p, m in judged.items() if (e := usage.unread.get(p) or devices.unread.get(m.block or ""))}
    broken = {p: str(e) for p, e in errors.items() if _is_broken(e)}
    if broken:
        first = next(iter(broken))
        more = f"; the same for {named(list(broken)[1:])}" if len(broken) > 1 else ""
        return fail(f"{first} does not answer: {broken[first]}{more}", mounts=broken)
    for error in errors.values():
        if error.kind != "absent":  # unmounted meanwhile
            raise error
    answered = {usage.mounts[p].origin for p in usage.known}
    unasked = {p: m for p, m in judged.items() if p in usage.left_out}
    left = [p for p, m in judged.items() if m.block in devices.left_out or (p in unasked and m.origin not in answered)]
    if left:
        raise FactError(
            f"mount {left[0]}", "timed_out", f"{len(left)} mounts were not asked: too many, or too many hang"
        )
    also = f"; {len(unasked)} more of the same servers not asked" if unasked else ""
    return _slow(judged, usage, devices, max_s, also)


def _slow(judged: Mapping[str, Mount], usage: MountUsage, devices: MountedDevices, max_s: float, also: str) -> Verdict:
    took = {
        p: max(usage.known[p].seconds, devices.known.get(m.block or "", 0.0))
        for p, m in judged.items()
        if p in usage.known
    }
    slow = {p: s for p, s in took.items() if s > max_s}
    if slow:
        each = [f"{p} {s:.1f} s" for p, s in slow.items()]
        return warn(f"slow to answer: {named(each)}, expected at most {max_s:g} s", slow_s=slow)
    slowest_s = max(took.values(), default=0.0)
    return ok(f"{plural(len(took), 'file system')} answered, the slowest in {slowest_s:.3f} s{also}")


def _is_broken(error: FactError) -> bool:
    return error.kind == "timed_out" or error.detail in _BROKEN
