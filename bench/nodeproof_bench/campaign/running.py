"""`nodeproof campaign run` and `resume`: one life of a campaign's controller, from its lock to its exit code."""

import signal
import threading
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress

import click

from nodeproof.cli import EXIT_UNKNOWN
from nodeproof.errors import NodeproofError
from nodeproof.policy.settings import Settings
from nodeproof.slurm.placed import Placed
from nodeproof.slurm.rest import Client
from nodeproof.verdict import harmless, plural
from nodeproof_bench.campaign.begin import draft, node_names
from nodeproof_bench.campaign.book import Book, BookError
from nodeproof_bench.campaign.book_rows import Campaign, Task
from nodeproof_bench.campaign.collecting import Collection, try_listening
from nodeproof_bench.campaign.controller import Clocks, Controller
from nodeproof_bench.campaign.follow_up import FollowUp
from nodeproof_bench.campaign.job_script import Orders
from nodeproof_bench.campaign.ledger import Ledger
from nodeproof_bench.campaign.lock import only_controller
from nodeproof_bench.campaign.pace import Pace
from nodeproof_bench.campaign.phases import nodes_at_once, task_s
from nodeproof_bench.campaign.plan import Plan
from nodeproof_bench.campaign.plan_file import load_plan, plan_from_json
from nodeproof_bench.campaign.planning import read_nodes, site
from nodeproof_bench.campaign.progress import Progress
from nodeproof_bench.campaign.report.opened import find_campaign, open_book
from nodeproof_bench.campaign.submitting import REQUEST_S, Submitter


def begin(file: str, directory: str | None) -> int:
    """Begin a campaign and stay until its end. Returns the exit code."""
    plan = load_plan(file)
    settings = site(directory)
    try_listening(plan.results)
    with _client(settings, plan) as client, Book(plan.database()) as book:
        fleet = read_nodes(client)
        made = draft(plan, fleet, client.place)
        made.save(book)
        names = node_names(made.nodes)
        skipped = f" ({len(made.nodes) - len(names)} skipped)" if len(names) < len(made.nodes) else ""
        click.echo(f"campaign {made.campaign.id}: {plural(len(names), 'node')}{skipped}, {len(made.tasks)} tasks")
        return _Life(book, made.campaign, plan, client, settings, fleet).live()


def go_on(word: str, directory: str | None, database: str | None) -> int:
    """Go on with a campaign. Returns the exit code."""
    with open_book(database) as book:
        campaign = find_campaign(book, word)
        plan = plan_from_json(campaign.plan)
        if campaign.state == "cancelled":
            raise NodeproofError(f"campaign {campaign.id} was cancelled: its jobs are gone")
        if campaign.state == "done":  # what it drained may be repaired by now: nothing is drained a second time
            return _said_done(book, campaign.id, book.tasks(campaign.id))
        settings = site(directory)
        with _client(settings, plan) as client:
            return _Life(book, campaign, plan, client, settings, read_nodes(client)).live()


def _client(settings: Settings, plan: Plan) -> Client:
    pace = Pace(plan.submit.requests_per_s)
    return Client(settings.slurm, REQUEST_S, keep_alive=True, wait_turn=pace.wait)


class _Life:
    """One life of a controller: it ends at the campaign's end, at a signal, or with the process."""

    def __init__(  # noqa: PLR0913, PLR0917  # what it works with, each of its own kind
        self,
        book: Book,
        campaign: Campaign,
        plan: Plan,
        client: Client,
        settings: Settings,
        fleet: Mapping[str, Placed],
    ) -> None:
        self._book = book
        self._campaign = campaign
        self._plan = plan
        self._client = client
        self._settings = settings
        self._fleet = fleet
        self._stop = threading.Event()

    def live(self) -> int:
        """Run to the end. Returns the exit code."""
        campaign, book = self._campaign, self._book
        with ExitStack() as stack:
            stack.enter_context(only_controller(book, campaign.id))
            stack.enter_context(self._stopped_by_errors())
            if book.campaign(campaign.id).state != "cancelled":
                book.end_campaign(campaign.id, "running", None)
            stack.enter_context(_signals(self._stop))
            progress = stack.enter_context(Progress(*self._expected()))
            account = self._client.account
            collection = stack.enter_context(Collection(book, campaign.id, self._plan, account, progress.say))
            ledger = Ledger(book, campaign.id, progress.say)
            outcome = self._drive(ledger, collection, progress)
        return self._close(ledger, outcome)

    def _drive(self, ledger: Ledger, collection: Collection, progress: Progress) -> str:
        """Run the controller until all tasks are over, those that confirm findings included."""
        nodes = {row.node: row for row in self._book.nodes(self._campaign.id)}
        orders = Orders(self._plan, nodes, self._fleet, collection.token)
        submitter = Submitter(ledger, self._client, orders.spec)
        clocks = Clocks(self._stop.wait)
        controller = Controller(ledger, self._plan, self._client, submitter, collection.collect, progress, clocks)
        follow_up = FollowUp(ledger, self._plan, self._client, self._settings, progress.say)
        while (outcome := controller.run()) == "done":
            if not follow_up.confirm():
                follow_up.act()
                return outcome
        return outcome

    @contextmanager
    def _stopped_by_errors(self) -> Iterator[None]:
        """Let the book say that nobody is at work any more when an error ends this life, and how to go on."""
        try:
            yield
        except NodeproofError:
            with suppress(BookError):  # it may be the book that fails, and this says so
                self._book.end_campaign(self._campaign.id, "stopped", time.time())
            click.echo(_how_to_go_on(self._campaign.id), err=True)
            raise

    def _close(self, ledger: Ledger, outcome: str) -> int:
        """Say how it ended and what to do next."""
        campaign_id = self._campaign.id
        nodes = {node for task in ledger.tasks.values() for node in task.nodes}
        each = self._client.requests / max(1, len(nodes))
        click.echo(
            f"{self._client.requests} requests to slurmrestd, {each:.1f} for each of {plural(len(nodes), 'node')}"
        )
        if outcome != "done":
            if outcome == "stopped":
                self._book.end_campaign(campaign_id, "stopped", None)
                click.echo(_how_to_go_on(campaign_id), err=True)
            else:
                click.echo(f"campaign {campaign_id} was cancelled", err=True)
            return EXIT_UNKNOWN
        self._book.end_campaign(campaign_id, "done", time.time())
        return _said_done(self._book, campaign_id, ledger.tasks.values())

    def _expected(self) -> tuple[dict[int, float], int]:
        """Return what each task should take, and how many nodes are at work at once."""
        names = [row.node for row in self._book.nodes(self._campaign.id) if row.node in self._fleet]
        sizes = {name: self._fleet[name] for name in names}
        phases = {phase.name: phase for phase in self._plan.named_phases()}

        def expected_s(task: Task) -> float:
            placed = sizes.get(task.nodes[0])
            return task_s(phases[task.phase], placed) if placed and task.phase in phases else 0.0

        tasks = self._book.tasks(self._campaign.id)
        return {task.task: expected_s(task) for task in tasks}, nodes_at_once(self._plan, sizes)


def _how_to_go_on(campaign_id: str) -> str:
    return (
        f"campaign {campaign_id} is stopped, and its jobs go on.\n"
        f"  go on with it: nodeproof campaign resume {campaign_id}\n"
        f"  end its jobs:  nodeproof campaign cancel {campaign_id}"
    )


def _said_done(book: Book, campaign_id: str, tasks: Iterable[Task]) -> int:
    """Say what a campaign that is done came to. Returns the exit code."""
    found = [f for f in book.findings(campaign_id) if f.state == "confirmed"]
    failed = sum(task.state == "failed" for task in tasks)
    for finding in found:
        acted = f" ({finding.action})" if finding.action else ""
        click.echo(f"confirmed: {harmless(finding.text, 300)}{harmless(acted, 200)}")
    click.echo(f"campaign {campaign_id} is done: {plural(len(found), 'confirmed finding')}, {failed} tasks failed")
    click.echo(f"  nodeproof campaign report {campaign_id}")
    return 1 if found or failed else 0


@contextmanager
def _signals(stop: threading.Event) -> Iterator[None]:
    """Let SIGINT and SIGTERM end the controller at the next point where nothing is half done."""
    numbers = (signal.SIGINT, signal.SIGTERM)
    before = {number: signal.signal(number, lambda *_: stop.set()) for number in numbers}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
