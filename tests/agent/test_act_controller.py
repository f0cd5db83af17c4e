"""`act` through a drain controller: the same as without, but that the node holds no token and asks Slurm nothing."""

import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from acting import SICK, Node, goes_on, hangs
from controlled import Controller, Site, controlling
from fake_slurm import VERSION, FakeSlurm, fake_slurm
from nodeproof.act import note_prolog_failure
from nodeproof.policy.settings import SlurmSettings
from nodeproof.verdict import Status


@pytest.fixture
def slurm() -> Iterator[FakeSlurm]:
    with fake_slurm() as fake:
        fake.add(*(f"n{k}" for k in range(1, 9)))
        yield fake


@pytest.fixture
def controller(tmp_path: Path, slurm: FakeSlurm) -> Iterator[Controller]:
    site = Site(tmp_path, slurm.url, api_version=VERSION)
    site.slurm["timeout_s"] = 1.5
    site.write()
    with controlling(site) as controller:
        yield controller


@pytest.fixture
def node(tmp_path: Path, slurm: FakeSlurm, controller: Controller) -> Node:
    node = Node(tmp_path / "state", slurm)
    node.to = SlurmSettings(timeout_s=10)
    node.controller = controller.node("n1")
    return node


def test_a_fault_drains_and_its_repair_resumes(node: Node) -> None:
    reason = node.drain()
    assert node.slurm.nodes["n1"].reason == reason == node.saved()["drain"]["reason"]
    assert node.saved()["drain"]["reason_changed_at"] == node.slurm.nodes["n1"].changed_at

    assert [node.act()["result"] for _ in range(2)] == ["already_drained"] * 2
    assert [node.act(Status.OK)["result"] for _ in range(3)] == ["already_drained", "resumed", "nothing"]
    assert node.states() == [["DRAIN"], ["UNDRAIN"]]
    assert node.slept_s == []


def test_a_healthy_node_asks_the_controller_nothing(node: Node) -> None:
    node.controller = node.controller._replace(url="https://127.0.0.1:1")

    assert node.act(Status.OK)["result"] == "nothing"


def test_what_is_somebody_elses_gets_a_note_and_loses_it(node: Node) -> None:
    node.slurm.admin("n1", state=["DRAIN"], reason="ticket 17", extra='{"rack": 7}')

    assert [node.act()["result"] for _ in range(2)] == ["left_alone"] * 2
    assert SICK in node.slurm.nodes["n1"].extra
    assert [node.act(Status.OK)["result"] for _ in range(2)] == ["unnoted", "nothing"]
    assert node.slurm.nodes["n1"].extra == '{"rack": 7}'


def test_the_controller_is_asked_anew_what_its_guard_held_back(node: Node) -> None:
    for name in ("n7", "n8"):
        node.slurm.admin(name, state=["DRAIN"], reason="bad fan")
    assert [node.act()["result"] for _ in range(2)] == ["held_back"] * 2
    node.slurm.admin("n8", state=["RESUME"])

    assert node.act()["result"] == "drained"


def test_an_answer_that_is_lost_on_its_way_loses_no_drain(node: Node, controller: Controller) -> None:
    node.to = SlurmSettings(timeout_s=0.5)
    hangs(node.slurm, is_applied=True)
    assert node.act()["result"] == "unsure"
    assert node.saved()["drain"]["reason_changed_at"] is None
    controller.wait_for("unsure of n1", 30)
    goes_on(node.slurm)
    node.to = SlurmSettings(timeout_s=10)

    assert node.act()["result"] == "already_drained"
    assert node.states() == [["DRAIN"]]
    assert [node.act(Status.OK)["result"] for _ in range(2)] == ["already_drained", "resumed"]


def test_a_controller_that_is_away_is_told_and_the_wish_is_kept(node: Node, controller: Controller) -> None:
    away, there = node.controller._replace(url="https://127.0.0.1:1"), node.controller
    node.controller = away

    done = node.act()
    assert (done["result"], done["is_error"]) == ("unsure", True)
    assert node.heard == [done["summary"]]

    node.controller = there
    assert node.act()["result"] == "drained"


def test_a_credential_that_does_not_hold_is_a_mistake_of_policy(node: Node, controller: Controller) -> None:
    node.controller = controller.node("n1", controller.site.credential("n2"))

    done = node.act()

    assert done["result"] == "slurm_error"
    assert node.states() == []


def test_a_prolog_error_of_our_own_becomes_ours(node: Node) -> None:
    note_prolog_failure(str(node.state_dir), time.time())
    node.slurm.nodes["n1"].change({"state": ["DRAIN"], "reason": "Prolog error"}, "slurm", int(time.time()))

    assert node.act()["result"] == "adopted"
    assert [node.act(Status.OK)["result"] for _ in range(2)] == ["already_drained", "resumed"]
