"""Batches of wishes, what the guard is told of them, what is believed of them, and what the journal says."""

import asyncio
import threading
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence

import pytest

from nodeproof.controller.allowance import Allowance, Log
from nodeproof.controller.batch import Batches, Demand, Stopping
from nodeproof.controller.carrier import lines_of
from nodeproof.controller.trust import believed
from nodeproof.slurm import (
    Denied,
    Drained,
    Foreign,
    Free,
    HeldBack,
    LostRace,
    Node,
    NotReady,
    Outcome,
    Record,
    Resumed,
    Standing,
    Unsure,
    Wish,
)

OURS = "nodeproof[00c0ffee]: fs.mounted: gone"


def drain(node: str, text: str = "fs.mounted: gone") -> Wish:
    return Wish(node, "drain", "00c0ffee", text, (text.partition(":")[0],))


def node(name: str, *, reason: str = "", user: str = "", drained: bool = False) -> Node:
    return Node(name, "IDLE", frozenset({"DRAIN"} if drained else ()), reason, user, 0, "")


# Demand


def test_demand_counts_nodes_over_batches() -> None:
    demand = Demand(window_s=600)

    assert demand.counted([drain("n1")], 0) == {"fs.mounted": 1}
    assert demand.counted([drain("n2"), drain("n3", "gpu.count: 7")], 1) == {"fs.mounted": 2, "gpu.count": 1}
    assert demand.counted([drain("n1")], 2) == {"fs.mounted": 2, "gpu.count": 1}


def test_demand_is_of_nodes_in_service() -> None:
    demand = Demand(window_s=600)
    demand.counted([drain(f"n{k}") for k in range(1, 7)], 0)

    outcomes: dict[str, Outcome] = {
        "n1": Drained(node("n1")),
        "n2": Standing(node("n2")),
        "n3": Foreign(node("n3")),
        "n4": HeldBack(node("n4"), "x"),
        "n5": Unsure("x"),
        "n6": LostRace(node("n6")),
    }
    demand.settled(outcomes)

    assert demand.counted([], 1) == {"fs.mounted": 3}


def test_demand_ends_when_a_node_wants_something_else_and_when_it_is_silent() -> None:
    demand = Demand(window_s=600)
    demand.counted([drain("n1"), drain("n2")], 0)
    demand.counted([drain("n3")], 500)

    assert demand.counted([Wish("n2", "look"), drain("n3", "gpu.count: 7")], 599) == {"fs.mounted": 1, "gpu.count": 1}
    assert demand.counted([], 600) == {"gpu.count": 1}


# Batches


class Slurm:
    """Stands for slurmrestd: notes the batches, and holds each up until it is let go."""

    def __init__(self) -> None:
        self.batches: list[tuple[list[str], dict[str, int]]] = []
        self.asked = threading.Event()
        self.go = threading.Event()
        self.go.set()

    def carry_out(self, wishes: Sequence[Wish], demand: Mapping[str, int]) -> Mapping[str, Outcome]:
        self.batches.append(([w.node for w in wishes], dict(demand)))
        self.asked.set()
        self.go.wait(10)
        return {w.node: Drained(node(w.node, reason=w.reason)) for w in wishes}


def with_batches(slurm: Slurm, work: Callable[[Batches], Awaitable[None]], batch_s: float = 0.05) -> None:
    async def all_of_it() -> None:
        batches = Batches(slurm.carry_out, Demand(600), batch_s)
        running = asyncio.create_task(batches.run())
        await work(batches)
        batches.stop()
        await running

    asyncio.run(all_of_it())


def test_wishes_that_arrive_together_are_one_batch() -> None:
    slurm = Slurm()

    async def work(batches: Batches) -> None:
        outcomes = await asyncio.gather(*(batches.outcome(drain(f"n{k}")) for k in range(100)))
        assert [o.node.name for o in outcomes if isinstance(o, Drained)] == [f"n{k}" for k in range(100)]

    with_batches(slurm, work)
    assert [(len(names), demand) for names, demand in slurm.batches] == [(100, {"fs.mounted": 100})]


def test_a_batch_waits_while_others_still_arrive_but_not_for_ever() -> None:
    slurm = Slurm()

    async def work(batches: Batches) -> None:
        promises = []
        for k in range(30):
            promises.append(asyncio.create_task(batches.outcome(drain(f"n{k}"))))
            await asyncio.sleep(0.02)
        await asyncio.gather(*promises)

    with_batches(slurm, work)
    assert 2 <= len(slurm.batches) <= 5
    assert len(slurm.batches[0][0]) >= 8


def test_what_arrives_meanwhile_is_the_next_batch() -> None:
    slurm = Slurm()
    slurm.go.clear()

    async def work(batches: Batches) -> None:
        first = asyncio.create_task(batches.outcome(drain("n1")))
        await asyncio.to_thread(slurm.asked.wait, 5)
        second = [asyncio.create_task(batches.outcome(drain(f"n{k}"))) for k in (2, 3)]
        await asyncio.sleep(0.2)
        assert len(slurm.batches) == 1
        slurm.go.set()
        await asyncio.gather(first, *second)

    with_batches(slurm, work)
    assert [names for names, _ in slurm.batches] == [["n1"], ["n2", "n3"]]


def test_of_two_wishes_of_a_node_the_later_counts() -> None:
    slurm = Slurm()

    async def work(batches: Batches) -> None:
        earlier = asyncio.create_task(batches.outcome(drain("n1")))
        await asyncio.sleep(0)
        later = await batches.outcome(drain("n1", "gpu.count: 7"))
        assert await earlier == Unsure("n1 has asked again since")
        assert isinstance(later, Drained)
        assert later.node.reason.endswith("gpu.count: 7")

    with_batches(slurm, work)
    assert slurm.batches == [(["n1"], {"gpu.count": 1})]


def test_stopping_finishes_the_batch_at_hand_and_lets_go_of_the_rest() -> None:
    slurm = Slurm()
    slurm.go.clear()

    async def work(batches: Batches) -> None:
        first = asyncio.create_task(batches.outcome(drain("n1")))
        await asyncio.to_thread(slurm.asked.wait, 5)
        second = asyncio.create_task(batches.outcome(drain("n2")))
        await asyncio.sleep(0)
        batches.stop()
        with pytest.raises(Stopping):
            await second
        with pytest.raises(Stopping):
            await batches.outcome(drain("n3"))
        slurm.go.set()
        assert isinstance(await first, Drained)

    with_batches(slurm, work)


def test_stopping_does_not_wait_for_others_to_arrive() -> None:
    async def work(batches: Batches) -> None:
        waiting = asyncio.create_task(batches.outcome(drain("n1")))
        await asyncio.sleep(0.05)
        batches.stop()
        with pytest.raises(Stopping):
            await waiting

    started_s = time.monotonic()
    with_batches(Slurm(), work, batch_s=60)
    assert time.monotonic() - started_s < 5


# Trust

ADMINS = Record("00c0ffee", "bad fan, ticket 17", (), 1_700_000_000, "jane")


@pytest.mark.parametrize(
    ("record", "account", "is_believed"),
    [
        (Record("00c0ffee", OURS, (), 1_700_000_000, "nodeproof"), "nodeproof", True),
        (Record("00c0ffee", OURS, (), 1_700_000_000, "root"), "", True),
        (Record("00c0ffee", OURS, ()), "nodeproof", True),
        (Record("00c0ffee", OURS, (), 1_700_000_000, "jane"), "nodeproof", False),
        (ADMINS, "nodeproof", False),
        (ADMINS, "", False),
        (ADMINS._replace(user="nodeproof"), "nodeproof", False),
        (ADMINS._replace(reason_changed_at=None), "nodeproof", False),
    ],
)
def test_a_record_of_somebody_elses_drain_is_not_believed(record: Record, account: str, is_believed: bool) -> None:
    wish = Wish("n1", "resume", record=record)

    assert believed(wish, account) == (wish if is_believed else wish._replace(record=None))


@pytest.mark.parametrize("text", ["a.b: $(reboot)", "a.b: `id`", "a.b: 'x'", 'a.b: "', "a.b: a|b", "a.b: \\n"])
def test_a_text_that_a_shell_would_read_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="unsafe in a reason"):
        believed(drain("n1", text), "nodeproof")


# What the journal says


def test_the_journal_says_the_same_of_many_nodes_once() -> None:
    outcomes: dict[str, Outcome] = {f"n{k}": Drained(node(f"n{k}", reason=OURS)) for k in range(1, 100)}
    outcomes |= {f"x{k}": HeldBack(node(f"x{k}"), "12 of 100 nodes are out of service") for k in range(1, 4)}

    assert lines_of(outcomes) == [
        ("drained", f"drained n[1-99]: {OURS}"),
        ("held back", "held back x[1-3]: 12 of 100 nodes are out of service"),
    ]


@pytest.mark.parametrize(
    ("outcome", "line"),
    [
        (Drained(node("n1", reason=OURS), is_adopted=True), f"adopted n1: {OURS}"),
        (Resumed(node("n1")), "resumed n1"),
        (
            Foreign(node("n1", reason="bad fan", user="jane", drained=True)),
            "left alone n1: IDLE+DRAIN by jane (bad fan)",
        ),
        (LostRace(node("n1")), "lost a race on n1: IDLE by nobody (no reason)"),
        (NotReady(node("n1")), "not ready to be resumed n1: its slurmd has not registered"),
        (Unsure("HTTP 504"), "unsure of n1: HTTP 504"),
        (Denied("Invalid user id"), "denied n1: Invalid user id"),
    ],
)
def test_the_journal_says_what_became_of_a_wish(outcome: Outcome, line: str) -> None:
    assert [said for _, said in lines_of({"n1": outcome})] == [line]


def test_the_journal_says_nothing_of_what_did_not_change() -> None:
    assert lines_of({"n1": Standing(node("n1")), "n2": Free(node("n2"))}) == []


def test_an_allowance_is_a_burst_and_then_a_trickle() -> None:
    allowance = Allowance(3, every_s=5)

    assert [allowance.take("n1", 0) for _ in range(5)] == [True, True, True, False, False]
    assert allowance.take("n2", 0)
    assert [allowance.take("n1", now) for now in (4, 5, 6, 10)] == [False, True, False, True]
    assert [allowance.take("n1", 100) for _ in range(4)] == [True, True, True, False]


def test_nobody_floods_the_journal() -> None:
    lines: list[str] = []
    log = Log(lines.append)

    for k in range(1000):
        log.say(f"refused {k}\nforged: line", "credential")
    log.say("drained n1", "drained")

    assert len(lines) == 51
    assert lines[0] == "refused 0?forged: line"
    assert lines[-1] == "drained n1"
