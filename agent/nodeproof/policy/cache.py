"""Compiled plans on disk: for speed, and for the last good policy when the files are broken.

One file a policy directory and node. Its first line says what the plan in the second was made from:
if that is no longer so, the plan is not current, but still the last good one.
"""

import json
import os
import stat
import zlib
from collections.abc import Iterable
from typing import Any, NamedTuple

import nodeproof
from nodeproof.errors import PolicyError

#: Largest plan that is read back, in bytes.
MAX_BYTES = 16 << 20


class Saved(NamedTuple):
    """A plan, and what it was compiled from."""

    key: object
    plan: dict[str, Any]


def default_directory() -> str:
    if os.geteuid() == 0:
        return "/var/cache/nodeproof"
    base = os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache")
    return os.path.join(base, "nodeproof") if os.path.isabs(base) else ""  # nobody's home: keep nothing


def key_of(files: Iterable[str], parameters: int) -> object:
    """Return what a plan depends on: files as they are now, this nodeproof, and a checksum of its checks' parameters.

    Raises PolicyError for a file that is gone.
    """
    try:
        stats = [(file, os.stat(file)) for file in files]
    except OSError as error:
        raise PolicyError(str(error.filename), "", f"cannot be read: {error.strerror}") from error
    return [
        nodeproof.__version__,
        parameters,
        [[file, s.st_mtime_ns, s.st_ctime_ns, s.st_size, s.st_ino] for file, s in stats],
    ]


def read(cache: str, directory: str, node_name: str) -> Saved | None:
    """Return the last good plan of a policy directory, or None. A file that others could have written is no plan."""
    try:
        if not _is_ours(os.stat(cache)):
            return None
        # not blocking: it could be a pipe
        descriptor = os.open(_file(cache, directory, node_name), os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
        with os.fdopen(descriptor, "rb") as stream:
            info = os.fstat(descriptor)
            raw = stream.read(MAX_BYTES) if _is_ours(info) and stat.S_ISREG(info.st_mode) else b""
        first, _, second = raw.partition(b"\n")
        head = json.loads(first)
        if head["of"] != [directory, node_name] or head["crc32"] != zlib.crc32(second):
            return None
        return Saved(head["key"], json.loads(second))
    except (OSError, ValueError, TypeError, KeyError):
        return None


def write(cache: str, directory: str, node_name: str, saved: Saved) -> None:
    """Keep a plan. That it cannot be kept (a read-only disk) costs time and nothing else."""
    second = json.dumps(saved.plan).encode()
    first = json.dumps({"of": [directory, node_name], "crc32": zlib.crc32(second), "key": saved.key}).encode()
    file = _file(cache, directory, node_name)
    part = f"{file}.{os.getpid()}"
    try:
        os.makedirs(cache, mode=0o700, exist_ok=True)
        if not _is_ours(os.stat(cache)):
            return
        descriptor = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
        with os.fdopen(descriptor, "wb") as stream:
            stream.write(first + b"\n" + second)
        os.replace(part, file)
        _forget_gone(cache)
    except OSError:
        _remove(part)


def _forget_gone(cache: str) -> None:
    """Remove plans of directories that are no more: policies that somebody tried out."""
    for name in os.listdir(cache):
        file = os.path.join(cache, name)
        try:
            with open(file, "rb") as stream:
                directory, _ = json.loads(stream.readline(MAX_BYTES))["of"]
        except (OSError, ValueError, TypeError, KeyError):
            continue
        if not os.path.isdir(directory):
            _remove(file)


def _remove(file: str) -> None:
    try:
        os.unlink(file)
    except OSError:
        return


def _file(cache: str, directory: str, node_name: str) -> str:
    """Return the file of a plan; should two have the same, they take turns in it."""
    return os.path.join(cache, f"plan-{zlib.crc32(json.dumps([directory, node_name]).encode()):08x}.json")


def _is_ours(info: os.stat_result) -> bool:
    return info.st_uid == os.geteuid() and not info.st_mode & 0o022
