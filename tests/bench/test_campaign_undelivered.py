"""Results that their nodes could not deliver: kept, told of, and delivered by the next attempt, which does no more."""

import os
import socket
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from campaign_results import CAMPAIGN, ONE, bench_line, book_at, order, result_file
from campaign_site import INVENTORY, Site
from fake_jobs import FakeJob, FakeJobs, fake_jobs
from nodeproof.errors import PolicyError
from nodeproof.policy.settings import SlurmSettings
from nodeproof.slurm.placed import read_placed
from nodeproof.slurm.rest import Client
from nodeproof_bench.campaign.begin import draft
from nodeproof_bench.campaign.book import Book
from nodeproof_bench.campaign.collect.files import read
from nodeproof_bench.campaign.collect.spool import Spool
from nodeproof_bench.campaign.controller import MOST_UNDELIVERED, NoResultsError
from nodeproof_bench.campaign.node.kept import earlier, keep
from nodeproof_bench.campaign.node.work import work
from nodeproof_bench.campaign.order import DELIVERED, LOST, NOT_TAKEN, NOT_WANTED, Key, WorkOrder
from nodeproof_bench.campaign.plan_file import load_plan
from nodeproof_bench.campaign.running import begin, go_on


@pytest.fixture
def jobs() -> Iterator[FakeJobs]:
    with fake_jobs("n1", "n2", "n3", "n4") as fake:
        yield fake


@pytest.fixture
def first(tmp_path: Path) -> WorkOrder:
    """Return the order of an attempt whose spool is away, and that has kept its result."""
    made = order(spool=str(tmp_path / "spool"), path=str(tmp_path))
    assert keep(made, result_file())
    return made


def kept_in(directory: Path) -> list[str]:
    return sorted(path.name for path in directory.glob("*.jsonl"))


def test_the_next_attempt_delivers_what_the_last_one_measured(first: WorkOrder, tmp_path: Path) -> None:
    (tmp_path / "spool" / CAMPAIGN).mkdir(parents=True)

    assert work(first._replace(attempt=2), "") == DELIVERED
    assert kept_in(tmp_path) == []
    found = read(ONE._replace(attempt=2), "bench", (tmp_path / "spool" / CAMPAIGN / "1.2.n1.jsonl").read_bytes())
    assert found.lines == read(ONE, "bench", result_file()).lines
    with book_at(tmp_path) as book:
        (task,) = [task for task in book.tasks(CAMPAIGN) if task.task == 1]
        assert book.begin_attempt(task._replace(attempts=2), [])
        assert [taken.outcome for taken in Spool(str(tmp_path / "spool"), CAMPAIGN).collect(book)] == ["stored"]


def test_what_cannot_be_delivered_again_stays_under_the_name_of_the_last_attempt(
    first: WorkOrder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("nodeproof_bench.campaign.node.work._MORE_S", 0.0)

    assert work(first._replace(attempt=2), "") == NOT_TAKEN
    assert kept_in(tmp_path) == [f"{CAMPAIGN}.1.2.n1.jsonl"]


def spoilt(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-9])


def with_a_problem(path: Path) -> None:
    path.write_bytes(result_file(bench_line(), {"kind": "problem", "text": "stopped by a signal"}))


def of_another(path: Path) -> None:
    path.write_bytes(result_file(key=Key(CAMPAIGN, 1, 1, "n2")))


def linked(path: Path) -> None:
    path.rename(path.with_suffix(".real"))
    path.symlink_to(path.with_suffix(".real"))


def piped(path: Path) -> None:
    path.unlink()
    os.mkfifo(path, 0o600)


@pytest.mark.parametrize("change", [spoilt, with_a_problem, of_another, linked, piped, lambda path: path.chmod(0o666)])
def test_what_is_not_whole_or_not_surely_ours_is_measured_again(
    first: WorkOrder, tmp_path: Path, change: Callable[[Path], None]
) -> None:
    again = first._replace(attempt=2)
    assert earlier(again) is not None
    change(tmp_path / f"{CAMPAIGN}.1.1.n1.jsonl")

    assert earlier(again) is None


def test_nobodys_result_is_delivered_but_that_of_an_earlier_attempt_of_one_node(first: WorkOrder) -> None:
    pair: dict[str, Any] = {"kind": "pairs", "role": "listen", "peer_node": "n2", "port": 23500, "session": "s"}
    assert earlier(first) is None
    assert earlier(first._replace(attempt=2, task=2)) is None
    assert earlier(first._replace(attempt=2, **pair)) is None


@pytest.mark.parametrize(
    ("code", "why"),
    [
        (NOT_TAKEN, "its result could not be delivered to /shared, and {kept}"),
        (NOT_WANTED, "its result was refused at /shared, and {kept}"),
        (LOST, "Slurm says FAILED, and no result came (exit code 1)"),
        (0, "Slurm says FAILED, and no result came"),
    ],
)
def test_it_is_told_where_a_result_is_that_did_not_come(jobs: FakeJobs, tmp_path: Path, code: int, why: str) -> None:
    site = Site(jobs, tmp_path, "n1", more=INVENTORY)

    def run(job: FakeJob) -> None:
        if job.order["attempt"] > 1:
            site.run_at_once(job)
        job.state, job.code = ["FAILED"], code

    jobs.on_taken = run
    assert site.run() == "done"
    expected = why.format(kept=f"is kept on the node as {site.id}.1.1.n1.jsonl in its state directory")
    assert site.said == [f"inventory on n1 failed: n1: {expected}; attempt 2 follows"]


@pytest.mark.parametrize("delivered", [0, 1])
def test_a_campaign_of_which_no_result_can_come_ends_before_it_wears_its_nodes_out(
    jobs: FakeJobs, tmp_path: Path, delivered: int
) -> None:
    """One result that came tells that it can: then the others' nodes are at fault."""
    site = Site(jobs, tmp_path, "n[1-4]", more=INVENTORY)

    def run(job: FakeJob) -> None:
        if len(jobs.jobs) <= delivered:
            site.run_at_once(job)
        job.state, job.code = ["FAILED"], NOT_TAKEN

    jobs.on_taken = run
    if delivered:
        assert site.run() == "done"
        assert len(site.names()) == 1 + 3 * 3
        return
    with pytest.raises(NoResultsError, match="no result comes: n1: its result could not be delivered to /shared"):
        site.run()
    assert MOST_UNDELIVERED <= len(site.names()) <= 4


def test_a_port_that_is_taken_is_told_before_anything_is_begun_and_stops_what_is_gone_on_with(
    jobs: FakeJobs, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    policy, file, database = tmp_path / "policy.d", tmp_path / "plan.toml", f"sqlite:///{tmp_path}/book/c.db"
    policy.mkdir()
    (policy / "10-site.toml").write_text(f'[slurm]\nurl = "{jobs.slurm.url}"\n')
    with socket.create_server(("127.0.0.1", 0)) as taken:
        place = f"127.0.0.1:{taken.getsockname()[1]}"
        file.write_text(f'name = "rack"\nnodes = "n1"\n[results]\npost = "http://{place}"\ndatabase = "{database}"\n')
        file.chmod(0o600)
        words = f"results.listen: cannot listen on {place}: Address already in use$"
        with pytest.raises(PolicyError, match=words):
            begin(str(file), str(policy))
        assert not (tmp_path / "book").exists()

        with Book(database) as book, Client(SlurmSettings(jobs.slurm.url), 5.0) as client:
            draft(load_plan(str(file)), read_placed(client), "here").save(book)
            with pytest.raises(PolicyError, match=words):
                go_on("last", str(policy), database)
            (campaign,) = book.campaigns()
    assert campaign.state == "stopped"
    assert f"nodeproof campaign resume {campaign.id}" in capsys.readouterr().err
    assert jobs.jobs == []
