"""When and where a campaign begins something: others' jobs, its limits, its window and its pace come first."""

from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from campaign_site import INVENTORY, PAIRS, Site, states
from fake_jobs import FakeJobs, fake_jobs
from nodeproof_bench.campaign.book import Book
from nodeproof_bench.campaign.pace import Pace


@pytest.fixture
def jobs() -> Iterator[FakeJobs]:
    with fake_jobs("n1", "n2", "n3", "n4") as fake:
        yield fake


def test_nodes_with_a_users_job_are_waited_for(jobs: FakeJobs, tmp_path: Path) -> None:
    """A single job waits in Slurm's queue; of a pair neither is sent, for the other one would run and wait in vain."""
    site = Site(jobs, tmp_path, "n[1-2]", more=PAIRS)
    jobs.slurm.nodes["n2"].base = "ALLOCATED"
    site.most_waits = 3
    site.run()
    assert site.names() == []

    jobs.slurm.nodes["n2"].base = "IDLE"
    site.most_waits = 100
    assert site.run() == "done"


@pytest.mark.parametrize(("submit", "count"), [("", 1), ('qos = "high"', 0), ('qos = "high"\npreempt = true', 1)])
def test_nobody_is_pre_empted_unless_the_plan_says_so(jobs: FakeJobs, tmp_path: Path, submit: str, count: int) -> None:
    site = Site(jobs, tmp_path, "n1", submit=submit, more=INVENTORY)
    jobs.slurm.nodes["n1"].base = "MIXED"
    jobs.on_taken = lambda _job: None
    site.most_waits = 3
    site.run()

    assert len(site.names()) == count


def test_a_node_that_goes_out_of_service_is_given_up_after_the_plans_patience(jobs: FakeJobs, tmp_path: Path) -> None:
    site = Site(jobs, tmp_path, "n[1-3]", submit='patience = "60s"')
    jobs.slurm.admin("n3", state=["DRAIN"], reason="fan broken")

    assert site.run() == "done"
    with Book(site.url) as book:
        ends = {(task.phase, *task.nodes): (task.state, task.why) for task in book.tasks(site.id)}
    assert ends["inventory", "n3"] == ("skipped", "n3: IDLE+DRAIN: fan broken")
    assert Counter(state for state, _ in ends.values()) == {"done": 2 + 1, "skipped": 1 + 2}
    assert [text for text in site.said if "given up" in text] == ["n3 is given up: IDLE+DRAIN: fan broken"]


def test_a_node_that_comes_back_in_time_is_not_given_up(jobs: FakeJobs, tmp_path: Path) -> None:
    site = Site(jobs, tmp_path, "n[1-3]", submit='patience = "60s"')
    jobs.slurm.admin("n3", state=["DRAIN"], reason="reboot")
    waits = [3]

    def wait() -> None:
        waits[0] -= 1
        if waits[0] == 0:
            jobs.slurm.admin("n3", state=["RESUME"])

    site.on_wait = wait

    assert site.run() == "done"
    assert states(site) == {"done": 3 + 3}


def test_no_more_nodes_than_planned_are_at_work(jobs: FakeJobs, tmp_path: Path) -> None:
    site = Site(jobs, tmp_path, "n[1-4]", submit="", more=INVENTORY)
    submit = site.plan.submit.model_copy(update={"nodes_at_once": 2})
    site.plan = site.plan.model_copy(update={"submit": submit})
    jobs.on_taken, most = (lambda _job: None), 0

    def wait() -> None:
        nonlocal most
        at_work = [job for job in jobs.jobs if job.state == ["PENDING"]]
        most = max(most, len(at_work))
        site.run_at_once(at_work[0])

    site.on_wait = wait

    assert site.run() == "done"
    assert most == 2


def test_the_share_of_a_partition_is_kept(jobs: FakeJobs, tmp_path: Path) -> None:
    site = Site(jobs, tmp_path, "n[1-4]", more=INVENTORY)
    submit = site.plan.submit.model_copy(update={"share_of_partition": 0.75})
    site.plan = site.plan.model_copy(update={"submit": submit})
    jobs.on_taken = lambda _job: None
    site.most_waits = 3
    site.run()

    assert len(site.names()) == 3


def test_outside_its_window_a_campaign_begins_nothing(jobs: FakeJobs, tmp_path: Path) -> None:
    import datetime as dt

    site = Site(jobs, tmp_path, "n1", submit='window = "22:00-06:00"', more=INVENTORY)
    site.now = dt.datetime(2026, 3, 2, 21, 59).astimezone().timestamp()
    site.most_waits = 3
    site.run()
    assert site.names() == []

    site.most_waits = 30
    assert site.run() == "done"
    assert [text for text in site.said if "window" in text] == 2 * ["waits for the window 22:00-06:00"]


def test_requests_come_no_faster_than_the_plan_says(jobs: FakeJobs, tmp_path: Path) -> None:
    site = Site(jobs, tmp_path, "n[1-4]")
    pace = Pace(50)
    with site.life(pace.wait) as lives:
        assert lives.controller.run() == "done"

    count = len(jobs.times)
    assert count > 20
    assert jobs.times[-1] - jobs.times[0] > 0.9 * (count - 1) / 50


def test_a_pace_lets_none_through_early_and_saves_nothing_up() -> None:
    now, waited = [100.0], []

    def sleep(seconds: float) -> None:
        waited.append(seconds)
        now[0] += seconds

    pace = Pace(4, clock=lambda: now[0], sleep=sleep)
    for _ in range(3):
        pace.wait()
    now[0] += 60
    for _ in range(2):
        pace.wait()

    assert waited == pytest.approx([0.25, 0.25, 0.25])
