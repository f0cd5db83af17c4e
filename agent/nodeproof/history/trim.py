"""How what is old goes: by age, and by size. In small steps, since the agent's loop stands still meanwhile."""

import sqlite3

from nodeproof.history.schema import DATED, Transaction, used_bytes

#: Rows of one table that go in one step.
STEP_ROWS = 500

#: Pages of 4 KiB that are given back to the disk in one step.
_STEP_PAGES = 256


def drop_before(database: sqlite3.Connection, at: float) -> int:
    """Drop one step of rows that are older than `at`; return how many there were."""
    with Transaction(database):
        return sum(
            database.execute(
                f"DELETE FROM {table} WHERE id IN (SELECT id FROM {table} WHERE at < ? ORDER BY at LIMIT {STEP_ROWS})",  # noqa: S608  # names of ours
                (at,),
            ).rowcount
            for table in DATED
        )


def drop_oldest(database: sqlite3.Connection) -> int:
    """Drop one step of the oldest rows of all tables together; return how many there were."""
    for step in (STEP_ROWS, STEP_ROWS // 10, 1):
        ends = [
            row[0]
            for table in DATED
            if (row := database.execute(f"SELECT at FROM {table} ORDER BY at LIMIT 1 OFFSET {step - 1}").fetchone())  # noqa: S608  # names of ours
        ]
        if ends:
            with Transaction(database):
                return sum(
                    database.execute(
                        f"DELETE FROM {table} WHERE id IN"  # noqa: S608  # names of ours
                        f" (SELECT id FROM {table} WHERE at <= ? ORDER BY at LIMIT {STEP_ROWS})",
                        (min(ends),),
                    ).rowcount
                    for table in DATED
                )
    return 0


def give_back(database: sqlite3.Connection) -> None:
    """Give one step of pages that are no longer used back to the disk."""
    database.execute(f"PRAGMA incremental_vacuum({_STEP_PAGES})").fetchall()


def is_above(database: sqlite3.Connection, most_bytes: int) -> bool:
    return used_bytes(database) > most_bytes


def has_unused(database: sqlite3.Connection) -> bool:
    return bool(database.execute("PRAGMA freelist_count").fetchone()[0])
