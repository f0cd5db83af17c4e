"""One small file that is replaced as a whole, and a lock around it. Never raises for a bad disk: it warns.

Deliberately not here: what follows when nothing can be remembered (`nodeproof.act`).
"""

import contextlib
import errno
import fcntl
import os
import stat
import time
from collections.abc import Iterator

from nodeproof.files import state_directory
from nodeproof.state.model import State, from_json, to_json

FILE, LOCK, SET_ASIDE = "state.json", "lock", "state.json.bad"

#: How often a lock that another run holds is tried again.
_TRY_AGAIN_S = 0.02

MAX_FILE_BYTES = 1 << 20


class Store:
    """State in a directory of ours. What goes wrong is told through `warnings`, one sentence each.

    All files are opened relative to the directory's descriptor, whose owner was checked: whoever
    could exchange the file could make us resume a node.
    """

    def __init__(self, directory: str = "") -> None:
        self.directory = directory or state_directory()
        self.warnings: list[str] = []
        self._fd: int | None = None
        self._is_unread = False

    @contextlib.contextmanager
    def locked(self, wait_s: float = 0.0) -> Iterator[bool]:
        """Hold the state for a `with` block. Gives False when another run still holds it after `wait_s`."""
        with contextlib.ExitStack() as stack:
            self._fd = self._open_directory()
            if self._fd is not None:
                stack.callback(os.close, self._fd)
            yield self._fd is None or self._lock(self._fd, stack, time.monotonic() + wait_s)

    @property
    def kept_in(self) -> str:
        """The directory while it is held and fit to keep things in, else ""."""
        return "" if self._fd is None else self.directory

    def load(self) -> State:
        """Return what was saved; nothing, with a warning, where that cannot be read or trusted."""
        if self._fd is None:
            return State()
        try:
            return from_json(self._read(self._fd))
        except FileNotFoundError:
            return State()
        except ValueError as error:
            self._set_aside(self._fd, str(error))
        except OSError as error:
            self._warn(f"cannot read {self._path(FILE)}, which is left as it is: {error.strerror}")
            self._is_unread = True
        return State()

    def save(self, state: State) -> bool:
        """Replace the file; it is the old one or the new one, whenever power goes. False if it cannot be done."""
        if self._fd is None or self._is_unread:
            return False
        try:
            self._write(self._fd, to_json(state).encode())
        except OSError as error:
            self._warn(f"cannot write {self._path(FILE)}: {error.strerror}")
            return False
        return True

    def _open_directory(self) -> int | None:
        if not os.path.isabs(self.directory):
            self._warn(f"cannot keep state in {self.directory}: expected an absolute path (--state-dir)")
            return None
        try:
            os.makedirs(self.directory, mode=0o700, exist_ok=True)
            fd = os.open(self.directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        except OSError as error:
            self._warn(f"cannot keep state in {self.directory}: {error.strerror}")
            return None
        status = os.fstat(fd)
        if _is_private(status):
            return fd
        os.close(fd)
        self._warn(f"cannot keep state in {self.directory}: others may write there (expected an own directory, 0700)")
        return None

    def _lock(self, fd: int, stack: contextlib.ExitStack, until_s: float) -> bool:
        try:
            lock = os.open(LOCK, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600, dir_fd=fd)
            stack.callback(os.close, lock)
        except OSError:
            lock = fd  # a read-only disk: the directory itself can be locked
        while True:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                if time.monotonic() >= until_s:
                    return False
                time.sleep(_TRY_AGAIN_S)
            except OSError as error:
                self._warn(f"cannot lock {self._path(LOCK)}: {error.strerror}")
                return True
            else:
                return True

    def _read(self, fd: int) -> bytes:
        try:
            file = os.open(FILE, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, dir_fd=fd)
        except OSError as error:
            if error.errno == errno.ELOOP:
                raise ValueError("a symbolic link") from error
            raise
        status = os.fstat(file)
        with open(file, "rb") as opened:
            if not stat.S_ISREG(status.st_mode) or not _is_private(status):
                raise ValueError(f"others may write it (owner {status.st_uid}, mode {status.st_mode & 0o7777:04o})")
            raw = opened.read(MAX_FILE_BYTES + 1)
        if len(raw) > MAX_FILE_BYTES:
            raise ValueError(f"larger than {MAX_FILE_BYTES} bytes")
        return raw

    def _write(self, fd: int, raw: bytes) -> None:
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
        fresh = f"{FILE}.new"
        with contextlib.suppress(FileNotFoundError):
            os.unlink(fresh, dir_fd=fd)
        with open(os.open(fresh, flags, 0o600, dir_fd=fd), "wb") as opened:
            opened.write(raw)
            opened.flush()
            os.fsync(opened.fileno())
        os.replace(fresh, FILE, src_dir_fd=fd, dst_dir_fd=fd)
        os.fsync(fd)

    def _set_aside(self, fd: int, why: str) -> None:
        self._warn(f"{self._path(FILE)} is not usable and set aside as {SET_ASIDE}: {why}")
        try:
            os.replace(FILE, SET_ASIDE, src_dir_fd=fd, dst_dir_fd=fd)
        except OSError as error:
            self._warn(f"cannot rename {self._path(FILE)}: {error.strerror}")

    def _path(self, name: str) -> str:
        return os.path.join(self.directory, name)

    def _warn(self, text: str) -> None:
        self.warnings.append(text)


def _is_private(status: os.stat_result) -> bool:
    return status.st_uid in {0, os.geteuid()} and not status.st_mode & (stat.S_IWGRP | stat.S_IWOTH)
