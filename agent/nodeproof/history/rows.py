"""Values to rows and back. Each function works on a connection that is in a transaction, or only reads."""

import json
import sqlite3
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import NamedTuple

from nodeproof.events import Event
from nodeproof.events.ledger import CounterSeries
from nodeproof.history.position import Position
from nodeproof.history.schema import DATED

_EVENT_COLUMNS = ", ".join(Event._fields)

#: Largest evidence of one verdict, in bytes of JSON: a check may list every page of a broken DIMM.
_MOST_EVIDENCE_BYTES = 8192

_AT_ONCE = 1000


class Standing(NamedTuple):
    """What a check's status is, since when (seconds since the epoch), and what it said when it became so."""

    status: str
    summary: str
    since: float


class Change(NamedTuple):
    """A verdict that differs from the one before."""

    check_id: str
    status: str
    summary: str
    evidence: Mapping[str, object]


def add_events(database: sqlite3.Connection, events: Iterable[Event]) -> list[Event]:
    """Add events and return those that were not there yet."""
    statement = f"INSERT INTO events ({_EVENT_COLUMNS}) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT DO NOTHING"  # noqa: S608  # names of ours
    return [event for event in events if database.execute(statement, _of_event(event)).rowcount == 1]


def events_since(database: sqlite3.Connection, since: float) -> Iterator[list[Event]]:
    """Yield events from `since` on, oldest first, some at a time."""
    cursor = database.execute(f"SELECT {_EVENT_COLUMNS} FROM events WHERE at >= ? ORDER BY at, id", (since,))  # noqa: S608  # names of ours
    while found := cursor.fetchmany(_AT_ONCE):
        yield [event_of(row) for row in found]


def event_of(row: Sequence[object]) -> Event:
    event = Event(*row)  # type: ignore[arg-type]  # the columns are its fields
    return event._replace(fields=json.loads(str(event.fields)))


def set_position(database: sqlite3.Connection, position: Position) -> None:
    _set_meta(database, "position", json.dumps(position))


def position(database: sqlite3.Connection) -> Position | None:
    """Return how far the kernel log was read; None where that is not known."""
    found = database.execute("SELECT value FROM meta WHERE key = 'position'").fetchone()
    try:
        boot_id, sequence = json.loads(found[0]) if found else ("", "")
        return Position(str(boot_id), int(sequence))
    except (ValueError, TypeError):
        return None


def add_verdicts(database: sqlite3.Connection, at: float, changes: Iterable[Change]) -> None:
    database.executemany(
        "INSERT INTO verdicts (at, check_id, status, summary, evidence) VALUES (?, ?, ?, ?, ?)",
        [(at, c.check_id, c.status, _text(c.summary), _evidence(c.evidence)) for c in changes],
    )


def set_standings(database: sqlite3.Connection, standings: Mapping[str, Standing]) -> None:
    database.executemany(
        "INSERT OR REPLACE INTO standings (check_id, status, summary, since) VALUES (?, ?, ?, ?)",
        [(check_id, s.status, _text(s.summary), s.since) for check_id, s in standings.items()],
    )


def standings(database: sqlite3.Connection) -> dict[str, Standing]:
    found = database.execute("SELECT check_id, status, summary, since FROM standings ORDER BY check_id")
    return {check_id: Standing(*rest) for check_id, *rest in found}


def add_content(database: sqlite3.Connection, table: str, at: float, content: Mapping[str, object]) -> None:
    """Add an action, or what a job saw."""
    database.execute(f"INSERT INTO {table} (at, content) VALUES (?, ?)", (at, as_json(content)))  # noqa: S608  # one of DATED


def save_counters(
    database: sqlite3.Connection, boot_id: str, changed: Iterable[CounterSeries], gone: Iterable[tuple[str, str]]
) -> None:
    """Keep the series that changed; those of another boot have no meaning any more."""
    database.execute("DELETE FROM counters WHERE boot_id != ?", (boot_id,))
    database.executemany("DELETE FROM counters WHERE name = ? AND part = ?", list(gone))
    database.executemany(
        "INSERT OR REPLACE INTO counters (name, part, boot_id, content) VALUES (?, ?, ?, ?)",
        [(_text(s.name), _text(s.part), boot_id, as_json(s._asdict())) for s in changed],
    )


def counters(database: sqlite3.Connection) -> tuple[str, list[CounterSeries]]:
    """Return the counters that were kept, and of which boot they are."""
    boot_id, made = "", list[CounterSeries]()
    for found, content in database.execute("SELECT boot_id, content FROM counters ORDER BY name, part"):
        try:
            read = json.loads(content)
            read["points"] = tuple((float(at), int(count)) for at, count in read["points"])
            made.append(CounterSeries(**read))
        except (ValueError, TypeError, KeyError):  # of another version: observed anew
            continue
        boot_id = found
    return boot_id, made


def copy(source: sqlite3.Connection, target: sqlite3.Connection) -> None:
    """Copy what happened from one database to another; events that are there already stay as they are."""
    for table in DATED:
        names = [name for _, name, *_ in source.execute(f"PRAGMA table_info({table})") if name != "id"]
        columns, marks = ", ".join(names), ", ".join("?" * len(names))
        target.executemany(
            f"INSERT INTO {table} ({columns}) VALUES ({marks}) ON CONFLICT DO NOTHING",  # noqa: S608  # names of ours
            source.execute(f"SELECT {columns} FROM {table} ORDER BY id"),  # noqa: S608  # names of ours
        )


def as_json(content: Mapping[str, object]) -> str:
    """Return JSON of what came from checks and Slurm: a set or a record must not keep an action from being noted."""
    return json.dumps(content, default=_plain, separators=(",", ":"), skipkeys=True)


def _evidence(evidence: Mapping[str, object]) -> str:
    made = as_json(evidence)
    return made if len(made) <= _MOST_EVIDENCE_BYTES else as_json({"left_out_bytes": len(made)})


def _of_event(event: Event) -> tuple[object, ...]:
    plain = event._replace(text=_text(event.text), part=_text(event.part), variant=_text(event.variant))
    return tuple(plain._replace(fields=as_json(event.fields)))  # type: ignore[arg-type]  # as a column


def _text(text: str) -> str:
    """Return text that UTF-8 can hold: a name from the machine may have bytes that are none."""
    return text.encode("utf-8", "replace").decode()


def _plain(value: object) -> object:
    return sorted(map(str, value)) if isinstance(value, set | frozenset) else str(value)


def _set_meta(database: sqlite3.Connection, key: str, value: str) -> None:
    database.execute("INSERT OR REPLACE INTO meta (key, value) VALUES (?, ?)", (key, value))
