"""The report of a campaign as one JSON document, `nodeproof.campaign-report/1`: all that page and terminal show.

What it holds is described in `campaign-report.schema.json` beside this file. Nothing in here is HTML, and no figure
is rounded. Names and texts are what nodes and users said: whoever shows them makes them harmless.
"""

import json
import re
import time
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import nodeproof
from nodeproof_bench.campaign.book import Book
from nodeproof_bench.campaign.book_rows import Campaign, FindingRow, Job
from nodeproof_bench.campaign.report.changes import since, under_heat
from nodeproof_bench.campaign.report.distributions import distributions
from nodeproof_bench.campaign.report.gathered import Gathered, gather
from nodeproof_bench.campaign.report.inventory import disagreements
from nodeproof_bench.campaign.report.pairs import pair_metrics
from nodeproof_bench.campaign.report.verdicts import blind_checks, counted, judged, sentence

if TYPE_CHECKING:
    from nodeproof_bench.campaign.assess import Assessment

SCHEMA = "nodeproof.campaign-report/1"

#: Worst first.
_STATES = {"confirmed": 0, "suspect": 1, "could-not-tell": 2, "cleared": 3}

#: Nodes that a failed check names, at most.
_MOST_NODES = 1000

#: A password in the URL of a database.
_PASSWORD = re.compile(r"(://[^:/@\s]*):[^@\s]*@")

METHOD = (
    "Each node's median of repeated runs is compared with the median of its hardware class in robust standard "
    "deviations (median absolute deviation), metric by metric and part by part, with its own past, with what its other "
    "metrics let expect, and in how far apart its repeats are; and with the limits of its own policy, where its own "
    "checks say that one is broken. Pairs go through an additive model of nodes and paths. False alarms are counted "
    "in nodes: one p value for each node (Simes) goes through the procedure of Benjamini and Hochberg, and the tests "
    "of the nodes that it chooses through that of Benjamini and Bogomolov. The false alarms to be expected are nodes. "
    "A finding counts as proven only once repeats confirm it."
)


def write(book: Book, campaign: Campaign, assessment: "Assessment") -> dict[str, Any]:
    """Read a campaign and the last one with the same nodes, and return the document."""
    gathered = gather(book, campaign.id)
    before = last_before(book, gathered)
    return document(gathered, assessment, None if before is None else gather(book, before.id), time.time())


def last_before(book: Book, gathered: Gathered) -> Campaign | None:
    """Return the newest earlier campaign from which one of these nodes has a result."""
    names = gathered.classes.keys()
    older = [c for c in book.campaigns() if c.created_at < gathered.campaign.created_at]
    for campaign in reversed(older):
        if any(r.sha256 and r.node in names for r in book.results(campaign.id)):
            return campaign
    return None


def document(
    gathered: Gathered, assessment: "Assessment", before: Gathered | None, written_at: float
) -> dict[str, Any]:
    """Return the document. `before` is the last campaign of the same nodes."""
    nodes = judged(gathered)
    judgement = assessment.judgement
    return {
        "schema": SCHEMA,
        "nodeproof": nodeproof.__version__,
        "written_at": written_at,
        "campaign": {**gathered.campaign._asdict(), "plan": _plan(gathered.campaign.plan)},
        "summary": {
            "nodes": counted(nodes),
            "node_hours": _node_hours(gathered.jobs),
            "tasks": dict(Counter(task.state for task in gathered.tasks)),
            "findings": dict(Counter(f.state for f in gathered.findings)),
            "blind_checks": blind_checks(gathered),
            "tests": judgement.tests,
            "expected_false_alarms": judgement.expected_false,
            "wanted_loss": assessment.wanted_loss,
            "method": METHOD,
        },
        "phases": _phases(gathered),
        "nodes": nodes,
        "findings": _findings(gathered),
        "metrics": distributions(gathered, judgement.baselines),
        "pairs": pair_metrics(gathered, assessment.pair_fits),
        "under_heat": under_heat(gathered),
        "since_last": None if before is None else {**since(gathered, before), "verdicts": _turned(nodes, before)},
        "class_shifts": _shifts(assessment),
        "resolution": _resolution(assessment),
        "inventory": disagreements(gathered),
        "checks": _checks(gathered),
        "problems": [
            {"task": r.task, "attempt": r.attempt, "node": r.node, "problem": r.problem, "is_taken": bool(r.sha256)}
            for r in gathered.results
            if r.problem
        ],
    }


def _shifts(assessment: "Assessment") -> list[dict[str, Any]]:
    found = sorted(assessment.judgement.shifts.items())
    return [{"class": name, "metric": metric, "loss": lost} for (name, metric), lost in found]


def _resolution(assessment: "Assessment") -> list[dict[str, Any]]:
    """Return what loss each metric would show, the largest first; null where nodes are too few to compare."""
    found = sorted(assessment.resolution.items(), key=lambda item: (item[1] is not None, -(item[1] or 0.0), item[0]))
    return [{"class": name, "metric": metric, "loss": loss} for (name, metric), loss in found]


def _plan(text: str) -> Any:
    """Return the plan as values, without the password of a database; one that cannot be read is shown as it is."""
    try:
        return _without_passwords(json.loads(text))
    except ValueError:
        return _without_passwords(text)


def _without_passwords(value: Any) -> Any:
    match value:
        case str():
            return _PASSWORD.sub(r"\1:***@", value)
        case list():
            return [_without_passwords(item) for item in value]
        case dict():
            return {key: _without_passwords(item) for key, item in value.items()}
    return value


def _node_hours(jobs: Iterable[Job]) -> float:
    return sum(job.node_seconds or 0.0 for job in jobs) / 3600


def _phases(gathered: Gathered) -> list[dict[str, Any]]:
    """Return the phases in the order of their tasks."""
    phase_of = {task.task: task.phase for task in gathered.tasks}
    phases: dict[str, dict[str, Any]] = {}
    for task in gathered.tasks:
        row = phases.setdefault(
            task.phase, {"phase": task.phase, "kind": task.kind, "tasks": 0, "done": 0, "failed": 0, "node_hours": 0.0}
        )
        row["tasks"] += 1
        row["done"] += task.state == "done"
        row["failed"] += task.state == "failed"
    for job in gathered.jobs:
        if job.task in phase_of:
            phases[phase_of[job.task]]["node_hours"] += (job.node_seconds or 0.0) / 3600
    return [*phases.values()]


def _findings(gathered: Gathered) -> list[dict[str, Any]]:
    """Return findings, proven ones first, then by what is lost."""
    units = gathered.units

    def row(finding: FindingRow) -> dict[str, Any]:
        unit = units.get(finding.metric, "")
        values = finding._asdict()
        del values["campaign_id"]
        return {**values, "unit": unit, "sentence": sentence(finding, unit)}

    ordered = sorted(
        gathered.findings, key=lambda f: (_STATES.get(f.state, 1), -abs(f.loss or 0.0), f.node, f.path, f.metric)
    )
    return [row(finding) for finding in ordered]


def _turned(nodes: Sequence[Mapping[str, Any]], before: Gathered) -> list[dict[str, str]]:
    """Return whose verdict is another than it was."""
    old = {row["node"]: row["verdict"] for row in judged(before)}
    return [
        {"node": row["node"], "before": old[row["node"]], "now": row["verdict"]}
        for row in nodes
        if row["node"] in old and old[row["node"]] != row["verdict"]
    ]


def _checks(gathered: Gathered) -> list[dict[str, Any]]:
    """Return the checks that failed, warned or could not tell, those of most nodes first in each of these."""
    order = ("fail", "unknown", "warn")
    found: dict[tuple[str, str], dict[str, dict[str, str]]] = {}
    for verdict in gathered.verdicts:
        if verdict.status in order:
            said = {"node": verdict.node, "phase": verdict.phase, "summary": verdict.summary}
            found.setdefault((verdict.check_id, verdict.status), {})[verdict.node] = said
    rows = [
        {
            "check_id": check_id,
            "status": status,
            "count": len(nodes),
            "nodes": [nodes[n] for n in sorted(nodes)[:_MOST_NODES]],
        }
        for (check_id, status), nodes in found.items()
    ]
    return sorted(rows, key=lambda r: (order.index(r["status"]), -r["count"], r["check_id"]))
