"""The controller of a campaign: whatever dies, nothing is run twice and nothing is left out."""

import threading
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from campaign_site import INVENTORY, PAIRS, Killed, Site, states
from fake_jobs import FakeJob, FakeJobs, fake_jobs
from nodeproof_bench.campaign.book import Book
from nodeproof_bench.campaign.cancelling import clear, close


@pytest.fixture
def jobs() -> Iterator[FakeJobs]:
    with fake_jobs("n1", "n2", "n3", "n4") as fake:
        yield fake


def test_a_campaign_does_everything_once(jobs: FakeJobs, tmp_path: Path) -> None:
    site = Site(jobs, tmp_path, "n[1-4]")

    assert site.run() == "done"

    assert states(site) == {"done": 4 + 6}
    assert len(site.names()) == len(set(site.names())) == 4 + 2 * 6
    with Book(site.url) as book:
        assert {job.state for job in book.jobs(site.id)} == {"done"}
        assert {job.node_seconds for job in book.jobs(site.id)} == {60.0}


def test_phases_of_a_node_follow_each_other(jobs: FakeJobs, tmp_path: Path) -> None:
    site = Site(jobs, tmp_path, "n[1-2]")
    jobs.on_taken = lambda _job: None

    def wait() -> None:
        kinds = [job.order["kind"] for job in jobs.jobs]
        if all(job.state == ["COMPLETED"] for job in jobs.jobs[:2]):
            site.most_waits = 0
            assert kinds == ["inventory", "inventory"] or kinds[2:] == ["pairs", "pairs"]
        for job in jobs.jobs[:1] if jobs.jobs[0].state == ["PENDING"] else jobs.jobs[:2]:
            if job.state == ["PENDING"]:
                assert "pairs" not in kinds
                site.run_at_once(job)

    site.on_wait = wait
    site.run()
    assert jobs.jobs[0].state == jobs.jobs[1].state == ["COMPLETED"]


def test_both_jobs_of_a_pair_know_each_other(jobs: FakeJobs, tmp_path: Path) -> None:
    site = Site(jobs, tmp_path, "n[1-2]", more=PAIRS)
    site.run()

    first, second = jobs.jobs
    assert (first.order["role"], second.order["role"]) == ("listen", "connect")
    assert first.order["session"] == second.order["session"] != ""
    assert first.order["port"] == second.order["port"]
    assert (first.order["peer_node"], second.order["peer_node"]) == (second.node, first.node)


def test_wherever_a_controller_is_killed_the_next_one_goes_on_and_runs_nothing_twice(
    tmp_path: Path,
) -> None:
    """It dies at every request, before it is sent, and at every look at its clock, such as after an answer."""
    die_at = 1
    while True:
        with fake_jobs("n1", "n2") as jobs:
            directory = tmp_path / str(die_at)
            directory.mkdir()
            site = Site(jobs, directory, "n[1-2]", more=PAIRS)
            site.die_at = die_at
            try:
                is_killed = site.run() != "done"
            except Killed:
                is_killed = True
            site.die_at = None
            assert site.run() == "done"

            assert Counter(site.names()) == Counter(set(site.names())), f"killed at step {die_at}"
            assert len(site.names()) == 2, f"killed at step {die_at}"
            assert states(site) == {"done": 1}, f"killed at step {die_at}"
        if not is_killed:
            break
        die_at += 1
    assert die_at > 10


def test_five_kills_in_one_campaign_lose_nothing(jobs: FakeJobs, tmp_path: Path) -> None:
    site = Site(jobs, tmp_path, "n[1-4]")
    killed = 0
    for die_at in (7, 12, 15, 18, 22):
        site.die_at = die_at
        try:
            site.run()
        except Killed:
            killed += 1
    site.die_at = None

    assert killed == 5
    assert site.run() == "done"
    assert len(site.names()) == len(set(site.names())) == 4 + 2 * 6


def test_a_job_that_is_gone_without_a_result_is_lost_and_tried_again(jobs: FakeJobs, tmp_path: Path) -> None:
    site = Site(jobs, tmp_path, "n1", more=INVENTORY)

    jobs.on_taken = lambda job: None if job.order["attempt"] == 1 else site.run_at_once(job)
    site.on_wait = lambda: jobs.forget(*(job for job in jobs.jobs if job.order["attempt"] == 1))

    assert site.run() == "done"
    with Book(site.url) as book:
        assert [(job.attempt, job.state) for job in book.jobs(site.id)] == [(1, "lost"), (2, "done")]
    assert any("gone from Slurm without a result; attempt 2 follows" in text for text in site.said)


def test_a_task_that_fails_three_times_is_given_up_with_its_reason(jobs: FakeJobs, tmp_path: Path) -> None:
    site = Site(jobs, tmp_path, "n1")

    def fail(job: FakeJob) -> None:
        job.state = ["TIMEOUT"]

    jobs.on_taken = fail
    site.plan = site.plan.model_copy(update={"phases": site.plan.phases[:1]})

    assert site.run() == "done"
    with Book(site.url) as book:
        (task,) = book.tasks(site.id)
    assert (task.state, task.attempts) == ("failed", 3)
    assert task.why == "n1: Slurm says TIMEOUT, and no result came"
    assert len(site.names()) == len(set(site.names())) == 3


def test_a_result_with_a_problem_is_tried_again(jobs: FakeJobs, tmp_path: Path) -> None:
    site = Site(jobs, tmp_path, "n1", more=INVENTORY)

    def run(job: FakeJob) -> None:
        job.state = ["COMPLETED"]
        site.deliver(job, problem="ended by a signal" if job.order["attempt"] == 1 else "")

    jobs.on_taken = run

    assert site.run() == "done"
    assert states(site) == {"done": 1}
    assert any("n1: ended by a signal; attempt 2 follows" in text for text in site.said)


def test_when_one_of_a_pair_fails_the_other_is_cancelled_and_both_are_tried_again(
    jobs: FakeJobs, tmp_path: Path
) -> None:
    site = Site(jobs, tmp_path, "n[1-2]", more=PAIRS)

    def run(job: FakeJob) -> None:
        if job.order["attempt"] > 1:
            site.run_at_once(job)
        else:
            job.state = ["NODE_FAIL"] if job.order["role"] == "connect" else ["RUNNING"]

    jobs.on_taken = run

    assert site.run() == "done"
    assert [job.state for job in jobs.jobs] == [["CANCELLED"], ["NODE_FAIL"], ["COMPLETED"], ["COMPLETED"]]


def test_a_campaign_that_is_cancelled_submits_nothing_more(jobs: FakeJobs, tmp_path: Path) -> None:
    site = Site(jobs, tmp_path, "n[1-4]")
    jobs.on_taken = lambda _job: None

    def wait() -> None:
        with Book(site.url) as book:
            book.end_campaign(site.id, "cancelled", 1.0)
        for job in jobs.jobs:
            site.run_at_once(job)

    site.on_wait = wait

    assert site.run() == "cancelled"
    assert len(site.names()) == 4


def test_cancel_leaves_no_job_behind_not_even_one_that_comes_late(jobs: FakeJobs, tmp_path: Path) -> None:
    site = Site(jobs, tmp_path, "n[1-4]")
    jobs.on_taken = lambda _job: None
    site.most_waits = 1
    site.run()
    spec = {**jobs.jobs[0].spec, "name": f"np-{site.id}-9-1-n4"}
    jobs.jobs.append(FakeJob(999, {**spec, "name": "np-other-1-1-n1"}))
    threading.Timer(0.15, jobs.later.append, [spec]).start()

    with site.life() as lives:
        campaign = lives.book.campaign(site.id)
        count = clear(lives.client, campaign, settle_s=0.4, pause_s=0.1)
        lives.book.end_campaign(site.id, "cancelled", 1.0)
        close(lives.book, campaign)

    assert count == 5
    assert {job.name for job in jobs.jobs if job.state == ["PENDING"]} == {"np-other-1-1-n1"}
    assert states(site) == {"cancelled": 10}


def test_a_real_wait_ends_when_the_controller_is_stopped(jobs: FakeJobs, tmp_path: Path) -> None:
    from nodeproof_bench.campaign.controller import Clocks, Controller

    site = Site(jobs, tmp_path, "n[1-4]")
    jobs.on_taken = lambda _job: None
    stop = threading.Event()
    threading.Timer(0.3, stop.set).start()
    began_s = time.monotonic()
    with site.life() as lives:
        controller = Controller(
            lives.ledger, site.plan, lives.client, lives.submitter, lambda: None, site, Clocks(stop.wait)
        )
        assert controller.run() == "stopped"

    assert time.monotonic() - began_s < 5  # it would have polled after ten
    assert {job.state[0] for job in jobs.jobs} == {"PENDING"}
