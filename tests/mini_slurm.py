"""A real Slurm in a chroot, driven by `labs/mini-slurm`."""

import contextlib
import json
import os
import re
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator, Sequence
from http import client as http_client
from pathlib import Path
from typing import Any

#: Debian suites and the Slurm they have. The first cannot update nodes through slurmrestd.
RELEASES = {"bookworm": "22.05", "trixie": "24.11", "forky": "26.05"}

#: First port of a suite's first cluster (as `mini-slurm help` has it), and of how many a further one is the next.
_PORTS = {"bookworm": 22050, "trixie": 24110, "forky": 26050}
_NAMES = (
    "",
    "drain",
    "client",
    "hooks",
    "doctor",
    "manybig",
    "controller",
    "controllerbig",
    "prologs",
    "outage",
    "campaign",
    "relay",
    "admins",
    "relayadmins",
    "old",
)
_PORTS_EACH = 200

#: Debian packages in each chroot beside Slurm's: what nodeproof needs there.
PACKAGES = "python3"

PROGRAM = Path(__file__).parent / "labs" / "mini-slurm"


class Slurm:
    """A running cluster with nodes n1 and n2; `name` tells several of one suite apart.

    What tests do often goes past `mini-slurm`, which takes its time to look after everything.
    """

    def __init__(self, suite: str, name: str = "") -> None:
        self.suite = suite
        self.release = RELEASES[suite]
        self._environment = _environment(suite, name)
        words = self.mini_slurm("env").replace("export ", "").split()
        env = dict(word.split("=", 1) for word in words)
        self.url = env["SLURMRESTD_URL"]
        self.socket = env["SLURMRESTD_SOCKET"]
        self.root = Path(env["MINI_SLURM_ROOT"])
        self.log = self.root / "var/log/slurm/slurmctld.log"

    def mini_slurm(self, command: str, *words: str) -> str:
        return mini_slurm(command, self.suite, *words, environment=self._environment)

    def token(self, user: str, seconds: int = 86400) -> str:
        return (
            self.exec("scontrol", "token", f"username={user}", f"lifespan={seconds}").strip().removeprefix("SLURM_JWT=")
        )

    def exec(self, *command: str) -> str:
        """Run a command as root inside the cluster. Returns its output."""
        return _output(self._inside(_pid(self.root.parent / "holder"), command))

    def at(self, node: str, *command: str) -> str:
        """Run a command as root on a node: with its host name, and its mounts."""
        return _output(self.run_at(node, *command))

    def run_at(self, node: str, *command: str) -> subprocess.CompletedProcess[str]:
        """Do the same, and return what came of it, whatever that is."""
        return self._inside(self._pid_of(node), command)

    def files_of(self, node: str) -> Path:
        """Return the root directory of a node, as the node sees it: with what is mounted there."""
        return Path(f"/proc/{self._pid_of(node)}/root")

    def _pid_of(self, node: str) -> int:
        return _pid(self.root / f"run/mini-slurm/{node}.node.pid")

    def _inside(self, pid: int, command: Sequence[str]) -> subprocess.CompletedProcess[str]:
        enter = ["nsenter", f"--target={pid}", "--mount", "--uts", "--pid", "--", "chroot", str(self.root), "env", "-i"]
        return subprocess.run([*enter, *_INSIDE, *command], capture_output=True, text=True, check=False)

    def stop(self, daemon: str) -> None:
        self.mini_slurm("stop", daemon)

    def start(self, daemon: str) -> None:
        self.mini_slurm("start", daemon)

    @contextlib.contextmanager
    def stopped(self, daemon: str) -> Iterator[None]:
        """Stop a daemon for a `with` block."""
        self.stop(daemon)
        try:
            yield
        finally:
            self.start(daemon)

    @contextlib.contextmanager
    def hung(self, daemon: str) -> Iterator[None]:
        """Let a daemon hang for a `with` block: it accepts connections and answers nothing."""
        pid = int(self.mini_slurm("pid", daemon))
        stat = Path(f"/proc/{pid}/stat").read_text()
        parent = int(stat.rpartition(") ")[2].split()[1])  # nsenter, which stops with its child, and must see it end
        os.kill(pid, signal.SIGSTOP)
        try:
            yield
        finally:
            for one in (pid, parent):
                os.kill(one, signal.SIGCONT)

    def log_of(self, daemon: str) -> str:
        """Return the log of slurmctld or of a slurmd (n1)."""
        return (self.log.parent / f"{daemon}.log").read_text(errors="replace")

    def node(self, name: str) -> dict[str, Any]:
        """Return what Slurm says of a node; of 22.05, whose tools speak no JSON, state and reason only.

        slurmrestd says it at a tenth of what Slurm's own tool costs, which is asked where that is stopped or hangs.
        """
        if self.suite == "bookworm":
            return _of_text(self.exec("scontrol", "show", "node", name, "-o"))
        try:
            (node,) = self._ask(f"/slurm/v0.0.42/node/{name}")["nodes"]
        except (OSError, http_client.HTTPException, KeyError, ValueError):
            (node,) = json.loads(self.exec("scontrol", "show", "node", name, "--json"))["nodes"]
        return dict(node)

    def state(self, name: str) -> list[str]:
        return list(self.node(name)["state"])

    def _ask(self, path: str) -> dict[str, Any]:
        with socket.socket(socket.AF_UNIX) as connection:
            connection.settimeout(3)
            connection.connect(self.socket)
            http = http_client.HTTPConnection("localhost")
            http.sock = connection
            http.request("GET", path)
            return dict(json.loads(http.getresponse().read()))

    def update(self, name: str, *changes: str) -> None:
        """Change a node as an administrator does."""
        self.exec("scontrol", "update", f"nodename={name}", *changes)

    def wait_for(self, name: str, *state: str) -> None:
        """Wait until a node is in exactly this state."""
        until_s = time.monotonic() + 60
        while (found := self.state(name)) != list(state):
            assert time.monotonic() < until_s, f"{name} is {found}, expected {state}"
            time.sleep(0.1)

    def free(self, name: str) -> None:
        """Put a node back into service, with no reason and no `extra`."""
        if {"DRAIN", "DOWN"} & set(self.state(name)):
            self.update(name, "state=resume")
        self.wait_for(name, "IDLE")
        self.update(name, "reason=", *([] if self.suite == "bookworm" else ["extra="]))

    def writes(self) -> int:
        """Return how often a node was written since the cluster was started."""
        return self.log.read_text().count(" update_node: node ")


def _of_text(shown: str) -> dict[str, Any]:
    state = re.search(r" State=(\S+)", shown)
    reason = re.search(r" Reason=(.*?)(?: \[\S+@\S+\])?$", shown.strip())
    return {"state": state[1].split("+") if state else [], "reason": reason[1] if reason else ""}


def simulated(count: int) -> str:
    """Return lines of slurm.conf for nodes sim1, sim2, … without a slurmd, which slurmctld waits for in vain."""
    return (
        f"NodeName=sim[1-{count}] NodeHostname=mini-slurm NodeAddr=127.0.0.1 Port=9 CPUs=64 RealMemory=256000 "
        "State=UNKNOWN\nSlurmdTimeout=900\n"
    )


@contextlib.contextmanager
def running(
    suite: str,
    name: str = "",
    *,
    nodes: int = 2,
    extra: str = "",
    bind: Sequence[str] = (),
) -> Iterator[Slurm]:
    """Run a cluster for a `with` block; the first time, its chroot is built.

    `extra` is appended to slurm.conf. `bind` are host directories that are seen inside, `HOST` or `HOST=INSIDE`.
    """
    more = {"MINI_SLURM_BIND": ":".join(bind)}
    with tempfile.NamedTemporaryFile("w", suffix=".conf") as file:
        file.write(extra)
        file.flush()
        more["MINI_SLURM_CONF_EXTRA"] = file.name
        mini_slurm("up", suite, str(nodes), environment=_environment(suite, name) | more)
    try:
        started = Slurm(suite, name)
        holder = _pid(started.root.parent / "holder")
        yield started
    finally:
        mini_slurm("down", suite, environment=_environment(suite, name))
    assert not Path(f"/proc/{holder}").exists(), "a process of the cluster did not end, and holds its namespaces"


def build(suites: Sequence[str]) -> None:
    """Make the chroots that are not there yet, side by side."""
    started = [
        subprocess.Popen([PROGRAM, "build", suite], stdout=subprocess.DEVNULL, env=os.environ | _environment(suite, ""))
        for suite in suites
    ]
    assert [process.wait() for process in started] == [0] * len(started)


def root_of(suite: str, name: str) -> Path:
    """Return the chroot of a cluster that need not run; it is made if it is not there."""
    return Path(mini_slurm("build", suite, environment=_environment(suite, name)).strip())


def _environment(suite: str, name: str) -> dict[str, str]:
    port = _PORTS[suite] + _PORTS_EACH * _NAMES.index(name)
    return {"MINI_SLURM_NAME": name, "MINI_SLURM_PORT": str(port), "MINI_SLURM_PACKAGES": PACKAGES}


def mini_slurm(*words: str, environment: dict[str, str]) -> str:
    return _output(
        subprocess.run([PROGRAM, *words], capture_output=True, text=True, check=False, env=os.environ | environment)
    )


#: How `mini-slurm exec` begins a command: with nothing of the test's environment.
_INSIDE = (
    "PATH=/usr/sbin:/usr/bin:/sbin:/bin",
    "HOME=/root",
    "LC_ALL=C.UTF-8",
    "SLURM_CONF=/etc/slurm/slurm.conf",
)


def _output(done: subprocess.CompletedProcess[str]) -> str:
    assert done.returncode == 0, f"{done.args}: {done.stderr}"
    return done.stdout


def _pid(file: Path) -> int:
    return int(file.read_text().split()[0])
