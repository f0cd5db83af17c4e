"""A Slurm whose slurmd runs nodeproof's hooks, from an installation inside its chroot."""

import contextlib
import json
import re
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, TypeVar

import lab_site
import mini_slurm
from lab_site import REPOSITORY
from mini_slurm import Slurm
from support import write_if_other

T = TypeVar("T")

NODES = ("n1", "n2")

PROGRAMS = "/usr/libexec/nodeproof/slurm"
PYTHON = ("/opt/nodeproof/bin/python", "-I", "-m", "nodeproof")

#: A prolog as a site has one, with a fault of its own, that calls ours last.
_SITE_PROLOG = f"""#!/bin/sh
[ ! -e /run/nodeproof/fault.site ] || exit 1
exec {PROGRAMS}/prolog
"""

_POLICY = """
mode = "{mode}"
deadline_s = 2.0
[slurm]
url = "{url}"
token_file = "/etc/nodeproof/slurm.token"
user_name = "slurm"
timeout_s = 6
jitter_s = 0
[guard]
drains = 1000000
same_check_nodes = 1000000
[agent]
flaps = 1000000
[check.lab]
both.clear_after = 1
prolog.clear_after = 1
exclusive.clear_after = 1
{ignored}
"""

#: What the chroot cannot have right, and what other tests leave in the kernel log that all share.
_IGNORED = ("fs.responsive", "time.synchronised", "kernel.taint", "event.xid")


class Hooked:
    """The cluster, its policy, and the faults that are planted on its nodes."""

    def __init__(self, slurm: Slurm) -> None:
        self.slurm = slurm
        self.home = slurm.root / "etc/nodeproof"
        self.home.joinpath("policy.d").mkdir(parents=True, exist_ok=True)
        self.set()

    def set(self, *, mode: str = "enforce", url: str = "", more: str = "", user: str = "slurm") -> None:
        """Write the policy and the token."""
        ignored = "\n".join(f'[check.{name}]\non_fail = "ignore"' for name in _IGNORED)
        text = _POLICY.format(mode=mode, url=url or self.slurm.url, ignored=ignored)
        write_if_other(self.home / "policy.d/10-lab.toml", text)
        write_if_other(self.home / "policy.d/20-more.toml", more)
        self.token(self.slurm.token(user))

    def token(self, text: str, mode: int = 0o600) -> None:
        file = self.home / "slurm.token"
        file.touch()
        file.chmod(mode)
        file.write_text(text)

    def plant(self, node: str, fault: str) -> None:
        (self.slurm.files_of(node) / f"run/nodeproof/fault.{fault}").touch()

    def dig_out(self, node: str) -> None:
        """Take all planted faults away."""
        for file in (self.slurm.files_of(node) / "run/nodeproof").glob("fault.*"):
            file.unlink()

    def state(self, node: str) -> dict[str, Any]:
        file = self.slurm.files_of(node) / "var/lib/nodeproof/state.json"
        return dict(json.loads(file.read_text())) if file.exists() else {}

    def wait_for_peace(self, node: str) -> None:
        """Have health checks run until nodeproof wants nothing of Slurm for a node, and put it back into service."""

        def checked() -> dict[str, Any]:
            self.hook(node, "healthcheck")
            return self.state(node)

        try:
            if self.state(node).get("drain") or self.state(node).get("wanted"):
                wait_until(checked, lambda state: not state.get("drain") and not state.get("wanted"))
        except AssertionError:  # the next test is not to fail for it
            (self.slurm.files_of(node) / "var/lib/nodeproof/state.json").unlink(missing_ok=True)
            raise
        finally:
            self.slurm.free(node)

    def settle(self) -> None:
        """Leave two nodes that are idle and well, and whose health checks have said so."""
        self.set()
        self.slurm.exec("scancel", "--user=root")
        for node in NODES:
            self.dig_out(node)
            self.wait_for_peace(node)

    def drained_by_us(self, node: str, check: str) -> str:
        """Wait until a node is drained with our reason for a check. Returns the reason."""
        self.slurm.wait_for(node, "IDLE", "DRAIN")
        reason = wait_until(lambda: self.reason(node), lambda text: text.startswith("nodeproof["))
        assert f"]: {check}: " in reason
        return reason

    def nodeproof(self, node: str, *words: str) -> subprocess.CompletedProcess[str]:
        """Run nodeproof on a node, as an operator would."""
        return self.slurm.run_at(node, *PYTHON, *words)

    def hook(self, node: str, kind: str, *environment: str) -> subprocess.CompletedProcess[str]:
        """Run a hook with the environment that slurmd gives it."""
        shell = f"cd / && exec env -i SLURMD_NODENAME={node} {' '.join(environment)} {PROGRAMS}/{kind} </dev/null"
        return self.slurm.run_at(node, "sh", "-c", shell)

    def submit(self, *options: str, script: str = "exit 0") -> str:
        """Submit a job and return its number."""
        out = self.slurm.exec("sbatch", "--parsable", "-D", "/home/jobs", "-o", "/dev/null", *options, "--wrap", script)
        return out.strip()

    def job(self, job: str) -> dict[str, str]:
        """Return what Slurm says of a job."""
        shown = self.slurm.exec("scontrol", "show", "job", job, "-o")
        return dict(word.split("=", 1) for word in shown.split() if "=" in word)

    def wait_for_job(self, job: str, *states: str) -> dict[str, str]:
        return wait_until(lambda: self.job(job), lambda found: found["JobState"] in states)

    def reason(self, node: str) -> str:
        return str(self.slurm.node(node)["reason"])

    def new_lines(self, daemon: str) -> Callable[[], str]:
        """Return a function that returns what a log holds beyond what it holds now."""
        before = len(self.slurm.log_of(daemon))
        return lambda: self.slurm.log_of(daemon)[before:]


def wait_until(look: Callable[[], T], is_so: Callable[[T], bool], limit_s: float = 60) -> T:
    """Look until it is so, and return what was seen."""
    until_s = time.monotonic() + limit_s
    while not is_so(found := look()):
        assert time.monotonic() < until_s, f"not in time: {found}"
        time.sleep(0.1)
    return found


@contextlib.contextmanager
def running(suite: str, name: str, interval_s: int) -> Iterator[Hooked]:
    """Run a cluster with hooks for a `with` block."""
    root = mini_slurm.root_of(suite, name)
    prepare(root)
    bind = [f"{lab_site.site_for(root)}=/opt/nodeproof", f"{REPOSITORY / 'packaging/slurm'}={PROGRAMS}"]
    with mini_slurm.running(suite, name, extra=configuration(interval_s), bind=bind) as slurm:
        yield Hooked(slurm)


def prepare(root: Path) -> None:
    """Leave in the chroot what slurmd finds there at its start: no policy, and the site's own prolog."""
    shutil.rmtree(root / "etc/nodeproof", ignore_errors=True)
    prolog = root / "etc/slurm/site-prolog"
    prolog.parent.mkdir(exist_ok=True)
    prolog.write_text(_SITE_PROLOG)
    prolog.chmod(0o755)


def configuration(interval_s: int) -> str:
    """Return the project's own lines for slurm.conf, but for what a lab needs: haste, and a site's own prolog."""
    text = (REPOSITORY / "packaging/slurm/slurm.conf").read_text()
    for key, value in {
        "HealthCheckInterval": str(interval_s),
        "HealthCheckNodeState": "ANY",
        "Prolog": "/etc/slurm/site-prolog",
        "SchedulerParameters": "batch_sched_delay=0,sched_min_interval=0,nohold_on_prolog_fail",
    }.items():
        text, count = re.subn(rf"(?m)^{key}=.*", f"{key}={value}", text)
        assert count == 1, key
    return text + "SlurmctldDebug=debug\n"  # tells when a node registers
