"""The book of campaigns: what was planned, submitted, received and found. The one truth that `resume` goes on from.

Each public method is one transaction: whoever is killed leaves all of it or nothing. SQLite (written ahead, and
synchronised at each commit: what was submitted must outlive a power cut) or PostgreSQL, by URL.
"""

import contextlib
from collections.abc import Iterator, Sequence
from typing import NamedTuple, Self

from sqlalchemy import Connection, Table, delete, insert, inspect, select, update
from sqlalchemy.exc import IntegrityError, SQLAlchemyError

from nodeproof.verdict import harmless
from nodeproof_bench.campaign import book_engine, book_samples
from nodeproof_bench.campaign import book_statements as statements
from nodeproof_bench.campaign import book_tables as tables
from nodeproof_bench.campaign.book_engine import BookError, why
from nodeproof_bench.campaign.book_rows import (
    Campaign,
    FactRow,
    FindingRow,
    Job,
    NodeEvent,
    NodeRow,
    Result,
    Sample,
    Task,
    VerdictRow,
)
from nodeproof_bench.campaign.book_samples import SampleRow
from nodeproof_bench.campaign.book_statements import Row

__all__ = ["Book", "BookError", "Measured"]


class Measured(NamedTuple):
    """A metric that a phase measured, by nodes alone or by pairs."""

    metric: str
    phase: str
    is_pair: bool


class Book:
    """A book by its URL: `sqlite:////absolute/file.db` or `postgresql+psycopg://user@host/name`.

    The tables are made where there are none. For several threads and processes at once.
    """

    def __init__(self, url: str) -> None:
        parsed = book_engine.parsed(url)
        self.place = parsed.render_as_string(hide_password=True)
        if parsed.get_backend_name() == "sqlite":
            book_engine.make_file(str(parsed.database))
        with self._told():
            self.engine = book_engine.engine_of(parsed)
            self._writer = self.engine.execution_options(nodeproof_writes=True)
            try:
                self._open()
            except BaseException:
                self.engine.dispose()
                raise

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        self.engine.dispose()

    # -- campaigns

    def add_campaign(self, campaign: Campaign, nodes: Sequence[NodeRow], tasks: Sequence[Task]) -> None:
        """Begin a campaign: with all its nodes and tasks, or not at all."""
        with self._write() as database:
            statements.insert_all(database, tables.campaigns, [campaign])
            statements.insert_all(database, tables.nodes, nodes)
            statements.insert_all(database, tables.tasks, tasks)

    def campaigns(self) -> list[Campaign]:
        """Return all campaigns, oldest first."""
        with self._read() as database:
            rows = database.execute(select(tables.campaigns).order_by(tables.campaigns.c.created_at))
            return [statements.row_of(Campaign, tables.campaigns, row) for row in rows]

    def campaign(self, campaign_id: str) -> Campaign:
        """Return a campaign. Raises BookError if there is none of that id."""
        found = [c for c in self.campaigns() if c.id == campaign_id]
        if not found:
            raise BookError(self.place, f"no campaign {harmless(campaign_id, 80)!r} (see `nodeproof campaign status`)")
        return found[0]

    def end_campaign(self, campaign_id: str, state: str, at: float | None) -> None:
        """Set the state of a campaign, and when it ended (None: it goes on). One that was cancelled stays so."""
        row = tables.campaigns
        is_open = row.c.id == campaign_id, row.c.state != "cancelled"
        with self._write() as database:
            database.execute(update(row).where(*is_open).values(state=state, ended_at=at))

    # -- nodes and tasks

    def nodes(self, campaign_id: str) -> list[NodeRow]:
        return self._all(NodeRow, tables.nodes, campaign_id, "node")

    def set_hardware_class(self, campaign_id: str, node: str, hardware_class: str) -> None:
        row = tables.nodes
        with self._write() as database:
            database.execute(
                update(row)
                .where(row.c.campaign_id == campaign_id, row.c.node == node)
                .values(hardware_class=hardware_class)
            )

    def tasks(self, campaign_id: str) -> list[Task]:
        """Return all tasks in their order."""
        return self._all(Task, tables.tasks, campaign_id, "task")

    def add_tasks(self, tasks: Sequence[Task]) -> None:
        with self._write() as database:
            statements.insert_all(database, tables.tasks, tasks)

    def set_tasks(self, tasks: Sequence[Task]) -> None:
        """Write what may change of tasks: state, attempts, why."""
        with self._write() as database:
            for task in tasks:
                statements.set_task(database, task)

    # -- jobs

    def jobs(self, campaign_id: str) -> list[Job]:
        return self._all(Job, tables.jobs, campaign_id, "task", "attempt", "node")

    def begin_attempt(self, task: Task, jobs: Sequence[Job]) -> bool:
        """Record that jobs are about to be submitted, before they are: from here on each may be in Slurm.

        Returns whether it was recorded: nothing begins any more in a campaign that somebody has cancelled.
        """
        row = tables.campaigns
        with self._write() as database:
            state = database.execute(select(row.c.state).where(row.c.id == task.campaign_id)).scalar()
            if state != "running":
                return False
            statements.set_task(database, task)
            statements.insert_all(database, tables.jobs, jobs)
        return True

    def set_jobs(self, task: Task, jobs: Sequence[Job]) -> None:
        """Write what may change of a task and of its jobs: ids, states and times."""
        row = tables.jobs
        with self._write() as database:
            statements.set_task(database, task)
            for job in jobs:
                database.execute(
                    update(row)
                    .where(row.c.job_name == job.job_name)
                    .values(
                        job_id=job.job_id,
                        state=job.state,
                        submitted_at=job.submitted_at,
                        ended_at=job.ended_at,
                        node_seconds=job.node_seconds,
                    )
                )

    # -- results

    def results(self, campaign_id: str) -> list[Result]:
        return self._all(Result, tables.results, campaign_id, "task", "attempt", "node")

    def store_result(
        self,
        result: Result,
        samples: Sequence[Sample] = (),
        facts: Sequence[FactRow] = (),
        verdicts: Sequence[VerdictRow] = (),
        events: Sequence[NodeEvent] = (),
    ) -> str:
        """Store a result file with all that is in it. Returns `stored`, `same` or `other`.

        `same`: it is there already, and nothing changes. `other`: one with other content is there; that one stays,
        and `problem` notes it. A result that was refused before (no `sha256`) gives way to one that is whole; a
        result that is refused (no `sha256`) only adds its problem.
        """
        with self._write() as database:
            before = statements.result_before(database, result)
            if before is not None and (before.sha256 or not result.sha256):
                return statements.note_second_copy(database, before, result)
            if before is not None:
                database.execute(delete(tables.results).where(*statements.is_row(tables.results, before[:4])))
            statements.insert_all(database, tables.results, [result])
            statements.insert_all(database, tables.samples, book_samples.packed(samples))
            statements.replace_facts(database, facts)
            statements.insert_all(database, tables.verdicts, verdicts)
            statements.add_events(database, events)
        return "stored"

    def is_useful(self, result: Result) -> bool:
        """Tell whether a result brought samples or verdicts."""
        found, said = tables.samples, tables.verdicts
        sample = statements.is_row(found, result[:4])
        verdict = said.c.campaign_id == result.campaign_id, said.c.task == result.task, said.c.node == result.node
        with self._read() as database:
            rows = [select(found.c.task).where(*sample), select(said.c.task).where(*verdict)]
            return any(database.execute(row.limit(1)).first() is not None for row in rows)

    def samples(self, campaign_id: str) -> list[Sample]:
        rows = self._all(SampleRow, tables.samples, campaign_id, "task", "attempt", "node")
        return [sample for row in rows for sample in book_samples.unpacked(row)]

    def measured(self, campaign_id: str) -> list[Measured]:
        """Return which metrics each phase measured."""
        row = tables.samples
        columns = row.c.metric, row.c.phase, (row.c.peer != "").label("is_pair")
        with self._read() as database:
            found = database.execute(select(*columns).where(row.c.campaign_id == campaign_id).distinct())
            return [Measured(metric, phase, bool(is_pair)) for metric, phase, is_pair in found]

    def facts(self, campaign_id: str) -> list[FactRow]:
        return self._all(FactRow, tables.facts, campaign_id, "node", "phase", "key")

    def verdicts(self, campaign_id: str) -> list[VerdictRow]:
        return self._all(VerdictRow, tables.verdicts, campaign_id, "task", "node", "check_id")

    # -- findings

    def findings(self, campaign_id: str) -> list[FindingRow]:
        return self._all(FindingRow, tables.findings, campaign_id, "node", "path", "metric", "detector")

    def set_findings(self, campaign_id: str, findings: Sequence[FindingRow]) -> None:
        """Replace all findings of a campaign."""
        with self._write() as database:
            database.execute(delete(tables.findings).where(tables.findings.c.campaign_id == campaign_id))
            statements.insert_all(database, tables.findings, findings)

    # -- the fleet's memory

    def add_events(self, events: Sequence[NodeEvent]) -> None:
        """Remember what happened to nodes; what is known already changes nothing."""
        with self._write() as database:
            statements.add_events(database, events)

    def node_events(self, since: float = 0.0) -> list[NodeEvent]:
        row = tables.node_events
        with self._read() as database:
            rows = database.execute(select(row).where(row.c.at >= since).order_by(row.c.at, row.c.node))
            return [statements.row_of(NodeEvent, row, found) for found in rows]

    # -- transactions

    @contextlib.contextmanager
    def _read(self) -> Iterator[Connection]:
        with self._told(), self.engine.begin() as database:
            yield database

    @contextlib.contextmanager
    def _write(self) -> Iterator[Connection]:
        with self._told(), self._writer.begin() as database:
            yield database

    @contextlib.contextmanager
    def _told(self) -> Iterator[None]:
        """Say what the database says in one sentence: its own errors hold statements and their values."""
        try:
            yield
        except IntegrityError as error:
            raise BookError(self.place, f"is there already: {why(error)}") from error
        except (SQLAlchemyError, ImportError) as error:
            raise BookError(self.place, why(error)) from error

    def _all(self, kind: type[Row], table: Table, campaign_id: str, *order: str) -> list[Row]:
        statement = select(table).where(table.c.campaign_id == campaign_id).order_by(*(table.c[name] for name in order))
        with self._read() as database:
            return [statements.row_of(kind, table, row) for row in database.execute(statement)]

    def _open(self) -> None:
        """Make the tables where there are none. Raises BookError for a book that a newer nodeproof made."""
        with self.engine.begin() as database:  # only read as a rule: nobody who writes is waited for
            if self._is_made(database):
                return
        with self._writer.begin() as database:
            if not self._is_made(database):
                tables.metadata.create_all(database)
                database.execute(insert(tables.meta).values(key="schema", value=str(tables.VERSION)))

    def _is_made(self, database: Connection) -> bool:
        if not inspect(database).has_table(tables.meta.name):
            return False
        book_engine.check_version(database, self.place)
        return True
