"""The answer of a check: a status and one sentence.

Deliberately not here: what to do about it (`nodeproof.decide`).
"""

import enum
from collections.abc import Mapping
from typing import NamedTuple

Json = None | bool | int | float | str | list["Json"] | dict[str, "Json"]

SUMMARY_CHARS = 300


class Status(enum.IntEnum):
    """How bad it is. Unknown ranks above warn: could-not-tell is never quiet."""

    OK = 0
    SKIP = 1
    WARN = 2
    UNKNOWN = 3
    FAIL = 4

    @property
    def word(self) -> str:
        return self.name.lower()


class Verdict(NamedTuple):
    """One sentence: what was found, what was expected and where. Evidence is for machines."""

    status: Status
    summary: str
    evidence: Mapping[str, object] = {}


def _verdict(status: Status, summary: str, evidence: Mapping[str, object]) -> Verdict:
    return Verdict(status, harmless(summary, SUMMARY_CHARS), evidence)


def ok(summary: str, **evidence: object) -> Verdict:
    """As it should be."""
    return _verdict(Status.OK, summary, evidence)


def warn(summary: str, **evidence: object) -> Verdict:
    """Not as it should be, but no reason to stop working."""
    return _verdict(Status.WARN, summary, evidence)


def fail(summary: str, **evidence: object) -> Verdict:
    """Not fit to work."""
    return _verdict(Status.FAIL, summary, evidence)


def skip(summary: str, **evidence: object) -> Verdict:
    """Nothing to judge. For the engine; checks return ok, warn or fail."""
    return _verdict(Status.SKIP, summary, evidence)


def unknown(summary: str, **evidence: object) -> Verdict:
    """Could not tell. For the engine; checks return ok, warn or fail."""
    return _verdict(Status.UNKNOWN, summary, evidence)


def harmless(text: str, limit: int) -> str:
    """Return `text` as one printable line of at most `limit` characters.

    Firmware strings, mount sources and error messages are hostile text: a control character could
    rewrite a terminal or forge a second log line, a bidirectional mark could reorder a sentence.
    """
    line = "".join(c if c.isprintable() else "?" for c in text)
    return line if len(line) <= limit else line[: limit - 1] + "…"


def named(items: object, most: int = 4) -> str:
    """Return a list for a sentence: the first `most` items by name, then how many more there are. Sets are sorted."""
    if isinstance(items, set | frozenset):
        items = sorted(items, key=str)
    names = [str(i) for i in items] if isinstance(items, list | tuple | dict) else [str(items)]
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(names[:most]) + more


def plural(number: int, noun: str) -> str:
    """Return `1 socket`, `2 sockets`."""
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"
