"""What the guard makes of what `act` wants."""

import re
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from acting import SMT, Node
from fake_slurm import FakeSlurm, fake_slurm
from nodeproof.policy.settings import GuardSettings
from nodeproof.verdict import Status
from slurm_replay import Slurmrestd, said


@pytest.fixture
def slurm() -> Iterator[FakeSlurm]:
    with fake_slurm() as fake:
        fake.add(*(f"n{k}" for k in range(1, 9)))
        yield fake


@pytest.fixture
def node(tmp_path: Path, slurm: FakeSlurm) -> Node:
    return Node(tmp_path / "state", slurm)


def full(node: Node) -> None:
    for name in ("n7", "n8"):
        node.slurm.admin(name, state=["DRAIN"], reason="bad fan")


def test_what_the_guard_holds_back_is_told_loudly_and_is_no_error(node: Node) -> None:
    full(node)

    done = node.act()

    assert (done["intent"], done["result"], done["is_error"]) == ("drain", "held_back", False)
    assert re.fullmatch(
        r"would drain n1: nodeproof\[[0-9a-f]{8}\]: fs\.mounted: /scratch is not mounted "
        r"\(held back: 2 of 8 nodes are out of service, the limit is 2\)",
        done["summary"],
    )
    assert node.heard == [done["summary"]]
    assert node.states() == []
    assert "drain" not in node.saved()


def test_the_guard_is_not_asked_again_for_a_while(node: Node) -> None:
    full(node)
    node.act()
    until_s = node.saved()["held"]["until"]
    assert 150 <= until_s - time.time() + 1 <= 451

    done = node.act()
    assert done["result"] == "held_back"
    assert node.heard == [done["summary"]]
    assert node.judged({SMT: Status.OK})["result"] == "held_back"
    assert node.slurm.requests == []

    assert node.judged({SMT: Status.FAIL})["result"] == "held_back"
    assert len(node.slurm.requests) == 1  # another fault is asked for at once


def test_the_guard_is_asked_again_when_its_time_has_come(node: Node) -> None:
    node.guard = GuardSettings(window_s=1.0)
    full(node)
    node.act()
    node.slurm.admin("n8", state=["RESUME"])
    time.sleep(1.0)

    assert node.act()["result"] == "drained"
    assert "held" not in node.saved()


def test_a_drain_that_was_held_back_ends_when_its_check_passes(node: Node) -> None:
    full(node)
    node.act()

    assert node.act(Status.OK)["result"] == "nothing"
    assert set(node.saved()) == {"schema", "streaks"}


def test_a_drain_that_came_too_late_is_held_back_and_not_ours_any_more(node: Node) -> None:
    def before_us(_names: list[str], _changes: dict[str, Any]) -> None:
        if len(node.slurm.writes) == 1:
            full(node)

    node.slurm.on_write = before_us

    assert node.act()["result"] == "held_back"
    assert node.states() == [["DRAIN"], ["UNDRAIN"]]
    assert "drain" not in node.saved()
    assert node.slurm.drained() == ["n7", "n8"]


METRICS = "slurm_nodes 8\nslurm_nodes_down 0\nslurm_nodes_drain {}\nslurm_nodes_fail 0\n"


@pytest.mark.parametrize(("drained", "result", "asked"), [(2, "held_back", 0), (1, "drained", 3)])
def test_slurmctlds_own_count_saves_reading_all_nodes(
    node: Node, server: Slurmrestd, drained: int, result: str, asked: int
) -> None:
    server.on("GET", "/metrics/nodes", said("v0.0.42-ping")._replace(body=METRICS.format(drained)))
    node.to = node.to._replace(metrics_url=server.url)

    assert node.act()["result"] == result
    assert len(node.slurm.requests) == asked


def test_metrics_that_cannot_be_had_are_told_and_change_nothing(node: Node) -> None:
    node.to = node.to._replace(metrics_url="http://127.0.0.1:1")

    done = node.act()

    assert done["result"] == "drained"
    assert "no metrics from http://127.0.0.1:1" in done["warnings"][0]
