"""All that the agent knows at one moment: what `nodeproof status` prints and what metrics are made of. Plain values."""

from collections.abc import Mapping
from typing import NamedTuple

from nodeproof.events.ledger import CounterSeries


class CheckNow(NamedTuple):
    """`status` is its word (ok, skip, warn, unknown, fail), held since `since`; judged last `at`, in `seconds`.

    `fails` and `passes` are passes in a row. Times are seconds since the epoch.
    """

    id: str
    status: str
    summary: str
    remedy: str
    on_fail: str
    since: float
    at: float
    seconds: float
    fails: int = 0
    passes: int = 0


class GroupNow(NamedTuple):
    """A group of checks that are judged together. `last_at` 0: not yet. `failures` counts passes that gave nothing."""

    name: str
    interval_s: float
    last_at: float
    last_seconds: float
    next_at: float
    passes: int
    failures: int


class IncidentNow(NamedTuple):
    """Findings with one cause: `cause` is the id of the finding that explains the others."""

    cause: str
    part: str
    summary: str
    members: tuple[str, ...]
    since: float


class Snapshot(NamedTuple):
    """`sources` says of each source of events why it is not followed, "" where it is.

    `events`, `lost` and `actions` count since the agent started, by rule, source and result; `rules` are all that
    could be seen. `out_of_service` is why no job should start here, "" where one may. `cpu_s` is the processor time of
    the agent and all its passes.
    """

    at: float
    started_at: float
    version: str
    node: str
    boot_id: str
    mode: str
    policy_digest: str
    policy_loaded_at: float
    policy_problem: str
    checks: tuple[CheckNow, ...] = ()
    groups: tuple[GroupNow, ...] = ()
    incidents: tuple[IncidentNow, ...] = ()
    sources: Mapping[str, str] = {}
    events: Mapping[str, int] = {}
    lost: Mapping[str, int] = {}
    counters: tuple[CounterSeries, ...] = ()
    actions: Mapping[str, int] = {}
    last_action: Mapping[str, str] = {}
    out_of_service: str = ""
    gate_until: float = 0.0
    history_bytes: int = 0
    is_history_kept: bool = True
    cpu_s: float = 0.0
    resident_bytes: int = 0
    warnings: tuple[str, ...] = ()
    rules: tuple[str, ...] = ()
