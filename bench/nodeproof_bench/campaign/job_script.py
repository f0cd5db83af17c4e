"""From a task to the jobs that do it, as Slurm takes them.

What a job is to do is in its environment, as JSON; its script names the program alone. So nothing that a plan or
Slurm says is ever read by a shell.
"""

import hashlib
import math
import shlex
from collections.abc import Callable, Mapping
from typing import cast

from nodeproof.slurm.jobs import JobSpec
from nodeproof.slurm.placed import Placed
from nodeproof_bench.campaign.book_rows import Job, NodeRow, Task
from nodeproof_bench.campaign.order import TOKEN_VARIABLE, VARIABLE, Key, Kind, WorkOrder, to_json
from nodeproof_bench.campaign.phases import CONFIRM, duration_s_of, limit_s, repeats_of, words_of
from nodeproof_bench.campaign.plan import Phase, Plan

#: Pairs of several tasks meet at different ports of a node, should one be left over.
_PORTS = 128

#: What Slurm's own limit is beyond the job's, which ends by itself before and still tells why.
_MORE_MIN = 2

_ENVIRONMENT = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL": "C.UTF-8"}


def _only(task: Task, phase: Phase) -> tuple[str, ...]:
    """Return what of its phase a task is about: nothing if it is about all of it."""
    is_part = task.phase.startswith(CONFIRM) and len(task.nodes) == 1
    words = tuple(task.suite.split())
    return words if is_part and words != words_of(phase) else ()


class Orders:
    """Makes the jobs of one campaign. `token` gives what a job posts its result with; None where it needs none."""

    def __init__(
        self,
        plan: Plan,
        nodes: Mapping[str, NodeRow],
        fleet: Mapping[str, Placed],
        token: Callable[[Key], str] | None = None,
    ) -> None:
        self._plan = plan
        self._nodes = nodes
        self._fleet = fleet
        self._token = token
        self._phases = {phase.name: phase for phase in plan.named_phases()}

    def spec(self, task: Task, job: Job) -> JobSpec:
        """Return a job as Slurm takes it."""
        plan, order = self._plan.submit, self.order(task, job)
        environment = _ENVIRONMENT | {VARIABLE: to_json(order)}
        if self._token is not None:
            environment[TOKEN_VARIABLE] = self._token(order.key)
        return JobSpec(
            name=job.job_name,
            node=job.node,
            script=f"#!/bin/sh\nexec {shlex.quote(self._plan.node.program)} campaign work\n",
            environment=environment,
            directory=plan.directory,
            limit_min=math.ceil(order.limit_s / 60) + _MORE_MIN,
            output=plan.output,
            partition=self._plan.job_partition,
            account=plan.account or "",
            qos=plan.qos or "",
            reservation=plan.reservation or self._plan.reservation or "",
            nice=plan.nice,
        )

    def order(self, task: Task, job: Job) -> WorkOrder:
        """Return what a job is to do."""
        phase, plan = self.phase(task), self._plan
        order = WorkOrder(
            campaign=task.campaign_id,
            task=task.task,
            attempt=job.attempt,
            node=job.node,
            phase=task.phase,
            kind=cast("Kind", task.kind),
            limit_s=self._limit_s(phase, task),
            repeats=repeats_of(phase),
            benchmarks=words_of(phase),
            only=_only(task, phase),
            seconds=phase.seconds,
            duration_s=duration_s_of(phase),
            spool=plan.results.spool or "",
            post=plan.results.post or "",
            ca_file=plan.results.ca_file or "",
            policy=plan.node.policy or "",
            path=plan.node.disk or "",
        )
        return self._as_pair(order, task) if len(task.nodes) > 1 else order

    def phase(self, task: Task) -> Phase:
        """Return the phase whose work a task does: one that confirms does that of another."""
        return self._phases[task.phase.removeprefix(CONFIRM)]

    def _limit_s(self, phase: Phase, task: Task) -> float:
        sizes = [self._fleet[node] for node in task.nodes if node in self._fleet]
        return max((limit_s(phase, placed) for placed in sizes), default=3600.0)

    def _as_pair(self, order: WorkOrder, task: Task) -> WorkOrder:
        listener, caller = task.nodes
        is_listener = order.node == listener
        peer = caller if is_listener else listener
        word = f"{order.campaign}/{order.task}/{order.attempt}"
        return order._replace(
            role="listen" if is_listener else "connect",
            peer_node=peer,
            peer_address=self._nodes[peer].address or peer,
            port=self._plan.node.port + order.task % _PORTS,
            session=hashlib.sha256(word.encode()).hexdigest()[:16],
        )
