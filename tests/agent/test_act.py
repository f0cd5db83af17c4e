"""`act` from verdicts to Slurm and back, against a played slurmrestd and a real state directory."""

import json
import re
from pathlib import Path
from typing import Any

import pytest

from nodeproof.check import CheckSpec
from nodeproof.cli.act import act
from nodeproof.engine import Pass, Result
from nodeproof.policy.settings import CheckSettings, Mode, Settings, SlurmSettings
from nodeproof.state import Store
from nodeproof.verdict import Status, Verdict
from slurm_replay import Answer, Slurmrestd, as_written, said

IDLE, DRAINED = said("v0.0.42-node"), said("v0.0.42-update-drain-after")
UPDATED = said("v0.0.42-update-drain")


class Node:
    """One node over several runs of `act`."""

    def __init__(self, state_dir: Path, server: Slurmrestd) -> None:
        self.state_dir = state_dir
        self.server = server
        self.heard: list[str] = []
        self.mode: Mode = "enforce"
        self.check = CheckSettings(clear_after=2)
        self.slurm = SlurmSettings(url=server.url)
        self.doubts: tuple[str, ...] = ()

    def act(self, status: Status = Status.FAIL, summary: str = "/scratch is not mounted") -> dict[str, Any]:
        spec = CheckSpec("fs.mounted", lambda: Verdict(status, summary), (), {}, frozenset(), "", None, beta=False)
        settings = Settings(mode=self.mode, slurm=self.slurm, checks={"fs.mounted": self.check}, doubts=self.doubts)
        outcome = Pass((Result(spec, self.check, Verdict(status, summary), 0.0),), {})
        self.heard.clear()
        return act(outcome, settings, "n1.example.org", str(self.state_dir), self.heard.append)

    def drain(self) -> str:
        """Drain the node and have Slurm tell of it from now on. Returns the reason."""
        self.server.on_node(IDLE, as_written, update=UPDATED)
        reason = self.act()["reason"]
        assert isinstance(reason, str)
        self.server.on_node(DRAINED.with_node(reason=reason), update=UPDATED)
        return reason

    def saved(self) -> Any:
        return json.loads((self.state_dir / "state.json").read_text())


@pytest.fixture
def node(tmp_path: Path, server: Slurmrestd) -> Node:
    return Node(tmp_path / "state", server)


def test_observing_says_what_it_would_do_and_asks_nobody(node: Node) -> None:
    node.mode = "observe"

    done = node.act()

    assert re.fullmatch(
        r"would drain n1: nodeproof\[[0-9a-f]{8}\]: fs\.mounted: /scratch is not mounted", str(done["summary"])
    )
    assert (done["intent"], done["result"], done["is_error"]) == ("drain", "would_drain", False)
    assert node.server.requests == []
    assert node.heard == []
    assert "drain" not in node.saved()


def test_enforcing_drains_once_and_resumes_when_it_passed(node: Node) -> None:
    reason = node.drain()
    assert node.saved()["drain"]["reason"] == reason
    assert node.saved()["drain"]["reason_changed_at"] == 1795436536

    assert node.act()["result"] == "already_drained"
    assert node.act(Status.UNKNOWN)["result"] == "already_drained"
    assert "it stays drained: fs.mounted passed 1 of 2 times" in node.act(Status.OK)["summary"]
    assert [w["state"] for w in node.server.writes()] == [["DRAIN"]]

    node.server.on_node(DRAINED.with_node(reason=reason), IDLE, update=UPDATED)
    assert node.act(Status.OK)["summary"] == "resumed n1: fs.mounted passed again"
    assert node.server.writes()[1]["state"] == ["UNDRAIN"]
    assert "drain" not in node.saved()


def test_a_healthy_node_asks_slurm_nothing(node: Node) -> None:
    done = node.act(Status.OK)

    assert done["summary"] == "left n1 as it is: no check wants a drain"
    assert node.server.requests == []


def test_somebody_elses_drain_is_left_alone(node: Node) -> None:
    node.server.on_node(DRAINED.with_node(reason="ticket 17\n", reason_set_by_user="jane"), update=UPDATED)

    done = node.act()

    assert done["result"] == "left_alone"
    assert done["summary"] == (
        "n1 is IDLE+DRAIN by jane (ticket 17?), not by us: left alone, "
        "though fs.mounted failed: /scratch is not mounted"
    )
    assert node.server.writes() == []
    assert "drain" not in node.saved()


def test_an_admin_who_edits_the_reason_takes_the_node_over(node: Node) -> None:
    reason = node.drain()
    node.server.on_node(DRAINED.with_node(reason=f"{reason} (jane looks at it)"), update=UPDATED)

    assert node.act(Status.OK)["result"] == "left_alone"
    assert node.act(Status.OK)["result"] == "nothing"
    assert len(node.server.writes()) == 1


def test_a_node_that_an_admin_resumed_too_early_is_drained_anew(node: Node) -> None:
    first = node.drain()
    node.server.on_node(IDLE.with_node(reason=first), as_written, update=UPDATED)

    assert node.act()["reason"] not in ("", first)
    assert len(node.server.writes()) == 2


def test_a_lost_answer_loses_no_drain(node: Node) -> None:
    node.server.on_node(IDLE, update=said("v0.0.42-ctld-hung-update"))

    done = node.act()

    assert done["is_error"]
    assert node.heard == [done["summary"]]
    assert str(done["summary"]).startswith("cannot drain n1 (fs.mounted failed: /scratch is not mounted): ")
    reason = node.saved()["drain"]["reason"]
    assert node.saved()["drain"]["reason_changed_at"] is None

    node.server.on_node(DRAINED.with_node(reason=reason), update=UPDATED)  # it was applied after all
    assert node.act()["result"] == "already_drained"
    assert node.saved()["drain"]["reason_changed_at"] == 1795436536


def test_a_drain_that_was_never_applied_is_written_again(node: Node) -> None:
    node.server.on_node(IDLE, update=said("v0.0.42-ctld-down-update"))
    node.act()
    node.server.on_node(IDLE, as_written, update=UPDATED)

    assert node.act()["result"] == "drained"


def test_without_slurmrestd_in_the_policy_it_says_so(node: Node) -> None:
    node.slurm = SlurmSettings()

    done = node.act()

    assert done["result"] == "no_slurm_url"
    assert done["summary"] == ("cannot drain n1 (fs.mounted failed: /scratch is not mounted): policy sets no slurm.url")
    assert done["is_error"]


def test_a_bad_token_file_is_told_and_nothing_is_sent(node: Node, tmp_path: Path) -> None:
    token = tmp_path / "token"
    token.write_text("x")
    token.chmod(0o644)
    node.slurm = node.slurm._replace(token_file=str(token))

    assert f"{token}: slurm.token_file: has mode 0644, expected 0600" in node.act()["summary"]
    assert node.server.requests == []


def test_a_second_run_does_nothing(node: Node) -> None:
    with Store(str(node.state_dir)).locked():
        done = node.act()

    assert done["summary"] == f"another run holds {node.state_dir}: this one does nothing"
    assert node.server.requests == []
    assert not (node.state_dir / "state.json").exists()


def test_a_slow_check_is_not_drained_for_before_its_time(node: Node) -> None:
    node.check = CheckSettings(after=2)

    assert node.act()["summary"] == "left n1 as it is: fs.mounted failed 1 of 2 times"
    node.server.on_node(IDLE, as_written, update=UPDATED)
    assert node.act()["result"] == "drained"


def test_without_memory_an_immediate_drain_still_goes(node: Node) -> None:
    node.state_dir.write_text("in the way")
    node.server.on_node(IDLE, as_written, update=UPDATED)

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
    assert node.saved()["streaks"]["fs.mounted"][0] == 1
    (node.state_dir / "state.json.new").mkdir()

    assert node.act()["intent"] == "nothing"
    assert node.server.requests == []


def test_a_memory_that_cannot_be_written_resumes_nothing(node: Node) -> None:
    node.drain()
    node.act(Status.OK)
    (node.state_dir / "state.json.new").mkdir()

    assert node.act(Status.OK)["intent"] == "nothing"
    assert [w["state"] for w in node.server.writes()] == [["DRAIN"]]


def test_without_memory_nothing_that_needs_it_is_done(node: Node) -> None:
    node.state_dir.write_text("in the way")
    node.check = CheckSettings(after=2, clear_after=1)

    assert [node.act()["result"] for _ in range(3)] == ["nothing"] * 3
    assert node.act(Status.OK)["result"] == "nothing"
    assert node.server.requests == []


def test_warnings_of_slurmrestd_are_passed_on(node: Node) -> None:
    warned = Answer(200, UPDATED.body | {"warnings": [{"description": "unknown field\x1b[2J", "source": "x"}]})
    node.server.on_node(IDLE, as_written, update=warned)

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


def test_an_answer_that_breaks_us_costs_no_report(node: Node) -> None:
    node.drain()
    node.server.on_node(DRAINED.with_node(reason_changed_at=float("inf")), update=UPDATED)

    done = node.act()

    assert done["is_error"]
    assert done["result"] in ("slurm_error", "error")


def test_a_user_name_that_no_header_can_hold_is_a_policy_error(node: Node) -> None:
    token = node.state_dir.parent / "token"
    token.touch(0o600)
    token.write_text("secret")
    node.slurm = node.slurm._replace(user_name="ł", token_file=str(token))

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
