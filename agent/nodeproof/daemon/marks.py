"""Job marks: a line in a file for every prolog and epilog that `nodeproof-gate` answers, and a socket that wakes us."""

import contextlib
import fcntl
import os
import re
import socket
import stat
from typing import NamedTuple

from nodeproof.daemon.gate import refuse_foreign_file

FILE_NAME, SOCKET_NAME = "marks", "wake"

#: The file is emptied when it is larger than this; the gate stops at 1 MiB.
_MOST_BYTES = 1 << 16

#: A file system that was full for a moment leaves half a line, and the next mark behind it.
_MARK = re.compile(rb"(prolog|epilog) ([1-9][0-9]{0,9}) ([0-9]{1,19}) ([0-9a-f-]{36})\Z")

#: Datagrams that are taken at once; the kernel keeps ten (net.unix.max_dgram_qlen).
_MOST_DATAGRAMS = 1000


class Mark(NamedTuple):
    """The prolog or epilog (`kind`) of a job, on CLOCK_BOOTTIME of that boot."""

    kind: str
    job_id: int
    boottime_ns: int
    boot_id: str


class Marks:
    """The marks of a run directory. What was there before is new too: jobs outlive the agent."""

    def __init__(self, run_dir: str) -> None:
        self._path = os.path.join(run_dir, FILE_NAME)
        self._file = (0, 0)
        self._offset = 0

    def read_new(self) -> list[Mark]:
        """Return the marks left since the last call, oldest first; none where there is no file, or others wrote it."""
        try:
            fd = os.open(self._path, os.O_RDWR | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
        except OSError:
            return []
        try:
            return self._read(fd)
        except (OSError, ValueError):
            return []
        finally:
            os.close(fd)  # and with it goes the lock

    def _read(self, fd: int) -> list[Mark]:
        info = os.fstat(fd)
        refuse_foreign_file(info)
        if (info.st_dev, info.st_ino) != self._file or info.st_size < self._offset:
            self._file, self._offset = (info.st_dev, info.st_ino), 0
        found = self._rest(fd)
        if self._offset > _MOST_BYTES and _is_locked(fd):
            found += self._rest(fd)
            os.ftruncate(fd, 0)  # half a line at its end stays half: nobody is writing
            self._offset = 0
        return found

    def _rest(self, fd: int) -> list[Mark]:
        """Return the marks behind the offset, and move it behind the last whole line."""
        raw = bytearray()
        while chunk := os.pread(fd, _MOST_BYTES, self._offset + len(raw)):
            raw += chunk
        whole = raw.rfind(b"\n") + 1
        self._offset += whole
        return [
            Mark(found[1].decode(), int(found[2]), int(found[3]), found[4].decode())
            for line in bytes(raw[:whole]).split(b"\n")
            if (found := _MARK.search(line))
        ]


def _is_locked(fd: int) -> bool:
    """Tell whether we have the file for ourselves now; gates hold a shared lock while they write."""
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False  # the next time, then
    return True


class WakeSocket:
    """Becomes readable when a mark was left. Whatever is sent to it has no content."""

    def __init__(self, directory: int, listening: socket.socket) -> None:
        self._directory, self._socket = directory, listening

    def fileno(self) -> int:
        return self._socket.fileno()

    def drain(self) -> None:
        """Take all that was sent."""
        with contextlib.suppress(OSError):
            for _ in range(_MOST_DATAGRAMS):
                self._socket.recv(1)

    def close(self) -> None:
        self._socket.close()
        with contextlib.suppress(OSError):
            os.unlink(SOCKET_NAME, dir_fd=self._directory)
        os.close(self._directory)


def wake_socket(run_dir: str) -> WakeSocket:
    """Listen in a run directory, in the place of an agent that was there before. Raises OSError."""
    directory = os.open(run_dir, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    listening = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC)
    listening.setblocking(False)
    before = os.umask(0o177)
    try:
        _remove_stale(directory)
        listening.bind(f"/proc/self/fd/{directory}/{SOCKET_NAME}")  # an address holds 107 bytes, a path may have more
    except OSError:
        listening.close()
        os.close(directory)
        raise
    finally:
        os.umask(before)
    return WakeSocket(directory, listening)


def _remove_stale(directory: int) -> None:
    with contextlib.suppress(FileNotFoundError):
        if not stat.S_ISSOCK(os.stat(SOCKET_NAME, dir_fd=directory, follow_symlinks=False).st_mode):
            raise FileExistsError(17, "not a socket of ours", SOCKET_NAME)
        os.unlink(SOCKET_NAME, dir_fd=directory)
