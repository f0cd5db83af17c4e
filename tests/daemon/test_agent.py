"""The agent as a process: what it publishes, what it is told, and what it survives.

What needs faults in the kernel log is in `tests/labs/test_kernel_log.py`.
"""

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from running_agent import RunningAgent, running, until


@pytest.fixture
def agent(tmp_path: Path) -> Iterator[RunningAgent]:
    with running(tmp_path) as started:
        started.judged()
        yield started


def test_an_operators_word_drains_and_is_kept_until_it_is_taken_back(agent: RunningAgent) -> None:
    agent.ask("drain", reason="fan 3 is loud")
    assert agent.check("nodeproof.operator")["summary"] == "fan 3 is loud"
    assert "nodeproof.operator: fan 3 is loud" in agent.status()["last_action"]["summary"]

    agent.kill()
    agent.start()
    agent.judged()
    assert agent.check("nodeproof.operator")["status"] == "fail"

    agent.ask("resume")
    assert agent.check("nodeproof.operator")["status"] == "none"


def test_a_broken_policy_is_refused_and_the_last_good_one_stays(agent: RunningAgent) -> None:
    digest = agent.status()["policy_digest"]

    agent.set_policy("[agent]\ninterval_s = 'often'\n")
    answer = agent.ask("reload")
    assert not answer["is_good"]
    assert "20.toml:2" in answer["problem"]
    assert agent.status()["policy_digest"] == digest
    assert "interval_s" in agent.status()["policy_problem"]

    agent.set_policy("[agent]\ninterval_s = 400\n")
    agent.signal(signal.SIGHUP)
    until(lambda: agent.status()["policy_digest"] != digest, "not read", agent.text)
    assert agent.status()["policy_problem"] == ""


def test_it_ends_when_told_and_takes_its_answer_away(agent: RunningAgent) -> None:
    assert agent.stop() == 0
    assert sorted(os.listdir(agent.run_dir)) == ["ledger.json", "lock", "wake"]


def test_systemd_is_told(tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as systemd:
        systemd.bind(str(tmp_path / "notify"))
        systemd.settimeout(60)
        agent = RunningAgent(tmp_path)
        agent.start({"NOTIFY_SOCKET": str(tmp_path / "notify"), "WATCHDOG_USEC": "1000000"})
        said = [systemd.recv(500).decode() for _ in range(4)]
        assert said[0].startswith("READY=1\nSTATUS=watching ")
        assert said[1:] == ["WATCHDOG=1"] * 3
        agent.signal(signal.SIGHUP)
        until(lambda: systemd.recv(500).startswith(b"RELOADING=1\nMONOTONIC_USEC="), "no reload")
        until(lambda: systemd.recv(500).startswith(b"READY=1"), "not ready again")
        assert agent.stop() == 0
        until(lambda: systemd.recv(500) == b"STOPPING=1", "no end")


def test_a_job_is_told_what_counters_did_while_it_ran(agent: RunningAgent, tmp_path: Path) -> None:
    """The gate's marks, real counters: this machine's own, which a job of ours makes grow where it can."""
    until(lambda: agent.status()["counters"], "no counters were read", agent.text)
    gate = Path(sys.executable).with_name("nodeproof-gate")
    for kind in ("prolog", "epilog"):
        done = subprocess.run(
            [gate, "--run-dir", agent.run_dir, kind], env={"SLURM_JOB_ID": "4711"}, capture_output=True, check=False
        )
        assert (done.returncode, done.stderr) == (0, b"")
        time.sleep(0.2)

    marks = (agent.run_dir / "marks").read_text().split("\n")
    assert [line.split()[:2] for line in marks if line] == [["prolog", "4711"], ["epilog", "4711"]]


def test_a_directory_that_others_may_write_is_refused(tmp_path: Path) -> None:
    agent = RunningAgent(tmp_path)
    agent.run_dir.chmod(0o777)
    agent.start()

    assert agent.wait() == 2
    assert "others may write there" in agent.text()


def test_two_agents_do_not_share_a_directory(agent: RunningAgent) -> None:
    first = agent.process
    agent.start()
    assert agent.wait() == 2
    assert "lock: another agent runs here" in agent.text()

    agent.process = first
    assert agent.status()


@pytest.mark.parametrize("what", ["history.db", "state.json"])
def test_a_damaged_file_of_its_own_is_set_aside(tmp_path: Path, what: str) -> None:
    agent = RunningAgent(tmp_path)
    (agent.state_dir / what).write_bytes(b"\0garbage" * 1000)
    (agent.state_dir / what).chmod(0o600)
    agent.start()
    try:
        agent.judged()
        assert (agent.state_dir / f"{what}.bad").exists()
    finally:
        agent.kill()
