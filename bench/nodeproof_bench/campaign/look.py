"""What became of a job, from its result and from what Slurm says of it: pure."""

from typing import NamedTuple

from nodeproof.slurm.jobs import JobState
from nodeproof_bench.campaign.book_rows import Job, Result
from nodeproof_bench.campaign.collect.files import SUFFIX
from nodeproof_bench.campaign.order import NOT_TAKEN, NOT_WANTED, Key
from nodeproof_bench.campaign.plan import Plan

#: How long after a job's end its result is waited for: a shared file system shows a file late on another host.
GRACE_S = 15.0


class Look(NamedTuple):
    """What a job is now, and why it failed if it did."""

    state: str
    why: str = ""


class Outcome(NamedTuple):
    """What came of a job: its result, if any, and whether that holds anything besides what went wrong."""

    result: Result | None = None
    is_useful: bool = False


def look(job: Job, outcome: Outcome, state: JobState | None, gone_s: float, grace_s: float = GRACE_S) -> Look:
    """Return what a submitted job is. `state` is None where Slurm does not know it (any more).

    `gone_s`: for how long it is over, or not known, as far as was seen. A whole result counts whatever Slurm says. One
    with a problem counts if the job came to its own end and measured something: what crashed would crash again.
    """
    result = outcome.result
    if result is not None and result.sha256:
        if not result.problem:
            return Look("done")
        if state is not None and not state.is_over:
            return Look("running")
        is_own_end = state is None or state.base == "COMPLETED"
        return Look("done" if is_own_end and outcome.is_useful else "failed", result.problem)
    refused = f": {result.problem}" if result is not None and result.problem else ""
    if job.job_id is None:
        return Look("submitting")
    if state is None:
        return Look("lost", f"gone from Slurm without a result{refused}") if gone_s > grace_s else Look(job.state)
    if state.is_over:
        over = f"Slurm says {state.base}, and no result came{refused}"
        return Look("failed", over) if gone_s > grace_s else Look(job.state)
    return Look("queued" if state.base == "PENDING" else "running")


def undelivered(job: Job, code: int | None, plan: Plan) -> str:
    """Return where the result of a job is that could not deliver it, by its exit code; "" if it is nowhere."""
    came_of = {NOT_TAKEN: "could not be delivered to", NOT_WANTED: "was refused at"}.get(code or 0)
    if came_of is None:
        return ""
    key = Key(job.campaign_id, job.task, job.attempt, job.node)
    where = plan.results.post or plan.results.spool
    file = f"{key.campaign}.{key.name}{SUFFIX}"
    kept = f"{plan.node.disk}/{file}" if plan.node.disk else f"{file} in its state directory"
    return f"its result {came_of} {where}, and is kept on the node as {kept}"
