"""The agent's loop from within: what was seen while a pass ran, and what only time makes a finding."""

import asyncio
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from nodeproof.check import registry
from nodeproof.daemon.agent import Agent
from nodeproof.daemon.answers import NOTHING_DONE
from nodeproof.daemon.gate import read
from nodeproof.daemon.judging import Found, Order, Report
from nodeproof.daemon.memory import Memory
from nodeproof.daemon.policy import Policy
from nodeproof.daemon.publish import Publisher, boottime_ns
from nodeproof.daemon.refusal import Refusal
from nodeproof.events import Event
from nodeproof.history import History
from nodeproof.policy.settings import CheckSettings
from nodeproof.verdict import Status, fail, ok

BOOT = "11111111-2222-3333-4444-555555555555"


@pytest.fixture
def agent(tmp_path: Path) -> Iterator[Agent]:
    """Make an agent that has judged once, and looks at nothing by itself."""
    for name in ("run", "state"):
        (tmp_path / name).mkdir(mode=0o700)
    run_dir, state_dir = str(tmp_path / "run"), str(tmp_path / "state")
    history, policy = History(state_dir), Policy(None)
    policy.settings = policy.settings._replace(
        checks={"device.link_down": CheckSettings(parameters={"max_down_s": 0.5})}
    )
    memory = Memory(history, BOOT, time.time() - 100)
    made = Agent(policy, memory, Publisher(run_dir, print), registry(), state_dir, print)
    made.findings.judged()
    yield made
    history.close()


def xid(sequence: int) -> Event:
    words = "NVRM: Xid (PCI:0000:3b:00): 79, GPU has fallen off the bus."
    return Event("event.xid", time.time(), BOOT, "kmsg", words, "pci:0000:3b:00.0", "79", sequence)


def order(agent: Agent) -> Order:
    return Order((), agent.policy.settings, "n1", agent.state_dir, agent.publisher.run_dir)


def of_a_pass() -> Report:
    """Return what a pass comes to that saw no XID."""
    found = tuple(Found(id_, ok("none was seen"), 0.0) for id_ in ("event.xid", "kernel.taint"))
    return Report(found, {**NOTHING_DONE, "reason": ""}, Refusal(), {}, 0.0)


def test_a_pass_that_began_before_an_event_does_not_say_that_there_was_none(agent: Agent) -> None:
    async def play() -> None:
        began_s = time.monotonic()
        agent.deliver([xid(1)])
        agent._judge_events()
        agent._take(order(agent), of_a_pass(), began_s)

    asyncio.run(play())

    assert agent.findings.known["event.xid"].verdict.status is Status.FAIL
    assert agent.findings.known["kernel.taint"].verdict.status is Status.OK
    assert read(agent.publisher.run_dir).healthcheck.exit_code == 1


def test_a_pass_that_began_before_a_repair_does_not_undo_it(agent: Agent) -> None:
    async def play() -> None:
        agent.deliver([xid(1)])
        agent._judge_events()
        old = Found("event.xid", agent.findings.known["event.xid"].verdict, 0.0)
        began_s = time.monotonic()
        repaired = asyncio.ensure_future(agent.judged_now(is_repaired=True))
        await asyncio.sleep(0)
        agent._take(order(agent)._replace(is_whole=False), of_a_pass()._replace(found=(old,)), began_s)
        repaired.cancel()

    asyncio.run(play())

    assert agent.findings.known["event.xid"].verdict.status is Status.OK
    assert read(agent.publisher.run_dir).healthcheck.exit_code == 0


def test_a_pass_that_began_after_what_was_seen_has_the_last_word(agent: Agent) -> None:
    async def play() -> None:
        agent.deliver([xid(1)])
        agent._judge_events()
        agent._take(order(agent), of_a_pass(), time.monotonic() + 1e-6)

    asyncio.run(play())

    assert agent.findings.known["event.xid"].verdict.status is Status.OK


def test_a_link_that_does_not_come_back_is_a_finding_without_another_event(agent: Agent) -> None:
    def link(rule: str, **fields: str) -> Event:
        fields |= {"at": f"{time.time():.6f}"}
        return Event(rule, time.time(), BOOT, "rtnetlink", "eth0 lost its link", "nic:eth0", fields=fields)

    async def play() -> None:
        present = link("device.present", parts="nic:eth0", whole="nic:eth0")
        agent.deliver([present._replace(part="", variant="rtnetlink")])
        agent.deliver([link("device.link_down", nic="eth0")])
        agent._judge_events()
        assert agent.findings.known["device.link_down"].verdict.status is Status.OK
        until_s = time.monotonic() + 30
        while agent.findings.known["device.link_down"].verdict.status is Status.OK:
            assert time.monotonic() < until_s
            await asyncio.sleep(0.05)

    asyncio.run(play())

    assert agent.findings.known["device.link_down"].verdict.status is Status.FAIL


def test_what_no_pass_judges_any_more_is_no_finding(agent: Agent) -> None:
    """A benchmark that was judged only because our drain stood for it; a finding of our own that is over."""

    async def play() -> None:
        bad = [Found(id_, fail("slow"), 0.0) for id_ in ("memory.triad", "nodeproof.plugin", "memory.dimms")]
        agent._take(order(agent), of_a_pass()._replace(found=tuple(bad)), time.monotonic())
        agent._take(order(agent), of_a_pass(), time.monotonic())

    asyncio.run(play())

    assert set(agent.findings.known) >= {"kernel.taint", "memory.dimms"}  # the latter is of the boot
    assert not {"memory.triad", "nodeproof.plugin"} & set(agent.findings.known)
    assert agent.memory.history.standings()["nodeproof.plugin"].status == "ok"


def test_the_same_decision_is_told_once(agent: Agent, capsys: pytest.CaptureFixture[str]) -> None:
    async def play() -> None:
        for n in range(3):
            words = f"would drain n1: nodeproof[{n:08x}]: event.xid: 0000:3b:00.0: XID 79, last {n} s ago"
            action = {**NOTHING_DONE, "intent": "drain", "result": "would_drain", "summary": words, "reason": words}
            agent._take(order(agent), of_a_pass()._replace(action=action), time.monotonic())

    asyncio.run(play())

    assert capsys.readouterr().out.count("would drain n1") == 1
    assert agent.findings.actions == {"would_drain": 3}


def test_the_gate_of_an_agent_before_us_is_taken_away_and_none_stands_in_for_it(agent: Agent) -> None:
    agent.findings.publish()
    assert read(agent.publisher.run_dir).healthcheck.exit_code == 0
    agent.findings._judged_ns = None

    async def play() -> None:
        serving = asyncio.ensure_future(agent.serve())
        await asyncio.sleep(0)
        assert not (Path(agent.publisher.run_dir) / "gate").exists()
        serving.cancel()

    asyncio.run(play())


def test_an_answer_that_is_too_old_is_taken_away(agent: Agent) -> None:
    agent.findings.publish()
    agent.findings._judged_ns = boottime_ns() - int(agent.policy.settings.agent.interval_s * 3e9)

    agent.findings.publish()

    assert not (Path(agent.publisher.run_dir) / "gate").exists()


def test_a_repair_is_not_over_before_slurm_has_heard_of_it(agent: Agent) -> None:
    async def play(result: str) -> bool:
        agent._is_repaired = True
        action = {**NOTHING_DONE, "result": result, "reason": ""}
        asked = order(agent)._replace(is_repaired=True)
        agent._take(asked, of_a_pass()._replace(action=action), time.monotonic())
        return agent._is_repaired

    assert asyncio.run(play("not_ready"))
    assert asyncio.run(play("slurm_error"))
    assert not asyncio.run(play("resumed"))


def test_a_prolog_that_the_gate_refused_is_explained_by_the_next_pass(agent: Agent) -> None:
    async def play() -> None:
        agent.sample(has_prolog=True)
        assert agent._prolog_failed_at is None
        agent.findings.refusal = Refusal("nodeproof[1]: x.y: z", is_drained=True)
        agent.sample(has_prolog=False)
        assert agent._prolog_failed_at is None
        agent.sample(has_prolog=True)

    asyncio.run(play())

    assert agent._prolog_failed_at is not None
    assert agent._is_event_pass_due


def test_told_to_end_in_the_moment_of_a_wake_up_it_ends(agent: Agent) -> None:
    async def play() -> None:
        for group in agent.groups.values():
            group.group = group.group._replace(due_s=time.monotonic() + 3600)
        serving = asyncio.ensure_future(agent.serve())
        await asyncio.sleep(0.05)
        agent._wake.set()
        await asyncio.sleep(0)
        serving.cancel()
        done, _ = await asyncio.wait({serving}, timeout=10)
        assert done, "it goes on"
        assert serving.cancelled()

    asyncio.run(play())
