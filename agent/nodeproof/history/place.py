"""Where the file lies, who may have written it, and what becomes of one that is no use."""

import contextlib
import errno
import os
import sqlite3
import stat
from urllib.parse import quote

from nodeproof.history import schema

FILE = "history.db"

#: Beside the file: what is written ahead, and the index of that.
_BESIDE = ("-wal", "-shm")

#: What SQLite says where it cannot make or change the index of what is written ahead.
_UNWRITABLE = ("SQLITE_CANTOPEN", "SQLITE_READONLY", "SQLITE_IOERR")

#: Files that were set aside and are kept; the last one is replaced after that, for they must not fill the disk.
_MOST_SET_ASIDE = 9


def opened(directory: str, *, is_thorough: bool = False) -> tuple[sqlite3.Connection, str]:
    """Return the database in `directory`, and one sentence about a file that had to be set aside for it, or "".

    Raises OSError or sqlite3.Error where it cannot be written now.
    """
    path, note = os.path.join(directory, FILE), ""
    _see_that_it_is_private(directory)
    if why := _why_not_ours(path):
        note = set_aside(directory, why)
        _why_not_ours(path)  # makes a fresh one
    try:
        return schema.connect(path, is_thorough=is_thorough), note
    except (schema.UnusableError, sqlite3.DatabaseError) as error:
        if not schema.is_damage(error):
            raise
        note = set_aside(directory, str(error))
    _why_not_ours(path)
    return schema.connect(path), note


def read_only(path: str) -> sqlite3.Connection:
    """Return a connection that changes nothing. Raises OSError, sqlite3.Error or UnusableError.

    A file on a disk that cannot be written, or without what was written ahead of it, is read as it is.
    """
    os.close(os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK))  # says why not, which SQLite does not
    place = f"file:{quote(os.fsencode(path))}"
    as_it_is = f"{place}?mode=ro&immutable=1"
    if not os.path.lexists(f"{path}-wal"):  # nobody has it open, and nothing need be made beside it
        return _read_only(as_it_is)
    try:
        return _read_only(f"{place}?mode=ro")
    except sqlite3.OperationalError as error:
        if not error.sqlite_errorname.startswith(_UNWRITABLE):
            raise
        return _read_only(as_it_is)


def _read_only(uri: str) -> sqlite3.Connection:
    database = sqlite3.connect(uri, uri=True, timeout=2.0, isolation_level=None)
    try:
        database.execute("PRAGMA trusted_schema = OFF")
        schema.see_that_it_is_ours(database)
    except BaseException:
        database.close()
        raise
    return database


def left_behind(directory: str) -> sqlite3.Connection:
    """Return what is in `directory` and cannot be written. Raises OSError where others may have written it."""
    path = os.path.join(directory, FILE)
    if not (_is_private(os.stat(directory)) and _is_private(os.lstat(path))):
        raise OSError(errno.EPERM, "others may write it", path)
    return read_only(path)


def set_aside(directory: str, why: str) -> str:
    """Rename the file and what belongs to it, and return a sentence that says so. Raises OSError."""
    path = os.path.join(directory, FILE)
    names = [f"{FILE}.bad", *(f"{FILE}.bad.{n}" for n in range(2, _MOST_SET_ASIDE + 1))]
    name = next((n for n in names if not os.path.lexists(os.path.join(directory, n))), names[-1])
    for end in ("", *_BESIDE):
        with contextlib.suppress(FileNotFoundError):
            os.replace(path + end, os.path.join(directory, name) + end)
    return f"{path} is not usable and set aside as {name}: {why}"


def size_bytes(directory: str) -> int:
    """Return how much of the disk the history takes."""
    size = 0
    for end in ("", *_BESIDE):
        with contextlib.suppress(OSError):
            size += os.stat(os.path.join(directory, FILE) + end).st_size
    return size


def identity(directory: str) -> tuple[int, int]:
    """Return which file lies there now; (0, 0) for none."""
    try:
        status = os.stat(os.path.join(directory, FILE))
    except OSError:
        return 0, 0
    return status.st_dev, status.st_ino


def _see_that_it_is_private(directory: str) -> None:
    if not os.path.isabs(directory):
        raise OSError(errno.EINVAL, "expected an absolute path", directory)
    os.makedirs(directory, mode=0o700, exist_ok=True)
    if not _is_private(os.stat(directory)):
        raise OSError(errno.EPERM, "others may write there (expected an own directory, 0700)", directory)


def _why_not_ours(path: str) -> str:
    """Make the file where there is none. Returns why one that is there is not to be believed, or ""."""
    try:
        file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, 0o600)
    except OSError as error:
        if error.errno in (errno.ELOOP, errno.EISDIR, errno.ENXIO):
            return "it is no regular file"
        raise
    try:
        status = os.fstat(file)
        if not stat.S_ISREG(status.st_mode):
            return "it is no regular file"
        if not _is_private(status):
            return f"others may write it (owner {status.st_uid}, mode {status.st_mode & 0o7777:04o})"
        os.fchmod(file, 0o600)
        return ""
    finally:
        os.close(file)  # before SQLite opens it: a close gives up all locks of a process


def _is_private(status: os.stat_result) -> bool:
    return status.st_uid in {0, os.geteuid()} and not status.st_mode & (stat.S_IWGRP | stat.S_IWOTH)
