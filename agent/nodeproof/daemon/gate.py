"""The gate file: what `nodeproof-gate` answers slurmd's hooks with, in a millisecond and without Python.

`native/src/gate/answer.c` reads it by the same grammar and the same rules of trust; tests compare both.
"""

import os
import re
import stat
from collections.abc import Iterable, Iterator
from typing import NamedTuple

from nodeproof.files import replace_file
from nodeproof.verdict import harmless

FILE_NAME = "gate"
MODE = 0o644

_LINE_CHARS = 600

#: The whole file, and what the lines of one hook may take of it.
_MOST_BYTES, _MOST_LINES_BYTES = 1 << 16, 20_000

_SECTION = rb"%(kind)b (%(codes)b)\n((?:%(kind)b-line [^\x00-\x1f\x7f]{1,2400}\n)*)"

#: Every line in its place, nothing else, and `end` last: no part of a file passes for the whole.
_FILE = re.compile(
    rb"nodeproof-gate 1\nboot ([0-9a-f-]{36})\nuntil (0|[1-9][0-9]{0,18})\n"
    + b"".join(
        _SECTION % {b"kind": kind, b"codes": codes}
        for kind, codes in ((b"healthcheck", b"[0-3]"), (b"prolog", b"[01]"), (b"epilog", b"[01]"))
    )
    + rb"end\n"
)

_OTHERS = stat.S_IWGRP | stat.S_IWOTH


class Answer(NamedTuple):
    """What slurmd is told by one hook: an exit code (of a health check 0 to 3, else 0 or 1), and lines for its log."""

    exit_code: int
    lines: tuple[str, ...]


class Gate(NamedTuple):
    """The answers to all hooks, good in one boot until a time on its CLOCK_BOOTTIME."""

    boot_id: str
    until_ns: int
    healthcheck: Answer
    prolog: Answer
    epilog: Answer


def to_text(gate: Gate) -> bytes:
    """Return the file's content. Lines are made harmless, and cut where they are too many. Raises ValueError."""
    lines = ["nodeproof-gate 1", f"boot {gate.boot_id}", f"until {gate.until_ns}"]
    for kind in ("healthcheck", "prolog", "epilog"):
        answer: Answer = getattr(gate, kind)
        lines.append(f"{kind} {answer.exit_code}")
        lines += [f"{kind}-line {line}" for line in _fitting(answer.lines)]
    raw = "".join(f"{line}\n" for line in [*lines, "end"]).encode()
    if not _FILE.fullmatch(raw):
        raise ValueError(f"no gate reads this: {gate}")
    return raw


def _fitting(lines: Iterable[str]) -> Iterator[str]:
    told = [text for line in lines if (text := harmless(line, _LINE_CHARS))]
    left = _MOST_LINES_BYTES
    for number, line in enumerate(told):
        left -= len(line.encode()) + len("healthcheck-line \n")
        if left < 0:
            yield f"and {len(told) - number} more"
            return
        yield line


def from_text(raw: bytes) -> Gate:
    """Return what a file says. Raises ValueError: damaged, or not ours."""
    found = _FILE.fullmatch(raw)
    if found is None or len(raw) > _MOST_BYTES:
        raise ValueError("the gate file is damaged")
    boot_id, until_ns, *answers = found.groups()
    healthcheck, prolog, epilog = (
        Answer(int(code), tuple(_texts(lines))) for code, lines in zip(answers[::2], answers[1::2], strict=True)
    )
    return Gate(boot_id.decode(), int(until_ns), healthcheck, prolog, epilog)


def _texts(lines: bytes) -> Iterator[str]:
    for line in lines.split(b"\n")[:-1]:
        yield line.partition(b" ")[2].decode(errors="replace")


def write(run_dir: str, gate: Gate) -> None:
    """Replace the gate file in one step. Raises OSError, or ValueError for what no gate would read."""
    replace_file(os.path.join(run_dir, FILE_NAME), to_text(gate), MODE, is_durable=False)


def read(run_dir: str) -> Gate:
    """Return the answers in a run directory, fresh or not.

    Raises OSError (FileNotFoundError: no agent has left any), or ValueError: damaged, or others could have written it.
    """
    directory = os.open(run_dir, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        refuse_foreign_directory(directory)
        fd = os.open(FILE_NAME, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, dir_fd=directory)
    finally:
        os.close(directory)
    with open(fd, "rb") as file:
        refuse_foreign_file(os.fstat(fd))
        return from_text(file.read(_MOST_BYTES + 1))


def refuse_foreign_file(info: os.stat_result) -> None:
    """Raise ValueError if this is no regular file, or not root's (or ours) alone to write."""
    if not stat.S_ISREG(info.st_mode) or info.st_nlink > 1:
        raise ValueError("no regular file with one name")
    _refuse_foreign(info, is_sticky_fine=False)


def refuse_foreign_directory(directory: int) -> None:
    """Raise ValueError if others could write this directory, or put another one in its place."""
    below = os.fstat(directory)
    _refuse_foreign(below, is_sticky_fine=False)
    up = ".."
    while not os.path.samestat(below, above := os.stat(up, dir_fd=directory)):
        _refuse_foreign(above, is_sticky_fine=True)
        below, up = above, f"{up}/.."


def _refuse_foreign(info: os.stat_result, *, is_sticky_fine: bool) -> None:
    is_sticky = is_sticky_fine and info.st_mode & stat.S_ISVTX
    if info.st_uid not in {0, os.geteuid()} or (info.st_mode & _OTHERS and not is_sticky):
        raise ValueError(f"others could have written it: user {info.st_uid}, mode {info.st_mode & 0o7777:04o}")
