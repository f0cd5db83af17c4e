"""The programs that slurm.conf names: whether slurmd can run them, root alone can write them, and they call ours."""

import glob
import os
import re
import stat
from collections.abc import Iterable
from typing import NamedTuple

from nodeproof.errors import FactError
from nodeproof.host.base import read_regular

_MOST_BYTES = 1 << 16

#: Our command line, or the program of ours that is one line of it.
_CALL = re.compile(r"\bnodeproof\b.*(?:\bhook\s+|/slurm/|-gate\s+(?:\S+\s+)*)(healthcheck|prolog|epilog)\b")

#: A link to it, named after a hook, is that hook.
_GATE, _HOOKS = "nodeproof-gate", frozenset({"healthcheck", "prolog", "epilog"})

_OTHERS = stat.S_IWGRP | stat.S_IWOTH


class HookFile(NamedTuple):
    """`problem`: why slurmd cannot run it, or somebody else could exchange it. `calls` are the hooks of ours in it."""

    path: str
    problem: str
    calls: frozenset[str]


def hook_files(patterns: Iterable[str]) -> list[HookFile]:
    """Return the programs of a setting; Slurm takes shell patterns, and commas between several."""
    words = [word for pattern in patterns for word in pattern.split(",") if word]
    return [_looked_at(path) for word in words for path in (sorted(glob.glob(word)) if "*" in word else [word])]


def _looked_at(path: str) -> HookFile:
    if not os.path.isabs(path):
        return HookFile(path, "is no absolute path, and slurmd has no PATH", frozenset())
    try:
        info = os.stat(path)
        if not stat.S_ISREG(info.st_mode):
            return HookFile(path, "is no regular file", frozenset())
        if not info.st_mode & stat.S_IXUSR:
            return HookFile(path, f"is not executable (mode {info.st_mode & 0o7777:04o})", frozenset())
        if os.path.basename(os.path.realpath(path)) == _GATE:
            return HookFile(path, _writable_by_others(path), _HOOKS & {os.path.basename(path)})
        text = read_regular(path, path, _MOST_BYTES).decode(errors="replace")
    except FileNotFoundError:
        return HookFile(path, "is not there", frozenset())
    except (OSError, FactError) as error:
        return HookFile(path, f"cannot be read: {error}", frozenset())
    return HookFile(path, _writable_by_others(path), _calls(text))


def _writable_by_others(path: str) -> str:
    """Return who else could put another program in its place, which slurmd would run as root; "" if nobody."""
    path = os.path.realpath(path)
    while True:
        info = os.stat(path)
        is_sticky_directory = stat.S_ISDIR(info.st_mode) and info.st_mode & stat.S_ISVTX
        if info.st_uid not in {0, os.geteuid()}:
            return f"can be exchanged by user {info.st_uid}, to whom {path} belongs"
        if info.st_mode & _OTHERS and not is_sticky_directory:
            return f"can be exchanged by others: {path} has mode {info.st_mode & 0o7777:04o}"
        if path == "/":
            return ""
        path = os.path.dirname(path)


def _calls(text: str) -> frozenset[str]:
    lines = [line for line in text.splitlines() if not line.lstrip().startswith("#")]
    return frozenset(match[1] for line in lines for match in [_CALL.search(line)] if match)
