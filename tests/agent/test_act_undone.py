"""What `act` could not do at once: lost answers, a Slurm that is away, and a prolog that had to fail alone."""

import re
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from acting import MOUNTED, SICK, SMT, Node, goes_on, hangs
from fake_slurm import CTLD_DOWN, FakeSlurm, fake_slurm
from nodeproof.act import note_prolog_failure
from nodeproof.state import Store
from nodeproof.verdict import Status


@pytest.fixture
def slurm() -> Iterator[FakeSlurm]:
    with fake_slurm() as fake:
        fake.add(*(f"n{k}" for k in range(1, 9)))
        yield fake


@pytest.fixture
def node(tmp_path: Path, slurm: FakeSlurm) -> Node:
    return Node(tmp_path / "state", slurm)


@pytest.mark.parametrize("is_applied", [True, False])
def test_a_lost_answer_loses_no_drain_and_does_nothing_twice(node: Node, *, is_applied: bool) -> None:
    hangs(node.slurm, is_applied=is_applied)

    done = node.act()

    assert (done["intent"], done["result"], done["is_error"]) == ("drain", "unsure", True)
    assert node.heard == [done["summary"]]
    assert str(done["summary"]).startswith("cannot drain n1 (fs.mounted failed: /scratch is not mounted): ")
    reason = node.saved()["drain"]["reason"]
    assert node.saved()["drain"]["reason_changed_at"] is None

    goes_on(node.slurm)
    assert node.act()["result"] == ("already_drained" if is_applied else "drained")
    assert (node.slurm.nodes["n1"].reason == reason) is is_applied
    assert node.saved()["drain"]["reason_changed_at"] == node.slurm.nodes["n1"].changed_at
    assert "wanted" not in node.saved()


def test_a_lost_drain_of_a_node_that_has_recovered_is_taken_back(node: Node) -> None:
    hangs(node.slurm, is_applied=True)
    node.act()
    goes_on(node.slurm)

    assert [node.act(Status.OK)["result"] for _ in range(3)] == ["already_drained", "resumed", "nothing"]


def test_a_drain_that_slurm_never_heard_of_is_carried_out_by_a_pass_that_judged_other_things(node: Node) -> None:
    node.slurm.on_read = lambda: CTLD_DOWN
    assert node.act()["result"] == "unsure"
    assert node.saved()["wanted"]["text"] == f"fs.mounted: {SICK}"
    assert "drain" not in node.saved()

    assert node.judged({SMT: Status.OK})["result"] == "unsure"
    goes_on(node.slurm)
    done = node.judged({SMT: Status.OK})

    assert (done["intent"], done["result"]) == ("drain", "drained")
    assert done["reason"].endswith(f": fs.mounted: {SICK}")
    assert node.saved()["drain"]["checks"] == [MOUNTED]


def test_a_drain_that_slurm_never_heard_of_waits_while_its_check_cannot_tell(node: Node) -> None:
    node.slurm.on_read = lambda: CTLD_DOWN
    node.act()
    goes_on(node.slurm)

    assert node.act(Status.UNKNOWN)["result"] == "nothing"
    assert node.slurm.requests == []
    assert node.saved()["wanted"]
    assert node.judged({SMT: Status.OK})["result"] == "drained"


@pytest.mark.parametrize("status", [Status.OK, Status.WARN])
def test_a_drain_that_slurm_never_heard_of_ends_when_its_check_passes(node: Node, status: Status) -> None:
    node.slurm.on_read = lambda: CTLD_DOWN
    node.act()
    goes_on(node.slurm)

    assert node.act(status)["result"] == "nothing"
    assert node.slurm.requests == []
    assert "wanted" not in node.saved()


def test_a_drain_that_slurm_never_heard_of_ends_with_the_policy_for_it(node: Node) -> None:
    node.slurm.on_read = lambda: CTLD_DOWN
    node.act()
    goes_on(node.slurm)
    node.mode = "observe"
    node.judged({SMT: Status.OK})
    node.mode = "enforce"

    assert node.judged({SMT: Status.OK})["result"] == "nothing"


def test_the_latest_wish_wins(node: Node) -> None:
    node.slurm.on_read = lambda: CTLD_DOWN
    node.act()
    node.act(summary="/home is not mounted")
    goes_on(node.slurm)

    assert "/home is not mounted" in node.judged({SMT: Status.OK})["reason"]


def test_a_resume_that_could_not_be_asked_for_follows_from_the_next_verdicts(node: Node) -> None:
    node.drain()
    node.act(Status.OK)
    node.slurm.on_read = lambda: CTLD_DOWN
    assert node.act(Status.OK)["result"] == "unsure"
    assert "wanted" not in node.saved()
    goes_on(node.slurm)

    assert node.act(Status.UNKNOWN)["result"] == "already_drained"
    assert [node.act(Status.OK)["result"] for _ in range(2)] == ["already_drained", "resumed"]


def test_a_node_that_has_not_registered_stays_drained_until_it_has(node: Node) -> None:
    node.drain()
    node.act(Status.OK)
    node.slurm.nodes["n1"].base = "UNKNOWN"
    assert node.act(Status.OK)["result"] == "not_ready"
    node.slurm.nodes["n1"].base = "IDLE"

    assert node.act(Status.OK)["result"] == "resumed"


def prolog_error(node: Node, after_s: int = 0) -> None:
    changes = {"state": ["DRAIN"], "reason": "Prolog error"}
    node.slurm.nodes["n1"].change(changes, "slurm", int(time.time()) + after_s)


def test_a_prolog_error_of_our_own_becomes_ours_and_is_taken_back(node: Node) -> None:
    node.slurm.on_read = lambda: CTLD_DOWN
    node.act(limit_s=0.2)
    assert note_prolog_failure(str(node.state_dir), time.time()) == []
    goes_on(node.slurm)
    prolog_error(node)

    done = node.act()

    assert done["result"] == "adopted"
    assert re.fullmatch(rf"nodeproof\[[0-9a-f]{{8}}\]: fs\.mounted: {SICK}", node.slurm.nodes["n1"].reason)
    assert "prolog_failed_at" not in node.saved()
    assert [node.act(Status.OK)["result"] for _ in range(2)] == ["already_drained", "resumed"]


def test_a_prolog_error_of_a_node_that_has_recovered_becomes_ours_all_the_same(node: Node) -> None:
    """Else it would wait for an administrator, for a fault that nobody finds any more."""
    node.slurm.on_read = lambda: CTLD_DOWN
    node.act(limit_s=0.2)
    note_prolog_failure(str(node.state_dir), time.time())
    goes_on(node.slurm)
    prolog_error(node)

    assert [node.act(Status.OK)["result"] for _ in range(3)] == ["adopted", "resumed", "nothing"]


def test_a_node_that_slurm_did_not_drain_for_our_prolog_is_left_in_service(node: Node) -> None:
    node.slurm.on_read = lambda: CTLD_DOWN
    node.act(limit_s=0.2)
    note_prolog_failure(str(node.state_dir), time.time() - 130)
    goes_on(node.slurm)

    assert node.act(Status.OK)["result"] == "already_resumed"
    assert node.act(Status.OK)["result"] == "nothing"
    assert node.states() == []


@pytest.mark.parametrize("reason", ["Prolog error", "Epilog error", "Kill task failed"])
def test_other_drains_of_slurm_are_never_ours(node: Node, reason: str) -> None:
    prolog_error(node)
    node.slurm.nodes["n1"].reason = reason
    if reason != "Prolog error":
        note_prolog_failure(str(node.state_dir), time.time())

    assert node.act()["result"] == "left_alone"
    assert [node.act(Status.OK)["result"] for _ in range(3)] == ["unnoted", "nothing", "nothing"]
    assert node.slurm.nodes["n1"].reason == reason


def test_a_prolog_that_fails_beside_another_run_says_so(node: Node) -> None:
    with Store(str(node.state_dir)).locked():
        (warning,) = note_prolog_failure(str(node.state_dir), time.time(), wait_s=0.05)

    assert warning == f"another run holds {node.state_dir}: a drain by this prolog will not be ours"
