"""One health check at a time: slurmd starts the next one whether the last has ended or not."""

import contextlib
import errno
import fcntl
import os
import stat
from collections.abc import Iterator

from nodeproof.files import state_directory

LOCK = "healthcheck.lock"


@contextlib.contextmanager
def only_one(state_dir: str | None) -> Iterator[bool]:
    """Hold the turn for a `with` block; gives False at once if another run has it.

    Where no lock can be kept (no disk, or one that others may write), it is everybody's turn: the state
    has a lock of its own, and its warnings say what is wrong.
    """
    lock = _open(state_dir or state_directory())
    if lock is None:
        yield True
        return
    try:
        yield _is_taken(lock)
    finally:
        os.close(lock)


def _open(directory: str) -> int | None:
    if not os.path.isabs(directory):
        return None
    try:
        os.makedirs(directory, mode=0o700, exist_ok=True)
        place = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except OSError:
        return None
    try:
        if os.fstat(place).st_mode & (stat.S_IWGRP | stat.S_IWOTH):
            return None
        return os.open(LOCK, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600, dir_fd=place)
    except OSError:
        return None
    finally:
        os.close(place)


def _is_taken(lock: int) -> bool:
    """Tell whether we have the lock now.

    It belongs to the process and not to the open file, as that of flock(2) does: a worker that hangs in D state
    long after this run was killed would keep the latter, and no health check would run ever again.
    """
    try:
        fcntl.lockf(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:  # anything else: a file system without locks
        return error.errno not in {errno.EACCES, errno.EAGAIN}
    return True
