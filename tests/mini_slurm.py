"""A real Slurm in a chroot, driven by `labs/mini-slurm`."""

import json
import subprocess
import time
from pathlib import Path
from typing import Any

SUITE = "trixie"  # Slurm 24.11

PROGRAM = Path(__file__).parent / "labs" / "mini-slurm"


class Slurm:
    """A running cluster with nodes n1 and n2."""

    def __init__(self) -> None:
        words = mini_slurm("env", SUITE).replace("export ", "").split()
        env = dict(word.split("=", 1) for word in words)
        self.url = env["SLURMRESTD_URL"]
        self.socket = env["SLURMRESTD_SOCKET"]
        self.log = Path(env["MINI_SLURM_ROOT"], "var/log/slurm/slurmctld.log")

    def token(self, user: str) -> str:
        return mini_slurm("token", SUITE, user).strip()

    def exec(self, *command: str) -> str:
        """Run a command as root inside the cluster. Returns its output."""
        return mini_slurm("exec", SUITE, *command)

    def stop(self, daemon: str) -> None:
        mini_slurm("stop", SUITE, daemon)

    def start(self, daemon: str) -> None:
        mini_slurm("start", SUITE, daemon)

    def node(self, name: str) -> dict[str, Any]:
        """Return what Slurm's own tool says of a node."""
        (node,) = json.loads(self.exec("scontrol", "show", "node", name, "--json"))["nodes"]
        return dict(node)

    def update(self, name: str, *changes: str) -> None:
        """Change a node as an administrator does."""
        self.exec("scontrol", "update", f"nodename={name}", *changes)

    def wait_for(self, name: str, *state: str) -> None:
        """Wait until a node is in exactly this state."""
        until_s = time.monotonic() + 30
        while self.node(name)["state"] != list(state):
            assert time.monotonic() < until_s, f"{name} is {self.node(name)['state']}, expected {state}"
            time.sleep(0.1)

    def writes(self) -> int:
        """Return how often a node was written since the cluster was started."""
        return self.log.read_text().count(" update_node: node ")


def mini_slurm(*words: str) -> str:
    done = subprocess.run([PROGRAM, *words], capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"mini-slurm {' '.join(words)}: {done.stderr}"
    return done.stdout
