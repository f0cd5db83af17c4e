"""`nodeproof campaign` from the command line: plan, run, status and cancel, against a small slurmrestd."""

import json
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from campaign_results import free_port
from fake_jobs import FakeJob, FakeJobs, fake_jobs
from nodeproof.errors import NodeproofError
from nodeproof_bench.campaign.book import Book
from nodeproof_bench.campaign.cancelling import cancel_campaign
from nodeproof_bench.campaign.cli import command
from nodeproof_bench.campaign.collect.files import SCHEMA, SUFFIX, written
from nodeproof_bench.campaign.node.post import Endpoint, post
from nodeproof_bench.campaign.order import from_json

PLAN = """
name = "rack"
nodes = "n[1-3]"
[submit]
requests_per_s = 1000.0
poll_s = 0.1
share_of_partition = 1.0
[results]
spool = "{spool}"
database = "sqlite:///{database}"
[act]
confirmations = 0
[[phases]]
kind = "inventory"
"""


class Desk:
    """A login node: a plan, a policy, and a spool that a fake cluster delivers to."""

    def __init__(self, jobs: FakeJobs, tmp_path: Path) -> None:
        self.jobs = jobs
        self.spool = tmp_path / "spool"
        self.database = f"sqlite:///{tmp_path}/book/c.db"
        self.policy = tmp_path / "policy.d"
        self.policy.mkdir()
        (self.policy / "10-site.toml").write_text(f'[slurm]\nurl = "{jobs.slurm.url}"\n')
        self.plan = tmp_path / "plan.toml"
        self.plan.write_text(PLAN.format(spool=self.spool, database=tmp_path / "book/c.db"))
        self.plan.chmod(0o600)
        jobs.on_taken = self.work

    def work(self, job: FakeJob) -> None:
        """Be the node: leave a result file in the spool."""
        order = job.order
        directory = Path(order["spool"]) / order["campaign"]
        (directory / f"{order['task']}.{order['attempt']}.{order['node']}{SUFFIX}").write_bytes(self.result(job))
        job.state = ["COMPLETED"]

    def result(self, job: FakeJob) -> bytes:
        """Return what a job measured, as a file."""
        order = job.order
        head = {
            "schema": SCHEMA,
            **{key: order[key] for key in ("campaign", "task", "attempt", "node", "phase", "kind")},
            "job_id": str(job.job_id),
            "host": order["node"],
            "boot_id": "",
            "began_at": 1000.0,
        }
        return written(head, [{"kind": "facts", "facts": {"smbios.bios_version": "2.6.0"}}], 1090.0)

    def invoke(self, *words: str, policy: bool = True) -> Result:
        more = ["--policy", str(self.policy)] if policy else []
        return CliRunner().invoke(command, [*words, *more], standalone_mode=False)

    def status(self, *words: str) -> dict[str, Any]:
        done = self.invoke("status", *words, "--json", "--database", self.database, policy=False)
        assert done.exception is None
        return dict(json.loads(done.stdout))


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Desk]:
    with fake_jobs("n1", "n2", "n3") as jobs:
        yield Desk(jobs, tmp_path)


def test_a_plan_is_told_before_anything_runs(desk: Desk) -> None:
    desk.jobs.slurm.admin("n3", state=["DRAIN"], reason="fan")

    shown = desk.invoke("plan", str(desk.plan))
    made = json.loads(desk.invoke("plan", str(desk.plan), "--json").stdout)

    assert "skipped: n3: IDLE+DRAIN: fan" in shown.stdout
    assert (made["jobs"], made["nodes"]) == (2, ["n1", "n2"])
    assert made["node_hours"] == pytest.approx(2 * 75 / 3600, abs=0.001)
    assert made["expected_end"] > 1_700_000_000
    assert desk.jobs.jobs == []
    assert not desk.spool.exists()


def test_a_campaign_runs_to_its_end(desk: Desk) -> None:
    done = desk.invoke("run", str(desk.plan))

    assert done.exception is None
    assert done.return_value == 0
    assert "is done: 0 confirmed findings, 0 tasks failed" in done.stdout
    (one,) = desk.status("last")["campaigns"]
    assert (one["state"], one["over"], one["jobs"]) == ("done", 3, 3)
    assert one["node_hours"] == pytest.approx(3 * 90 / 3600, abs=0.001)
    with Book(desk.database) as book:
        assert [fact.value for fact in book.facts(one["id"])] == 3 * ["2.6.0"]


def test_requests_are_told_for_each_node(desk: Desk) -> None:
    done = desk.invoke("run", str(desk.plan))

    assert "requests to slurmrestd, " in done.stdout
    assert "for each of 3 nodes" in done.stdout


def test_a_task_that_failed_is_no_success(desk: Desk) -> None:
    desk.jobs.on_submit = lambda spec: (
        (500, {"errors": [{"error_number": 2015, "error": "Requested node configuration is not available"}]})
        if spec["required_nodes"] == ["n2"]
        else None
    )

    done = desk.invoke("run", str(desk.plan))

    assert done.return_value == 1
    assert "Requested node configuration is not available" in done.stderr
    assert "failed: inventory on n2" in desk.invoke("status", "last", "--database", desk.database, policy=False).stdout


def test_a_second_resume_of_what_is_done_changes_nothing(desk: Desk) -> None:
    desk.invoke("run", str(desk.plan))

    desk.jobs.slurm.requests.clear()

    again = desk.invoke("resume", "last", "--database", desk.database)

    assert again.return_value == 0
    assert "is done: 0 confirmed findings, 0 tasks failed" in again.stdout
    assert len(desk.jobs.jobs) == 3
    assert desk.jobs.slurm.requests == []  # what it drained may be repaired by now


def test_jobs_that_share_no_file_system_post_what_they_measured(desk: Desk) -> None:
    url = f"http://127.0.0.1:{free_port()}"
    desk.plan.write_text(desk.plan.read_text().replace(f'spool = "{desk.spool}"', f'post = "{url}"'))
    threads: list[threading.Thread] = []

    def work(job: FakeJob) -> None:
        order = from_json(job.variable("NODEPROOF_CAMPAIGN"))
        endpoint = Endpoint(order.post, job.variable("NODEPROOF_CAMPAIGN_TOKEN"))
        job.state = ["RUNNING"]  # the controller, which waits for an answer here, takes results meanwhile
        until_s = time.monotonic() + 20
        threads.append(threading.Thread(target=post, args=(endpoint, order.key, desk.result(job), until_s)))
        threads[-1].start()

    desk.jobs.on_taken = work
    done = desk.invoke("run", str(desk.plan))
    for thread in threads:
        thread.join()

    assert (done.exception, done.return_value) == (None, 0)
    with Book(desk.database) as book:
        assert [fact.value for fact in book.facts(book.campaigns()[0].id)] == 3 * ["2.6.0"]
    secret = next(Path(desk.database.removeprefix("sqlite:///")).parent.glob("*.secret"))
    assert secret.stat().st_mode & 0o777 == 0o600
    tokens = {job.variable("NODEPROOF_CAMPAIGN_TOKEN") for job in desk.jobs.jobs}
    assert len(tokens) == 3
    assert not any(token in done.output for token in {*tokens, secret.read_text().strip()})


def test_a_plan_shows_no_password_of_its_database(desk: Desk) -> None:
    text = desk.plan.read_text()
    secret = text.replace(desk.database, "postgresql+psycopg://np:s3cret@db/np")
    assert secret != text
    desk.plan.write_text(secret)
    shown = desk.invoke("plan", str(desk.plan))
    desk.plan.write_text(secret.replace("postgresql+psycopg", "mysql"))
    refused = desk.invoke("plan", str(desk.plan))

    assert "postgresql+psycopg://np:***@db/np" in shown.stdout
    assert "results.database: expected sqlite:////file or postgresql" in str(refused.exception)
    assert "s3cret" not in shown.output + str(refused.exception)


def test_a_cancelled_campaign_leaves_no_job_and_cannot_be_resumed(
    desk: Desk, capsys: pytest.CaptureFixture[str]
) -> None:
    desk.jobs.on_taken = lambda _job: None
    program = [sys.executable, "-m", "nodeproof", "campaign", "run", str(desk.plan), "--policy", str(desk.policy)]
    with subprocess.Popen(program, stderr=subprocess.PIPE, text=True) as process:
        while len(desk.jobs.jobs) < 3:
            assert process.poll() is None
        process.terminate()
        said = process.communicate()[1]

    assert process.returncode == 3
    assert "nodeproof campaign resume rack-" in said
    assert {job.state[0] for job in desk.jobs.jobs} == {"PENDING"}

    assert cancel_campaign("last", str(desk.policy), desk.database, settle_s=0.2) == 0
    assert "is cancelled: 3 jobs ended, none is left in Slurm" in capsys.readouterr().out
    assert {job.state[0] for job in desk.jobs.jobs} == {"CANCELLED"}
    assert desk.status()["campaigns"][0]["states"] == {"cancelled": 3}
    resumed = desk.invoke("resume", "last", "--database", desk.database)
    assert isinstance(resumed.exception, NodeproofError)
    assert "was cancelled" in str(resumed.exception)


def test_slurm_22_05_is_refused_with_a_reason(desk: Desk) -> None:
    desk.jobs.slurm.version = "v0.0.38"

    done = desk.invoke("run", str(desk.plan))

    assert "campaigns need Slurm 23.02 or newer" in str(done.exception)


def test_help_and_check_load_no_database() -> None:
    program = (
        "import sys\n"
        "from click.testing import CliRunner\n"
        "from nodeproof.cli import cli\n"
        "done = CliRunner().invoke(cli, ['--help'])\n"
        "assert 'campaign' in done.output, done.output\n"
        "assert CliRunner().invoke(cli, ['campaign', '--help']).exit_code == 0\n"
        "print(*sorted({'sqlalchemy', 'pydantic', 'jinja2', 'httpx', 'numpy'} & set(sys.modules)))\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)

    assert "sqlalchemy" not in done.stdout
    assert "jinja2" not in done.stdout
