"""A campaign on a small slurmrestd: its book, and controllers that live, die and live again in it."""

from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from fake_jobs import FakeJob, FakeJobs
from nodeproof.policy.settings import SlurmSettings
from nodeproof.slurm.placed import read_placed
from nodeproof.slurm.rest import Client
from nodeproof_bench.campaign.begin import draft
from nodeproof_bench.campaign.book import Book
from nodeproof_bench.campaign.book_rows import Result
from nodeproof_bench.campaign.controller import Clocks, Controller
from nodeproof_bench.campaign.job_script import Orders
from nodeproof_bench.campaign.ledger import Ledger
from nodeproof_bench.campaign.plan_file import load_plan
from nodeproof_bench.campaign.submitting import Submitter

PLAN = """
name = "rack"
nodes = "{nodes}"
[submit]
nodes_at_once = 4
share_of_partition = 1.0
poll_s = 10.0
{submit}
[results]
spool = "/shared"
{more}
"""

INVENTORY = '[[phases]]\nkind = "inventory"\n'
PAIRS = '[[phases]]\nkind = "pairs"\n'

#: Phases that take no time to say what they are about.
SHORT = """
[[phases]]
kind = "inventory"
[[phases]]
kind = "pairs"
"""


class Killed(BaseException):
    """The controller died here: nothing after this was done."""


class Lives(NamedTuple):
    """What one life of a controller is made of."""

    book: Book
    ledger: Ledger
    client: Client
    submitter: Submitter
    controller: Controller


class Site:
    """A campaign, its simulated time, and what is said of it. `die_at`: at which step of its life a controller dies."""

    def __init__(self, jobs: FakeJobs, tmp_path: Path, nodes: str, *, submit: str = "", more: str = SHORT) -> None:
        self.jobs = jobs
        self.said: list[str] = []
        self.now = 1_000_000.0
        self.url = f"sqlite:///{tmp_path}/book/campaigns.db"
        self.results: list[Result] = []
        self.die_at: int | None = None
        self.steps = 0
        self.most_waits = 200
        self.on_wait: Callable[[], None] = lambda: None
        file = tmp_path / "plan.toml"
        file.write_text(PLAN.format(nodes=nodes, submit=submit, more=more))
        file.chmod(0o600)
        self.plan = load_plan(str(file))
        self.settings = SlurmSettings(jobs.slurm.url)
        with Book(self.url) as book, Client(self.settings, 5.0) as client:
            made = draft(self.plan, read_placed(client), "here", now=self.now)
            made.save(book)
            self.id = made.campaign.id
        jobs.slurm.requests.clear()
        jobs.times.clear()
        jobs.on_taken = self.run_at_once

    def run_at_once(self, job: FakeJob) -> None:
        """Let a job run, and leave its result."""
        job.state = ["COMPLETED"]
        self.deliver(job)

    def deliver(self, job: FakeJob, problem: str = "") -> None:
        order = job.order
        at = self.now
        key = order["campaign"], order["task"], order["attempt"], order["node"]
        self.results.append(Result(*key, "ab", at, at, at + 60.0, problem))

    @contextmanager
    def life(self, wait_turn: Callable[[], None] = lambda: None) -> Iterator[Lives]:
        """Open everything as a new process would."""

        def step() -> None:
            self.steps += 1
            if self.steps == self.die_at:
                raise Killed

        def turn() -> None:
            wait_turn()
            step()

        def now() -> float:
            step()
            return self.now

        self.steps = 0
        with Book(self.url) as book, Client(self.settings, 5.0, keep_alive=True, wait_turn=turn) as client:
            fleet = read_placed(client)
            ledger = Ledger(book, self.id, self.said.append)
            orders = Orders(self.plan, {row.node: row for row in book.nodes(self.id)}, fleet)
            submitter = Submitter(ledger, client, orders.spec, now=now)
            collect = lambda: self._collect(book)  # noqa: E731  # as the controller takes it
            controller = Controller(ledger, self.plan, client, submitter, collect, self, Clocks(self._wait, now))
            yield Lives(book, ledger, client, submitter, controller)

    def run(self) -> str:
        """Live one life to its end."""
        with self.life() as lives:
            return lives.controller.run()

    def names(self) -> list[str]:
        """Return the names of all jobs that Slurm ever took."""
        return self.jobs.names()

    # -- what a controller sees of the world

    def say(self, text: str) -> None:
        self.said.append(text)

    def show(self, ledger: Ledger) -> None:
        pass

    def _wait(self, seconds: float) -> bool:
        if seconds:
            self.now += seconds
            self.most_waits -= 1
            self.on_wait()
        return self.most_waits <= 0

    def _collect(self, book: Book) -> None:
        for result in self.results:
            book.store_result(result)


def states(site: Site) -> Counter[str]:
    """Return how many tasks of a campaign are in each state."""
    with Book(site.url) as book:
        return Counter(task.state for task in book.tasks(site.id))
