"""What the node's own policy, and physics, say of what a job measured: one verdict of each check for all repeats.

The checks are those of `nodeproof bench`, so that a limit is judged where the facts are that it needs, and what was
disturbed is *unknown*. A check's verdict is the middle one of the repeats, of an even number the better one, as with
values; a wrong value counts if it came once.
"""

import json
from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any

from nodeproof.engine import Pass, Result
from nodeproof.host import Host
from nodeproof.probes.identity import host_name
from nodeproof.report.document import Context, as_json
from nodeproof.verdict import Status
from nodeproof_bench.campaign.order import WorkOrder
from nodeproof_bench.judge import judged, prepare

#: Checks of what was computed, kept or carried. Under stress nothing else is judged: all is slower by design.
_OF_VALUES = frozenset({"bench.values", "cpu.verify", "memory.verify", "gpu.memtest", "gpu.compute_check"})


def report_of(host: Host, order: WorkOrder, documents: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Return a report like that of `nodeproof check --json`, without what was skipped. Raises PolicyError."""
    judges = prepare(host, order.policy or None, ())
    if order.kind == "stress":
        judges = judges._replace(specs=tuple(spec for spec in judges.specs if spec.id in _OF_VALUES))
    outcome = Pass(_middle([judged(judges, host, document, ()) for document in documents]), {})
    made: dict[str, Any] = json.loads(
        as_json(outcome, Context(host_name(host), "default", judges.settings, judges.warnings))
    )
    return made


def _middle(passes: Sequence[Pass]) -> tuple[Result, ...]:
    """Return the middle result of each check, of those that had something to judge."""
    found = defaultdict[str, list[Result]](list)
    for one in passes:
        for result in one.results:
            if result.verdict.status != Status.SKIP:
                found[result.spec.id].append(result)
    return tuple(map(_of_repeats, found.values()))


def _of_repeats(results: Sequence[Result]) -> Result:
    ordered = sorted(results, key=lambda result: result.verdict.status)
    if ordered[0].spec.id in _OF_VALUES and ordered[-1].verdict.status == Status.FAIL:
        return ordered[-1]
    return ordered[(len(ordered) - 1) // 2]
