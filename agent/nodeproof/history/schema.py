"""The tables, and how a connection to them is set up.

Written ahead (WAL) and synchronised at checkpoints only: a killed agent loses nothing, since what was committed is
in the kernel's hands; a power cut may lose the last transactions, and never leaves half of one.
"""

import sqlite3

VERSION = 1

#: Stands in the file's header (bytes 68 to 71): no other program's database is taken for ours.
APPLICATION_ID = 0x6E707266

IN_MEMORY = ":memory:"

#: How long another connection is waited for. Nothing but us writes, and the agent's loop stands still meanwhile.
_BUSY_S = 0.25

#: Few pages in memory, a checkpoint for each MiB written ahead, and no file that stays large after a burst.
_SETTINGS = (
    "PRAGMA trusted_schema = OFF",
    "PRAGMA auto_vacuum = INCREMENTAL",  # of effect before the first table only, so first of all
    "PRAGMA journal_mode = WAL",
    "PRAGMA synchronous = NORMAL",
    "PRAGMA cache_size = -256",
    "PRAGMA wal_autocheckpoint = 256",
    "PRAGMA journal_size_limit = 1048576",
)

#: `at` is seconds since the epoch. `standings` and `counters` hold what is so now, the rest what happened.
_TABLES = (
    """CREATE TABLE events (
        id INTEGER PRIMARY KEY, rule TEXT NOT NULL, at REAL NOT NULL, boot_id TEXT NOT NULL, source TEXT NOT NULL,
        text TEXT NOT NULL, part TEXT NOT NULL, variant TEXT NOT NULL, sequence INTEGER, fields TEXT NOT NULL,
        count INTEGER NOT NULL)""",
    "CREATE UNIQUE INDEX events_once ON events (source, boot_id, sequence) WHERE sequence IS NOT NULL",
    "CREATE INDEX events_at ON events (at)",
    """CREATE TABLE verdicts (
        id INTEGER PRIMARY KEY, at REAL NOT NULL, check_id TEXT NOT NULL, status TEXT NOT NULL, summary TEXT NOT NULL,
        evidence TEXT NOT NULL)""",
    "CREATE INDEX verdicts_at ON verdicts (at)",
    "CREATE TABLE actions (id INTEGER PRIMARY KEY, at REAL NOT NULL, content TEXT NOT NULL)",
    "CREATE INDEX actions_at ON actions (at)",
    "CREATE TABLE jobs (id INTEGER PRIMARY KEY, at REAL NOT NULL, content TEXT NOT NULL)",
    "CREATE INDEX jobs_at ON jobs (at)",
    """CREATE TABLE standings (
        check_id TEXT PRIMARY KEY, status TEXT NOT NULL, summary TEXT NOT NULL, since REAL NOT NULL) WITHOUT ROWID""",
    """CREATE TABLE counters (
        name TEXT NOT NULL, part TEXT NOT NULL, boot_id TEXT NOT NULL, content TEXT NOT NULL,
        PRIMARY KEY (name, part)) WITHOUT ROWID""",
    "CREATE TABLE meta (key TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID",
)

#: Tables of what happened: the oldest rows go when there are too many.
DATED = ("events", "verdicts", "actions", "jobs")

_NAMES = frozenset({*DATED, "standings", "counters", "meta"})


class UnusableError(Exception):
    """A file that holds no history that this version can go on with."""


def connect(path: str, *, is_thorough: bool = False) -> sqlite3.Connection:
    """Return a connection to a database with our tables, which are made where there are none.

    `is_thorough`: read all of it to see whether it is sound. Raises UnusableError or sqlite3.Error.
    """
    database = sqlite3.connect(path, timeout=_BUSY_S, isolation_level=None, cached_statements=32)
    try:
        for setting in _SETTINGS:
            database.execute(setting)
        if is_thorough:
            _see_that_it_is_sound(database)
        if is_empty(database):
            with Transaction(database):
                _make(database)
        else:
            see_that_it_is_ours(database)
    except BaseException:
        database.close()
        raise
    return database


class Transaction:
    """All or nothing. Takes the lock at once: a lock that is taken later can fail without a wait."""

    def __init__(self, database: sqlite3.Connection) -> None:
        self._database = database

    def __enter__(self) -> None:
        self._database.execute("BEGIN IMMEDIATE")

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        try:
            if kind is None:
                self._database.execute("COMMIT")
        finally:
            if self._database.in_transaction:  # a full disk may have ended it already
                self._database.execute("ROLLBACK")


def is_empty(database: sqlite3.Connection) -> bool:
    return _number(database, "SELECT count(*) FROM sqlite_master") == 0


def see_that_it_is_ours(database: sqlite3.Connection) -> None:
    """Raise UnusableError for another program's database, one of a newer nodeproof, or one that lacks a table."""
    if _number(database, "PRAGMA application_id") != APPLICATION_ID:
        raise UnusableError("it is no history of nodeproof")
    version = _number(database, "PRAGMA user_version")
    if version != VERSION:
        raise UnusableError(f"its schema is {version}, this nodeproof knows {VERSION}")
    names = {name for (name,) in database.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
    if missing := sorted(_NAMES - names):
        raise UnusableError(f"it has no table {missing[0]}")


def used_bytes(database: sqlite3.Connection) -> int:
    """Return how much the rows take: the file is as large or larger."""
    pages = _number(database, "PRAGMA page_count") - _number(database, "PRAGMA freelist_count")
    return pages * _number(database, "PRAGMA page_size")


def is_damage(error: Exception) -> bool:
    """Tell damage of the file from a disk that cannot be written now."""
    if isinstance(error, UnusableError):
        return True
    name = getattr(error, "sqlite_errorname", "")
    return name == "SQLITE_NOTADB" or name.startswith("SQLITE_CORRUPT")


def _make(database: sqlite3.Connection) -> None:
    for statement in _TABLES:
        database.execute(statement)
    database.execute(f"PRAGMA application_id = {APPLICATION_ID}")
    database.execute(f"PRAGMA user_version = {VERSION}")


def _see_that_it_is_sound(database: sqlite3.Connection) -> None:
    found = database.execute("PRAGMA quick_check(1)").fetchone()
    if found != ("ok",):
        raise UnusableError(f"it is damaged: {found[0] if found else 'no answer'}")


def _number(database: sqlite3.Connection, question: str) -> int:
    return int(database.execute(question).fetchone()[0])
