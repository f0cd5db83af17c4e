"""Submissions whose answer is lost, late, forged or a refusal: each job is in Slurm once, and is found there."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from campaign_site import INVENTORY, Site
from fake_jobs import FakeJob, FakeJobs, fake_jobs
from fake_slurm import CTLD_DOWN, TIMED_OUT, Reply
from nodeproof_bench.campaign.controller import PlanRefusedError


@pytest.fixture
def jobs() -> Iterator[FakeJobs]:
    with fake_jobs("n1", "n2", "n3", "n4") as fake:
        yield fake


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
