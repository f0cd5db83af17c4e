"""`act` from verdicts to Slurm and back."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from acting import MOUNTED, SICK, SMT, Node
from fake_slurm import FakeSlurm, Reply, fake_slurm
from nodeproof.act import OUT_OF_SERVICE, UNSURE
from nodeproof.policy.settings import CheckSettings, SlurmSettings
from nodeproof.state import Store
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


def test_observing_says_what_it_would_do_and_asks_nobody(node: Node) -> None:
    node.mode = "observe"

    done = node.act()

    assert re.fullmatch(
        r"would drain n1: nodeproof\[[0-9a-f]{8}\]: fs\.mounted: /scratch is not mounted", str(done["summary"])
    )
    assert (done["intent"], done["result"], done["is_error"]) == ("drain", "would_drain", False)
    assert node.slurm.requests == []
    assert node.heard == []
    assert set(node.saved()) == {"schema", "streaks"}


def test_enforcing_drains_once_and_resumes_when_it_passed(node: Node) -> None:
    reason = node.drain()
    assert node.slurm.nodes["n1"].reason == reason == node.saved()["drain"]["reason"]
    assert node.saved()["drain"]["reason_changed_at"] == node.slurm.nodes["n1"].changed_at
    assert "wanted" not in node.saved()

    assert node.act()["result"] == "already_drained"
    assert len(node.slurm.requests) == 1
    assert node.act(Status.UNKNOWN)["result"] == "already_drained"
    assert "it stays drained: fs.mounted passed 1 of 2 times" in node.act(Status.OK)["summary"]
    assert node.states() == [["DRAIN"]]

    assert node.act(Status.OK)["summary"] == "resumed n1: fs.mounted passed again"
    assert node.states() == [["DRAIN"], ["UNDRAIN"]]
    assert set(node.saved()) == {"schema", "streaks", "resumed_at"}


def test_a_healthy_node_asks_slurm_nothing(node: Node) -> None:
    done = node.act(Status.OK)

    assert done["summary"] == "left n1 as it is: no check wants a drain"
    assert node.slurm.requests == []
    assert node.slept_s == []


def test_a_drain_takes_three_requests(node: Node) -> None:
    node.drain()

    assert [method for method, _ in node.slurm.requests] == ["GET", "POST", "GET"]


def test_nodes_do_not_ask_all_at_once(node: Node) -> None:
    node.drain()
    (waited_s,) = node.slept_s
    node.act()

    assert 0 < waited_s <= 0.1  # a fifth of the time that there is
    assert len(node.slept_s) == 1


def test_somebody_elses_drain_is_left_alone_and_gets_a_note(node: Node) -> None:
    node.slurm.admin("n1", state=["DRAIN"], reason="ticket 17\n")

    done = node.act()

    assert done["result"] == "left_alone"
    assert done["summary"] == (
        "n1 is IDLE+DRAIN by jane (ticket 17?), not by us: left alone, "
        "though fs.mounted failed: /scratch is not mounted (our finding is in its extra)"
    )
    assert node.states() == [None]
    assert json.loads(node.slurm.nodes["n1"].extra)["nodeproof"]["finding"] == f"fs.mounted: {SICK}"
    assert "drain" not in node.saved()


def test_a_note_is_written_once_and_taken_out_when_the_check_passed(node: Node) -> None:
    node.slurm.admin("n1", state=["DRAIN"], reason="ticket 17", extra='{"rack": 7}')
    node.act()

    assert [node.act()["result"] for _ in range(2)] == ["left_alone"] * 2
    assert len(node.slurm.requests) == 1
    assert node.judged({SMT: Status.OK})["result"] == "nothing"
    assert node.act(Status.UNKNOWN)["result"] == "nothing"
    assert node.slurm.requests == []
    assert node.act(Status.OK)["result"] == "unnoted"
    assert node.slurm.nodes["n1"].extra == '{"rack": 7}'
    assert node.states() == [None, None]
    assert node.act(Status.OK)["result"] == "nothing"
    assert node.slurm.requests == []


def test_a_node_that_an_admin_gives_back_too_early_is_drained(node: Node) -> None:
    node.slurm.admin("n1", state=["DRAIN"], reason="ticket 17")
    node.act()
    node.slurm.admin("n1", state=["RESUME"])

    assert node.act()["result"] == "drained"
    assert node.slurm.nodes["n1"].extra == ""


def test_an_admin_who_edits_the_reason_takes_the_node_over(node: Node) -> None:
    reason = node.drain()
    node.slurm.admin("n1", reason=f"{reason} (jane looks at it)")

    assert node.act(Status.OK)["result"] == "left_alone"
    assert node.act(Status.OK)["result"] == "nothing"
    assert node.states() == [["DRAIN"]]


def test_a_node_that_an_admin_resumed_too_early_is_drained_anew(node: Node) -> None:
    first = node.drain()
    node.slurm.admin("n1", state=["RESUME"])

    assert node.drain() != first
    assert node.states() == [["DRAIN"], ["DRAIN"]]


def test_a_drain_that_somebody_took_back_and_nobody_wants_is_forgotten(node: Node) -> None:
    node.drain()
    node.slurm.admin("n1", state=["RESUME"])

    assert node.act(Status.OK)["result"] == "already_resumed"
    assert node.act(Status.OK)["result"] == "nothing"


def test_a_lost_race_is_told_loudly(node: Node) -> None:
    def overwritten(names: list[str], changes: dict[str, Any]) -> Reply:
        reply = node.slurm.apply(names, changes)
        node.slurm.admin("n1", reason="admin was here")
        return reply

    node.slurm.on_write = overwritten

    done = node.act()

    assert (done["result"], done["is_error"]) == ("lost_race", True)
    assert node.heard == [done["summary"]]
    assert done["summary"].startswith("somebody else changed n1 while we wrote: it is IDLE+DRAIN (admin was here)")


def test_without_slurmrestd_in_the_policy_it_says_so(node: Node) -> None:
    node.to = SlurmSettings()

    done = node.act()

    assert done["result"] == "no_slurm_url"
    assert done["summary"] == ("cannot drain n1 (fs.mounted failed: /scratch is not mounted): policy sets no slurm.url")
    assert done["is_error"]


def test_a_bad_token_file_is_told_and_nothing_is_sent(node: Node, tmp_path: Path) -> None:
    token = tmp_path / "token"
    token.write_text("x")
    token.chmod(0o644)
    node.to = node.to._replace(token_file=str(token))

    done = node.act()

    assert f"{token}: slurm.token_file: has mode 0644, expected 0600" in done["summary"]
    assert done["result"] == "slurm_error"
    assert node.slurm.requests == []


@pytest.mark.parametrize("name", ["n[1-3]", "n1,n2", "../n1", "n1\n"])
def test_a_name_that_is_not_one_nodes_is_a_mistake_of_policy(node: Node, name: str) -> None:
    node.to = node.to._replace(node_name=name)

    assert "slurm.node_name" in node.act()["summary"]
    assert node.slurm.requests == []


def test_a_node_that_slurm_does_not_know_is_told(node: Node) -> None:
    node.to = node.to._replace(node_name="nope")

    done = node.act()

    assert done["result"] == "slurm_error"
    assert "Slurm knows no node nope; its name there is policy's slurm.node_name" in done["summary"]


def test_a_second_run_does_nothing(node: Node) -> None:
    with Store(str(node.state_dir)).locked():
        done = node.act()

    assert done["summary"] == f"another run holds {node.state_dir}: this one does nothing"
    assert node.slurm.requests == []
    assert not (node.state_dir / "state.json").exists()


def test_a_slow_check_is_not_drained_for_before_its_time(node: Node) -> None:
    node.check = CheckSettings(after=2)

    assert node.act()["summary"] == "left n1 as it is: fs.mounted failed 1 of 2 times"
    assert node.act()["result"] == "drained"


def test_without_memory_an_immediate_drain_still_goes(node: Node) -> None:
    node.state_dir.write_text("in the way")

    done = node.act()

    assert done["result"] == "drained"
    assert node.heard == [
        f"warning: cannot keep state in {node.state_dir}: File exists",
        "warning: without memory, nothing is resumed, and drained only by a check with after = 1",
        "warning: this drain of n1 cannot be remembered: resume it by hand",
    ]


def test_a_memory_that_cannot_be_written_is_not_believed(node: Node) -> None:
    """It may be months old: neither its failures nor its passes count."""
    node.check = CheckSettings(after=2)
    node.act()
    assert node.saved()["streaks"][MOUNTED][0] == 1
    (node.state_dir / "state.json.new").mkdir()

    assert node.act()["intent"] == "nothing"
    assert node.slurm.requests == []


def test_a_memory_that_cannot_be_written_resumes_nothing(node: Node) -> None:
    node.drain()
    node.act(Status.OK)
    (node.state_dir / "state.json.new").mkdir()

    assert node.act(Status.OK)["intent"] == "nothing"
    assert node.states() == [["DRAIN"]]


def test_without_memory_nothing_that_needs_it_is_done(node: Node) -> None:
    node.state_dir.write_text("in the way")
    node.check = CheckSettings(after=2, clear_after=1)

    assert [node.act()["result"] for _ in range(3)] == ["nothing"] * 3
    assert node.act(Status.OK)["result"] == "nothing"
    assert node.slurm.requests == []


def test_warnings_of_slurmrestd_are_passed_on(node: Node) -> None:
    warned = {"warnings": [{"description": "unknown field\x1b[2J", "source": "x"}]}
    node.slurm.on_write = lambda names, changes: (200, {**node.slurm.apply(names, changes)[1], **warned})

    assert node.act()["warnings"] == ["unknown field?[2J"]
    assert node.heard == ["warning: unknown field?[2J"]


def test_the_outcome_is_json(node: Node) -> None:
    assert set(json.loads(json.dumps(node.act(Status.OK)))) == {
        "node",
        "mode",
        "intent",
        "result",
        "summary",
        "reason",
        "is_error",
        "warnings",
    }


def test_results_say_whether_the_node_takes_jobs() -> None:
    assert {"drained", "adopted", "already_drained", "left_alone"} == OUT_OF_SERVICE
    assert not OUT_OF_SERVICE & UNSURE


def test_an_answer_that_breaks_us_costs_no_report(node: Node, server: Slurmrestd) -> None:
    node.drain()
    node.to = node.to._replace(url=server.url)
    server.on_node(said("v0.0.42-update-drain-after").with_node(reason_changed_at=float("inf")))

    done = node.act()

    assert done["is_error"]
    assert done["result"] in UNSURE


def test_a_user_name_that_no_header_can_hold_is_a_policy_error(node: Node, tmp_path: Path) -> None:
    token = tmp_path / "token"
    token.touch(0o600)
    token.write_text("secret")
    node.to = node.to._replace(user_name="ł", token_file=str(token))

    done = node.act()

    assert "slurm.user_name" in done["summary"]
    assert "secret" not in str(done) + str(node.heard)


def test_doubts_about_the_class_are_told_and_not_counted(node: Node) -> None:
    node.drain()
    before = node.saved()
    node.doubts = ("/proc/driver/nvidia/gpus/*/information: timed out",)

    done = [node.act(Status.OK) for _ in range(3)][-1]

    assert done["intent"] == "nothing"
    assert "timed out" in done["summary"]
    assert node.saved() == before
