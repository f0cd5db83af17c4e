"""From a result file to rows of the book: hostile values in, bounded and typed ones out.

What does not follow its format is left out and becomes a problem, one sentence each: a node that is sick enough to
say nonsense must not cost what the others say. Deliberately not here: what a figure is called (`collect.metrics`).
"""

import math
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from nodeproof.verdict import Status, harmless
from nodeproof_bench.campaign.book_rows import FactRow, NodeEvent, Sample, Task, VerdictRow
from nodeproof_bench.campaign.collect.files import ResultFile
from nodeproof_bench.campaign.collect.metrics import measures_of
from nodeproof_bench.result import run_of

#: The fact that says what nodes may be compared with each other.
CLASS_KEY = "hardware.class"

EVENT_KINDS = frozenset({"drain", "xid", "failure", "flap", "slow"})

_STATUSES = frozenset(status.word for status in Status)
_MOST_FACTS, _MOST_EVENTS, _MOST_VERDICTS, _MOST_PROBLEMS = 20_000, 10_000, 5000, 10
_KEY_CHARS, _VALUE_CHARS, _DETAIL_CHARS, _SUMMARY_CHARS = 200, 500, 300, 300
_MOST_REPEAT, _LATEST_S = 1_000_000, float(1 << 40)


class Rows(NamedTuple):
    """What a result file comes to. `problems` is what it says went wrong, and what is wrong with it."""

    samples: tuple[Sample, ...]
    facts: tuple[FactRow, ...]
    verdicts: tuple[VerdictRow, ...]
    events: tuple[NodeEvent, ...]
    hardware_class: str
    problems: tuple[str, ...]


def rows_of(result: ResultFile, task: Task) -> Rows:
    """Return the rows of a result file of this task. Raises nothing for what is in it."""
    problems = [harmless(str(line.get("text", "")), _SUMMARY_CHARS) for line in result.of_kind("problem")]
    facts = tuple(_facts(result, task, problems))
    return Rows(
        samples=tuple(_samples(result, task, problems)),
        facts=facts,
        verdicts=tuple(_verdicts(result, task, problems)),
        events=tuple(_events(result, problems)),
        hardware_class=next((fact.value for fact in facts if fact.key == CLASS_KEY), ""),
        problems=tuple(dict.fromkeys(problems))[:_MOST_PROBLEMS],
    )


def _samples(result: ResultFile, task: Task, problems: list[str]) -> Iterator[Sample]:
    key = result.key
    peer = next((node for node in task.nodes if node != key.node), "")
    for line in result.of_kind("bench"):
        repeat = line.get("repeat")
        try:
            if type(repeat) is not int or not 0 <= repeat <= _MOST_REPEAT:
                raise ValueError(f'"repeat" is {repeat!r:.40}, expected a whole number')
            run = run_of(line.get("document"))
            measures = measures_of(run, is_pair=bool(peer))
        except ValueError as error:
            problems.append(f"a run of benchmarks cannot be used: {harmless(str(error), 150)}")
            continue
        problems += [f"{f.name}: {f.kind}: {harmless(f.reason, 150)}" for f in run.failures if f.kind != "absent"]
        for one in measures:
            yield Sample(*key, peer, task.phase, repeat, **one._asdict())


def _facts(result: ResultFile, task: Task, problems: list[str]) -> Iterator[FactRow]:
    for line in result.of_kind("facts"):
        facts = line.get("facts")
        if not isinstance(facts, dict) or len(facts) > _MOST_FACTS:
            problems.append("facts cannot be used: expected an object of texts")
            continue
        for name, value in facts.items():
            if isinstance(value, str) and name:
                yield FactRow(
                    result.key.campaign,
                    result.key.node,
                    task.phase,
                    harmless(name, _KEY_CHARS),
                    harmless(value, _VALUE_CHARS),
                )


def _verdicts(result: ResultFile, task: Task, problems: list[str]) -> Iterator[VerdictRow]:
    for line in result.of_kind("check"):
        report = line.get("report")
        found = report.get("results") if isinstance(report, dict) else None
        if not isinstance(found, list) or len(found) > _MOST_VERDICTS:
            problems.append("a report of checks cannot be used: expected results")
            continue
        for verdict in found:
            row = _verdict(result, task, verdict)
            if row is not None:
                yield row
            else:
                problems.append("a verdict cannot be used: expected id, status and summary")


def _verdict(result: ResultFile, task: Task, verdict: Any) -> VerdictRow | None:
    words = _words(verdict, ("id", "status", "summary"))
    if words is None or words[1] not in _STATUSES:
        return None
    check_id, status, summary = words
    key, said = result.key, harmless(summary, _SUMMARY_CHARS)
    return VerdictRow(key.campaign, key.task, key.node, task.phase, harmless(check_id, _KEY_CHARS), status, said)


def _events(result: ResultFile, problems: list[str]) -> Iterator[NodeEvent]:
    """Yield what the node's own history says. It is believed of that node alone."""
    for line in result.of_kind("history"):
        events = line.get("events")
        if not isinstance(events, list) or len(events) > _MOST_EVENTS:
            problems.append("a history cannot be used: expected a list of events")
            continue
        for event in events:
            words = _words(event, ("kind", "detail"))
            at: Any = event.get("at") if isinstance(event, dict) else None
            if words is None or words[0] not in EVENT_KINDS or not _is_time(at):
                problems.append("an event cannot be used: expected at, kind and detail")
                continue
            yield NodeEvent(result.key.node, float(at), words[0], harmless(words[1], _DETAIL_CHARS), "agent")


def _words(found: Any, keys: tuple[str, ...]) -> tuple[str, ...] | None:
    if not isinstance(found, Mapping):
        return None
    words = tuple(word for key in keys if isinstance(word := found.get(key), str))
    return words if len(words) == len(keys) else None


def _is_time(value: Any) -> bool:
    return type(value) in (int, float) and 0 <= value < _LATEST_S and math.isfinite(value)
