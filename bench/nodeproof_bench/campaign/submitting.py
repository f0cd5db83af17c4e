"""Submit jobs so that none is ever submitted twice, whatever dies in between.

Each job has a name of its own that is in the book before it is sent. Where a sender died, or was told nothing, Slurm
is asked for a job of that name first: twice, with a pause, since slurmctld may carry out what it read long after
slurmrestd stopped waiting for it.
"""

import time
from collections.abc import Callable, Iterable, Sequence

from nodeproof.slurm.jobs import JobSpec, Listed, NotTaken, Uncertain, cancel, listed, submit
from nodeproof.slurm.rest import Client
from nodeproof_bench.campaign.book_rows import FINAL_JOB_STATES, Job, Task
from nodeproof_bench.campaign.job_names import prefix
from nodeproof_bench.campaign.ledger import Ledger

#: How long for one question to slurmrestd: it waits up to 20 s for a slurmctld itself.
REQUEST_S = 30.0

#: The pause between two looks for a job that may still come.
SETTLE_S = 5.0

#: How long after it was sent a job that is not found was surely never there: Slurm forgets a job that is over after
#: MinJobAge, 300 s unless a site says otherwise.
SURE_S = 200.0

#: Gives the job as Slurm takes it.
MakeSpec = Callable[[Task, Job], JobSpec]


class Submitter:
    """Submits for one campaign. `accepted` and `refused` count what slurmctld said; `last_refusal` is its words."""

    def __init__(
        self,
        ledger: Ledger,
        client: Client,
        make_spec: MakeSpec,
        *,
        now: Callable[[], float] = time.time,
        settle_s: float = SETTLE_S,
    ) -> None:
        self.accepted = 0
        self.refused = 0
        self.last_refusal = ""
        self._ledger = ledger
        self._client = client
        self._make_spec = make_spec
        self._now = now
        self._settle_s = settle_s
        self._missed_at: dict[str, float] = {}

    def begin(self, task: Task) -> bool:
        """Begin another attempt at a task. Returns whether all of its jobs are in Slurm for sure."""
        begun = self._ledger.begin(task, self._now())
        return begun is not None and self._send(begun)

    def settle(self) -> None:
        """Find out about all jobs of which it is not known whether they are in Slurm; send those that are not.

        Raises SlurmUnreachable where Slurm does not say.
        """
        open_tasks = [t for t in self._ledger.active() if any(_is_open(job) for job in self._ledger.jobs_of(t))]
        if not open_tasks:
            self._missed_at.clear()
            return
        self._client.renew(REQUEST_S)
        found = _by_name(self._ours(listed(self._client, prefix(self._ledger.campaign_id))))
        for task in open_tasks:
            self._settle_task(task, found)

    def cancel(self, jobs: Iterable[Job]) -> None:
        """Ask Slurm to cancel jobs; what became of them is seen later. Raises SlurmUnreachable."""
        ids = [job.job_id for job in jobs if job.job_id is not None and job.state not in FINAL_JOB_STATES]
        if ids:
            self._client.renew(REQUEST_S)
            cancel(self._client, ids)

    def _ours(self, jobs: Sequence[Listed]) -> list[Listed]:
        """Return the jobs that we submitted: anybody can give his job a name like ours."""
        account = self._client.account
        return [job for job in jobs if not account or job.user_name in {"", account}]

    def _settle_task(self, task: Task, found: dict[str, list[Listed]]) -> None:
        jobs = [_adopted(job, found) for job in self._ledger.jobs_of(task)]
        spare = [other.job_id for job in jobs for other in found.get(job.job_name, [])[1:] if not other.state.is_over]
        if spare:
            cancel(self._client, spare)
        task = self._ledger.follow(task, jobs)
        missing = [job for job in jobs if _is_open(job)]
        may_come = [job for job in missing if not self._is_surely_missing(job)]
        if not missing or may_come:
            return
        if any(self._now() - job.submitted_at > SURE_S for job in missing):
            why = "whether it was submitted is not known, and Slurm has forgotten it by now"
            self._give_up(task, jobs, missing, "lost", why)
        else:
            self._send(task)

    def _is_surely_missing(self, job: Job) -> bool:
        """Tell whether a job was not found for the second time, a pause after the first."""
        first_at = self._missed_at.setdefault(job.job_name, self._now())
        return self._now() - first_at >= self._settle_s

    def _send(self, task: Task) -> bool:
        """Submit the jobs of a task that are not in Slurm.

        Of a pair none depends on the other: it would wait for slurmctld to look at dependencies again, half a minute
        (`sched_interval`) in which the first has its node for nothing. Both nodes were free when the task began.
        """
        jobs = self._ledger.jobs_of(task)
        for n, job in enumerate(jobs):
            if _is_open(job):
                self._client.renew(REQUEST_S)
                answer = submit(self._client, self._make_spec(task, job))
                self._missed_at.pop(job.job_name, None)
                if isinstance(answer, Uncertain):
                    return False
                if isinstance(answer, NotTaken):
                    self.refused, self.last_refusal = self.refused + 1, answer.words
                    rest = [other for other in jobs[n:] if _is_open(other)]
                    self._give_up(task, jobs, rest, "failed", f"Slurm did not take its job: {answer.words}")
                    return False
                self.accepted += 1
                jobs[n] = job._replace(job_id=answer.job_id, state="queued", submitted_at=self._now())
                task = self._ledger.follow(task, jobs)
        return True

    def _give_up(self, task: Task, jobs: Sequence[Job], lost: Sequence[Job], state: str, why: str) -> None:
        names = {job.job_name for job in lost}
        ended = [job._replace(state=state, ended_at=self._now()) if job.job_name in names else job for job in jobs]
        self._ledger.follow(task, ended, why)


def _is_open(job: Job) -> bool:
    return job.job_id is None and job.state == "submitting"


def _by_name(jobs: Sequence[Listed]) -> dict[str, list[Listed]]:
    found: dict[str, list[Listed]] = {}
    for job in jobs:
        found.setdefault(job.name, []).append(job)
    return found


def _adopted(job: Job, found: dict[str, list[Listed]]) -> Job:
    """Return a job with the number under which Slurm has it."""
    if not _is_open(job) or job.job_name not in found:
        return job
    return job._replace(job_id=found[job.job_name][0].job_id, state="queued")
