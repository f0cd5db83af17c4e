"""What happened, for people: all kinds together, from a database that a running agent may be writing."""

import fnmatch
import json
import os
import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing
from typing import NamedTuple

from nodeproof.errors import NodeproofError
from nodeproof.events import Event
from nodeproof.history import place
from nodeproof.history.schema import UnusableError

_FOR_EVER = float("inf")

KINDS = ("verdict", "event", "action", "job")


class Entry(NamedTuple):
    """One thing that happened `at` (seconds since the epoch)."""

    at: float
    kind: str
    content: Mapping[str, object]


class Wanted(NamedTuple):
    """What is asked for. `check` is a pattern of ids: verdicts of those checks, and events of those rules, alone."""

    since: float | None = None
    until: float | None = None
    kinds: Sequence[str] = KINDS
    check: str = ""
    limit: int = 1000


def read(database: str, wanted: Wanted) -> tuple[list[Entry], bool]:
    """Return the latest entries, oldest first, and whether there are older ones. Raises NodeproofError."""
    try:
        with closing(place.read_only(database)) as opened:
            opened.create_function("is_like", 2, fnmatch.fnmatchcase, deterministic=True)
            found = [entry for kind in wanted.kinds for entry in _entries(opened, kind, wanted)]
    except FileNotFoundError as error:
        raise NodeproofError(f"{database}: no history yet: no agent has run here (--state-dir, --database)") from error
    except OSError as error:
        raise NodeproofError(f"{database}: {error.strerror}") from error
    except (sqlite3.Error, UnusableError, ValueError, TypeError) as error:
        raise NodeproofError(f"{database} cannot be read: {error}") from error
    found.sort(key=lambda entry: entry.at)
    return found[-wanted.limit :], len(found) > wanted.limit


def _span(wanted: Wanted) -> tuple[float, float]:
    return (-_FOR_EVER if wanted.since is None else wanted.since, _FOR_EVER if wanted.until is None else wanted.until)


def database_in(directory: str) -> str:
    return os.path.join(directory, place.FILE)


_COLUMNS = {
    "verdict": ("verdicts", ("check_id", "status", "summary", "evidence")),
    "event": ("events", tuple(name for name in Event._fields if name != "at")),
    "action": ("actions", ("content",)),
    "job": ("jobs", ("content",)),
}
_CHECK = {"verdict": "check_id", "event": "rule"}


def _entries(database: sqlite3.Connection, kind: str, wanted: Wanted) -> Iterator[Entry]:
    table, names = _COLUMNS[kind]
    if wanted.check and kind not in _CHECK:
        return
    where = f" AND is_like({_CHECK[kind]}, ?)" if wanted.check else ""
    columns = ", ".join(names)
    found = database.execute(
        f"SELECT at, {columns} FROM {table} WHERE at >= ? AND at <= ?{where} ORDER BY at DESC, id DESC LIMIT ?",  # noqa: S608  # ours
        (*_span(wanted), *([wanted.check] if wanted.check else []), wanted.limit + 1),
    )
    # oldest first, since entries of one moment must keep their order
    for at, *values in reversed(found.fetchall()):
        content = dict(zip(names, values, strict=True))
        for name in {"evidence", "fields", "content"} & content.keys():
            content[name] = json.loads(content[name])
        if "count" in content:
            content["count"] = int(content["count"])
        yield Entry(float(at), kind, dict(content.get("content", content)))
