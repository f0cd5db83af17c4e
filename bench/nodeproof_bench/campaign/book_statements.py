"""Statements that several transactions of the book are made of, and rows as tuples of their own types."""

import json
from collections.abc import Iterable, Sequence
from typing import Any, TypeVar

from sqlalchemy import Connection, Table, delete, func, insert, select, update

from nodeproof_bench.campaign import book_tables as tables
from nodeproof_bench.campaign.book_rows import FactRow, NodeEvent, Result, Task

#: Columns that hold a list as JSON.
_LISTS = frozenset({"nodes", "partitions"})

#: Rows in one INSERT: databases bound the parameters of a statement, and memory is bounded as well.
_ROWS_AT_ONCE = 10_000

Row = TypeVar("Row", bound=tuple[Any, ...])


def _values(table: Table, row: tuple[Any, ...]) -> dict[str, Any]:
    names = table.c.keys()
    return {name: json.dumps(value) if name in _LISTS else value for name, value in zip(names, row, strict=True)}


def row_of(kind: type[Row], table: Table, row: Sequence[Any]) -> Row:
    values = (
        tuple(json.loads(value)) if name in _LISTS else value for name, value in zip(table.c.keys(), row, strict=True)
    )
    return kind(*values)


def insert_all(database: Connection, table: Table, rows: Sequence[tuple[Any, ...]]) -> None:
    for start in range(0, len(rows), _ROWS_AT_ONCE):
        database.execute(insert(table), [_values(table, row) for row in rows[start : start + _ROWS_AT_ONCE]])


def set_task(database: Connection, task: Task) -> None:
    row = tables.tasks
    database.execute(
        update(row)
        .where(row.c.campaign_id == task.campaign_id, row.c.task == task.task)
        .values(state=task.state, attempts=task.attempts, why=task.why)
    )


def is_row(table: Table, key: Iterable[Any]) -> list[Any]:
    """Return the condition for one row of a table whose first four columns are its key."""
    return [column == value for column, value in zip(table.c, key, strict=False)]


def result_before(database: Connection, result: Result) -> Result | None:
    row = database.execute(select(tables.results).where(*is_row(tables.results, result[:4]))).first()
    return None if row is None else row_of(Result, tables.results, row)


def note_second_copy(database: Connection, before: Result, result: Result) -> str:
    if before.sha256 == result.sha256 and (before.sha256 or before.problem == result.problem):
        return "same"
    note = result.problem or "another file with other content came later, and was refused"
    if before.sha256 and note not in before.problem:
        said = "; ".join(filter(None, (before.problem, note)))
    else:
        said = before.problem if before.sha256 else note
    database.execute(update(tables.results).where(*is_row(tables.results, before[:4])).values(problem=said))
    return "other"


def replace_facts(database: Connection, facts: Sequence[FactRow]) -> None:
    """Replace the facts of a node and phase: a second attempt knows better than the first."""
    row = tables.facts
    for campaign_id, node, phase in {fact[:3] for fact in facts}:
        database.execute(delete(row).where(row.c.campaign_id == campaign_id, row.c.node == node, row.c.phase == phase))
    insert_all(database, row, list({fact[:4]: fact for fact in facts}.values()))


def add_events(database: Connection, events: Sequence[NodeEvent]) -> None:
    row = tables.node_events
    for found in dict.fromkeys(events):
        is_known = select(func.count()).where(*(c == v for c, v in zip(row.c, found, strict=True)))
        if not database.execute(is_known).scalar():
            database.execute(insert(row), [_values(row, found)])
