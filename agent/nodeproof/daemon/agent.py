"""The agent's loop: what is due, what has come to pass, and what follows from it.

One thread, and nothing in it waits: passes run in children, sources wake the loop. What happened is kept first
(`nodeproof.daemon.memory`), then judged, then published; so whatever kills the agent loses no event and judges none
twice.
"""

import asyncio
import contextlib
import random
import time
from collections import Counter as Tally
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from nodeproof.check import CheckSpec
from nodeproof.daemon import known as verdicts
from nodeproof.daemon.answers import NOTHING_DONE, gate_of
from nodeproof.daemon.child import ChildFailed, Children
from nodeproof.daemon.counters import fact_types
from nodeproof.daemon.hung import Hung
from nodeproof.daemon.judging import OPERATOR, SPARE_S, WAIT_S, Found, Order, Refusal, Report, carry_out, read_counters
from nodeproof.daemon.known import UNKNOWN, Known
from nodeproof.daemon.memory import Memory
from nodeproof.daemon.policy import Policy
from nodeproof.daemon.publish import Publisher, boottime_ns
from nodeproof.daemon.schedule import Group, after, next_of, started
from nodeproof.engine.run import judge
from nodeproof.engine.worker import Reading
from nodeproof.events import Event
from nodeproof.events.rule import REPAIRED
from nodeproof.history import Position
from nodeproof.probes.ledger import Seen
from nodeproof.verdict import Status, harmless, ok

HEALTH, COUNTERS = "health", "counters"

#: How long events are gathered before they are judged and published, in seconds: a fault rarely comes as one line.
_GATHER_S = 0.1

#: A gate file is good for so many intervals: one pass may be late, not two.
_GATE_INTERVALS = 2.5

_chance = random.SystemRandom().random


class Tracked:
    """How a group of checks fared."""

    def __init__(self, group: Group) -> None:
        self.group = group
        self.passes = self.failures = 0
        self.last_at = self.last_seconds = 0.0


class Agent:
    """All that happens between a wake-up and what is published. `say` gets what an administrator should read."""

    def __init__(  # noqa: PLR0913, PLR0917  # what it is made of
        self,
        policy: Policy,
        memory: Memory,
        publisher: Publisher,
        specs: Mapping[str, CheckSpec],
        state_dir: str,
        say: Callable[[str], None],
    ) -> None:
        self.policy, self.memory, self.publisher = policy, memory, publisher
        self.specs, self.state_dir, self.say = specs, state_dir, say
        self.children, self.hung = Children(), Hung()
        self.known: dict[str, Known] = {}
        self._before = memory.history.standings()
        self.streaks: Mapping[str, tuple[int, int]] = {}
        self.relations: Mapping[str, tuple[str, ...]] = {}
        self.action: Mapping[str, object] = NOTHING_DONE
        self.actions: Tally[str] = Tally()
        self.refusal = Refusal()
        self.operator = ""
        self.cpu_s = 0.0
        self.gate_until_ns = 0
        self.groups: dict[str, Tracked] = {}
        self.after_pass: Callable[[], None] = _nothing
        self._seen_only = [s for s in specs.values() if s.facts == (Seen,)]
        self._wake = asyncio.Event()
        self._publishing: asyncio.TimerHandle | None = None
        self._is_event_pass_due = self._is_health_pass_due = False
        self._waiting: list[asyncio.Future[None]] = []
        self._is_repaired = False

    # -- what comes from outside

    def deliver(self, events: Sequence[Event], position: Position | None = None) -> None:
        """Take events of a source: they are kept before this returns."""
        fresh = self.memory.take_events(events, position)
        for event in fresh[:20]:
            self.say(f"{event.rule}: {event.text}")
        if fresh and self._publishing is None:
            self._publishing = asyncio.get_running_loop().call_later(_GATHER_S, self._judge_events)

    def lose(self, source: str, count: int) -> None:
        self.memory.lost[source] += count
        self.say(f"lost {count} events of {source}")

    def sample(self) -> None:
        """Have counters read now: a job begins or ends."""
        self.groups[COUNTERS].group = self.groups[COUNTERS].group._replace(due_s=0.0)
        self._wake.set()

    async def judged_now(self, *, operator: str | None = None, is_repaired: bool = False) -> None:
        """Have the node judged now, and wait for that. `operator` changes what an operator wants."""
        if operator is not None:
            self.operator = operator
        self._is_repaired |= is_repaired
        self.hung.forget()  # whoever asks may have repaired it
        if is_repaired:
            words = "an operator says that this node is repaired"
            self.deliver([Event(REPAIRED, time.time(), self.memory.boot_id, "agent", words)])
            self._judge_events()  # before the pass, which reads what this publishes
        self._is_health_pass_due = True
        done = asyncio.get_running_loop().create_future()
        self._waiting.append(done)
        self._wake.set()
        await done

    async def reload(self) -> bool:
        """Read policy again; what is broken is said, and the last good one stays."""
        is_good = await self.policy.load(self.children)
        self.say("policy was read" if is_good else f"policy is broken, the last good one stays: {self.policy.problem}")
        self._start_groups()
        self._is_health_pass_due = True
        self._wake.set()
        return is_good

    # -- the loop

    async def serve(self) -> None:
        """Do what is due, until cancelled."""
        self._start_groups()
        self.publisher.ledger(self.memory.ledger())
        while True:
            await self._sleep()
            if self._is_event_pass_due:
                self._is_event_pass_due = False
                await self._pass("events", [s.id for s in self._seen_only])
            elif self._is_health_pass_due:
                await self._health()
            elif (due := next_of(t.group for t in self.groups.values())).due_s <= time.monotonic():
                await (self._health() if due.name == HEALTH else self._counters())

    async def _sleep(self) -> None:
        if self._is_event_pass_due or self._is_health_pass_due:
            return
        wait_s = next_of(t.group for t in self.groups.values()).due_s - time.monotonic()
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._wake.wait(), max(0.0, wait_s))
        self._wake.clear()

    def _start_groups(self) -> None:
        agent = self.policy.settings.agent
        for name, interval_s in ((HEALTH, agent.interval_s), (COUNTERS, agent.counters_s)):
            group = started(name, interval_s, agent.jitter_share, time.monotonic(), _chance)
            if name in self.groups:
                self.groups[name].group = group
            else:
                self.groups[name] = Tracked(group)

    async def _health(self) -> None:
        self._is_health_pass_due = False
        waiting, self._waiting = self._waiting, []
        chosen = [s.id for s in self.specs.values() if s.tags & {"healthcheck", "prolog"}]
        try:
            await self._pass(HEALTH, chosen)
        finally:
            for done in waiting:
                if not done.done():
                    done.set_result(None)

    async def _pass(self, name: str, checks: Sequence[str]) -> None:
        """Have checks judged and acted on in a child, and take what came of it."""
        settings, is_repaired = self.policy.settings, self._is_repaired
        order = Order(
            checks=tuple(checks),
            settings=settings,
            node=self.policy.node,
            state_dir=self.state_dir,
            run_dir=self.publisher.run_dir,
            operator=self.operator,
            is_repaired=is_repaired,
            hung=self.hung.not_to_ask(time.monotonic()),
            relations=self.relations,
        )
        limit_s = settings.budget_s + settings.slurm.timeout_s + WAIT_S + SPARE_S
        report = await self._tracked(name, lambda: carry_out(order), limit_s)
        if isinstance(report, Report):
            self._is_repaired &= not is_repaired
            if name == HEALTH:
                self.hung.saw(order.hung, report.hung, time.monotonic())
            self._take(report, is_whole=name == HEALTH)

    async def _counters(self) -> None:
        settings = self.policy.settings
        limit_s = settings.budget_s + SPARE_S
        answer = await self._tracked(COUNTERS, lambda: read_counters(fact_types(), settings), limit_s)
        if answer is not None:
            readings, _ = answer
            self.memory.take_counters(readings)
            self._judge_events()
            self.after_pass()

    async def _tracked(self, name: str, work: Callable[[], Any], limit_s: float) -> Any:
        """Return what a child returned, or None where it failed, which is said."""
        tracked, began_s = self.groups.get(name), time.monotonic()
        value = None
        try:
            answered = await self.children.run(work, limit_s)
            value, self.cpu_s = answered.value, self.cpu_s + answered.cpu_s
        except ChildFailed as error:
            self.say(f"{name}: {error}")
        if tracked is not None:
            tracked.group = after(tracked.group, self.policy.settings.agent.jitter_share, time.monotonic(), _chance)
            tracked.last_seconds = time.monotonic() - began_s
            if value is None:
                tracked.failures += 1
            else:
                tracked.passes, tracked.last_at = tracked.passes + 1, time.time()
        return value

    # -- what follows

    def _take(self, report: Report, *, is_whole: bool) -> None:
        """Take what a pass found and did."""
        if is_whole:
            self.known = {id_: one for id_, one in self.known.items() if id_ in self.specs or id_ == UNKNOWN}
        self._know(report.found)
        self.streaks, self.relations = report.streaks, report.relations
        self.refusal = report.refusal
        if report.action["result"] != self.action["result"] or report.action["reason"] != self.action.get("reason"):
            self.memory.history.add_action(time.time(), {**report.action, "evidence": report.bundle})
            self.say(str(report.action["summary"]))
        self.action = report.action
        self.actions[str(report.action["result"])] += 1
        for warning in report.warnings:
            self.say(warning)
        self._publish_gate()
        self.after_pass()

    def _judge_events(self) -> None:
        """Judge what was seen, here and now: a gate that fails must not wait for a pass that reads the machine."""
        if self._publishing is not None:
            self._publishing.cancel()
            self._publishing = None
        ledger = self.memory.ledger()
        self.publisher.ledger(ledger)
        settings, readings = (
            self.policy.settings,
            dict[type, Reading]({Seen: Reading(Seen.of(ledger.written_at, ledger), 0.0)}),
        )
        before = {s.id: self.known[s.id].verdict.status for s in self._seen_only if s.id in self.known}
        self._know([Found(s.id, judge(s, settings.of(s.id), readings), 0.0) for s in self._seen_only])
        worse = [s.id for s in self._seen_only if self.known[s.id].verdict.status > before.get(s.id, Status.OK)]
        if any(self.known[id_].verdict.status is Status.FAIL for id_ in worse):
            self._is_event_pass_due = True
            self._wake.set()
        self._publish_gate()

    def _know(self, found: Sequence[Found]) -> None:
        now = time.time()
        self.known = verdicts.updated(self.known, found, now, self._before)
        long = verdicts.unknown_for_long(self.known, now, self.policy.settings.agent.unknown_after_s)
        if long is not None or UNKNOWN in self.known:
            found = [*found, long or Found(UNKNOWN, ok("no check is unknown for long"), 0.0)]
            self.known = verdicts.updated(self.known, found[-1:], now)
        rows = [(f.id, f.verdict.status.word, f.verdict.summary, f.verdict.evidence) for f in found]
        for check_id, _ in self.memory.history.add_verdicts(now, rows):
            verdict = self.known[check_id].verdict
            if verdict.status > Status.SKIP or check_id == OPERATOR:
                self.say(harmless(f"{verdict.status.word}: {check_id}: {verdict.summary}", 600))

    def _publish_gate(self) -> None:
        """Leave the answers for slurmd's hooks, good until the next passes should have come; none before the first."""
        health = self.groups[HEALTH]
        if not health.last_at:
            return
        agent = self.policy.settings.agent
        age_s = time.time() - health.last_at
        good_s = min(agent.interval_s * _GATE_INTERVALS - age_s, max(agent.counters_s, 60.0) * _GATE_INTERVALS)
        if good_s <= 0:
            return  # the old one goes stale by itself
        self.gate_until_ns = boottime_ns() + int(good_s * 1e9)
        found = verdicts.results(self.known, self.specs, self.policy.settings)
        self.publisher.gate(
            gate_of(
                found,
                self.action,
                self.refusal,
                self.memory.boot_id,
                self.gate_until_ns,
            )
        )


def _nothing() -> None:
    return
