"""The controller of a campaign: look, collect, submit, wait, until every task is over.

All it knows is in the book and in Slurm: it may be killed at any moment, and another one goes on from there.
"""

import time
from collections.abc import Callable, Mapping
from typing import NamedTuple, Protocol

from nodeproof.errors import NodeproofError, SlurmError, SlurmRejected, SlurmUnreachable
from nodeproof.slurm.backoff import delays_s
from nodeproof.slurm.jobs import JobState, exit_code, states
from nodeproof.slurm.placed import Placed, read_placed
from nodeproof.slurm.rest import Client
from nodeproof_bench.campaign.book_rows import FINAL_JOB_STATES, FINAL_TASK_STATES, Job, Result, Task
from nodeproof_bench.campaign.ledger import ACTIVE, Ledger
from nodeproof_bench.campaign.look import Look, Outcome, look, undelivered
from nodeproof_bench.campaign.patience import Patience
from nodeproof_bench.campaign.plan import Plan
from nodeproof_bench.campaign.ready import Room, is_busy, is_free, open_phases, ready
from nodeproof_bench.campaign.submitting import REQUEST_S, Submitter
from nodeproof_bench.campaign.times import seconds_of, window_of

#: Reading all nodes is seconds of work for slurmctld where there are tens of thousands. If it takes so long, it is done
#: seldom enough to take no more than this share of its time.
SLOW_READING_S, READING_SHARE = 0.5, 0.1

#: If Slurm took none of this many jobs, it is the plan that is wrong, not a node.
MOST_REFUSALS = 3

#: If this many results could not be delivered, and none ever was, no node can: each would be kept busy for nothing.
MOST_UNDELIVERED = 3


class Watcher(Protocol):
    """Whoever shows how a campaign goes on."""

    def say(self, text: str) -> None:
        """Tell of something that happened, once."""

    def show(self, ledger: Ledger) -> None:
        """Show how far it is."""


class Clocks(NamedTuple):
    """Time, and how to let it pass: `wait` returns early, and True, when the controller is to stop."""

    wait: Callable[[float], bool]
    now: Callable[[], float] = time.time


class PlanRefusedError(SlurmError):
    """Slurm takes no job of this plan."""


class NoResultsError(NodeproofError):
    """No node can deliver its result."""


class Controller:
    """One life of a campaign's controller. `collect` takes results into the book, wherever they come from."""

    def __init__(  # noqa: PLR0913, PLR0917  # what it works with, each of its own kind
        self,
        ledger: Ledger,
        plan: Plan,
        client: Client,
        submitter: Submitter,
        collect: Callable[[], None],
        watcher: Watcher,
        clocks: Clocks,
    ) -> None:
        self._ledger = ledger
        self._plan = plan
        self._client = client
        self._submitter = submitter
        self._collect = collect
        self._watcher = watcher
        self._clocks = clocks
        self._window = window_of(plan.submit.window) if plan.submit.window else None
        self._patience = Patience(seconds_of(plan.submit.patience))
        self._over_since: dict[str, float] = {}
        self._given_up: set[str] = set()
        self._is_told_of_window = False
        self._reading_s = 0.0
        self._undelivered: list[str] = []
        self._told: set[str] = set()

    def run(self) -> str:
        """Go on until all tasks are over. Returns `done`, `stopped` or `cancelled`."""
        from random import SystemRandom

        is_reachable, delays = True, delays_s(SystemRandom())
        while True:
            try:
                self.step()
            except (SlurmUnreachable, SlurmRejected) as error:
                if is_reachable:
                    self._watcher.say(f"Slurm does not answer as it should, and is asked again: {error}")
                is_reachable, delay_s = False, next(delays)
            else:
                if not is_reachable:
                    self._watcher.say("Slurm answers again")
                    is_reachable, delays = True, delays_s(SystemRandom())
                delay_s = self._pause_s()
            self._watcher.show(self._ledger)
            if self._ledger.is_over():
                return "done"
            if self._is_cancelled():
                return "cancelled"
            if self._clocks.wait(delay_s):
                return "stopped"

    def _pause_s(self) -> float:
        seldom_s = self._reading_s / READING_SHARE if self._reading_s > SLOW_READING_S else 0.0
        return max(self._plan.submit.poll_s, seldom_s)

    def step(self) -> None:
        """Look at everything once, and begin what may begin. Raises SlurmError."""
        self._collect()
        self._submitter.settle()
        self._look_at_all()
        if self._ledger.waiting() and not self._clocks.wait(0):
            self._client.renew(REQUEST_S)
            began_s = self._clocks.now()
            fleet = read_placed(self._client)
            self._reading_s = self._clocks.now() - began_s
            self._begin_some(fleet)

    def _is_cancelled(self) -> bool:
        return self._ledger.book.campaign(self._ledger.campaign_id).state == "cancelled"

    # -- what became of jobs

    def _look_at_all(self) -> None:
        active = self._ledger.active()
        if not active:
            return
        results = {(r.task, r.attempt, r.node): r for r in self._ledger.book.results(self._ledger.campaign_id)}
        self._client.renew(REQUEST_S)
        found = states(self._client)
        for task in active:
            self._look_at(task, results, found)
        self._see_that_results_come()

    def _look_at(
        self, task: Task, results: Mapping[tuple[int, int, str], Result], found: Mapping[int, JobState]
    ) -> None:
        jobs, why = [], ""
        for job in self._ledger.jobs_of(task):
            if job.state in FINAL_JOB_STATES:
                jobs.append(job)
                continue
            result = results.get((job.task, job.attempt, job.node))
            state = None if job.job_id is None else found.get(job.job_id)
            is_useful = result is not None and bool(result.problem) and self._ledger.book.is_useful(result)
            seen = look(job, Outcome(result, is_useful), state, self._gone_s(job, state))
            if result is None and seen.state == "failed":
                seen = self._explained(seen, job)
            why = f"{job.node}: {seen.why}" if seen.why else why
            if seen.state == "done" and seen.why:
                self._tell_once(f"{task.phase} on {job.node}: {seen.why}")
            jobs.append(self._ended(job._replace(state=seen.state), result))
        followed = self._ledger.follow(task, jobs, why)
        if followed.state in ACTIVE and any(job.state in {"failed", "lost"} for job in jobs):
            self._submitter.cancel(jobs)  # of a pair: nobody comes to the other any more

    def _tell_once(self, text: str) -> None:
        """Tell what went wrong in a job that is done all the same; of pairs, not in each."""
        if text not in self._told:
            self._told.add(text)
            self._watcher.say(text)

    def _explained(self, seen: Look, job: Job) -> Look:
        """Return the same of a job that failed and brought no result, with what its exit code tells."""
        if job.job_id is None:
            return seen
        self._client.renew(REQUEST_S)
        code = exit_code(self._client, job.job_id)
        if (where := undelivered(job, code, self._plan)) and len(self._undelivered) < MOST_UNDELIVERED:
            self._undelivered.append(f"{job.node}: {where}")
        return seen._replace(why=where or (f"{seen.why} (exit code {code})" if code else seen.why))

    def _see_that_results_come(self) -> None:
        if len(self._undelivered) >= MOST_UNDELIVERED and not self._ledger.counts()["done"]:
            raise NoResultsError(f"no result comes: {self._undelivered[0]}")

    def _gone_s(self, job: Job, state: JobState | None) -> float:
        """Return for how long a job is over, or unknown to Slurm, as far as we saw."""
        if job.job_id is None or (state is not None and not state.is_over):
            self._over_since.pop(job.job_name, None)
            return 0.0
        now = self._clocks.now()
        return now - self._over_since.setdefault(job.job_name, now)

    def _ended(self, job: Job, result: Result | None) -> Job:
        if job.state not in FINAL_JOB_STATES:
            return job
        self._over_since.pop(job.job_name, None)
        if result is not None and result.began_at and result.ended_at:
            return job._replace(ended_at=result.ended_at, node_seconds=max(0.0, result.ended_at - result.began_at))
        return job._replace(ended_at=self._clocks.now())

    # -- what may begin

    def _begin_some(self, fleet: Mapping[str, Placed]) -> None:
        self._give_up_on(fleet)
        if not self._is_open():
            return
        active = self._ledger.active()
        at_work = {node for task in active for node in task.nodes}
        room = Room(self._plan, fleet, [node for node in at_work if self._can_run(node, fleet)])
        phases = open_phases(list(self._ledger.tasks.values()), FINAL_TASK_STATES)
        until = self._clocks.now() + self._plan.submit.poll_s
        for task in ready(self._ledger.waiting(), at_work, phases, fleet):
            if not self._may_begin(task, fleet) or not room.take(task.nodes):
                continue
            self._submitter.begin(task)
            self._see_that_slurm_takes_jobs()
            if self._clocks.now() > until or self._clocks.wait(0):
                return  # to look at what is over meanwhile: at a low rate all of them take long

    def _may_begin(self, task: Task, fleet: Mapping[str, Placed]) -> bool:
        """Tell whether jobs may be sent. A pair needs both nodes at once: neither shall wait for the other's user job.

        Where the plan names a partition or a QOS its jobs might pre-empt others', so that busy nodes are waited for.
        """
        submit = self._plan.submit
        may_preempt = bool(submit.partition or submit.qos)
        for node in task.nodes:
            placed = fleet.get(node)
            if placed is None or (not self._can_run(node, fleet) and self._plan.out_of_service == "skip"):
                return False
            if is_busy(placed) and not submit.preempt and (may_preempt or len(task.nodes) > 1):
                return False
            if len(task.nodes) > 1 and not (is_free(placed) or submit.preempt):
                return False
        return True

    def _can_run(self, node: str, fleet: Mapping[str, Placed]) -> bool:
        placed = fleet.get(node)
        return placed is not None and not placed.node.is_out_of_service

    def _is_open(self) -> bool:
        """Tell whether the plan's window lets jobs begin now."""
        wait_s = self._window.wait_s(self._clocks.now()) if self._window else 0.0
        if wait_s and not self._is_told_of_window:
            self._watcher.say(f"waits for the window {self._plan.submit.window}")
        self._is_told_of_window = wait_s > 0
        return wait_s == 0

    def _give_up_on(self, fleet: Mapping[str, Placed]) -> None:
        """Skip what is left to do on nodes that have been out of service for too long, and take back their jobs."""
        if self._plan.out_of_service == "include":
            return
        wanted = {
            node for task in self._ledger.tasks.values() if task.state not in FINAL_TASK_STATES for node in task.nodes
        }
        for node, why in self._patience.lost(wanted, fleet, self._clocks.now()).items():
            self._ledger.end([t for t in self._ledger.waiting() if node in t.nodes], "skipped", f"{node}: {why}")
            if node in self._given_up:
                continue
            self._given_up.add(node)
            self._watcher.say(f"{node} is given up: {why}")
            queued = [t for t in self._ledger.active() if node in t.nodes]
            self._submitter.cancel(
                job for task in queued for job in self._ledger.jobs_of(task) if job.state == "queued"
            )

    def _see_that_slurm_takes_jobs(self) -> None:
        if self._submitter.refused >= MOST_REFUSALS and not self._submitter.accepted:
            raise PlanRefusedError(f"Slurm takes no job of this plan: {self._submitter.last_refusal}")
