"""Wishes carried out on a slurmrestd that keeps what it is told: every trap of the real one, over a real socket."""

import json
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from random import Random
from typing import Any

import pytest

from fake_slurm import CTLD_DOWN, NOT_PRIVILEGED, TIMED_OUT, VERSION, FakeSlurm, Reply, fake_slurm
from nodeproof.policy.settings import GuardSettings, SlurmSettings
from nodeproof.slurm import (
    Client,
    Denied,
    Drained,
    Foreign,
    Free,
    HeldBack,
    LostRace,
    NotReady,
    Outcome,
    Record,
    Resumed,
    Standing,
    Unsure,
    Wish,
    carry_out,
)

ROOMY = GuardSettings(share=1.0, drains=100_000, same_check_nodes=100_000)
TEXT = "fs.mounted: /scratch is not mounted"


@pytest.fixture
def slurm() -> Iterator[FakeSlurm]:
    with fake_slurm() as fake:
        fake.add(*(f"n{k}" for k in range(1, 11)))
        yield fake


@contextmanager
def client(slurm: FakeSlurm, limit_s: float = 5.0, **keys: Any) -> Iterator[Client]:
    with Client(SlurmSettings(url=slurm.url, api_version=VERSION, **keys), limit_s) as made:
        yield made


def drain(name: str = "n1", text: str = TEXT, drain_id: str = "00c0ffee", **keys: Any) -> Wish:
    return Wish(name, "drain", drain_id, text, (text.partition(":")[0],), decided_at=int(time.time()), **keys)


def carried(
    slurm: FakeSlurm,
    *wishes: Wish,
    is_alone: bool = False,
    guard: GuardSettings = GuardSettings(),  # noqa: B008  # a tuple
    limit_s: float = 5.0,
    before_write: Callable[[Wish], None] = lambda _: None,
) -> dict[str, Outcome]:
    with client(slurm, limit_s) as c:
        return carry_out(
            wishes,
            c,
            guard,
            is_alone=is_alone,
            random=Random(1),
            sleep=lambda _: time.sleep(0.01),
            before_write=before_write,
        )


def one(slurm: FakeSlurm, wish: Wish, **keys: Any) -> Outcome:
    return carried(slurm, wish, **keys)[wish.node]


def drained(slurm: FakeSlurm, name: str = "n1") -> Record:
    """Drain a node, and return what is noted of it."""
    outcome = one(slurm, drain(name))
    assert isinstance(outcome, Drained)
    node = outcome.node
    return Record("00c0ffee", node.reason, ("fs.mounted",), node.reason_changed_at, node.reason_user)


def once(reply: Reply) -> Callable[[list[str], dict[str, Any]], Reply | None]:
    """Answer the first write this way, and let the others through."""
    replies = [reply]
    return lambda _names, _changes: replies.pop() if replies else None


def test_a_drain_takes_three_requests_and_is_noted_before_it_is_written(slurm: FakeSlurm) -> None:
    noted: list[tuple[Wish, int]] = []

    outcome = one(slurm, drain(), before_write=lambda wish: noted.append((wish, len(slurm.writes))))

    assert isinstance(outcome, Drained)
    assert outcome.node.reason == f"nodeproof[00c0ffee]: {TEXT}"
    assert [method for method, _ in slurm.requests] == ["GET", "POST", "GET"]
    assert noted == [(drain()._replace(decided_at=noted[0][0].decided_at), 0)]


def test_a_standing_drain_takes_one_request_and_no_write(slurm: FakeSlurm) -> None:
    record = drained(slurm)
    slurm.requests.clear()
    slurm.writes.clear()

    assert isinstance(one(slurm, drain(record=record, drain_id="11111111")), Standing)
    assert len(slurm.requests) == 1
    assert slurm.writes == []


def test_a_drain_that_was_taken_back_by_hand_takes_four(slurm: FakeSlurm) -> None:
    record = drained(slurm)
    slurm.admin("n1", state=["RESUME"])
    slurm.requests.clear()

    assert isinstance(one(slurm, drain(record=record, drain_id="11111111")), Drained)
    assert len(slurm.requests) == 4


def test_our_drain_is_resumed_and_a_down_of_others_stays(slurm: FakeSlurm) -> None:
    record = drained(slurm)
    slurm.admin("n1", state=["DOWN"])

    assert isinstance(one(slurm, Wish("n1", "resume", record=record)), Resumed)
    node = slurm.nodes["n1"]
    assert (node.base, node.flags, node.reason) == ("DOWN", set(), "nodeproof: resumed 00c0ffee")


def test_what_is_not_registered_is_not_resumed(slurm: FakeSlurm) -> None:
    record = drained(slurm)
    slurm.admin("n1", state=["UNKNOWN"])

    assert isinstance(one(slurm, Wish("n1", "resume", record=record)), NotReady)
    assert len(slurm.writes) == 1


def test_an_administrators_drain_gets_a_note_and_loses_it(slurm: FakeSlurm) -> None:
    slurm.admin("n1", state=["DRAIN"], reason="bad fan", extra='{"rack": 7}')
    before = (slurm.nodes["n1"].reason, slurm.nodes["n1"].user, slurm.nodes["n1"].changed_at)

    outcome = one(slurm, drain())
    assert isinstance(outcome, Foreign)
    assert outcome.is_noted
    assert json.loads(slurm.nodes["n1"].extra)["nodeproof"]["finding"] == TEXT
    assert isinstance(one(slurm, drain(was_foreign=True)), Foreign)
    assert len(slurm.writes) == 1

    assert one(slurm, Wish("n1", "unnote")) == Foreign(outcome.node._replace(extra='{"rack": 7}'))
    assert slurm.nodes["n1"].extra == '{"rack": 7}'
    assert (slurm.nodes["n1"].reason, slurm.nodes["n1"].user, slurm.nodes["n1"].changed_at) == before


def test_a_node_that_slurm_does_not_know_is_denied_and_its_neighbours_are_drained(slurm: FakeSlurm) -> None:
    outcomes = carried(slurm, drain("n1"), drain("nope"), drain("n3"), is_alone=True, guard=ROOMY)

    assert isinstance(outcomes["nope"], Denied)
    assert slurm.drained() == ["n1", "n3"]
    assert isinstance(outcomes["n1"], Drained)
    assert isinstance(one(slurm, Wish("nope", "look")), Denied)


def test_a_batch_that_stopped_at_a_node_is_written_again_one_by_one(slurm: FakeSlurm) -> None:
    """A node is removed between reading and writing: Slurm drains what comes before it, and answers an error."""

    def vanish(_names: list[str], _changes: dict[str, Any]) -> None:
        slurm.nodes.pop("n2", None)

    slurm.on_write = vanish

    outcomes = carried(slurm, *(drain(f"n{k}") for k in (1, 2, 3)), is_alone=True, guard=ROOMY)

    assert {name: type(o) for name, o in outcomes.items()} == {"n1": Drained, "n2": Denied, "n3": Drained}
    assert [names for names, _ in slurm.writes] == [["n1", "n2", "n3"], ["n3"]]


def test_a_timeout_that_was_applied_is_a_drain_and_written_once(slurm: FakeSlurm) -> None:
    def hang(names: list[str], changes: dict[str, Any]) -> Reply:
        slurm.later.append(lambda: slurm.apply(names, changes) and None)
        return TIMED_OUT

    slurm.on_write = hang

    assert isinstance(one(slurm, drain()), Drained)
    assert len(slurm.writes) == 1


def test_a_timeout_that_is_applied_late_is_not_written_again(slurm: FakeSlurm) -> None:
    """Slurm goes on only after it was read twice."""

    def hang(names: list[str], changes: dict[str, Any]) -> Reply:
        apply = lambda: slurm.apply(names, changes) and None  # noqa: E731
        slurm.later.append(lambda: slurm.later_still.append(apply))  # type: ignore[attr-defined]
        return TIMED_OUT

    slurm.later_still = []  # type: ignore[attr-defined]
    slurm.on_write = hang
    slurm.on_read = lambda: slurm.later.extend(slurm.later_still) or slurm.later_still.clear()  # type: ignore[attr-defined, func-returns-value]

    outcome = one(slurm, drain())

    assert isinstance(outcome, Drained)
    assert {changes["reason"] for _, changes in slurm.writes} == {outcome.node.reason}


@pytest.mark.parametrize("reply", [TIMED_OUT, CTLD_DOWN])
def test_what_was_not_applied_is_written_again(slurm: FakeSlurm, reply: Reply) -> None:
    slurm.on_write = once(reply)

    assert isinstance(one(slurm, drain()), Drained)
    assert len(slurm.writes) == 2


def test_a_slurmctld_that_stays_away_leaves_it_open(slurm: FakeSlurm) -> None:
    slurm.on_read = lambda: CTLD_DOWN

    outcome = one(slurm, drain(), limit_s=0.3)

    assert isinstance(outcome, Unsure)
    assert "1800" in outcome.words
    assert slurm.writes == []
    assert len(slurm.requests) > 1


def test_what_is_not_urgent_is_not_asked_twice(slurm: FakeSlurm) -> None:
    record = drained(slurm)
    slurm.requests.clear()
    slurm.on_read = lambda: CTLD_DOWN

    assert isinstance(one(slurm, Wish("n1", "resume", record=record)), Unsure)
    assert len(slurm.requests) == 1


def test_an_administrator_who_drains_before_the_second_try_is_not_overwritten(slurm: FakeSlurm) -> None:
    def meanwhile(_names: list[str], _changes: dict[str, Any]) -> Reply | None:
        if len(slurm.writes) > 1:
            return None
        slurm.admin("n1", state=["DRAIN"], reason="bad fan")
        return CTLD_DOWN

    slurm.on_write = meanwhile

    assert isinstance(one(slurm, drain()), Foreign)
    assert slurm.nodes["n1"].reason == "bad fan"


def test_a_drain_that_another_overwrote_is_a_lost_race(slurm: FakeSlurm) -> None:
    def overwritten(names: list[str], changes: dict[str, Any]) -> Reply:
        reply = slurm.apply(names, changes)
        slurm.admin("n1", reason="admin was here")
        return reply

    slurm.on_write = overwritten

    assert isinstance(one(slurm, drain()), LostRace)
    assert len(slurm.writes) == 1


def test_a_resume_that_another_undid_is_a_lost_race(slurm: FakeSlurm) -> None:
    record = drained(slurm)

    def drained_again(names: list[str], changes: dict[str, Any]) -> Reply:
        reply = slurm.apply(names, changes)
        slurm.admin("n1", state=["DRAIN"], reason="stays here")
        return reply

    slurm.on_write = drained_again

    assert isinstance(one(slurm, Wish("n1", "resume", record=record)), LostRace)


def test_who_may_not_write_stops_at_once(slurm: FakeSlurm) -> None:
    slurm.on_write = lambda _names, _changes: NOT_PRIVILEGED
    wishes = [drain(f"n{k}", f"c.n{k}: x", f"0000000{k}") for k in range(1, 5)]

    outcomes = carried(slurm, *wishes, is_alone=True, guard=ROOMY)

    assert {type(o) for o in outcomes.values()} == {Denied}
    assert len(slurm.writes) == 1


def test_a_slurm_that_is_too_old_is_read_and_says_so(slurm: FakeSlurm) -> None:
    slurm.version = "v0.0.38"
    settings = SlurmSettings(url=slurm.url, api_version="v0.0.38")
    with Client(settings, 5.0) as c:
        outcomes = carry_out([drain()], c, ROOMY, is_alone=False, random=Random(1))

    (outcome,) = outcomes.values()
    assert isinstance(outcome, Denied)
    assert "Slurm before 23.02 cannot drain a node through slurmrestd" in outcome.words
    assert slurm.writes == []


def test_the_guard_holds_back_before_anything_is_written(slurm: FakeSlurm) -> None:
    for name in ("n8", "n9"):
        slurm.admin(name, state=["DRAIN"], reason="bad fan")

    outcome = one(slurm, drain())

    assert isinstance(outcome, HeldBack)
    assert outcome.why == "2 of 10 nodes are out of service, the limit is 2"
    assert slurm.writes == []


def test_who_came_too_late_takes_its_drain_back(slurm: FakeSlurm) -> None:
    """Two nodes drain between our reading and our writing."""

    def before_us(_names: list[str], _changes: dict[str, Any]) -> None:
        if len(slurm.writes) == 1:
            for name in ("n8", "n9"):
                changes = {"state": ["DRAIN"], "reason": f"nodeproof[0000000{name[1]}]: {TEXT}"}
                slurm.nodes[name].change(changes, slurm.user, int(time.time()) - 2)

    slurm.on_write = before_us

    outcome = one(slurm, drain())

    assert isinstance(outcome, HeldBack)
    assert slurm.drained() == ["n8", "n9"]
    assert slurm.nodes["n1"].reason == "nodeproof: resumed 00c0ffee"


def test_a_drain_whose_answer_was_lost_is_still_held_to_the_budget(slurm: FakeSlurm) -> None:
    for name in ("n7", "n8", "n9"):
        changes = {"state": ["DRAIN"], "reason": f"nodeproof[0000000{name[1]}]: {TEXT}"}
        slurm.nodes[name].change(changes, slurm.user, int(time.time()) - 2 + (name == "n9"))
    open_record = Record("00000009", slurm.nodes["n9"].reason, ("fs.mounted",))

    outcome = one(slurm, drain("n9", record=open_record))

    assert isinstance(outcome, HeldBack)
    assert slurm.drained() == ["n7", "n8"]
    assert isinstance(one(slurm, drain("n8", record=open_record)), Standing)


def test_the_controller_takes_nothing_back(slurm: FakeSlurm) -> None:
    guard = GuardSettings()

    outcomes = carried(slurm, *(drain(f"n{k}") for k in range(1, 5)), is_alone=True, guard=guard)

    kinds = Counter(type(o) for o in outcomes.values())
    assert kinds == {Drained: 2, HeldBack: 2}
    assert slurm.drained() == ["n1", "n2"]


def test_nodes_with_one_text_share_an_id_and_one_request(slurm: FakeSlurm) -> None:
    wishes = [drain(f"n{k}", drain_id=f"0000000{k}") for k in range(1, 5)]
    noted: list[str] = []

    outcomes = carried(slurm, *wishes, is_alone=True, guard=ROOMY, before_write=lambda w: noted.append(w.id))

    assert [names for names, _ in slurm.writes] == [["n1", "n2", "n3", "n4"]]
    assert noted == ["00000001"] * 4
    records = {
        name: Record("00000001", o.node.reason, ("fs.mounted",), o.node.reason_changed_at, o.node.reason_user)
        for name, o in outcomes.items()
        if isinstance(o, Drained)
    }
    slurm.writes.clear()
    back = carried(slurm, *(Wish(n, "resume", record=r) for n, r in records.items()), is_alone=True, guard=ROOMY)
    assert {type(o) for o in back.values()} == {Resumed}
    assert len(slurm.writes) == 1


def test_a_thousand_nodes_with_one_reason_take_six_requests() -> None:
    with fake_slurm() as slurm:
        names = [f"n{k:04}" for k in range(1000)]
        slurm.add(*names)

        outcomes = carried(slurm, *map(drain, names), is_alone=True, guard=ROOMY, limit_s=20.0)

        assert {type(o) for o in outcomes.values()} == {Drained}
        assert len(slurm.requests) == 6
        assert len(slurm.drained()) == 1000


def test_wishes_of_all_kinds_go_together(slurm: FakeSlurm) -> None:
    first, second = drained(slurm, "n1"), drained(slurm, "n2")
    slurm.admin("n3", state=["DRAIN"], reason="bad fan")
    slurm.admin("n4", state=["DOWN"], reason="dead")
    slurm.requests.clear()

    outcomes = carried(
        slurm,
        Wish("n1", "resume", record=first),
        Wish("n2", "look", record=second),
        drain("n3"),
        Wish("n5", "look", record=first),
        drain("n6"),
        is_alone=True,
        guard=ROOMY,
    )

    assert {name: type(o) for name, o in outcomes.items()} == {
        "n1": Resumed,
        "n2": Standing,
        "n3": Foreign,
        "n5": Free,
        "n6": Drained,
    }
    assert len(slurm.requests) == 5


@pytest.mark.parametrize("same_check", [5, 1000])
def test_of_many_nodes_that_fail_at_once_no_more_than_the_budget_stays_drained(same_check: int) -> None:
    """Each writes for itself and knows of no other: what is too much is taken back by who came too late."""
    guard = GuardSettings(share=0.05, drains=1000, same_check_nodes=same_check)
    with fake_slurm() as slurm:
        names = [f"n{k:03}" for k in range(200)]
        slurm.add(*names)

        def fails(name: str) -> Outcome:
            seed = int(name[1:])
            wish = drain(name, drain_id=f"{seed:08x}")
            with client(slurm, 60.0) as c:
                random = Random(seed)
                time.sleep(random.uniform(0.0, 0.5))
                return carry_out([wish], c, guard, is_alone=False, random=random)[name]

        with ThreadPoolExecutor(32) as pool:
            outcomes = dict(zip(names, pool.map(fails, names), strict=True))

        kept = sorted(name for name, o in outcomes.items() if isinstance(o, Drained))
        assert Counter(type(o) for o in outcomes.values() if not isinstance(o, Drained)) == {HeldBack: 200 - len(kept)}
        assert kept == slurm.drained()
        assert len(kept) <= min(10, same_check)
        assert kept


def test_the_writer_of_a_lost_drain_is_our_account(slurm: FakeSlurm, tmp_path: Path) -> None:
    token = tmp_path / "token"
    token.touch(0o600)
    token.write_text("secret")
    record = drained(slurm)._replace(reason_changed_at=None, user="")
    slurm.nodes["n1"].user = "jane"

    with client(slurm, token_file=str(token), user_name="nodeproof") as c:
        wish = Wish("n1", "resume", record=record)
        assert isinstance(carry_out([wish], c, ROOMY, is_alone=False, random=Random(1))["n1"], Foreign)
        slurm.nodes["n1"].user = "nodeproof"
        assert isinstance(carry_out([wish], c, ROOMY, is_alone=False, random=Random(1))["n1"], Resumed)
