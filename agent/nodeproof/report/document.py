"""A pass as one JSON document. Schema: `report.schema.json` beside this file.

Holds no time and no path of the machine it was made on: the same recording gives the same document,
byte for byte.
"""

import json
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from nodeproof import __version__
from nodeproof.engine import Pass, Result
from nodeproof.policy.settings import Settings
from nodeproof.verdict import Status

SCHEMA = "nodeproof.report/1"

EXIT_OK, EXIT_FAILED, EXIT_UNKNOWN = 0, 1, 3


class Context(NamedTuple):
    """What a report says besides the verdicts."""

    host_name: str
    profile: str
    settings: Settings
    warnings: Sequence[str] = ()
    action: Mapping[str, object] | None = None


def exit_code(worst: Status) -> int:
    """Return 1 if something failed, else 3 if something is unknown, else 0."""
    return {Status.FAIL: EXIT_FAILED, Status.UNKNOWN: EXIT_UNKNOWN}.get(worst, EXIT_OK)


def document(outcome: Pass, context: Context) -> dict[str, object]:
    """Return the report as JSON values."""
    made: dict[str, object] = {
        "schema": SCHEMA,
        "nodeproof": __version__,
        "host_name": context.host_name,
        "profile": context.profile,
        "mode": context.settings.mode,
        "classes": list(context.settings.classes),
        "status": outcome.worst.word,
        "exit_code": exit_code(outcome.worst),
        "counts": counts(outcome),
        "results": [_result(r) for r in sorted(outcome.results, key=lambda r: r.spec.id)],
        "warnings": list(context.warnings),
    }
    if context.action is not None:
        made["action"] = dict(context.action)
    return made


def as_json(outcome: Pass, context: Context) -> str:
    """Return the report as ASCII text, so that no terminal obeys what is in it; keys in a fixed order."""
    return json.dumps(document(outcome, context), indent=2, default=_plain)


def counts(outcome: Pass) -> dict[str, int]:
    """Return how many checks came to each status."""
    statuses = [r.verdict.status for r in outcome.results]
    return {s.word: statuses.count(s) for s in sorted(Status, reverse=True)}


def _result(result: Result) -> dict[str, object]:
    verdict = result.verdict
    made: dict[str, object] = {
        "id": result.spec.id,
        "status": verdict.status.word,
        "summary": verdict.summary,
        "evidence": dict(verdict.evidence),
        "on_fail": result.settings.on_fail,
    }
    if verdict.status in (Status.FAIL, Status.WARN):
        made["remedy"] = result.remedy
    return made


def _plain(value: object) -> object:
    """Return evidence that JSON has no word for (tuples of records, sets) in plain values."""
    return sorted(value) if isinstance(value, set | frozenset) else str(value)
