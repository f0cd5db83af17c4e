r"""Records of /dev/kmsg. Source: Documentation/ABI/testing/dev-kmsg.

A record is `PRIORITY,SEQUENCE,MICROSECONDS,FLAGS[,...];MESSAGE`, then lines that begin with a space and say
`KEY=value`, such as ` DEVICE=+pci:0000:3b:00.0`. Bytes that are not printable are written as `\xNN`.
"""

import re
from collections.abc import Mapping
from typing import NamedTuple

from nodeproof.verdict import harmless

#: The kernel's own messages, and those that root wrote to /dev/kmsg without saying who speaks: the kernel lets nobody
#: write as itself. Daemons say who they are (systemd is 3); what they tell is not the kernel's word.
KERNEL, USER = 0, 1

#: Longer messages than the kernel makes (its limit is 1024 bytes and some prefix) are cut.
MOST_CHARS = 2000

_ESCAPED = re.compile(rb"\\x([0-9a-fA-F]{2})")


class Record(NamedTuple):
    """One message. `at_us` is in microseconds since boot; `is_continued`: it goes on another record's line."""

    level: int
    facility: int
    sequence: int
    at_us: int
    text: str
    is_continued: bool = False
    keys: Mapping[str, str] = {}


def parse(raw: bytes) -> Record | None:
    """Return what one read of /dev/kmsg says, or None where that is no record. Its text is one harmless line."""
    head, semicolon, body = raw.partition(b";")
    parts = head.split(b",")
    if not semicolon or len(parts) < 4 or not all(part.isdigit() and len(part) <= 20 for part in parts[:3]):
        return None
    priority, sequence, at_us = (int(part) for part in parts[:3])
    message, *rest = body.split(b"\n")
    return Record(
        level=priority & 7,
        facility=priority >> 3,
        sequence=sequence,
        at_us=at_us,
        text=plain(message),
        is_continued=b"c" in parts[3],
        keys=dict(_keys(rest)),
    )


def plain(message: bytes) -> str:
    """Return a message as one harmless line, with escapes undone."""
    if b"\\x" in message:
        message = _ESCAPED.sub(lambda found: bytes.fromhex(found[1].decode()), message)
    return harmless(message.decode(errors="replace").strip(), MOST_CHARS)


def _keys(lines: list[bytes]) -> list[tuple[str, str]]:
    pairs = [line[1:].partition(b"=") for line in lines if line.startswith(b" ")]
    return [(plain(key)[:64], plain(value)[:200]) for key, equals, value in pairs if equals]
