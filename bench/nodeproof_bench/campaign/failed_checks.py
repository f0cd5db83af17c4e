"""Checks that failed in a campaign, as findings: confirmed, over, or not to be told.

They report. What a measured limit comes to is a finding of its own (detector `limit`), which may drain; of other checks
policy says what follows, and the agent sees to it. Read as a stream: a large campaign has millions of verdicts.
"""

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

from sqlalchemy import select

from nodeproof_bench.campaign.book import Book
from nodeproof_bench.campaign.book_rows import FindingRow, Task, VerdictRow
from nodeproof_bench.campaign.book_tables import verdicts
from nodeproof_bench.campaign.phases import CONFIRM
from nodeproof_bench.suites import BENCHMARKS

#: A finding that says that something could not be told, which is neither healthy nor sick: nobody is drained for it.
COULD_NOT_TELL = "could-not-tell"

#: A node needs so many partners until its pairs say anything of it alone.
_LEAST_PARTNERS = 3


class Failed(NamedTuple):
    """All verdicts of a check that failed on a node, in the order of tasks: of jobs on it alone, and of pairs."""

    node: str
    check_id: str
    alone: Sequence[VerdictRow]
    paired: Sequence[VerdictRow]


def failed_checks(book: Book, campaign_id: str, tasks: Mapping[int, Task]) -> list[Failed]:
    """Return the checks that failed, by node."""
    by_check = defaultdict[tuple[str, str], list[VerdictRow]](list)
    for verdict in _of_failed(book, campaign_id):
        by_check[verdict.node, verdict.check_id].append(verdict)
    found = []
    for key, own in sorted(by_check.items()):
        paired = [v for v in own if v.task in tasks and len(tasks[v.task].nodes) > 1]
        found.append(Failed(*key, [v for v in own if v not in paired], paired))
    return found


def _of_failed(book: Book, campaign_id: str) -> list[VerdictRow]:
    failed = (
        select(verdicts.c.node, verdicts.c.check_id)
        .where(verdicts.c.campaign_id == campaign_id, verdicts.c.status == "fail")
        .distinct()
        .subquery()
    )
    both = (verdicts.c.node == failed.c.node) & (verdicts.c.check_id == failed.c.check_id)
    statement = select(verdicts).join(failed, both).where(verdicts.c.campaign_id == campaign_id)
    with book.engine.connect() as database:
        return [VerdictRow(*row) for row in database.execute(statement.order_by(verdicts.c.task))]


def phases(failed: Sequence[Failed], tasks: Mapping[int, Task]) -> dict[tuple[str, str], str]:
    """Return the first phase in which a check of what a node measured alone failed, by node and check."""
    from nodeproof.check import registry

    specs, found = registry() if failed else {}, dict[tuple[str, str], str]()
    for one in failed:
        if one.check_id in specs and "bench" in specs[one.check_id].tags:
            own = [tasks[v.task].phase for v in one.alone if v.status == "fail" and v.task in tasks]
            found.update(((one.node, one.check_id), phase.removeprefix(CONFIRM)) for phase in own[:1])
    return found


def findings(
    campaign_id: str, failed: Sequence[Failed], tasks: Mapping[int, Task], needed: int
) -> Iterator[FindingRow]:
    """Yield a finding for each check that failed, but where pairs say that it is the other node."""
    for one in failed:
        state, said = _state_of_pairs(one, tasks, needed)
        if any(v.status == "fail" for v in one.alone):
            state, said = _state_alone(one, needed), one.alone
        if state:
            summary = [v.summary for v in said if v.status == "fail"][-1]
            text = f"{one.check_id}: {summary}"
            yield FindingRow(campaign_id, one.node, "", one.check_id, "check", state=state, text=text)


def _state_alone(one: Failed, needed: int) -> str:
    """Return the state by the newest verdict: confirmed if the check failed in so many more tasks.

    A wrong value that does not come again is no comfort.
    """
    if one.alone[-1].status in {"ok", "warn"}:
        return "suspect" if _is_of_values(one.check_id) else "cleared"
    return "confirmed" if len({v.task for v in one.alone if v.status == "fail"}) > needed else "suspect"


def _is_of_values(check_id: str) -> bool:
    return check_id == "bench.values" or (check_id in BENCHMARKS and BENCHMARKS[check_id].is_of_values)


def _state_of_pairs(one: Failed, tasks: Mapping[int, Task], needed: int) -> tuple[str, Sequence[VerdictRow]]:
    """Return the state by all pairs: what fails in few of them is the fault of the others, not of the node."""
    failed = [v for v in one.paired if v.status == "fail"]
    if 2 * len(failed) <= len(one.paired):
        return "", ()
    partners = {node for v in failed for node in tasks[v.task].nodes} - {one.node}
    if len(partners) < _LEAST_PARTNERS:
        return COULD_NOT_TELL, failed
    return "confirmed" if len(partners) > needed else "suspect", failed
