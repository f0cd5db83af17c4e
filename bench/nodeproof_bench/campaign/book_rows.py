"""What the book of campaigns holds, as plain values: one class for each table, its fields the table's columns.

Times are seconds since the epoch. Deliberately not here: SQL (`campaign.book_tables`), and how rows are kept
(`campaign.book`); nothing in here loads a database driver.
"""

from typing import NamedTuple

#: A campaign ends as `done`, or it was `stopped` (and can be resumed) or `cancelled` (and cannot).
CAMPAIGN_STATES = ("running", "done", "stopped", "cancelled")

#: `submitting`: a job may be in Slurm under its name, or not. The last four are final.
TASK_STATES = ("waiting", "submitting", "queued", "running", "done", "failed", "cancelled", "skipped")
FINAL_TASK_STATES = frozenset({"done", "failed", "cancelled", "skipped"})

#: `lost`: gone from Slurm, and no result came.
JOB_STATES = ("submitting", "queued", "running", "done", "failed", "lost", "cancelled")
FINAL_JOB_STATES = frozenset({"done", "failed", "lost", "cancelled"})


class Campaign(NamedTuple):
    """`plan` is the plan with its defaults as JSON, `cluster` how to speak of the slurmrestd that it runs through."""

    id: str
    name: str
    created_at: float
    ended_at: float | None = None
    state: str = "running"
    seed: int = 0
    plan: str = "{}"
    cluster: str = ""


class NodeRow(NamedTuple):
    """A node of a campaign. `state` is `included` or `skipped`, `why` says why it is skipped."""

    campaign_id: str
    node: str
    hardware_class: str | None = None
    address: str = ""
    switch: str = ""
    partitions: tuple[str, ...] = ()
    state: str = "included"
    why: str = ""


class Task(NamedTuple):
    """What is to be done on one node or a pair, once. `path` of a pair: `within S1`, `S1 - S2`, or empty if unknown."""

    campaign_id: str
    task: int
    phase: str
    kind: str
    suite: str
    repeat: int
    round: int
    nodes: tuple[str, ...]
    path: str = ""
    state: str = "waiting"
    attempts: int = 0
    why: str = ""


class Job(NamedTuple):
    """One job of one attempt at a task: a task has one for each of its nodes."""

    campaign_id: str
    task: int
    attempt: int
    node: str
    job_name: str
    job_id: int | None = None
    state: str = "submitting"
    submitted_at: float = 0.0
    ended_at: float | None = None
    node_seconds: float | None = None


class Result(NamedTuple):
    """A result file that came. `sha256` is empty where nothing of it was taken; `problem` says why, or what is odd."""

    campaign_id: str
    task: int
    attempt: int
    node: str
    sha256: str
    received_at: float
    began_at: float | None = None
    ended_at: float | None = None
    problem: str = ""


class Sample(NamedTuple):
    """One figure. `value` is the capability, `sustained` what was held all the time, both in `unit`."""

    campaign_id: str
    task: int
    attempt: int
    node: str
    peer: str
    phase: str
    repeat: int
    metric: str
    unit: str
    is_higher_better: bool
    value: float
    sustained: float | None = None
    stability: float | None = None
    is_inconclusive: bool = False
    reason: str = ""


class FactRow(NamedTuple):
    """One fact of a node's inventory as text: `smbios.bios_version` is `2.6.0`."""

    campaign_id: str
    node: str
    phase: str
    key: str
    value: str


class VerdictRow(NamedTuple):
    """What a check said during a task; `status` is its word (ok, skip, warn, unknown, fail)."""

    campaign_id: str
    task: int
    node: str
    phase: str
    check_id: str
    status: str
    summary: str


class FindingRow(NamedTuple):
    """What the analysis names: a node or a path of switches. `loss`: share by which it is worse than expected.

    `state` is `suspect`, `confirmed` or `cleared`; `action` is empty, `drained`, `held back` or alike.
    """

    campaign_id: str
    node: str
    path: str
    metric: str
    detector: str
    value: float | None = None
    expected: float | None = None
    loss: float | None = None
    z: float | None = None
    p: float | None = None
    q: float | None = None
    state: str = "suspect"
    action: str = ""
    text: str = ""


class NodeEvent(NamedTuple):
    """What happened to a node, campaign or not: `kind` is drain, xid, failure, flap or slow; `source` who says so."""

    node: str
    at: float
    kind: str
    detail: str
    source: str
