"""A cluster for campaigns: nine nodes of a real Slurm, an installation of nodeproof inside, and a spool that all share.

All nodes are one host with few cores: what is measured is short, and only a few nodes are at work at once.
"""

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import lab_site
import mini_slurm
from mini_slurm import RELEASES, Slurm
from nodeproof_bench.campaign.book import Book
from nodeproof_bench.campaign.book_rows import Campaign, Job, Result
from nodeproof_bench.campaign.collect.files import SUFFIX

NODES = 9

PLAN = """
name = "lab"
nodes = "{nodes}"
out_of_service = "{out_of_service}"
[submit]
nodes_at_once = {at_once}
share_of_partition = 1.0
requests_per_s = 20.0
poll_s = {poll_s}
patience = "60s"
directory = "/home/jobs"
output = "/home/jobs/%x.out"
[results]
{results}
database = "sqlite:///{database}"
[node]
program = "/opt/nodeproof/bin/nodeproof"
disk = "/home/jobs"
port = {port}
{node}
[act]
{act}
{phases}
"""

_POLICY = """
mode = "enforce"
[slurm]
url = "{url}"
token_file = "{token}"
user_name = "root"
timeout_s = 20
[guard]
share = 1.0
drains = 1000000
same_check_nodes = 1000000
"""

#: slurmctld shall not wait for more before it looks what may begin.
CONF = "SchedulerParameters=batch_sched_delay=0,sched_min_interval=0\nMinJobAge=600\n"


class Done(NamedTuple):
    """What a command came to."""

    code: int
    out: str
    err: str


class Lab:
    """The cluster, and campaigns on it. Each has a book of its own."""

    def __init__(self, slurm: Slurm, directory: Path) -> None:
        self.slurm = slurm
        self.spool = directory / "spool"
        self.said = directory / "said"
        #: Where the controller takes results that are posted: within the ports of this cluster.
        self.port = int(slurm.url.rpartition(":")[2]) + 100
        for old in (*self.of_jobs.glob("*.out"), *self.of_jobs.glob(f"*{SUFFIX}")):  # the chroot outlives its cluster
            old.unlink()
        self._started: list[subprocess.Popen[bytes]] = []
        self.directory = directory
        self._policy = directory / "policy.d"
        self._policy.mkdir(exist_ok=True)
        token = directory / "token"
        token.touch(mode=0o600)
        token.write_text(slurm.token("root"))
        (self._policy / "10-lab.toml").write_text(_POLICY.format(url=slurm.url, token=token))

    def plan(
        self,
        name: str,
        phases: str,
        *,
        nodes: str = f"n[1-{NODES}]",
        at_once: int = 2,
        act: str = "",
        poll_s: float = 0.5,
        results: str = "",
        node: str = "",
        out_of_service: str = "skip",
    ) -> str:
        """Write a plan and return its file; its campaigns are in a book of that name. Results go to the spool."""
        file = self.directory / f"{name}.toml"
        words = {"nodes": nodes, "act": act, "at_once": at_once, "poll_s": poll_s, "out_of_service": out_of_service}
        places = {"results": results or f'spool = "{self.spool}"', "database": self._database(name), "node": node}
        port = 23500 + 200 * list(RELEASES).index(self.slurm.suite)  # clusters of two suites share this host's ports
        file.write_text(PLAN.format(phases=phases, port=port, **words, **places))
        file.chmod(0o600)
        return str(file)

    @property
    def of_jobs(self) -> Path:
        """Where jobs write: what they say, and what they could not deliver."""
        return self.slurm.root / "home/jobs"

    @property
    def books(self) -> Path:
        """Where books are, and beside them what was posted, and the secret of its tokens."""
        return self.directory / "books"

    def submitted(self, name: str) -> list[Job]:
        """Return the jobs that are in Slurm, as the book has them."""
        if not self.has_book(name):
            return []
        with self.book(name) as book:
            return [job for c in book.campaigns() for job in book.jobs(c.id) if job.job_id is not None]

    def trying(self, name: str, attempt: int) -> list[Job]:
        """Return the jobs that have a result and cannot deliver it."""
        return [j for j in self.submitted(name) if j.attempt == attempt and "(trying again)" in self.said_by(j)]

    def results(self, name: str) -> list[Result]:
        with self.book(name) as book:
            return book.results(book.campaigns()[-1].id)

    def said_by(self, job: Job) -> str:
        """Return what a job has said so far."""
        file = self.of_jobs / f"{job.job_name}.out"
        return file.read_text() if file.exists() else ""

    def kept(self) -> list[str]:
        """Return the names of results that nodes could not deliver."""
        return [file.name for file in self.of_jobs.glob(f"*{SUFFIX}")]

    def book(self, name: str) -> Book:
        return Book(f"sqlite:///{self._database(name)}")

    def has_book(self, name: str) -> bool:
        return self._database(name).exists()

    def _database(self, name: str) -> Path:
        return self.books / f"{name}.db"

    def command(self, *words: str) -> list[str]:
        return [sys.executable, "-m", "nodeproof", "campaign", *words]

    def with_policy(self, *words: str) -> list[str]:
        return self.command(*words, "--policy", str(self._policy))

    def run(self, *words: str, limit_s: float = 300) -> Done:
        """Run a subcommand that asks Slurm, to its end."""
        done = subprocess.run(self.with_policy(*words), capture_output=True, text=True, check=False, timeout=limit_s)
        return Done(done.returncode, done.stdout, done.stderr)

    def resume(self, name: str, limit_s: float = 300) -> Done:
        return self.run("resume", "--database", f"sqlite:///{self._database(name)}", limit_s=limit_s)

    def status(self, name: str) -> dict[str, Any]:
        words = self.command("status", "last", "--json", "--database", f"sqlite:///{self._database(name)}")
        done = subprocess.run(words, capture_output=True, text=True, check=True)
        return dict(json.loads(done.stdout)["campaigns"][0])

    def cancel(self, name: str) -> Done:
        return self.run("cancel", "last", "--database", f"sqlite:///{self._database(name)}")

    def start(self, *words: str) -> subprocess.Popen[bytes]:
        """Start a controller. What it says is added to `said`."""
        with self.said.open("ab") as said:
            self._started.append(subprocess.Popen(self.with_policy(*words), stdout=said, stderr=said))
        return self._started[-1]

    def clean(self) -> None:
        """Leave nothing of a test, whatever became of it: no controller, no job, no node out of service."""
        for process in self._started:
            killed(process)
        self._started.clear()
        self.slurm.exec("scancel", "--user=root")
        until(lambda: not self.slurm.exec("squeue", "--noheader"), "no job is left")
        self.free()

    def start_resume(self, name: str) -> subprocess.Popen[bytes]:
        return self.start("resume", "--database", f"sqlite:///{self._database(name)}")

    def campaign(self, name: str) -> Campaign:
        with self.book(name) as book:
            return book.campaigns()[-1]

    def jobs_of(self, campaign_id: str) -> Counter[str]:
        """Return how often slurmctld took a job of each name of a campaign, by its own log of submissions."""
        shown = self.slurm.exec("squeue", "--states=all", "--noheader", "--format=%j")
        return Counter(word for word in shown.split() if word.startswith(f"np-{campaign_id}-"))

    def free(self) -> None:
        """Put all nodes back into service."""
        for n in range(1, NODES + 1):
            self.slurm.free(f"n{n}")

    @contextlib.contextmanager
    def preferred(self, node: str) -> Iterator[None]:
        """Let what runs on a node come before all else on this host, for a `with` block; where we may, that is.

        The work of others would make what is measured there inconclusive.
        """
        tasks = [int(task.name) for task in Path(f"/proc/{self.slurm.mini_slurm('pid', node).strip()}/task").iterdir()]
        with contextlib.suppress(PermissionError):
            for task in tasks:  # jobs inherit it: sched(7)
                os.sched_setscheduler(task, os.SCHED_FIFO, os.sched_param(1))
        try:
            yield
        finally:
            for task in tasks:
                with contextlib.suppress(ProcessLookupError):
                    os.sched_setscheduler(task, os.SCHED_OTHER, os.sched_param(0))

    @contextlib.contextmanager
    def slowed(self, node: str, bytes_per_s: int) -> Iterator[None]:
        """Let all that runs on a node read and write its disk at this rate at most, for a `with` block."""
        device = os.stat(self.slurm.root).st_dev
        limit = f"{os.major(device)}:{os.minor(device)} {bytes_per_s}"
        group = Path(f"/sys/fs/cgroup/blkio/nodeproof-lab-{os.getpid()}")
        group.mkdir()
        try:
            for operation in ("read", "write"):
                (group / f"blkio.throttle.{operation}_bps_device").write_text(limit)
            (group / "cgroup.procs").write_text(self.slurm.mini_slurm("pid", node).strip())
            yield
        finally:
            for pid in (group / "cgroup.procs").read_text().split():
                with contextlib.suppress(ProcessLookupError):
                    (group.parent / "cgroup.procs").write_text(pid)
            group.rmdir()


@contextlib.contextmanager
def running(suite: str, directory: Path, more: str = "") -> Iterator[Lab]:
    """Run a cluster for a `with` block. Jobs see the directory at its own path."""
    root = mini_slurm.root_of(suite, "campaign")
    (directory / "spool").mkdir(exist_ok=True)
    bind = [f"{lab_site.site_for(root)}=/opt/nodeproof", str(directory / "spool")]
    with mini_slurm.running(suite, "campaign", nodes=NODES, extra=CONF + more, bind=bind) as slurm:
        yield Lab(slurm, directory)


def killed(process: subprocess.Popen[bytes]) -> None:
    process.send_signal(signal.SIGKILL)
    process.wait()


def until(is_so: Callable[[], object], what: str, limit_s: float = 120) -> None:
    """Wait until something is so, for longer than it ever takes."""
    until_s = time.monotonic() + limit_s
    while not is_so():
        assert time.monotonic() < until_s, f"it did not happen in {limit_s:g} s: {what}"
        time.sleep(0.2)


def wait_for(process: subprocess.Popen[bytes], seconds: float) -> bool:
    """Wait a while. Returns whether the process has ended by itself."""
    until_s = time.monotonic() + seconds
    while time.monotonic() < until_s:
        if process.poll() is not None:
            return True
        time.sleep(0.05)
    return False
