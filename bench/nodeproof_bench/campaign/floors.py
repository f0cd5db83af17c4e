"""Limits for the analysis: each node's own, where its own check says that one is broken.

Whether a value may be held against a node (was it disturbed, is it of all the node's cores?) is for the check to say:
what it leaves unknown breaks no limit. By how much, and whether it is so again, is for the analysis.
"""

from collections.abc import Mapping, Sequence

import numpy as np
from sqlalchemy import select

from nodeproof_bench.analysis.fleet import Fleet, Metric
from nodeproof_bench.campaign.book import Book
from nodeproof_bench.campaign.book_rows import Task
from nodeproof_bench.campaign.book_tables import facts
from nodeproof_bench.campaign.failed_checks import Failed
from nodeproof_bench.campaign.figures import AFTER, SUSTAINED
from nodeproof_bench.campaign.limits import LIMIT, limit_of, read
from nodeproof_bench.campaign.phases import CONFIRM


def with_limits(
    fleet: Fleet, book: Book, campaign_id: str, failed: Sequence[Failed], tasks: Mapping[int, Task]
) -> Fleet:
    """Return the fleet with the limits that nodes break by their own checks."""
    broken = {
        (one.node, one.check_id, kind)
        for one in failed
        for verdict in one.alone
        if verdict.status == "fail" and (kind := _kind(tasks.get(verdict.task))) in AFTER
    }
    if not broken:
        return fleet
    floors, metrics, known = np.full(fleet.values.shape[:2], np.nan), list[Metric](), _limits(book, campaign_id)
    for number, metric in enumerate(fleet.metrics):
        target = None if SUSTAINED in metric.name else limit_of(metric.name)
        metrics.append(metric if target is None else metric._replace(floor_source=f"policy: {target.name}"))
        if target is None:
            continue
        kind = next(kind for kind, words in reversed(AFTER.items()) if metric.name.endswith(words))
        for row, node in enumerate(fleet.nodes):
            if (node, target.check, kind) in broken:
                floors[row, number] = known.get((node, target.name), np.nan)
    return fleet._replace(metrics=metrics, floors=floors)


def _kind(task: Task | None) -> str:
    """Return the kind of a task; nothing if it only confirms findings."""
    return "" if task is None or task.phase.startswith(CONFIRM) else task.kind


def _limits(book: Book, campaign_id: str) -> Mapping[tuple[str, str], float]:
    """Return all limits of a campaign by node and `check.parameter`; nothing else of its many facts."""
    columns = facts.c.node, facts.c.key, facts.c.value
    is_limit = facts.c.key.startswith(LIMIT, autoescape=True)
    with book.engine.connect() as database:
        rows = database.execute(select(*columns).where(facts.c.campaign_id == campaign_id, is_limit))
        return read((node, key, value) for node, key, value in rows)
