"""An agent as systemd starts it, in directories of its own."""

import contextlib
import ctypes
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, TypeVar

from nodeproof.daemon.control import ask
from nodeproof.errors import NodeproofError

T = TypeVar("T")

#: Most seconds to wait for anything on a busy machine.
PATIENCE_S = 60.0

#: No address for metrics, since tests run side by side; and no jitter, so that the first pass comes at once.
POLICY = """
[agent]
jitter_share = 0.0
metrics_listen = ""
"""


class RunningAgent:
    """Directories of an agent, and its process while it runs."""

    def __init__(self, home: Path, policy: str = "") -> None:
        self.run_dir, self.state_dir, self.policy_dir = home / "run", home / "state", home / "policy"
        for directory in (self.run_dir, self.state_dir, self.policy_dir):
            directory.mkdir(mode=0o755)
        self.state_dir.chmod(0o700)
        self.set_policy(policy)
        self.log = home / "log"
        self.process: subprocess.Popen[bytes] | None = None

    def set_policy(self, text: str) -> None:
        (self.policy_dir / "10.toml").write_text(POLICY)
        (self.policy_dir / "20.toml").write_text(text)

    def start(self, environment: Mapping[str, str] | None = None) -> None:
        words = ["--run-dir", self.run_dir, "--state-dir", self.state_dir, "--policy", self.policy_dir]
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-I", "-m", "nodeproof", "agent", *map(str, words)],
                stderr=log,
                env={**os.environ, **(environment or {})},
                preexec_fn=_end_with_us,  # noqa: PLW1509  # the tests have one thread
            )

    def kill(self) -> None:
        self.signal(signal.SIGKILL)
        self.wait()

    def signal(self, number: int) -> None:
        assert self.process is not None
        self.process.send_signal(number)

    def wait(self) -> int:
        assert self.process is not None
        return self.process.wait(PATIENCE_S)

    def stop(self) -> int:
        self.signal(signal.SIGTERM)
        return self.wait()

    def ask(self, do: str, **more: str) -> dict[str, Any]:
        return ask(str(self.run_dir), {"do": do, **more}, PATIENCE_S)

    def status(self) -> dict[str, Any]:
        """Return the status, once the agent answers."""
        return until(self._status, "the agent does not answer", self.text)

    def _status(self) -> dict[str, Any] | None:
        try:
            return self.ask("status")
        except NodeproofError:
            return None

    def judged(self) -> dict[str, Any]:
        """Return the status after the first health check."""
        return until(self._judged, "no health check", self.text)

    def _judged(self) -> dict[str, Any] | None:
        found = self._status()
        is_judged = found is not None and any(g["name"] == "health" and g["last_at"] for g in found["groups"])
        return found if is_judged else None

    def check(self, check_id: str) -> dict[str, Any]:
        found: dict[str, Any] = next((c for c in self.status()["checks"] if c["id"] == check_id), {"status": "none"})
        return found

    def gate(self) -> str:
        try:
            return (self.run_dir / "gate").read_text()
        except FileNotFoundError:
            return ""

    def text(self) -> str:
        return self.log.read_text()

    def history(self, *words: str) -> list[dict[str, Any]]:
        command = [sys.executable, "-I", "-m", "nodeproof", "history", "--json", "--state-dir", str(self.state_dir)]
        done = subprocess.run([*command, *words], capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        rows: list[dict[str, Any]] = json.loads(done.stdout)["entries"]
        return rows


def _end_with_us() -> None:
    """Have the kernel end an agent whose test has ended otherwise than it should (PR_SET_PDEATHSIG)."""
    ctypes.CDLL(None).prctl(1, signal.SIGKILL, 0, 0, 0)


@contextlib.contextmanager
def running(home: Path, policy: str = "") -> Iterator[RunningAgent]:
    """Run an agent for a `with` block."""
    agent = RunningAgent(home, policy)
    agent.start()
    try:
        yield agent
    finally:
        if agent.process is not None and agent.process.poll() is None:
            agent.kill()


def until(look: Callable[[], T | None], what: str, more: Callable[[], str] = str) -> T:
    """Return what `look` sees as soon as that is something."""
    until_s = time.monotonic() + PATIENCE_S
    while not (found := look()):
        assert time.monotonic() < until_s, f"{what}\n{more()}"
        time.sleep(0.02)
    return found
