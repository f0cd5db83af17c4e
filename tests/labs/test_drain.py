"""A fault drains a node of a real Slurm, and its repair resumes it.

The fault is real: a file system that policy claims is unmounted, and mounted again. `nodeproof` runs
as slurmd runs it: no environment, no standard input, and `/` for a directory.
"""

import json
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from mini_slurm import Slurm
from nodeproof.policy.settings import SlurmSettings
from nodeproof.slurm import Client

pytestmark = pytest.mark.slurm

FAILED, OK = 1, 0


class Run(NamedTuple):
    """What one `nodeproof check --act` came to."""

    exit_code: int
    action: dict[str, Any]
    loud: str

    @property
    def result(self) -> str:
        return str(self.action["result"])


class Bench:
    """Node n1, its policy, and the mount that is broken and repaired."""

    def __init__(self, slurm: Slurm, directory: Path) -> None:
        self.slurm = slurm
        self.mount = directory / "scratch"
        self.mount.mkdir()
        self.policy = directory / "policy.d"
        self.policy.mkdir()
        self.token_file = directory / "token"
        self.state_dir = directory / "state"
        self.become("slurm")
        self.set(mode="enforce")

    def become(self, user: str) -> None:
        """Use the token of this user."""
        self.token_file.touch(mode=0o600)
        self.token_file.write_text(self.slurm.token(user))

    def set(self, *, mode: str, url: str = "", token_file: str | None = None) -> None:
        token_file = str(self.token_file) if token_file is None else token_file
        (self.policy / "10-lab.toml").write_text(
            f"""
            mode = "{mode}"
            [slurm]
            url = "{url or self.slurm.url}"
            token_file = "{token_file}"
            user_name = "slurm"
            node_name = "n1"
            [claims.fs]
            "{self.mount}" = "tmpfs"
            [check.fs.mounted]
            clear_after = 2
            """
        )

    def repair(self) -> None:
        subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", self.mount], check=True)

    def break_it(self) -> None:
        if self.mount.is_mount():
            subprocess.run(["umount", self.mount], check=True)

    def start(self) -> subprocess.Popen[str]:
        options = ["--act", "--policy", str(self.policy), "--state-dir", str(self.state_dir), "--json"]
        return subprocess.Popen(
            [sys.executable, "-I", "-m", "nodeproof", "check", "fs.mounted", *options],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env={"SLURMD_NODENAME": "n1"},
            cwd="/",
        )

    def check(self) -> Run:
        return ended(self.start())

    def drain(self) -> str:
        """Drain the node for the broken mount. Returns the reason."""
        run = self.check()
        assert run.result == "drained", run
        return str(run.action["reason"])

    def says(self) -> dict[str, Any]:
        """Return what Slurm says of n1, as far as we care."""
        node = self.slurm.node("n1")
        kept = ("state", "reason", "reason_set_by_user", "reason_changed_at")
        return {key: node[key] for key in kept}


def ended(process: subprocess.Popen[str]) -> Run:
    out, loud = process.communicate(timeout=60)
    assert "Traceback" not in loud
    assert out, loud
    return Run(process.returncode, json.loads(out)["action"], loud)


@pytest.fixture
def bench(slurm: Slurm, n1: str, tmp_path: Path) -> Iterator[Bench]:
    made = Bench(slurm, tmp_path)
    yield made
    made.break_it()


def test_observing_says_what_it_would_do_and_touches_nothing(bench: Bench) -> None:
    bench.set(mode="observe")
    before = bench.says()

    run = bench.check()

    assert run.exit_code == FAILED
    assert run.result == "would_drain"
    assert re.fullmatch(
        rf"would drain n1: nodeproof\[[0-9a-f]{{8}}\]: fs\.mounted: {bench.mount} is not mounted, expected tmpfs",
        run.action["summary"],
    )
    assert bench.says() == before


def test_a_fault_drains_with_reason_and_writer(bench: Bench) -> None:
    run = bench.check()

    assert (run.exit_code, run.result, run.loud) == (FAILED, "drained", "")
    says = bench.says()
    assert says["state"] == ["IDLE", "DRAIN"]
    assert says["reason"] == run.action["reason"]
    assert re.match(r"nodeproof\[[0-9a-f]{8}\]: fs\.mounted: /", says["reason"])
    assert says["reason_set_by_user"] == "slurm"
    assert len(bench.slurm.node("n2")["reason"]) == 0
    record = json.loads((bench.state_dir / "state.json").read_text())["drain"]
    assert record["id"] in says["reason"]
    assert record["reason_changed_at"] == says["reason_changed_at"]["number"]


def test_a_second_pass_writes_nothing(bench: Bench) -> None:
    bench.drain()
    says, writes = bench.says(), bench.slurm.writes()

    run = bench.check()

    assert run.result == "already_drained"
    assert bench.says() == says
    assert bench.slurm.writes() == writes > 0


def test_the_repair_resumes_after_enough_passes(bench: Bench) -> None:
    bench.drain()
    bench.repair()

    first = bench.check()
    assert (first.exit_code, first.result) == (OK, "already_drained")
    assert bench.says()["state"] == ["IDLE", "DRAIN"]

    second = bench.check()
    assert (second.exit_code, second.result) == (OK, "resumed")
    bench.slurm.wait_for("n1", "IDLE")
    assert bench.says()["reason"].startswith("nodeproof: resumed ")
    assert bench.check().result == "nothing"


def test_a_relapse_starts_the_count_again(bench: Bench) -> None:
    bench.drain()
    bench.repair()
    bench.check()
    bench.break_it()
    assert bench.check().result == "already_drained"
    bench.repair()

    assert [bench.check().result for _ in range(2)] == ["already_drained", "resumed"]


def test_a_node_that_an_admin_drained_is_not_touched(bench: Bench) -> None:
    bench.slurm.update("n1", "state=drain", "reason=bad fan, ticket 17")
    says = bench.says()

    run = bench.check()

    assert (run.exit_code, run.result) == (FAILED, "left_alone")
    assert "n1 is IDLE+DRAIN by root (bad fan, ticket 17), not by us" in run.action["summary"]
    assert bench.says() == says
    bench.repair()
    assert [bench.check().result for _ in range(3)] == ["nothing"] * 3
    assert bench.says() == says


def test_an_admin_who_edits_our_reason_takes_the_node_over(bench: Bench) -> None:
    reason = bench.drain()
    bench.slurm.update("n1", f"reason={reason}; kept for a look (jane)")
    bench.repair()

    assert [bench.check().result for _ in range(3)] == ["left_alone", "nothing", "nothing"]
    assert bench.says()["state"] == ["IDLE", "DRAIN"]


def test_a_resume_lifts_no_down_of_somebody_else(bench: Bench) -> None:
    bench.drain()
    settings = SlurmSettings(url=bench.slurm.url, token_file=str(bench.token_file), user_name="slurm")
    with Client(settings) as client:  # as when its slurmd dies: the reason stays
        client.update("n1", {"state": ["DOWN"]})
    bench.repair()

    assert [bench.check().result for _ in range(2)] == ["already_drained", "resumed"]
    state = bench.says()["state"]
    assert "DOWN" in state
    assert "DRAIN" not in state


def test_a_node_that_was_resumed_by_hand_and_still_fails_is_drained_anew(bench: Bench) -> None:
    first = bench.drain()
    bench.slurm.update("n1", "state=resume")

    assert bench.drain() != first


@pytest.mark.parametrize(
    ("user", "words"), [("alice", "Invalid user id (2010)"), ("", "expected one JSON web token and nothing else")]
)
def test_a_token_that_will_not_do_is_told_and_changes_no_verdict(bench: Bench, user: str, words: str) -> None:
    if user:
        bench.become(user)
        bench.policy.joinpath("20.toml").write_text(f'[slurm]\nuser_name = "{user}"\n')
    else:
        bench.token_file.write_text("")
    before = bench.says()

    run = bench.check()

    assert (run.exit_code, run.result) == (FAILED, "slurm_error")
    assert words in run.loud
    assert run.loud.startswith("nodeproof: cannot drain n1 (fs.mounted failed: ")
    assert bench.says() == before


def test_a_forged_token_is_told_and_repeated_nowhere(bench: Bench) -> None:
    forged = bench.slurm.token("slurm")[:-8] + "AAAAAAAA"
    bench.token_file.write_text(forged)

    run = bench.check()

    assert (run.exit_code, run.result) == (FAILED, "slurm_error")
    assert "Protocol authentication error (1007)" in run.loud
    assert forged not in run.loud + str(run.action)


def test_a_slurmctld_that_is_down_is_told_and_a_later_run_reconciles(bench: Bench) -> None:
    bench.slurm.stop("slurmctld")
    try:
        run = bench.check()
    finally:
        bench.slurm.start("slurmctld")

    assert (run.exit_code, run.result) == (FAILED, "slurm_error")
    assert "Unable to contact slurm controller (connect failure) (1800)" in run.loud
    bench.slurm.wait_for("n1", "IDLE")
    assert bench.check().result == "drained"
    bench.repair()
    bench.check()
    bench.slurm.stop("slurmctld")
    try:
        assert bench.check().result == "slurm_error"
    finally:
        bench.slurm.start("slurmctld")
    bench.slurm.wait_for("n1", "IDLE", "DRAIN")
    assert bench.check().result == "resumed"


def test_a_slurmrestd_that_is_down_is_told(bench: Bench) -> None:
    bench.set(mode="enforce", url="http://127.0.0.1:1")

    run = bench.check()

    assert (run.exit_code, run.result) == (FAILED, "slurm_error")
    assert "no answer from slurmrestd at http://127.0.0.1:1" in run.loud


def test_a_unix_socket_needs_no_token(bench: Bench) -> None:
    bench.set(mode="enforce", url=f"unix:{bench.slurm.socket}", token_file="")

    bench.drain()

    assert bench.says()["reason_set_by_user"] == "root"
    bench.repair()
    assert [bench.check().result for _ in range(2)] == ["already_drained", "resumed"]


def test_a_state_that_cannot_be_kept_drains_and_does_not_resume(bench: Bench) -> None:
    bench.state_dir.write_text("in the way")

    run = bench.check()
    assert run.result == "drained"
    assert "this drain of n1 cannot be remembered" in run.loud
    bench.repair()

    assert {bench.check().result for _ in range(3)} == {"nothing"}
    assert bench.says()["state"] == ["IDLE", "DRAIN"]


def test_of_overlapping_runs_one_drains(bench: Bench) -> None:
    processes = [bench.start() for _ in range(4)]

    results = [ended(p).result for p in processes]

    assert results.count("drained") == 1
    assert set(results) <= {"drained", "already_drained", "busy"}
