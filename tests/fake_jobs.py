"""Jobs for the small slurmrestd of `fake_slurm`: they are taken, run and end as a test says.

What it answers follows recordings of Slurm 24.11 (shapes of `job/submit`, `jobs/`, `jobs/state/` and `DELETE jobs/`).
"""

import json
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from fake_slurm import FakeSlurm, Reply, fake_slurm

GOOD: dict[str, Any] = {"errors": [], "warnings": []}


@dataclass
class FakeJob:
    """A job as Slurm keeps it; `spec` is what was submitted."""

    job_id: int
    spec: dict[str, Any]
    state: list[str] = field(default_factory=lambda: ["PENDING"])
    user: str = "nodeproof"
    code: int = 0

    @property
    def name(self) -> str:
        return str(self.spec["name"])

    @property
    def node(self) -> str:
        return str(self.spec["required_nodes"][0])

    @property
    def order(self) -> dict[str, Any]:
        """What the job is to do, as it finds it in its environment."""
        return dict(json.loads(self.variable("NODEPROOF_CAMPAIGN")))

    def variable(self, name: str) -> str:
        """Return a variable of the job's environment."""
        return dict(str(word).split("=", 1) for word in self.spec["environment"])[name]

    def entry(self) -> dict[str, Any]:
        return {
            "job_id": self.job_id,
            "name": self.name,
            "user_name": self.user,
            "job_state": self.state,
            "state_reason": "None",
            "exit_code": {"status": ["SUCCESS"], "return_code": {"set": True, "infinite": False, "number": self.code}},
            "nodes": self.node,
            "start_time": {"set": True, "infinite": False, "number": 1},
            "end_time": {"set": False, "infinite": False, "number": 0},
        }


class FakeJobs:
    """The jobs of a FakeSlurm. `on_submit` may answer in the place of slurmctld, before it takes the job.

    `later` are jobs that slurmctld takes with its next answer, though it had let the submitter wait in vain. `times`
    says when each request came.
    """

    def __init__(self, slurm: FakeSlurm) -> None:
        self.slurm = slurm
        self.jobs: list[FakeJob] = []
        self.later: list[dict[str, Any]] = []
        self.times: list[float] = []
        self.on_submit: Callable[[dict[str, Any]], Reply | None] = lambda _spec: None
        self.on_taken: Callable[[FakeJob], None] = lambda _job: None
        self.is_down: Reply | None = None
        self._nodes_answer = slurm.answer
        setattr(slurm, "answer", self.answer)  # noqa: B010  # a method of this one server

    def names(self) -> list[str]:
        return [job.name for job in self.jobs]

    def take(self, spec: dict[str, Any]) -> FakeJob:
        job = FakeJob(100 + len(self.jobs), spec)
        self.jobs.append(job)
        self.on_taken(job)
        return job

    def forget(self, *jobs: FakeJob) -> None:
        """Forget jobs as slurmctld does some minutes after their end."""
        self.jobs = [job for job in self.jobs if job not in jobs]

    def answer(self, method: str, path: str, body: Any) -> Reply:
        with self.slurm.lock:
            self.times.append(time.monotonic())
            _, _, version, kind, *rest = path.split("/")
            if kind == "ping" and version == self.slurm.version:
                return 200, {**GOOD, "pings": []}
            if kind not in {"job", "jobs"} or version != self.slurm.version:
                return self._nodes_answer(method, path, body)
            self.slurm.requests.append((method, path))
            if self.is_down is not None:
                return self.is_down
            while self.later:
                self.take(self.later.pop(0))
            return self._of_jobs(method, kind, rest[0] if rest else "", body)

    def _of_jobs(self, method: str, kind: str, rest: str, body: Any) -> Reply:
        if method == "POST":
            refused = self.on_submit(body["job"])
            return refused or (200, {**GOOD, "job_id": self.take(body["job"]).job_id})
        if method == "DELETE":
            self._cancel([rest] if kind == "job" else body["jobs"])
            return 200, {**GOOD, "status": []}
        if rest == "state":
            return 200, {**GOOD, "jobs": [{"job_id": str(job.job_id), "state": job.state} for job in self.jobs]}
        return 200, {**GOOD, "jobs": [job.entry() for job in self.jobs if kind == "jobs" or str(job.job_id) == rest]}

    def _cancel(self, ids: list[str]) -> None:
        for job in self.jobs:
            if str(job.job_id) in ids and job.state in (["PENDING"], ["RUNNING"]):
                job.state = ["CANCELLED"]


@contextmanager
def fake_jobs(*nodes: str) -> Iterator[FakeJobs]:
    """Run a FakeSlurm with idle nodes and jobs."""
    with fake_slurm() as slurm:
        slurm.add(*nodes)
        yield FakeJobs(slurm)
