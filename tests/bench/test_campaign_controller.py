"""The controller of a campaign: whatever dies, nothing is run twice and nothing is left out."""

import threading
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from campaign_site import Killed, Site
from fake_jobs import FakeJob, FakeJobs, fake_jobs
from fake_slurm import CTLD_DOWN, TIMED_OUT, Reply
from nodeproof_bench.campaign.book import Book
from nodeproof_bench.campaign.cancelling import clear, close
from nodeproof_bench.campaign.controller import PlanRefusedError
from nodeproof_bench.campaign.pace import Pace

INVENTORY = '[[phases]]\nkind = "inventory"\n'
PAIRS = '[[phases]]\nkind = "pairs"\n'


@pytest.fixture
def jobs() -> Iterator[FakeJobs]:
    with fake_jobs("n1", "n2", "n3", "n4") as fake:
        yield fake


def states(site: Site) -> Counter[str]:
    with Book(site.url) as book:
        return Counter(task.state for task in book.tasks(site.id))


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


def test_a_submission_without_an_answer_is_not_repeated_before_it_was_looked_for(
    jobs: FakeJobs, tmp_path: Path
) -> None:
    """Slurmctld takes the job after slurmrestd gave up: it is found by its name."""
    site = Site(jobs, tmp_path, "n1", more=INVENTORY)
    sent: list[str] = []

    def hang(spec: dict[str, Any]) -> Reply | None:
        sent.append(spec["name"])
        jobs.later.append(spec)
        return TIMED_OUT

    jobs.on_submit = hang

    assert site.run() == "done"
    assert len(sent) == len(site.names()) == 1


def test_a_submission_that_never_arrived_is_made_after_two_looks(jobs: FakeJobs, tmp_path: Path) -> None:
    site = Site(jobs, tmp_path, "n1", more=INVENTORY)
    answers: list[Reply | None] = [CTLD_DOWN, None]
    jobs.on_submit = lambda _: answers.pop(0)

    assert site.run() == "done"
    looks = [path for method, path in jobs.slurm.requests if path.endswith("/jobs/")]
    assert len(looks) == 2
    assert len(site.names()) == 1


def test_a_late_job_is_found_by_the_second_look(jobs: FakeJobs, tmp_path: Path) -> None:
    site = Site(jobs, tmp_path, "n1", more=INVENTORY)
    late: list[dict[str, Any]] = []

    def hang(spec: dict[str, Any]) -> Reply:
        late.append(spec)
        return TIMED_OUT

    def wait() -> None:
        if late and any(path.endswith("/jobs/") for _, path in jobs.slurm.requests):
            jobs.later.append(late.pop())  # slurmctld goes on only after the first look

    jobs.on_submit, site.on_wait = hang, wait

    assert site.run() == "done"
    assert len(site.names()) == 1


def test_a_job_of_ours_that_is_there_twice_is_cancelled_once(jobs: FakeJobs, tmp_path: Path) -> None:
    site = Site(jobs, tmp_path, "n1", more=INVENTORY)
    jobs.on_taken = lambda _job: None

    def twice(spec: dict[str, Any]) -> Reply:
        jobs.later += [spec, spec]
        return TIMED_OUT

    jobs.on_submit = twice
    site.most_waits = 2
    site.run()

    assert [job.state for job in jobs.jobs] == [["PENDING"], ["CANCELLED"]]


def test_somebody_elses_job_of_such_a_name_is_not_ours(jobs: FakeJobs, tmp_path: Path) -> None:
    site = Site(jobs, tmp_path, "n1", more=INVENTORY)
    token = tmp_path / "token"
    token.write_text("x" * 40)
    token.chmod(0o600)
    site.settings = site.settings._replace(token_file=str(token), user_name="nodeproof")
    answers: list[Reply | None] = [TIMED_OUT, None]

    def forged(spec: dict[str, Any]) -> Reply | None:
        if len(answers) == 2:
            jobs.jobs.append(FakeJob(7, spec, user="mallory"))
        return answers.pop(0)

    jobs.on_submit = forged

    assert site.run() == "done"
    assert [job.user for job in jobs.jobs] == ["mallory", "nodeproof"]


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


def test_a_plan_that_slurm_takes_no_job_of_ends_at_once(jobs: FakeJobs, tmp_path: Path) -> None:
    site = Site(jobs, tmp_path, "n[1-4]")
    jobs.on_submit = lambda _: (500, {"errors": [{"error_number": 2000, "error": "Invalid partition name specified"}]})

    with pytest.raises(PlanRefusedError, match="Invalid partition name"):
        site.run()
    assert site.names() == []


def test_an_outage_is_told_once_and_the_campaign_goes_on(jobs: FakeJobs, tmp_path: Path) -> None:
    site = Site(jobs, tmp_path, "n[1-2]")
    outage = [6]

    def wait() -> None:
        outage[0] -= 1
        jobs.is_down = CTLD_DOWN if outage[0] > 0 else None

    site.on_wait = wait

    assert site.run() == "done"
    told = [text for text in site.said if "Slurm" in text]
    assert [text.split(":")[0] for text in told] == [
        "Slurm does not answer as it should, and is asked again",
        "Slurm answers again",
    ]


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
