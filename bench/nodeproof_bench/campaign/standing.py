"""`nodeproof campaign status`: how far campaigns are, from the book alone."""

import time
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any

from nodeproof.verdict import harmless, named
from nodeproof_bench.campaign.book import Book
from nodeproof_bench.campaign.book_rows import FINAL_TASK_STATES, Campaign, Job, Task
from nodeproof_bench.campaign.ledger import ACTIVE
from nodeproof_bench.campaign.planning import table
from nodeproof_bench.campaign.report.opened import find_campaign, open_book
from nodeproof_bench.campaign.times import moment, shown

SCHEMA = "nodeproof.campaign-status/1"

_BAR_CHARS = 30

#: Most tasks that are named one by one.
_MOST_NAMED = 20


def document(word: str, database: str | None) -> dict[str, Any]:
    """Return where all campaigns stand, or one of them with more detail, as JSON values."""
    with open_book(database) as book:
        if word:
            return {"schema": SCHEMA, "campaigns": [_whole(book, find_campaign(book, word))]}
        return {"schema": SCHEMA, "campaigns": [_brief(book, campaign) for campaign in book.campaigns()]}


def lines(made: dict[str, Any]) -> Iterator[str]:
    """Yield the same for people."""
    if len(made["campaigns"]) == 1 and "phases" in made["campaigns"][0]:
        yield from _whole_lines(made["campaigns"][0])
        return
    rows = [("CAMPAIGN", "STATE", "TASKS", "FAILED", "BEGAN", "ENDED")]
    for one in made["campaigns"]:
        began, ended = moment(one["created_at"]), moment(one["ended_at"]) if one["ended_at"] else ""
        rows.append((one["id"], one["state"], f"{one['over']}/{one['total']}", str(one["failed"]), began, ended))
    yield from table(rows, "<<>><<") if made["campaigns"] else iter(["no campaigns yet"])


def _brief(book: Book, campaign: Campaign) -> dict[str, Any]:
    return _counted(campaign, book.tasks(campaign.id))


def _counted(campaign: Campaign, tasks: Sequence[Task]) -> dict[str, Any]:
    states = Counter(task.state for task in tasks)
    return {
        "id": campaign.id,
        "name": campaign.name,
        "cluster": campaign.cluster,
        "state": campaign.state,
        "created_at": campaign.created_at,
        "ended_at": campaign.ended_at,
        "total": len(tasks),
        "over": sum(states[state] for state in FINAL_TASK_STATES),
        "failed": states["failed"],
        "states": dict(states),
    }


def _whole(book: Book, campaign: Campaign) -> dict[str, Any]:
    tasks, jobs, nodes = book.tasks(campaign.id), book.jobs(campaign.id), book.nodes(campaign.id)
    made = _counted(campaign, tasks)
    return {
        **made,
        "phases": [_phase(name, tasks, jobs) for name in dict.fromkeys(task.phase for task in tasks)],
        "skipped_nodes": [{"node": row.node, "why": row.why} for row in nodes if row.state == "skipped"],
        "at_work": [_task(task) for task in tasks if task.state in ACTIVE],
        "not_done": [_task(task) for task in tasks if task.state in {"failed", "skipped", "cancelled"}],
        "jobs": len(jobs),
        "node_hours": round(sum(job.node_seconds or 0 for job in jobs) / 3600, 3),
        "findings": len(book.findings(campaign.id)),
        "left_s": _left_s(campaign, made),
    }


def _left_s(campaign: Campaign, made: dict[str, Any]) -> float | None:
    """Return how long the rest takes at the speed so far; None where that tells nothing."""
    if campaign.ended_at or not 0 < made["over"] < made["total"]:
        return None
    passed_s = time.time() - campaign.created_at
    over, total = int(made["over"]), int(made["total"])
    return round(passed_s / over * (total - over), 1)


def _phase(name: str, tasks: Sequence[Task], jobs: Sequence[Job]) -> dict[str, Any]:
    own = {task.task: task for task in tasks if task.phase == name}
    states = Counter(task.state for task in own.values())
    seconds = sum(job.node_seconds or 0 for job in jobs if job.task in own)
    kind = next(iter(own.values())).kind
    return {
        "name": name,
        "kind": kind,
        "total": len(own),
        "states": dict(states),
        "node_hours": round(seconds / 3600, 3),
    }


def _task(task: Task) -> dict[str, Any]:
    keys = ("task", "phase", "state", "attempts", "why")
    return {**{key: getattr(task, key) for key in keys}, "nodes": list(task.nodes)}


def _whole_lines(one: dict[str, Any]) -> Iterator[str]:
    ended = f", ended {moment(one['ended_at'])}" if one["ended_at"] else ""
    yield f"{one['id']} on {harmless(one['cluster'], 200)}: {one['state']}, begun {moment(one['created_at'])}{ended}"
    left = f", about {shown(one['left_s'])} left at this speed" if one["left_s"] is not None else ""
    filled = _BAR_CHARS * one["over"] // max(1, one["total"])
    yield f"[{'#' * filled}{'.' * (_BAR_CHARS - filled)}] {one['over']} of {one['total']} tasks{left}"
    yield ""
    rows = [("PHASE", "DONE", "AT WORK", "WAITING", "FAILED", "SKIPPED", "NODE-HOURS")]
    for phase in one["phases"]:
        states = Counter(phase["states"])
        at_work = sum(states[state] for state in ACTIVE)
        numbers = states["done"], at_work, states["waiting"], states["failed"], states["skipped"] + states["cancelled"]
        rows.append((phase["name"], *map(str, numbers), f"{phase['node_hours']:.2f}"))
    yield from table(rows, "<>>>>>>")
    yield ""
    for task in one["at_work"][:_MOST_NAMED]:
        yield f"{task['state']}: {task['phase']} on {named(task['nodes'])}"
    for task in one["not_done"][:_MOST_NAMED]:
        yield f"{task['state']}: {task['phase']} on {named(task['nodes'])}: {harmless(task['why'], 300)}"
    for row in one["skipped_nodes"][:_MOST_NAMED]:
        yield f"left out: {row['node']}: {harmless(row['why'], 200)}"
    yield f"{one['jobs']} jobs, {one['node_hours']:.2f} node-hours, {one['findings']} findings"
