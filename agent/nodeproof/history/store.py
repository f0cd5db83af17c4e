"""The history as the agent uses it. Never raises for a bad disk.

Only the process that made it uses it: SQLite's connections do not survive a fork.
"""

import sqlite3
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress

from nodeproof.events import Event
from nodeproof.events.ledger import CounterSeries, EventSeries, folded
from nodeproof.history import rows, trim
from nodeproof.history.kept import FAULTS, RETRY_S, Kept
from nodeproof.history.position import Position
from nodeproof.history.rows import Change, Standing

#: What the history may take in memory, while it cannot be kept.
MOST_BYTES_IN_MEMORY = 4 << 20

#: What it may take on disk until `trim` says otherwise.
_MOST_BYTES = 64 << 20

#: How long the position alone stays unwritten: lines that are no events may be read once more.
_POSITION_S = 60.0

#: How long one `trim` may take.
_TRIM_S = 0.05

#: Statuses that are no news of a check that was never judged before.
_QUIET = frozenset({"ok", "skip"})


class History:
    """What happened, in `directory`.

    `is_kept`: it is on disk, and survives a restart; else `problem` says why it is in memory only. `problem` also
    says when a file had to be set aside.
    """

    def __init__(self, directory: str, clock: Callable[[], float] = time.time, retry_s: float = RETRY_S) -> None:
        self.directory = directory
        self._clock = clock
        self._standings: dict[str, Standing] = {}
        self._position: Position | None = None
        self._position_at_s = 0.0
        self._boot_id, self._counters = "", dict[tuple[str, str], CounterSeries]()
        self._most_bytes, self._unmeasured_rows = _MOST_BYTES, 0
        self._kept = Kept(directory, self._restore, retry_s)
        try:
            self._recall(self._kept.database)
        except sqlite3.Error as error:
            self._kept.lose(error)
        with suppress(*FAULTS), self._kept.left_on_disk() as database:
            self._recall(database)

    @property
    def is_kept(self) -> bool:
        return self._kept.is_kept

    @property
    def problem(self) -> str:
        return self._kept.problem

    # -- events

    def add_events(self, events: Sequence[Event], position: Position | None) -> list[Event]:
        """Keep events, and with them how far the kernel log was read; return the events that are new.

        All of it or nothing: an agent that is killed reads the log on from there, and tells nothing twice.
        """
        position = position or self._position
        fresh = list[Event]()
        if events or (position != self._position and time.monotonic() >= self._position_at_s):
            fresh = self._kept.write(lambda database: _add_events(database, events, position))
            self._position_at_s = time.monotonic() + _POSITION_S
        self._position = position  # not before: a return to the disk would write it without the events
        self._make_room(len(fresh))
        return fresh

    def position(self) -> Position | None:
        return self._position

    def series(self, since: float) -> tuple[EventSeries, ...]:
        """Return all events from `since` on as the ledger counts them."""
        found: tuple[EventSeries, ...] = ()
        with suppress(*FAULTS), self._kept.left_on_disk() as database:
            for events in rows.events_since(database, since):
                found = folded(found, events)
        try:
            for events in rows.events_since(self._kept.database, since):
                found = folded(found, events)
        except sqlite3.Error as error:
            self._kept.lose(error)
        return found

    # -- verdicts, actions, jobs

    def add_verdicts(
        self, at: float, found: Sequence[tuple[str, str, str, Mapping[str, object]]]
    ) -> list[tuple[str, str]]:
        """Keep the verdicts whose status is another than before; return their ids and status words.

        A check that is judged for the first time, and is well, is no change.
        """
        new = [Change(*row) for row in found]
        new = [c for c in new if c.check_id not in self._standings or self._standings[c.check_id].status != c.status]
        if not new:
            return []
        told = [c for c in new if c.check_id in self._standings or c.status not in _QUIET]
        standings = {c.check_id: Standing(c.status, c.summary, at) for c in new}

        def add(database: sqlite3.Connection) -> None:
            rows.add_verdicts(database, at, told)
            rows.set_standings(database, standings)

        self._kept.write(add)
        self._standings |= standings
        self._make_room(len(told))
        return [(c.check_id, c.status) for c in told]

    def standings(self) -> dict[str, Standing]:
        """Return the present status of each check, and since when it is so, restarts included."""
        return dict(self._standings)

    def add_action(self, at: float, content: Mapping[str, object]) -> None:
        self._kept.write(lambda database: rows.add_content(database, "actions", at, content))

    def add_job(self, at: float, content: Mapping[str, object]) -> None:
        """Keep what a counter did while a job ran."""
        self._kept.write(lambda database: rows.add_content(database, "jobs", at, content))
        self._make_room(1)

    # -- counters

    def counters(self, boot_id: str) -> tuple[CounterSeries, ...]:
        """Return the counters that were kept in this boot."""
        return tuple(self._counters.values()) if boot_id == self._boot_id else ()

    def save_counters(self, boot_id: str, series: Sequence[CounterSeries]) -> None:
        """Keep counters. Only what changed is written, and that a counter was read again is no change."""
        now = {(s.name, s.part): s for s in series}
        known = self._counters if boot_id == self._boot_id else {}
        changed = [s for key, s in now.items() if not _is_same(known.get(key), s)]
        gone = [key for key in known if key not in now]
        if changed or gone:
            self._kept.write(lambda database: rows.save_counters(database, boot_id, changed, gone))
        self._boot_id, self._counters = boot_id, now

    # -- size

    def trim(self, max_age_s: float, max_bytes: int) -> None:
        """Drop what is too old or too much, as far as that goes in a moment; the rest goes the next time."""
        self._most_bytes = max_bytes
        self._kept.see_that_it_is_there()
        self._kept.come_back()
        until_s, database = time.monotonic() + _TRIM_S, self._kept.database
        try:
            while trim.drop_before(database, self._clock() - max_age_s) and time.monotonic() < until_s:
                pass
            while trim.is_above(database, self._limit_bytes()) and time.monotonic() < until_s:
                trim.drop_oldest(database)
            while trim.has_unused(database) and time.monotonic() < until_s:
                trim.give_back(database)
        except sqlite3.Error as error:
            self._kept.lose(error)

    def size_bytes(self) -> int:
        return self._kept.size_bytes()

    def close(self) -> None:
        """Write what is not written yet, and end."""
        self._kept.come_back(is_urgent=True)
        if self._position is not None:
            position = self._position
            self._kept.write(lambda database: rows.set_position(database, position))
        self._kept.database.close()

    def _make_room(self, added_rows: int) -> None:
        """Drop twice as much as was added, where that is too much: a flood between two trims must not fill the disk."""
        self._unmeasured_rows += added_rows
        if self._unmeasured_rows < trim.STEP_ROWS:
            return
        steps, self._unmeasured_rows = 2 * self._unmeasured_rows // trim.STEP_ROWS, 0
        try:
            while steps and trim.is_above(self._kept.database, self._limit_bytes()):
                trim.drop_oldest(self._kept.database)
                steps -= 1
        except sqlite3.Error as error:
            self._kept.lose(error)

    def _limit_bytes(self) -> int:
        return self._most_bytes if self.is_kept else min(self._most_bytes, MOST_BYTES_IN_MEMORY)

    # -- what is so now

    def _restore(self, database: sqlite3.Connection) -> None:
        if self._position is not None:
            rows.set_position(database, self._position)
        rows.set_standings(database, self._standings)
        kept = rows.counters(database)[1]
        gone = [(s.name, s.part) for s in kept if (s.name, s.part) not in self._counters]
        rows.save_counters(database, self._boot_id, self._counters.values(), gone)

    def _recall(self, database: sqlite3.Connection) -> None:
        self._position = rows.position(database)
        self._standings = rows.standings(database)
        self._boot_id, found = rows.counters(database)
        self._counters = {(s.name, s.part): s for s in found}


def _add_events(database: sqlite3.Connection, events: Sequence[Event], position: Position | None) -> list[Event]:
    if position is not None:
        rows.set_position(database, position)
    return rows.add_events(database, events)


def _is_same(old: CounterSeries | None, new: CounterSeries) -> bool:
    return old is not None and old._replace(read_at=new.read_at) == new
