"""The agent killed at 200 random moments while the kernel log fills: nothing is lost, told twice or torn."""

import fcntl
import random
import shutil
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

from nodeproof.daemon.gate import from_text
from nodeproof.events.ledger import from_json
from running_agent import RunningAgent, until

pytestmark = pytest.mark.agent

KILLS = 200

#: When an agent is killed. Every other one so many seconds after its start: before it reads anything on a busy machine,
#: in its first pass on a fast one. The others so many seconds after they told an event.
AFTER_START_S, AT_WORK_S = (0.02, 0.8), (0.0, 0.3)

#: Leaves a GPU's last words in the kernel log every few milliseconds, each of another GPU, until its input ends, and
#: says which. The kernel limits what one open file may write, so each line has its own.
WRITER = """
import os, select, sys
first, pause_s = int(sys.argv[1]), float(sys.argv[2])
number = 0
while not select.select([sys.stdin], [], [], pause_s)[0]:
    gpu = f"{first + number:08x}:3b:00"
    log = os.open("/dev/kmsg", os.O_WRONLY)
    os.write(log, f"NVRM: Xid (PCI:{gpu}): 79, GPU has fallen off the bus.\\n".encode())
    os.close(log)
    print(f"pci:{gpu}.0", flush=True)
    number += 1
"""
PAUSE_S = 0.1


@pytest.fixture(autouse=True)
def kernel_log_of_our_own() -> Iterator[None]:
    """Let no other test that reads the kernel log run meanwhile (the same lock as in test_kernel_log.py)."""
    with open(Path(tempfile.gettempdir()) / "nodeproof-tests-kernel-log.lock", "wb") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


@contextmanager
def faults(written: Path) -> Iterator[None]:
    """Let events flow into the kernel log for a `with` block, and leave in a file which."""
    first = random.SystemRandom().randrange(0x1_0000, 0xFFF0_0000)
    command = [sys.executable, "-I", "-c", WRITER, str(first), str(PAUSE_S)]
    with written.open("wb") as file, subprocess.Popen(command, stdin=subprocess.PIPE, stdout=file) as writer:
        yield
        assert writer.stdin is not None
        writer.stdin.close()
    assert writer.returncode == 0


def told(agent: RunningAgent) -> int:
    return agent.text().count("event.xid: ")


def see_that_nothing_is_torn(agent: RunningAgent, copies: Path) -> None:
    """Look at what a killed agent left: at a copy of its database, so that the next one has to repair the real one."""
    if gate := agent.gate():
        from_text(gate.encode())
    if (ledger := agent.run_dir / "ledger.json").exists():
        from_json(ledger.read_bytes())
    shutil.rmtree(copies, ignore_errors=True)
    copies.mkdir()
    for name in ("history.db", "history.db-wal"):
        if (agent.state_dir / name).exists():
            shutil.copy(agent.state_dir / name, copies)
    with closing(sqlite3.connect(copies / "history.db")) as database:
        assert database.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    assert not list(agent.state_dir.glob("*.bad"))


def test_killed_at_200_random_moments_it_loses_nothing_and_tells_nothing_twice(tmp_path: Path) -> None:
    agent, at_random = RunningAgent(tmp_path), random.SystemRandom()
    with faults(tmp_path / "written"):
        for number in range(KILLS):
            before = told(agent) if number else 0
            agent.start()
            if number % 2:
                time.sleep(at_random.uniform(*AFTER_START_S))
            else:
                until(lambda: told(agent) > before, "no event is told", agent.text)  # noqa: B023  # used at once
                time.sleep(at_random.uniform(*AT_WORK_S))
            agent.kill()
            see_that_nothing_is_torn(agent, tmp_path / "copies")
    written = (tmp_path / "written").read_text().split()

    agent.start()
    try:
        agent.judged()
        until(lambda: written[-1] in (agent.run_dir / "ledger.json").read_text(), "the last one is missing", agent.text)
        kept = Counter(row["part"] for row in agent.history("--kind", "event", "--limit", "1000000"))
        ledger = from_json((agent.run_dir / "ledger.json").read_bytes())
        assert agent.status()["lost"] == {}
    finally:
        agent.kill()
    judged = {s.part: sum(n for _, n in s.points) for s in ledger.events if s.rule == "event.xid"}
    assert len(written) > KILLS
    assert {part: kept[part] for part in written} == dict.fromkeys(written, 1)
    assert {part: judged.get(part, 0) for part in written} == dict.fromkeys(written, 1)
    lines = Counter(line for line in agent.text().splitlines() if line.startswith("event.xid: "))
    assert not [line for line, times in lines.items() if times > 1 and any(p[4:-2] in line for p in written)]
