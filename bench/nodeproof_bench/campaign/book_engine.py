"""How a book is opened: its URL, the file that is ours alone, and how SQLite and PostgreSQL are set up."""

import os
from typing import Any

from sqlalchemy import Connection, Engine, create_engine, event, select
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError, NoSuchModuleError

from nodeproof.check import refuse_foreign
from nodeproof.errors import NodeproofError
from nodeproof.verdict import harmless
from nodeproof_bench.campaign import book_tables as tables

#: How long another process that writes is waited for.
BUSY_S = 10.0


class BookError(NodeproofError):
    """The book of campaigns cannot be used: `place` without a password, and why."""

    def __init__(self, place: str, why: str) -> None:
        super().__init__(place, why)
        self.place = place
        self.why = why

    def __str__(self) -> str:
        return f"{self.place}: {self.why}"


def parsed(url: str) -> URL:
    try:
        found = make_url(url)
    except ArgumentError as error:
        raise BookError("database", "expected sqlite:////absolute/file.db or postgresql+psycopg://…") from error
    backend = found.get_backend_name()
    if backend not in {"sqlite", "postgresql"}:
        raise BookError("database", f"expected sqlite or postgresql+psycopg, found {harmless(backend, 40)}")
    if backend == "sqlite" and not os.path.isabs(found.database or ""):
        raise BookError("database", "expected an absolute path after sqlite:/// (that is four slashes)")
    return found


def make_file(path: str) -> None:
    """Make the file ours alone before anything is in it. Raises BookError, or PolicyError if others may write there."""
    directory = os.path.dirname(path)
    try:
        os.makedirs(directory, mode=0o700, exist_ok=True)
        refuse_foreign(directory)
        os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o600))
    except OSError as error:
        raise BookError(path, f"cannot be opened: {error.strerror}") from error
    refuse_foreign(path)


def engine_of(url: URL) -> Engine:
    try:
        if url.get_backend_name() == "postgresql":
            return create_engine(url, pool_pre_ping=True, connect_args={"connect_timeout": int(BUSY_S)})
        engine = create_engine(url, connect_args={"timeout": BUSY_S})
    except (NoSuchModuleError, ImportError) as error:
        place = url.render_as_string(hide_password=True)
        raise BookError(place, f"no driver ({error}): install nodeproof[postgresql]") from error
    event.listen(engine, "connect", _set_up_sqlite)
    event.listen(engine, "begin", _begin_sqlite)
    return engine


def _set_up_sqlite(connection: Any, _: object) -> None:
    connection.isolation_level = None  # transactions are ours: the driver would begin them too late
    for setting in ("trusted_schema = OFF", "journal_mode = WAL", "synchronous = FULL", "foreign_keys = ON"):
        connection.execute(f"PRAGMA {setting}")


def _begin_sqlite(database: Connection) -> None:
    """Begin for real, and with the lock where something is written: a lock that is taken later fails at once."""
    is_write = database.get_execution_options().get("nodeproof_writes", False)
    database.exec_driver_sql("BEGIN IMMEDIATE" if is_write else "BEGIN")


def check_version(database: Connection, place: str) -> None:
    found = database.execute(select(tables.meta.c.value).where(tables.meta.c.key == "schema")).scalar()
    if found == str(tables.VERSION):
        return
    is_older = str(found).isdecimal() and int(str(found)) < tables.VERSION
    advice = "use the older nodeproof that made it, or begin another book" if is_older else "use a newer nodeproof"
    said = harmless(str(found), 20)
    raise BookError(place, f"its schema is {said}, this nodeproof knows {tables.VERSION}: {advice}")


def why(error: Exception) -> str:
    """Return what the driver said, without the statement and its values."""
    return harmless(str(getattr(error, "orig", None) or error), 300)
