"""The agent and this machine's own kernel log: faults are written there, so this is a lab and no unit test.

An agent that looks after this machine would act on them.
"""

import fcntl
import json
import os
import random
import sqlite3
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from nodeproof.daemon.gate import from_text
from running_agent import RunningAgent, running, until

#: Each test has a GPU of its own in the kernel log, which all of them share.
_bus = random.SystemRandom().randrange(0x10, 0xEF)

pytestmark = pytest.mark.agent


@pytest.fixture(autouse=True)
def kernel_log_of_our_own() -> Iterator[None]:
    """Let no other test write into the kernel log meanwhile: there is one for all workers."""
    with open(Path(tempfile.gettempdir()) / "nodeproof-tests-kernel-log.lock", "wb") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


@pytest.fixture
def agent(tmp_path: Path) -> Iterator[RunningAgent]:
    """Start an agent for which nothing that earlier tests left in the kernel log counts any more."""
    with running(tmp_path) as started:
        started.judged()
        started.ask("resume")
        yield started


def new_gpu() -> str:
    return f"{random.SystemRandom().randrange(0x1000, 0xFFFF):04x}:{_bus:02x}:00"


def log_line(line: str) -> None:
    """Leave a line in the kernel log, as root may."""
    with open("/dev/kmsg", "wb", buffering=0) as log:
        log.write(line.encode() + b"\n")


def xid(gpu: str, code: int = 79) -> None:
    log_line(f"NVRM: Xid (PCI:{gpu}): {code}, pid='<unknown>', name=<unknown>, GPU has fallen off the bus.")


def told(agent: RunningAgent, gpu: str) -> int:
    return sum(gpu in json.dumps(row) for row in agent.history("--kind", "event"))


def test_a_fault_in_the_kernel_log_fails_the_gate_at_once(agent: RunningAgent) -> None:
    agent.judged()
    gpu = new_gpu()
    began_s = time.monotonic()
    xid(gpu)

    until(lambda: gpu in agent.gate(), "the gate does not fail", agent.text)
    took_s = time.monotonic() - began_s

    gate = from_text((agent.run_dir / "gate").read_bytes())
    assert gate.healthcheck.exit_code == 1
    assert any(f"{gpu}.0: XID 79" in line for line in gate.healthcheck.lines)
    assert took_s < 2.0 or os.getloadavg()[0] > 2
    assert agent.check("event.xid")["status"] == "fail"


def test_in_observe_mode_no_job_is_kept_away(agent: RunningAgent) -> None:
    agent.judged()
    xid(new_gpu())

    until(lambda: agent.status()["last_action"]["result"] == "would_drain", "no decision", agent.text)

    assert from_text((agent.run_dir / "gate").read_bytes()).prolog.exit_code == 0


def test_a_restart_forgets_no_event_and_counts_none_twice(agent: RunningAgent) -> None:
    agent.judged()
    gpus = [new_gpu() for _ in range(3)]
    xid(gpus[0])
    until(lambda: told(agent, gpus[0]), "not told", agent.text)
    agent.kill()
    xid(gpus[1])
    agent.start()
    agent.judged()
    xid(gpus[2])

    until(lambda: told(agent, gpus[2]), "not told", agent.text)
    assert [told(agent, gpu) for gpu in gpus] == [1, 1, 1]


def test_killed_at_any_moment_it_loses_nothing_and_tears_nothing(tmp_path: Path) -> None:
    agent = RunningAgent(tmp_path)
    gpus = []
    for _ in range(5):
        agent.start()
        gpus.append(new_gpu())
        xid(gpus[-1])
        time.sleep(random.SystemRandom().uniform(0.3, 1.5))
        xid(gpus[-1], 31)
        agent.kill()
        if (agent.run_dir / "gate").exists():
            from_text((agent.run_dir / "gate").read_bytes())
        with sqlite3.connect(agent.state_dir / "history.db") as database:
            assert database.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        database.close()
    agent.start()
    try:
        agent.judged()
        assert [told(agent, gpu) for gpu in gpus] == [2] * len(gpus)
    finally:
        agent.kill()


def test_an_operator_who_says_repaired_ends_what_only_a_reboot_would(agent: RunningAgent) -> None:
    agent.judged()
    gpu = new_gpu()
    xid(gpu)
    until(lambda: gpu in agent.check("event.xid").get("summary", ""), "not judged", agent.text)

    agent.ask("resume")

    assert gpu not in agent.check("event.xid")["summary"]


def test_a_full_disk_is_a_warning_and_no_crash(tmp_path: Path) -> None:
    agent = RunningAgent(tmp_path)
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64k,mode=0700", "none", agent.state_dir], check=True)
    try:
        (agent.state_dir / "ballast").write_bytes(b"x" * 60_000)
        agent.start()
        agent.judged()
        agent.ask("resume")
        gpu = new_gpu()
        xid(gpu)
        until(lambda: gpu in agent.gate(), "the gate does not fail", agent.text)
        assert not agent.status()["is_history_kept"]
        assert agent.status()["warnings"]
    finally:
        if agent.process is not None:
            agent.kill()
        subprocess.run(["umount", agent.state_dir], check=True)
