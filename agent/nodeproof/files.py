"""Where state lives, and how files are written that others read, or that must survive a power cut."""

import contextlib
import importlib.machinery
import os
from collections.abc import Iterable


def state_directory() -> str:
    """Return where state lives when nobody says otherwise."""
    if os.geteuid() == 0:
        return "/var/lib/nodeproof"
    base = os.environ.get("XDG_STATE_HOME", "")
    return os.path.join(base if os.path.isabs(base) else os.path.expanduser("~/.local/state"), "nodeproof")


def replace_file(path: str, content: bytes, mode: int, *, is_durable: bool = True) -> None:
    """Replace a file in one step: readers see the old one or the new one, whole. Raises OSError.

    The new one is made beside it under a name of this process, never through a link that somebody planted. Its mode is
    `mode` whatever the umask. What is not `is_durable` waits for no disk, and may be lost in a power cut.
    """
    part = os.path.join(os.path.dirname(path), f".{os.path.basename(path)}.{os.getpid()}")
    with contextlib.suppress(FileNotFoundError):
        os.unlink(part)
    try:
        with open(os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode), "wb") as stream:
            stream.write(content)
            stream.flush()
            os.fchmod(stream.fileno(), mode)
            if is_durable:
                os.fsync(stream.fileno())
        os.replace(part, path)
    except OSError:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(part)
        raise


def modules_in(path: Iterable[str]) -> list[str]:
    """Return the names of the modules in the directories of a package: `pkgutil` loads `inspect` to tell, for 8 ms."""
    found = set[str]()
    for directory in filter(os.path.isdir, path):
        for entry in os.scandir(directory):
            name, dot, suffix = entry.name.partition(".")
            is_package = not dot and os.path.isfile(os.path.join(entry.path, "__init__.py"))
            if is_package or (entry.is_file() and dot + suffix in importlib.machinery.all_suffixes()):
                found.add(name)
    return sorted(found - {"__init__"})
