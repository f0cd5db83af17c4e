"""The agent's loop: what is due, and what has come to pass.

One thread, and nothing in it waits: passes run in children, sources wake the loop. What happened is kept first
(`nodeproof.daemon.memory`), then judged, then published; so whatever kills the agent loses no event and judges none
twice. Deliberately not here: what follows from a verdict (`nodeproof.daemon.findings`).
"""

import asyncio
import contextlib
import math
import random
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any

from nodeproof.check import CheckSpec
from nodeproof.daemon.child import ChildFailed, Children
from nodeproof.daemon.counters import fact_types
from nodeproof.daemon.findings import Findings, again_in_s
from nodeproof.daemon.hung import Hung
from nodeproof.daemon.judging import SPARE_S, WAIT_S, Counted, Found, Order, Report, carry_out, read_counters
from nodeproof.daemon.known import UNKNOWN
from nodeproof.daemon.memory import Memory
from nodeproof.daemon.policy import Policy
from nodeproof.daemon.publish import Publisher, boottime_ns
from nodeproof.daemon.schedule import Tracked, after, next_of, started
from nodeproof.engine.run import judge
from nodeproof.engine.worker import Reading
from nodeproof.events import Event
from nodeproof.events.rule import REPAIRED
from nodeproof.history import Position
from nodeproof.probes.ledger import Seen
from nodeproof.verdict import Status

HEALTH, COUNTERS, EVENTS = "health", "counters", "events"

#: How long events are gathered before they are judged and published, in seconds: a fault rarely comes as one line.
_GATHER_S = 0.1

#: In a flood they are gathered for longer, so that judging takes no more than this share of the time.
_JUDGING_SHARE, _MOST_GATHER_S = 0.1, 1.0

#: Most events of one delivery that are told one by one.
_MOST_TOLD = 20

#: Results after which an operator's "it is repaired" has not come to its end yet.
_NOT_YET = frozenset({"busy", "error", "held_back", "lost_race", "not_ready", "slurm_error", "unsure"})

_chance = random.SystemRandom().random


class Agent:
    """All that wakes the agent, and what it does then. `say` gets what an administrator should read."""

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
        self.findings = Findings(memory, publisher, specs, lambda: policy.settings, say)
        self.children, self.hung = Children(), Hung()
        self.relations: Mapping[str, tuple[str, ...]] = {}
        self.operator = ""
        self.cpu_s = 0.0
        self.groups: dict[str, Tracked] = {}
        self.unread: Mapping[str, str] = {}
        self.after_pass: Callable[[], None] = _nothing
        self.after_counters: Callable[[int], None] = _nothing
        self.after_reload: Callable[[], Awaitable[None]] = _nothing_yet
        self._seen_only = [s for s in specs.values() if s.facts == (Seen,)]
        self._wake = asyncio.Event()
        self._publishing: asyncio.TimerHandle | None = None
        self._again: asyncio.TimerHandle | None = None
        self._is_event_pass_due = self._is_health_pass_due = self._is_sample_due = False
        self._is_first = self._is_changed = True
        self._is_repaired = False
        self._prolog_failed_at: float | None = None
        self._judged_s = self._judging_s = 0.0
        self._waiting: list[asyncio.Future[None]] = []
        self._start_groups()

    # -- what comes from outside

    def deliver(self, events: Sequence[Event], position: Position | None = None) -> None:
        """Take events of a source: they are kept before this returns."""
        fresh = self.memory.take_events(events, position)
        for event in fresh[:_MOST_TOLD]:
            self.say(f"{event.rule}: {event.text}")
        if len(fresh) > _MOST_TOLD:
            self.say(f"and {len(fresh) - _MOST_TOLD} more events at once")
        self._is_changed |= any(event.rule == "device.added" for event in fresh)
        if fresh and self._publishing is None:
            wait_s = min(_MOST_GATHER_S, max(_GATHER_S, self._judging_s / _JUDGING_SHARE))
            self._publishing = asyncio.get_running_loop().call_later(wait_s, self._judge_events)

    def lose(self, source: str, count: int) -> None:
        self.memory.lost[source] += count
        self.say(f"lost {count} events of {source}")

    def sample(self, *, has_prolog: bool) -> None:
        """Have counters read now, for a job begins or ends. A prolog that the gate refused is ours to explain."""
        self._is_sample_due = True
        if has_prolog and self.findings.refusal.reason:
            self._prolog_failed_at = time.time()
            self._is_event_pass_due = True
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
        self._is_health_pass_due = self._is_first = True
        done = asyncio.get_running_loop().create_future()
        self._waiting.append(done)
        self._wake.set()
        await done

    async def reload(self) -> bool:
        """Read policy again; what is broken is said, and the last good one stays."""
        is_good = await self.policy.load(self.children)
        self.say("policy was read" if is_good else f"policy is broken, the last good one stays: {self.policy.problem}")
        self._start_groups()
        await self.after_reload()
        self._is_health_pass_due = self._is_first = True
        self._wake.set()
        return is_good

    # -- the loop

    async def serve(self) -> None:
        """Do what is due, until cancelled."""
        self.publisher.no_gate()  # of an agent before us: it knows nothing of what happened since
        self._judge_events()
        while True:
            await self._sleep()
            if self._is_event_pass_due:
                self._is_event_pass_due = False
                await self._pass(EVENTS, [s.id for s in self._seen_only])
            elif self._is_sample_due:
                self._is_sample_due = False
                await self._counters()
            elif self._is_health_pass_due:
                await self._health()
            elif (due := next_of(t.group for t in self.groups.values())).due_s <= time.monotonic():
                await (self._health() if due.name == HEALTH else self._counters())

    async def _sleep(self) -> None:
        if self._is_event_pass_due or self._is_sample_due or self._is_health_pass_due:
            return
        wait_s = next_of(t.group for t in self.groups.values()).due_s - time.monotonic()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(max(0.0, wait_s)):  # wait_for of 3.11 can lose that we were told to end
                await self._wake.wait()
        self._wake.clear()

    def _start_groups(self) -> None:
        agent = self.policy.settings.agent
        for name, interval_s in ((HEALTH, agent.interval_s), (COUNTERS, agent.counters_s)):
            group = started(name, interval_s, agent.jitter_share, time.monotonic(), _chance)
            self.groups.setdefault(name, Tracked(group)).group = group

    async def _health(self) -> None:
        """Judge what a health check judges; the first time, and for whoever asks, what a boot check does as well."""
        self._is_health_pass_due = False
        waiting, self._waiting = self._waiting, []
        is_first, self._is_first = self._is_first, False
        try:
            if self._is_changed or self.policy.settings.doubts:  # a GPU's driver may be there only now
                self._is_changed = False
                await self.policy.load(self.children)
            tags = {"healthcheck", "prolog", *(["boot"] if is_first else [])}
            await self._pass(HEALTH, [s.id for s in self.specs.values() if s.tags & tags and "bench" not in s.tags])
        finally:
            for done in waiting:
                if not done.done():
                    done.set_result(None)

    async def _pass(self, name: str, checks: Sequence[str]) -> None:
        """Have checks judged and acted on in a child, and take what came of it."""
        settings, began_s = self.policy.settings, time.monotonic()
        order = Order(
            checks=tuple(checks),
            settings=settings,
            node=self.policy.node,
            state_dir=self.state_dir,
            run_dir=self.publisher.run_dir,
            operator=self.operator,
            is_repaired=self._is_repaired,
            is_whole=name == HEALTH,
            prolog_failed_at=self._prolog_failed_at,
            hung=self.hung.not_to_ask(time.monotonic()),
            relations=self.relations,
        )
        limit_s = settings.budget_s + settings.slurm.timeout_s + WAIT_S + SPARE_S
        report = await self._tracked(name, lambda: carry_out(order), limit_s)
        if isinstance(report, Report):
            self._take(order, report, began_s)

    async def _counters(self) -> None:
        settings, began_ns = self.policy.settings, boottime_ns()
        not_asked = self.hung.not_to_ask(time.monotonic())
        limit_s = settings.budget_s + SPARE_S
        counted = await self._tracked(COUNTERS, lambda: read_counters(fact_types(), settings, not_asked), limit_s)
        if isinstance(counted, Counted):
            for name in counted.unread.keys() - self.unread.keys():
                self.say(f"counters are not read: {counted.unread[name]}")
            self.unread = counted.unread
            self.hung.add(counted.hung - not_asked, time.monotonic())
            self.memory.take_counters(counted.counters)
            self._judge_events()
            self.after_counters(began_ns)

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

    def _take(self, order: Order, report: Report, began_s: float) -> None:
        """Take what a pass found and did. What was seen since it began is judged already, and it knew nothing of it."""
        newer = {s.id for s in self._seen_only} if self._judged_s >= began_s else set[str]()
        self.findings.take([f for f in report.found if f.id not in newer])
        if order.is_whole:
            self.hung.saw(order.hung, report.hung, time.monotonic())
            found = {f.id for f in report.found} | {s.id for s in self._seen_only} | {UNKNOWN}
            self.findings.forget(lambda id_: id_ in found or self._is_of_boot(id_))
            self.findings.judged()
        self.relations = report.relations
        self._is_repaired &= not (order.is_repaired and report.action["result"] not in _NOT_YET)
        if self._prolog_failed_at == order.prolog_failed_at:
            self._prolog_failed_at = None
        self.findings.decided(report)
        self.findings.publish()
        self.after_pass()

    def _is_of_boot(self, check_id: str) -> bool:
        """Tell whether a verdict holds until somebody asks again: what a check at boot found."""
        spec = self.specs.get(check_id)
        return spec is not None and "boot" in spec.tags and "bench" not in spec.tags

    def _judge_events(self) -> None:
        """Judge what was seen, here and now: a gate that fails must not wait for a pass that reads the machine."""
        if self._publishing is not None:
            self._publishing.cancel()
            self._publishing = None
        self._judged_s = time.monotonic()
        ledger, settings = self.memory.ledger(), self.policy.settings
        self.publisher.ledger(ledger)
        readings: dict[type, Reading] = {Seen: Reading(Seen.of(ledger.written_at, ledger), 0.0)}
        before = {s.id: self.findings.status_of(s.id) for s in self._seen_only}
        found = [Found(s.id, judge(s, settings.of(s.id), readings), 0.0) for s in self._seen_only]
        self.findings.take(found)
        self._judge_again_in(again_in_s(found))
        if any(f.verdict.status is Status.FAIL and f.verdict.status > before[f.id] for f in found):
            self._is_event_pass_due = True
            self._wake.set()
        self.findings.publish()
        self._judging_s = time.monotonic() - self._judged_s

    def _judge_again_in(self, wait_s: float) -> None:
        """Judge events once more when time alone makes one of them a finding: a link that does not come back."""
        if wait_s < math.inf:
            if self._again is not None:
                self._again.cancel()
            self._again = asyncio.get_running_loop().call_later(wait_s + _GATHER_S, self._judge_events)


def _nothing(*_: object) -> None:
    return


async def _nothing_yet() -> None:
    return
