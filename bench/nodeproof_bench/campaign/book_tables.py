"""The tables of the book: the same schema on SQLite and PostgreSQL. Lists and plans are JSON in text columns.

Samples are packed (`campaign.book_samples`).
"""

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Float,
    ForeignKeyConstraint,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    Table,
    Text,
    UniqueConstraint,
)

#: Counts up when a table changes. A book of another version is left alone.
VERSION = 2

metadata = MetaData()


def _text(name: str, *, is_key: bool = False) -> Column[str]:
    return Column(name, Text, primary_key=is_key, nullable=False)


def _number(name: str, *, is_key: bool = False) -> Column[int]:
    return Column(name, Integer, primary_key=is_key, nullable=False, autoincrement=False)


def _time(name: str) -> Column[float]:
    return Column(name, Float(53), nullable=False)


def _maybe(name: str) -> Column[float]:
    return Column(name, Float(53), nullable=True)


def _flag(name: str) -> Column[bool]:
    return Column(name, Boolean, nullable=False)


def _of_campaign() -> ForeignKeyConstraint:
    return ForeignKeyConstraint(["campaign_id"], ["campaigns.id"])


meta = Table("nodeproof_meta", metadata, _text("key", is_key=True), _text("value"))

campaigns = Table(
    "campaigns",
    metadata,
    _text("id", is_key=True),
    _text("name"),
    _time("created_at"),
    _maybe("ended_at"),
    _text("state"),
    Column("seed", BigInteger, nullable=False),
    _text("plan"),
    _text("cluster"),
)

nodes = Table(
    "nodes",
    metadata,
    _text("campaign_id", is_key=True),
    _text("node", is_key=True),
    Column("hardware_class", Text, nullable=True),
    _text("address"),
    _text("switch"),
    _text("partitions"),
    _text("state"),
    _text("why"),
    _of_campaign(),
)

tasks = Table(
    "tasks",
    metadata,
    _text("campaign_id", is_key=True),
    _number("task", is_key=True),
    _text("phase"),
    _text("kind"),
    _text("suite"),
    _number("repeat"),
    _number("round"),
    _text("nodes"),
    _text("path"),
    _text("state"),
    _number("attempts"),
    _text("why"),
    _of_campaign(),
)

jobs = Table(
    "jobs",
    metadata,
    _text("campaign_id", is_key=True),
    _number("task", is_key=True),
    _number("attempt", is_key=True),
    _text("node", is_key=True),
    Column("job_name", Text, nullable=False, unique=True),
    Column("job_id", BigInteger, nullable=True),
    _text("state"),
    _time("submitted_at"),
    _maybe("ended_at"),
    _maybe("node_seconds"),
    _of_campaign(),
)

results = Table(
    "results",
    metadata,
    _text("campaign_id", is_key=True),
    _number("task", is_key=True),
    _number("attempt", is_key=True),
    _text("node", is_key=True),
    _text("sha256"),
    _time("received_at"),
    _maybe("began_at"),
    _maybe("ended_at"),
    _text("problem"),
    _of_campaign(),
)

samples = Table(
    "samples",
    metadata,
    _text("campaign_id"),
    _number("task"),
    _number("attempt"),
    _text("node"),
    _text("peer"),
    _text("phase"),
    _text("metric"),
    _text("unit"),
    _flag("is_higher_better"),
    Column("repeats", LargeBinary, nullable=False),
    _text("reasons"),
    _of_campaign(),
    Index("samples_of_campaign", "campaign_id", "task"),
)

facts = Table(
    "facts",
    metadata,
    _text("campaign_id", is_key=True),
    _text("node", is_key=True),
    _text("phase", is_key=True),
    _text("key", is_key=True),
    _text("value"),
    _of_campaign(),
)

verdicts = Table(
    "verdicts",
    metadata,
    _text("campaign_id"),
    _number("task"),
    _text("node"),
    _text("phase"),
    _text("check_id"),
    _text("status"),
    _text("summary"),
    _of_campaign(),
    Index("verdicts_of_campaign", "campaign_id", "node"),
)

findings = Table(
    "findings",
    metadata,
    _text("campaign_id"),
    _text("node"),
    _text("path"),
    _text("metric"),
    _text("detector"),
    _maybe("value"),
    _maybe("expected"),
    _maybe("loss"),
    _maybe("z"),
    _maybe("p"),
    _maybe("q"),
    _text("state"),
    _text("action"),
    _text("text"),
    _of_campaign(),
    UniqueConstraint("campaign_id", "node", "path", "metric", "detector", name="findings_once"),
)

node_events = Table(
    "node_events",
    metadata,
    _text("node"),
    _time("at"),
    _text("kind"),
    _text("detail"),
    _text("source"),
    UniqueConstraint("node", "at", "kind", "detail", "source", name="node_events_once"),
)
