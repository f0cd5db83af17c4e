"""A node of a real Slurm, its policy, and a fault that is real: a file system that policy claims is unmounted.

`nodeproof` runs as slurmd runs it: no environment, no standard input, and `/` for a directory.
"""

import json
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any, NamedTuple

from controlled import Controller
from mini_slurm import Slurm
from nodeproof.policy.settings import SlurmSettings
from nodeproof.slurm import Client
from support import write_if_other

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
    """Node n1, its policy, and the mount that is broken and repaired.

    The tests of a cluster share `directory`: a policy that stays as it was is not compiled again.
    """

    def __init__(self, slurm: Slurm, directory: Path) -> None:
        self.slurm = slurm
        self.mount = directory / "scratch"
        self.mount.mkdir(exist_ok=True)
        self.policy = directory / "policy.d"
        self.policy.mkdir(exist_ok=True)
        self.token_file = directory / "token"
        self.state_dir = Path(tempfile.mkdtemp(dir=directory)) / "state"
        for file in self.policy.glob("[2-9]*"):  # of a test before
            file.unlink()
        self.become("slurm")
        self.set(mode="enforce")

    def become(self, user: str) -> None:
        """Use the token of this user."""
        self.token_file.touch(mode=0o600)
        self.token_file.write_text(self.slurm.token(user))

    def set(self, *, mode: str, url: str = "", token_file: str | None = None, more: str = "") -> None:
        """Write the policy; `more` is further lines of its [slurm] table."""
        token_file = str(self.token_file) if token_file is None else token_file
        self.write(
            f"""
            mode = "{mode}"
            [slurm]
            url = "{url or self.slurm.url}"
            token_file = "{token_file}"
            user_name = "slurm"
            node_name = "n1"
            jitter_s = 0
            {more}
            [claims.fs]
            "{self.mount}" = "tmpfs"
            [check.fs.mounted]
            clear_after = 2
            """
        )

    def write(self, text: str) -> None:
        write_if_other(self.policy / "10-lab.toml", text)

    def repair(self) -> None:
        subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", self.mount], check=True)

    def break_it(self) -> None:
        if self.mount.is_mount():
            subprocess.run(["umount", self.mount], check=True)

    def start(self, check: str = "fs.mounted") -> subprocess.Popen[str]:
        options = ["--act", "--policy", str(self.policy), "--state-dir", str(self.state_dir), "--json"]
        return subprocess.Popen(
            [sys.executable, "-I", "-m", "nodeproof", "check", check, *options],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env={"SLURMD_NODENAME": "n1"},
            cwd="/",
        )

    def check(self, check: str = "fs.mounted") -> Run:
        return ended(self.start(check))

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

    def drains(self) -> int:
        """Return how often n1 was drained since the cluster was started."""
        return self.slurm.log_of("slurmctld").count(" update_node: node n1 state set to DRAINED")

    def client(self, limit_s: float = 20.0) -> Client:
        return Client(SlurmSettings(self.slurm.url, str(self.token_file), "slurm"), limit_s)

    def notes(self) -> Any:
        """Return what is in the node's `extra`."""
        extra = self.slurm.node("n1")["extra"]
        return json.loads(extra) if extra else None


class ControlledBench(Bench):
    """The same without a token: it asks a controller."""

    def __init__(self, slurm: Slurm, controller: Controller, directory: Path) -> None:
        self.controller = controller
        super().__init__(slurm, directory)

    def set(self, *, mode: str, url: str = "", token_file: str | None = None, more: str = "") -> None:
        node = self.controller.node("n1")
        self.write(
            f"""
            mode = "{mode}"
            [slurm]
            node_name = "n1"
            {more}
            [controller]
            url = "{node.url}"
            ca_file = "{node.ca_file}"
            credential_file = "{node.credential_file}"
            [claims.fs]
            "{self.mount}" = "tmpfs"
            [check.fs.mounted]
            clear_after = 2
            """
        )


def ended(process: subprocess.Popen[str]) -> Run:
    out, loud = process.communicate(timeout=60)
    assert "Traceback" not in loud
    assert out, loud
    return Run(process.returncode, json.loads(out)["action"], loud)
