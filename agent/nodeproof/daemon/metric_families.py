"""What the agent knows as families of metrics. Pure.

Names follow Prometheus' conventions (base units, `_total`, `_info`), and hold none of its words for types: `promtool
check metrics` would refuse `nodeproof_counter_total`. What a family counts is there from the start, at 0, so that its
first event is an increase. A status is one series of value 1, not five of which four are 0: a fleet pays for each.
"""

from collections import Counter as Tally
from collections.abc import Iterable, Iterator, Mapping
from typing import Literal, NamedTuple

from nodeproof.daemon.snapshot import Snapshot
from nodeproof.verdict import Status, harmless

Kind = Literal["counter", "gauge", "info"]
Row = tuple[tuple[str, ...], float]
Values = float | Iterable[Row]

#: Most series of one family; counters are kept for each part of a node, so there may be more of them.
MOST_SERIES = 500
MOST_COUNTED = 2000

#: Most characters of a label: names of parts and causes, never sentences.
LABEL_CHARS = 120

#: Results of acting that are there from the start (`nodeproof.act`); others when they come.
RESULTS = (
    "drained",
    "adopted",
    "resumed",
    "held_back",
    "would_drain",
    "would_resume",
    "unsure",
    "slurm_error",
    "error",
)

HEALTH = "health"


class Family(NamedTuple):
    """`name` is without `_total` or `_info`. `left_out` counts series beyond the limit, or of the same labels."""

    name: str
    kind: Kind
    help: str
    labels: tuple[str, ...]
    rows: tuple[Row, ...] = ()
    left_out: int = 0


def families(snapshot: Snapshot) -> tuple[Family, ...]:
    """Return every family, those without a series too: a page shows what there is."""
    parts = (_agent, _node, _checks, _groups, _events, _counted, _incidents, _actions, _policy, _history)
    made = [family for part in parts for family in part(snapshot)]
    left_out = [((family.name,), family.left_out) for family in made if family.left_out]
    made.append(_gauge("series_left_out", "Series that are left out, by family: too many of them.", left_out, "family"))
    return tuple(made)


def _gauge(name: str, help_: str, values: Values, labels: str = "", most: int = MOST_SERIES) -> Family:
    return _filled(Family(f"nodeproof_{name}", "gauge", help_, tuple(labels.split())), values, most)


def _counter(name: str, help_: str, values: Values, labels: str = "", most: int = MOST_SERIES) -> Family:
    return _filled(Family(f"nodeproof_{name}", "counter", help_, tuple(labels.split())), values, most)


def _info(name: str, help_: str, **values: str) -> Family:
    return _filled(Family(f"nodeproof_{name}", "info", help_, tuple(values)), [(tuple(values.values()), 1)], 1)


def _filled(family: Family, values: Values, most: int) -> Family:
    """Return a family of harmless labels, each series once. One value needs no label."""
    rows = [((), float(values))] if isinstance(values, int | float) else list(values)
    kept: dict[tuple[str, ...], float] = {}
    for row, value in rows:
        if len(kept) < most:
            kept.setdefault(tuple(map(_label, row)), value)
    return family._replace(rows=tuple(kept.items()), left_out=len(rows) - len(kept))


def _agent(now: Snapshot) -> Iterator[Family]:
    yield _info("build", "The agent's version.", version=now.version)
    yield _gauge("agent_start_time_seconds", "When the agent started (seconds since the epoch).", now.started_at)
    yield _gauge("agent_updated_timestamp_seconds", "When all of this was so (seconds since the epoch).", now.at)
    yield _counter("agent_cpu_seconds", "Processor time of the agent and of all its passes.", now.cpu_s)
    yield _gauge("agent_resident_memory_bytes", "Memory of the agent, without passes.", now.resident_bytes)
    yield _gauge("agent_warnings", "What hinders the agent (`nodeproof status` says what).", len(now.warnings))


def _node(now: Snapshot) -> Iterator[Family]:
    worst = max((_severity(check.status) for check in now.checks), default=None)
    words = [((s.word,), float(s == worst)) for s in Status] if worst is not None else []
    numbers = [((), float(worst))] if worst is not None else []
    yield _info("node", "This node in Slurm, and its boot.", node=now.node, boot_id=now.boot_id)
    yield _gauge("node_status", "1 for the worst status of all checks; none before the first pass.", words, "status")
    yield _gauge("node_severity", "The worst status: 0 ok, 1 skip, 2 warn, 3 unknown, 4 fail.", numbers)
    yield _gauge("out_of_service", "1: no job should start here, and that is our doing.", bool(now.out_of_service))


def _checks(now: Snapshot) -> Iterator[Family]:
    checks = now.checks
    count = dict.fromkeys((s.word for s in Status), 0) | Tally(c.status for c in checks)
    drains = [c for c in checks if c.status == Status.FAIL.word and c.on_fail == "drain"]
    status, severity = (
        [((c.id, c.status, c.on_fail), 1) for c in checks],
        [((c.id,), _severity(c.status)) for c in checks],
    )
    since, judged = [((c.id,), c.since) for c in checks], [((c.id,), c.at) for c in checks]
    fails, passes = [((c.id,), c.fails) for c in checks], [((c.id,), c.passes) for c in checks]
    seconds = [((c.id,), c.seconds) for c in checks]
    yield _gauge("checks", "Checks by status.", _named(count), "status")
    yield _gauge("checks_to_drain", "Failing checks for which policy says drain.", len(drains))
    yield _gauge("check_status", "1: the status that a check has.", status, "check status on_fail")
    yield _gauge("check_severity", "A check's status: 0 ok, 1 skip, 2 warn, 3 unknown, 4 fail.", severity, "check")
    yield _gauge("check_since_timestamp_seconds", "Since when a check has its status.", since, "check")
    yield _gauge("check_judged_timestamp_seconds", "When a check was judged last.", judged, "check")
    yield _gauge("check_duration_seconds", "How long reading and judging took last.", seconds, "check")
    yield _gauge("check_failures_in_a_row", "Failing passes in a row, as counted for a drain.", fails, "check")
    yield _gauge("check_passes_in_a_row", "Passing passes in a row, as counted for a resume.", passes, "check")
    yield _gauge("failure_age_seconds", "For how long the oldest failure has lasted.", _age(now, Status.FAIL))
    yield _gauge("unknown_age_seconds", "For how long the oldest unknown has lasted.", _age(now, Status.UNKNOWN))


def _groups(now: Snapshot) -> Iterator[Family]:
    groups = now.groups
    age_s = max([0.0, *(now.at - (g.last_at or now.started_at) for g in groups if g.name == HEALTH)])
    last, ahead = [((g.name,), g.last_at) for g in groups], [((g.name,), g.next_at) for g in groups]
    passes, failures = [((g.name,), g.passes) for g in groups], [((g.name,), g.failures) for g in groups]
    intervals, took = [((g.name,), g.interval_s) for g in groups], [((g.name,), g.last_seconds) for g in groups]
    yield _gauge("group_interval_seconds", "How often a group is to be read.", intervals, "group")
    yield _gauge("group_last_pass_timestamp_seconds", "When a pass of it ended last; 0: not yet.", last, "group")
    yield _gauge("group_next_pass_timestamp_seconds", "When its next pass is due.", ahead, "group")
    yield _gauge("group_last_pass_duration_seconds", "How long its last pass took.", took, "group")
    yield _counter("group_passes", "Passes that gave an answer.", passes, "group")
    yield _counter("group_failures", "Passes that gave none: late, crashed or not started.", failures, "group")
    yield _gauge("health_age_seconds", "Time since the last health pass, or since the start.", age_s)


def _events(now: Snapshot) -> Iterator[Family]:
    seen = dict.fromkeys(now.rules, 0) | dict(now.events)
    lost = dict.fromkeys(now.sources, 0) | dict(now.lost)
    followed = [((name,), not problem) for name, problem in now.sources.items()]
    yield _counter("events", "Events since the agent started, by rule.", _named(seen), "rule")
    yield _counter("events_lost", "Events that were dropped unseen.", _named(lost), "source")
    yield _gauge("source_followed", "1: events of this source are seen.", followed, "source")


def _counted(now: Snapshot) -> Iterator[Family]:
    series = [((s.name, s.part), s) for s in now.counters]
    values, since = [(key, s.value) for key, s in series], [(key, s.observed_since) for key, s in series]
    full, resets = [(key, 1) for key, s in series if s.is_saturated], [(key, s.resets) for key, s in series if s.resets]
    read_at = max((s.read_at for s in now.counters), default=0.0)
    key, most = "counter part", MOST_COUNTED
    yield _counter("counted", "What the kernel or a device counts, by part.", values, key, most)
    yield _gauge("counted_since_timestamp_seconds", "Since when the agent has watched it.", since, key, most)
    yield _gauge("counted_saturated", "1: it stands at its largest value and counts no more.", full, key, most)
    yield _counter("counted_resets", "How often it began again; none: never.", resets, key, most)
    yield _gauge("counted_series", "How many counters the agent watches.", len(series))
    yield _gauge("counted_series_saturated", "How many of them count no more.", len(full))
    yield _gauge("counted_read_timestamp_seconds", "When counters were read last; 0: not yet.", read_at)


def _incidents(now: Snapshot) -> Iterator[Family]:
    found = [((i.cause, i.part), i) for i in now.incidents]
    sizes, since = [(key, len(i.members) + 1) for key, i in found], [(key, i.since) for key, i in found]
    yield _gauge("incidents", "Findings, where those of one cause are one.", len(found))
    yield _gauge("incident_findings", "How many findings have this cause, itself included.", sizes, "cause part")
    yield _gauge("incident_since_timestamp_seconds", "Since when.", since, "cause part")


def _actions(now: Snapshot) -> Iterator[Family]:
    results = dict.fromkeys(RESULTS, 0) | dict(now.actions)
    intent, result = now.last_action.get("intent", ""), now.last_action.get("result", "")
    yield _counter("actions", "Passes since the agent started, by what was done.", _named(results), "result")
    yield _info("last_action", "What the last pass wanted, and what was done.", intent=intent, result=result)
    yield _gauge("drain_held_back", "1: it ought to be drained, and the guard says no.", result == "held_back")
    yield _gauge("drain_only_observed", "1: it would be drained if policy did not observe.", result == "would_drain")
    yield _gauge("gate_valid", "1: the hooks are answered from the gate file.", now.gate_until > now.at)
    yield _gauge("gate_valid_until_timestamp_seconds", "Until when; 0: there is none.", now.gate_until)


def _policy(now: Snapshot) -> Iterator[Family]:
    yield _info("policy", "The policy in force.", digest=now.policy_digest, mode=now.mode)
    yield _gauge("policy_enforced", "1: policy enforces; 0: it observes.", now.mode == "enforce")
    yield _gauge("policy_loaded_timestamp_seconds", "When the policy in force was read.", now.policy_loaded_at)
    yield _gauge(
        "policy_broken", "1: what the files say now is broken; the last good one is used.", bool(now.policy_problem)
    )


def _history(now: Snapshot) -> Iterator[Family]:
    yield _gauge("history_size_bytes", "Size of the history on disk.", now.history_bytes)
    yield _gauge("history_kept", "1: what happens is kept over a restart.", now.is_history_kept)


def _label(text: str) -> str:
    is_plain = len(text) <= LABEL_CHARS and text.isprintable()  # nearly always, and there are thousands
    return text if is_plain else harmless(text, LABEL_CHARS)


def _severity(word: str) -> float:
    return float(Status[word.upper()])


def _named(counts: Mapping[str, int]) -> list[Row]:
    return [((name,), count) for name, count in counts.items()]


def _age(now: Snapshot, status: Status) -> float:
    return max([0.0, *(now.at - c.since for c in now.checks if c.status == status.word)])  # clocks are set back, too
