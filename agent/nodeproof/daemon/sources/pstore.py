"""What the kernel said before an earlier boot crashed, as the platform kept it. Nothing is removed there.

Source: Documentation/ABI/testing/pstore, fs/pstore/platform.c: a record begins with a line such as `Panic#1 Part2`;
a crash is kept in parts, the last lines first.
"""

import asyncio
import os
import re
import zlib
from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple

from nodeproof.events import Event
from nodeproof.events.kmsg import plain

_DIRECTORY = "/sys/fs/pstore"

#: More and larger files than any platform keeps are not read.
_MOST_FILES = 256
_MOST_BYTES = 1 << 20

#: Parts of one crash are written within so many seconds.
_TOGETHER_S = 60.0

_HEAD = re.compile(rb"(?P<what>[A-Za-z-]{2,20}#\d{1,9}) Part\d+")

#: The line that says why, the best first. Lines carry `<6>[  123.456789] ` before the message.
_REASONS = (
    re.compile(rb"Kernel panic - not syncing: .*"),
    re.compile(rb"kernel BUG at .*"),
    re.compile(rb"BUG: .*"),
    re.compile(rb"(?:Oops: )?(?:Oops|general protection fault)\b.*"),
    re.compile(rb".*\b(?:hard LOCKUP|soft lockup)\b.*"),
)
_STAMP = re.compile(rb"^(?:<\d{1,3}>)?\[ *\d+\.\d+\](?:\[[^\]]{1,12}\])? ?")


class _Remnant(NamedTuple):
    name: str
    head: str
    at: float
    content: bytes


class Pstore:
    """Tells once, when it is started, of the crashes that are kept."""

    name = "pstore"

    def __init__(self, deliver: Callable[[Sequence[Event]], None], boot_id: str, directory: str = _DIRECTORY) -> None:
        del boot_id  # which boot crashed is not known: it was another one
        self.problem = "not started"
        self._deliver, self._directory = deliver, directory

    def start(self, loop: asyncio.AbstractEventLoop) -> None:
        del loop
        self.problem = ""
        try:
            names = sorted(name for name in os.listdir(self._directory) if name.startswith("dmesg-"))
            events = crashes(_read(self._directory, name) for name in names[:_MOST_FILES])
        except FileNotFoundError:
            return  # a kernel without pstore, or nothing mounted there
        except OSError as error:
            self.problem = f"{self._directory} cannot be read: {error.strerror}"
            return
        if events:
            self._deliver(events)

    def stop(self) -> None:
        """There is nothing to stop."""


def _read(directory: str, name: str) -> _Remnant:
    with open(os.path.join(directory, name), "rb") as file:
        content = file.read(_MOST_BYTES)
        at = os.fstat(file.fileno()).st_mtime
    found = _HEAD.match(content)
    return _Remnant(name, plain(found["what"]) if found else "", at, content)


def crashes(remnants: Iterable[_Remnant]) -> list[Event]:
    """Return one event for each crash, whatever number of parts it is kept in."""
    groups: list[list[_Remnant]] = []
    for remnant in sorted(remnants, key=lambda r: (r.head, r.at, r.name)):
        last = groups[-1][-1] if groups else None
        if last is not None and last.head == remnant.head and remnant.at - last.at <= _TOGETHER_S:
            groups[-1].append(remnant)
        else:
            groups.append([remnant])
    return [_crash(group) for group in groups]


def _crash(parts: list[_Remnant]) -> Event:
    """Return the event of a crash. Its number is made of its files' names: told again at the next start it is known."""
    first = parts[0]
    why = _reason(parts)
    names = "\n".join(f"{part.name} {int(part.at)}" for part in parts)
    return Event(
        rule="event.crash",
        at=min(part.at for part in parts),
        boot_id="",
        source="pstore",
        text=f"{first.head or first.name}: {why}"[:500],
        sequence=zlib.crc32(names.encode()),
        fields={"kind": first.head, "file": plain(first.name.encode()), "parts": str(len(parts))},
    )


def _reason(parts: list[_Remnant]) -> str:
    lines = [_STAMP.sub(b"", line) for part in parts for line in part.content.splitlines()]
    for expression in _REASONS:
        for line in lines:
            if expression.match(line):
                return plain(line)
    return "no reason in what was kept"
