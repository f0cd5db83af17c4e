"""What the agent knows as one snapshot, and the commands of its control socket."""

import os
import time
from typing import Any

import nodeproof
from nodeproof.daemon import known as verdicts
from nodeproof.daemon.agent import Agent
from nodeproof.daemon.operator import Operator
from nodeproof.daemon.publish import boottime_ns
from nodeproof.daemon.snapshot import GroupNow, IncidentNow, Snapshot
from nodeproof.daemon.sources import Sources
from nodeproof.decide.incidents import incidents
from nodeproof.errors import NodeproofError
from nodeproof.events.catalogue import RULES

SCHEMA = "nodeproof.status/1"

#: A reason that an operator gives must fit into Slurm's beside our own words.
_REASON_CHARS = 120


class Status:
    """Makes snapshots, and answers what is asked of the agent."""

    def __init__(self, agent: Agent, sources: Sources, operator: Operator) -> None:
        self._agent, self._sources, self._operator = agent, sources, operator
        self._started_at = time.time()

    def snapshot(self) -> Snapshot:
        agent, policy, history = self._agent, self._agent.policy, self._agent.memory.history
        now, now_s = time.time(), time.monotonic()
        findings, found = agent.findings, agent.findings.results()
        left_s = (findings.gate_until_ns - boottime_ns()) / 1e9 if findings.gate_until_ns else 0.0
        return Snapshot(
            at=now,
            started_at=self._started_at,
            version=nodeproof.__version__,
            node=policy.node,
            boot_id=agent.memory.boot_id,
            mode=policy.settings.mode,
            policy_digest=policy.settings.digest,
            policy_loaded_at=policy.loaded_at,
            policy_problem=policy.problem,
            checks=verdicts.as_now(findings.known, agent.specs, policy.settings, findings.streaks),
            groups=tuple(
                GroupNow(
                    name=name,
                    interval_s=t.group.interval_s,
                    last_at=t.last_at,
                    last_seconds=t.last_seconds,
                    next_at=now + t.group.due_s - now_s,
                    passes=t.passes,
                    failures=t.failures,
                )
                for name, t in agent.groups.items()
            ),
            incidents=tuple(
                IncidentNow(
                    cause=i.cause.spec.id,
                    part=i.part,
                    summary=i.cause.verdict.summary,
                    members=tuple(r.spec.id for r in i.members),
                    since=min(findings.known[r.spec.id].since for r in (i.cause, *i.members)),
                )
                for i in incidents(found, agent.relations)
            ),
            sources=self._sources.problems(),
            events=dict(agent.memory.tally),
            lost=dict(agent.memory.lost),
            counters=agent.memory.counters,
            actions=dict(findings.actions),
            last_action={key: str(findings.action.get(key, "")) for key in ("intent", "result", "summary", "reason")},
            out_of_service=findings.refusal.reason,
            gate_until=now + left_s if left_s > 0 else 0.0,
            history_bytes=history.size_bytes(),
            is_history_kept=history.is_kept,
            cpu_s=time.process_time() + agent.cpu_s,
            resident_bytes=_resident_bytes(),
            rules=tuple(rule.id for rule in RULES),
            warnings=tuple(filter(None, [history.problem, self._operator.warning, *self._problems()])),
        )

    def _problems(self) -> list[str]:
        return [*self._agent.publisher.problems, *(f"counters are not read: {e}" for e in self._agent.unread.values())]

    async def status(self, request: dict[str, Any]) -> dict[str, Any]:
        del request
        return as_document(self.snapshot())

    async def check(self, request: dict[str, Any]) -> dict[str, Any]:
        del request
        await self._agent.judged_now()
        return as_document(self.snapshot())

    async def reload(self, request: dict[str, Any]) -> dict[str, Any]:
        del request
        is_good = await self._agent.reload()
        return {"is_good": is_good, "problem": self._agent.policy.problem}

    async def drain(self, request: dict[str, Any]) -> dict[str, Any]:
        reason = request.get("reason")
        if not isinstance(reason, str) or not 0 < len(reason.strip()) <= _REASON_CHARS:
            raise NodeproofError(f"expected a reason of at most {_REASON_CHARS} characters")
        self._operator.drains(reason.strip())
        await self._agent.judged_now(operator=self._operator.reason)
        return as_document(self.snapshot())

    async def resume(self, request: dict[str, Any]) -> dict[str, Any]:
        del request
        self._operator.releases()
        await self._agent.judged_now(operator="", is_repaired=True)
        return as_document(self.snapshot())


def as_document(snapshot: Snapshot) -> dict[str, Any]:
    """Return the snapshot as JSON values."""
    return {
        "schema": SCHEMA,
        **snapshot._asdict(),
        "checks": [c._asdict() for c in snapshot.checks],
        "groups": [g._asdict() for g in snapshot.groups],
        "incidents": [i._asdict() for i in snapshot.incidents],
        "counters": [c._asdict() for c in snapshot.counters],
    }


def _resident_bytes() -> int:
    with open("/proc/self/statm", encoding="ascii") as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")
