"""Host: five questions that can be put to a machine, and what goes with every one of them.

Deliberately not here: any meaning of what was read (`nodeproof.probes`).
"""

import contextlib
import errno
import fnmatch
import os
import re
import stat
from collections.abc import Callable, Iterator
from typing import Any, Protocol, Self

from nodeproof.errors import FactError, Kind

#: Largest file a probe may read, in bytes: sysfs and procfs answers are small, hostile ones are not.
MAX_FILE_BYTES = 4 << 20
_CHUNK_BYTES = 1 << 16

#: Where the agent of a machine publishes what it saw.
RUN_DIR = "/run/nodeproof"

_DIGITS = re.compile("([0-9]+)")

HostCall = Callable[..., Any]
"""A function below `nodeproof.host` (or a benchmark runner) that asks the machine by another way than
a file: an ioctl, a netlink request, a library. Takes and returns JSON values; raises OSError or FactError."""

_KINDS: dict[int, Kind] = {
    errno.ENOENT: "absent",
    errno.ENOTDIR: "absent",
    errno.ENODEV: "absent",
    errno.ENXIO: "absent",
    errno.EOPNOTSUPP: "absent",
    errno.EACCES: "denied",
    errno.EPERM: "denied",
    errno.ETIMEDOUT: "timed_out",
}


def fact_error(source: str, error: OSError) -> FactError:
    """Return the FactError that an errno stands for; the detail is its symbolic name."""
    number = error.errno or 0
    return FactError(source, _KINDS.get(number, "failed"), errno.errorcode.get(number, "EIO"))


class Machine(Protocol):
    """What a Host needs below it: the live machine or a recording. Raises OSError or FactError."""

    can_hang: bool

    def read(self, path: str) -> bytes: ...
    def glob(self, pattern: str) -> list[str]: ...
    def link(self, path: str) -> str: ...
    def call(self, function: HostCall, *args: Any) -> Any: ...
    def close(self) -> None: ...


class Live:
    """The machine this process runs on. Any question may hang: ask from a worker.

    `run_dir` is where its agent publishes, for an agent that was told another place than the usual one.
    """

    can_hang = True

    def __init__(self, run_dir: str = RUN_DIR) -> None:
        self._run_dir = run_dir

    def read(self, path: str) -> bytes:
        if self._run_dir != RUN_DIR and path.startswith(f"{RUN_DIR}/"):
            path = self._run_dir + path[len(RUN_DIR) :]
        with _seen(path):
            return read_bounded(path)

    def glob(self, pattern: str) -> list[str]:
        found = walk("", pattern)
        if not found:
            _refuse_unmounted(pattern)
        return found

    def link(self, path: str) -> str:
        with _seen(path):
            return os.readlink(path)

    def call(self, function: HostCall, *args: Any) -> Any:
        return function(*args)

    def close(self) -> None:
        """Nothing is held open."""


class Host:
    """Asks a machine and turns every errno into a FactError that names the source.

    `touch`, if set, is told of every question before it is asked: the worker that runs a probe
    leaves the name there for whoever finds the worker hanging. `hung` holds questions that
    already hung in this pass; they are answered at once.
    """

    def __init__(self, machine: Machine | None = None) -> None:
        self.machine: Machine = machine if machine is not None else Live()
        self.touch: Callable[[str], None] = _nothing
        self.hung: frozenset[str] = frozenset()

    def text(self, path: str) -> str:
        """Return the file's text, stripped. Undecodable bytes become U+FFFD."""
        return self.data(path).decode(errors="replace").strip()

    def data(self, path: str) -> bytes:
        """Return the file's bytes, at most `MAX_FILE_BYTES`."""
        return bytes(self._ask(path, self.machine.read, path))

    def glob(self, pattern: str) -> list[str]:
        """Return existing paths that match a shell pattern, numbers in numeric order (`cpu2` before `cpu10`).

        Nothing found is an empty list; a directory that may not be listed raises FactError.
        """
        return sorted(self._ask(pattern, self.machine.glob, pattern), key=_natural)

    def link(self, path: str) -> str:
        """Return the target of a symbolic link, as it is written there."""
        return str(self._ask(path, self.machine.link, path))

    def call(self, function: HostCall, *args: Any) -> Any:
        """Return what `function(*args)` answers on this machine: JSON values only."""
        return self._ask(call_name(function, *args), self.machine.call, function, *args)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        """Let go of what a replay had to unpack."""
        self.machine.close()

    def _ask(self, name: str, ask: Callable[..., Any], *args: Any) -> Any:
        if name in self.hung:
            raise FactError(name, "timed_out")
        self.touch(name)
        try:
            return ask(*args)
        except OSError as error:
            raise fact_error(name, error) from error
        except ValueError as error:  # a NUL or a lone surrogate in a name that came from the machine
            raise FactError(name, "malformed", str(error)) from error


def call_name(function: HostCall, *args: Any) -> str:
    """Return how a call is named in findings and recordings, e.g. `statvfs /scratch`."""
    return " ".join([function.__name__, *map(str, args)])


@contextlib.contextmanager
def _seen(path: str) -> Iterator[None]:
    """Let *absent* through only if the kernel's file systems are there to be absent from."""
    try:
        yield
    except FileNotFoundError:
        _refuse_unmounted(path)
        raise


def _refuse_unmounted(path: str) -> None:
    """Raise FactError if `path` lies in sysfs or procfs and that is not mounted here, or masked by a sandbox.

    Without this a hook that runs in a container, or too early at boot, would find every part absent.
    """
    for mount, always_there in (("/sys/", "/sys/devices/system"), ("/proc/", "/proc/self")):
        if path.startswith(mount) and not os.path.exists(always_there):
            raise FactError(path, "failed", f"{mount[:-1]} is not mounted")


def read_bounded(path: str) -> bytes:
    """Return at most `MAX_FILE_BYTES` of a file, in small reads: procfs answers a large one with ENOMEM."""
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        return _read(descriptor, MAX_FILE_BYTES)
    finally:
        os.close(descriptor)


def read_regular(path: str, source: str, most: int = MAX_FILE_BYTES) -> bytes:
    """Like `read_bounded`, for trees from elsewhere: what is no regular file raises FactError about `source`.

    A FIFO or a device that somebody left in a tree would otherwise hang the reader for good.
    """
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    try:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise FactError(source, "failed", "not a regular file")
        return _read(descriptor, most)
    finally:
        os.close(descriptor)


def _read(descriptor: int, most: int) -> bytes:
    content = bytearray()
    # a short read is the end of a sysfs attribute, but not of every procfs file
    while len(content) < most and (chunk := os.read(descriptor, _CHUNK_BYTES)):
        content += chunk
    return bytes(content[:most])


def walk(root: str, pattern: str) -> list[str]:
    """Return the paths below `root` that match an absolute `pattern`, without `root`.

    Unlike `glob.glob`, a directory that exists but may not be listed raises PermissionError:
    an empty answer would read as *absent*.
    """
    found = [""]
    for part in pattern.strip("/").split("/"):
        found = _descend(root, found, part)
    return found


def _descend(root: str, parents: list[str], part: str) -> list[str]:
    if not any(c in part for c in "*?["):
        return [f"{p}/{part}" for p in parents if _exists(f"{root}{p}/{part}")]
    found = []
    for parent in parents:
        try:
            names = os.listdir(f"{root}{parent}/")
        except (FileNotFoundError, NotADirectoryError):
            continue
        found += [f"{parent}/{name}" for name in fnmatch.filter(names, part)]
    return found


def _exists(path: str) -> bool:
    """Like os.path.lexists, which takes *denied* for *absent*."""
    try:
        os.lstat(path)
    except (FileNotFoundError, NotADirectoryError):
        return False
    return True


def _natural(path: str) -> list[tuple[str, int]]:
    """Sort key: text by text, runs of digits by value."""
    words = _DIGITS.split(path)
    return [*zip(words[::2], map(int, words[1::2]), strict=False), (f"{words[-1]}\0", -1)]


def _nothing(name: str) -> None:
    del name
