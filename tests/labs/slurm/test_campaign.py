"""Campaigns on a real Slurm: all phases, a controller that is killed again and again, and a slow node that is found.

Results come as files, or are posted: there, jobs see nothing of the controller's directories.
"""

import socket
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

import campaign_lab
import campaign_posting as posting
from campaign_lab import Lab, killed, until, wait_for
from nodeproof_bench.campaign.collect.files import SUFFIX
from nodeproof_bench.campaign.collect.tokens import read_secret, token
from nodeproof_bench.campaign.order import Key

pytestmark = pytest.mark.slurm

#: Nodes without a slurmd, to submit a thousand jobs for.
SIMULATED = (
    "NodeName=sim[1-1000] NodeHostname=mini-slurm NodeAddr=127.0.0.1 Port=9 CPUs=64 RealMemory=256000 State=DOWN\n"
)

ALL_PHASES = """
[[phases]]
kind = "inventory"
[[phases]]
kind = "bench"
benchmarks = ["cpu.flops", "cpu.frequency", "net.loopback"]
repeats = 2
seconds = 0.1
[[phases]]
kind = "pairs"
benchmarks = ["net.latency", "net.bandwidth"]
rounds = "all"
seconds = 0.1
[[phases]]
kind = "stress"
duration = "2s"
[[phases]]
kind = "repeat"
benchmarks = ["cpu.flops"]
repeats = 1
seconds = 0.1
"""

#: What a slow disk shows in. A CPU quota makes most measurements inconclusive, as is right: it says nothing of a CPU.
DISK = """
[[phases]]
kind = "bench"
benchmarks = ["disk.bandwidth"]
repeats = 3
seconds = 0.3
"""

#: What is posted, in two phases. What looks for wrong values says something however busy this host is.
POSTED = """
[[phases]]
kind = "inventory"
[[phases]]
kind = "bench"
benchmarks = ["cpu.verify"]
repeats = 1
seconds = 0.1
"""

#: A limit that no node meets: a message over loopback takes 5 us at best. It is one node's alone.
LIMIT = """
[[class]]
name = "held-to-it"
[class.match]
hosts = "n1"
[class.check.net.loopback]
max_spinning_s = 1e-6
"""
LIMITED = """
[[phases]]
kind = "inventory"
[[phases]]
kind = "bench"
benchmarks = ["net.loopback"]
repeats = 3
seconds = 0.1
"""

#: What 4 nodes do: 4 inventories, benchmarks, stresses and repeats, and 6 pairs of two jobs.
TASKS, JOBS = 4 * 4 + 6, 4 * 4 + 2 * 6


@pytest.fixture(scope="module", params=["trixie", "forky"], ids="lab_{}".format)
def lab(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    """Start a Slurm 24.11, and a 26.05, with nine nodes, and a thousand that are only known by name."""
    directory: Path = tmp_path_factory.mktemp("campaign")
    with campaign_lab.running(request.param, directory, SIMULATED) as started:
        yield started


@pytest.fixture(autouse=True)
def clean(lab: Lab) -> Iterator[None]:
    """Leave nothing to the next test."""
    yield
    lab.clean()


def test_a_campaign_whose_controller_is_killed_five_times_does_everything_once(lab: Lab) -> None:
    plan = lab.plan("kills", ALL_PHASES, nodes="n[1-4]", act="confirmations = 0")
    process = lab.start("run", plan)
    for _ in range(5):
        assert not wait_for(process, 6), "it ended before it was killed five times"
        killed(process)
        process = lab.start_resume("kills")
    process.wait(400)

    campaign = lab.campaign("kills")
    with lab.book("kills") as book:
        tasks, jobs, results = book.tasks(campaign.id), book.jobs(campaign.id), book.results(campaign.id)
    files = [file.name for file in (lab.spool / campaign.id).iterdir() if file.name.endswith(SUFFIX)]
    in_slurm = lab.jobs_of(campaign.id)
    print(f"\n{lab.slurm.release}: {len(in_slurm)} jobs in Slurm, {len(jobs)} in the book, {len(files)} files")
    assert campaign.state == "done"
    assert Counter(task.state for task in tasks) == {"done": TASKS}
    assert in_slurm == {job.job_name: 1 for job in jobs}  # each was taken once, and none that is not in the book
    assert len(files) == len(results)
    done = [(job.task, job.node) for job in jobs if job.state == "done"]
    assert len(done) == len(set(done)) == JOBS
    # a pair may miss its time on a busy host: what failed is tried again, and says why
    failed = {(job.task, job.attempt) for job in jobs if job.state != "done"}
    assert failed == {(result.task, result.attempt) for result in results if result.problem}


@pytest.mark.parametrize("lab", ["trixie"], indirect=True, ids="lab_{}".format)
def test_what_is_posted_comes_once_whoever_dies_or_is_not_believed(lab: Lab) -> None:
    lab.slurm.update("n2", "state=drain", "reason=its job shall wait")
    plan = lab.plan("posted", POSTED, nodes="n[1-3]", at_once=3, results=posting.results(lab), out_of_service="include")
    process = lab.start("run", plan)
    until(lambda: len(lab.submitted("posted")) == 3, "three jobs are in Slurm")
    killed(process)
    waiting = [job for job in lab.submitted("posted") if job.node != "n2"]
    until(lambda: all("(trying again)" in lab.said_by(job) for job in waiting), "two results wait for the controller")
    process = lab.start_resume("posted")
    campaign_id = lab.campaign("posted").id
    until(lambda: len(lab.results("posted")) == 4, "all results of two nodes are in the book")

    posted = lab.books / "campaign-results" / campaign_id
    secret = read_secret(str(lab.books / "campaign.secret"))
    one, other = Key(campaign_id, 1, 1, "n1"), Key(campaign_id, 1, 1, "n3")
    content = (posted / f"{one.name}{SUFFIX}").read_bytes()
    assert [posting.post(lab, one, content, token(secret, one)) for _ in range(2)] == [200, 200]
    assert posting.post(lab, one, content, token(secret, other)) == 401
    assert not (lab.slurm.files_of("n1") / posted.relative_to("/")).exists()
    killed(process)
    (lab.books / "campaign.secret").unlink()  # what the job that waits has as its token is worth nothing now
    process = lab.start_resume("posted")
    lab.slurm.free("n2")
    assert process.wait(240) == 0

    with lab.book("posted") as book:
        tasks, jobs = book.tasks(campaign_id), book.jobs(campaign_id)
        results = {(r.task, r.node): r for r in book.results(campaign_id)}
    assert Counter(task.state for task in tasks) == {"done": 6}
    assert lab.jobs_of(campaign_id) == {job.job_name: 1 for job in jobs}
    assert len(jobs) == 7
    assert len(results) == len(lab.results("posted")) == 6
    refused, again = [job for job in jobs if job.task == 2]
    kept = f"/home/jobs/{campaign_id}.2.1.n2{SUFFIX}"
    assert "the result was refused (HTTP 401)" in lab.said_by(refused)
    assert f"kept on the node as {kept}; attempt 2 follows" in lab.said.read_text()
    assert "result 2.1.n2 from 127.0.0.1: refused: the token is not of this result\n" in lab.said.read_text()
    assert "attempt 1 measured this" in lab.said_by(again)
    assert results[2, "n2"].attempt == 2
    assert (results[2, "n2"].ended_at or 0) < again.submitted_at  # so nothing was measured twice
    assert lab.kept() == []


@pytest.mark.parametrize("lab", ["forky"], indirect=True, ids="lab_{}".format)
def test_nodes_that_do_not_reach_the_controller_keep_what_they_measured(lab: Lab) -> None:
    plan = lab.plan("away", POSTED, nodes="n[1-2]", results=posting.results(lab, reached_at=lab.port + 1))
    with socket.create_server(("127.0.0.1", lab.port)):
        taken = lab.run("run", plan)
    assert taken.code == 2
    assert taken.err.endswith(f"results.listen: cannot listen on 127.0.0.1:{lab.port}: Address already in use\n")
    assert not lab.has_book("away")

    process = lab.start("run", plan)
    until(lambda: len(lab.trying("away", attempt=1)) == 2, "two nodes cannot deliver what they measured")
    for job in lab.trying("away", attempt=1):  # else they would try until their time is over
        lab.slurm.exec("scancel", "--batch", "--signal=TERM", str(job.job_id))
    until(lambda: len(lab.trying("away", attempt=2)) == 2, "they try again to deliver it")
    assert len(lab.kept()) == 2
    with posting.passed_on(lab.port + 1, lab.port):
        assert process.wait(240) == 0
    campaign_id = lab.campaign("away").id
    said = lab.said.read_text()
    for task, node in enumerate(("n1", "n2"), 1):
        place = f"https://127.0.0.1:{lab.port + 1}"
        kept = f"is kept on the node as /home/jobs/{campaign_id}.{task}.1.{node}{SUFFIX}"
        why = f"its result could not be delivered to {place}, and {kept}"
        assert f"inventory on {node} failed: {node}: {why}; attempt 2 follows" in said
    with lab.book("away") as book:
        jobs, results = book.jobs(campaign_id), book.results(campaign_id)
    assert lab.jobs_of(campaign_id) == {job.job_name: 1 for job in jobs}
    assert len(jobs) == 6
    assert [(r.task, r.attempt, r.problem) for r in results] == [(1, 2, ""), (2, 2, ""), (3, 1, ""), (4, 1, "")]
    second = {job.task: job for job in jobs if job.attempt == 2}
    assert all((r.ended_at or 0) < second[r.task].submitted_at for r in results if r.attempt == 2)
    assert lab.kept() == []


@pytest.mark.skipif(any(Path("/sys/class").glob("infiniband/*")), reason="needs a host without RDMA")
@pytest.mark.parametrize("lab", ["forky"], indirect=True, ids="lab_{}".format)
def test_a_pair_without_rdma_is_not_available_and_no_failure(lab: Lab) -> None:
    pairs = '[[phases]]\nkind = "pairs"\nbenchmarks = ["rdma.latency", "rdma.bandwidth"]\n'
    done = lab.run("run", lab.plan("rdma", pairs, nodes="n[1-2]"))

    campaign_id = lab.campaign("rdma").id
    why = "rdma.latency, rdma.bandwidth: not available: {0} has no active RDMA port"
    with lab.book("rdma") as book:
        (task,), results = book.tasks(campaign_id), book.results(campaign_id)
    assert done.code == 0
    assert (task.state, task.attempts) == ("done", 1)
    assert [result.problem for result in results] == [why.format(node) for node in ("n1", "n2")]
    assert all(f"pairs on {node}: {why.format(node)}" in done.err for node in ("n1", "n2"))


@pytest.mark.skipif(not Path("/sys/fs/cgroup/blkio").is_dir(), reason="needs the cgroup v1 controller blkio")
def test_a_node_slowed_on_purpose_is_drained_with_the_reason_and_no_other(lab: Lab) -> None:
    # whoever asks more often disturbs, on this one host, what is measured meanwhile
    plan = lab.plan("slow", DISK, at_once=1, act='findings = "drain"\nconfirmations = 2', poll_s=4)
    with lab.slowed("n3", 50_000_000):
        done = lab.run("run", plan, limit_s=500)

    print(f"\n{lab.slurm.release}: {done.out}{done.err}")
    with lab.book("slow") as book:
        own = [s for s in book.samples(lab.campaign("slow").id) if s.node == "n3"]
    if sum(not sample.is_inconclusive for sample in own) < len(own) / 2:
        pytest.skip(f"this host is too busy to tell: {own[0].reason}")
    states = {f"n{n}": lab.slurm.state(f"n{n}") for n in range(1, campaign_lab.NODES + 1)}
    assert [node for node, state in states.items() if "DRAIN" in state] == ["n3"]
    reason = str(lab.slurm.node("n3")["reason"])
    assert reason.startswith("nodeproof[")
    assert "]: campaign.disk.bandwidth: n3 is " in reason
    assert " slow in disk.bandwidth" in reason
    assert f"confirmed in {lab.campaign('slow').id}" in reason
    assert done.code == 1


@pytest.mark.parametrize("lab", ["trixie"], indirect=True, ids="lab_{}".format)
def test_a_node_beyond_its_limit_is_drained_like_a_slowed_one_and_the_reason_says_so(lab: Lab) -> None:
    policy = lab.of_jobs / "policy.d"
    policy.mkdir(exist_ok=True)
    (policy / "50-limit.toml").write_text(LIMIT)
    act, node = 'findings = "drain"\nconfirmations = 2', 'policy = "/home/jobs/policy.d"'
    plan = lab.plan("limit", LIMITED, nodes="n[1-2]", at_once=1, act=act, node=node)
    with lab.preferred("n1"):
        done = lab.run("run", plan)

    print(f"\n{done.out}{done.err}")
    campaign_id = lab.campaign("limit").id
    with lab.book("limit") as book:
        own = [s for s in book.samples(campaign_id) if s.node == "n1"]
        found = [f for f in book.findings(campaign_id) if f.detector == "limit"]
        confirming = [task for task in book.tasks(campaign_id) if task.phase == "confirm.bench"]
    if sum(not sample.is_inconclusive for sample in own) < len(own) / 2:
        pytest.skip(f"this host is too busy to tell: {own[0].reason}")
    assert done.code == 1
    assert [(f.node, f.metric, f.expected, f.state, f.action) for f in found] == [
        ("n1", "net.loopback", 1e-6, "confirmed", "drained")
    ]
    assert [(task.nodes, task.state) for task in confirming] == [(("n1",), "done")] * 2
    assert [n for n in ("n1", "n2") if "DRAIN" in lab.slurm.state(n)] == ["n1"]
    reason = str(lab.slurm.node("n1")["reason"])
    assert reason.startswith("nodeproof[")
    assert "]: campaign.net.loopback: n1 has net.loopback at " in reason
    assert " beyond the limit of 1.00 us, " in reason
    assert f"confirmed in {campaign_id}" in reason


def test_a_thousand_submissions_keep_to_the_rate_and_are_cancelled_in_a_few_requests(lab: Lab) -> None:
    phases = '[[phases]]\nkind = "inventory"\n'
    plan = lab.plan("many", phases, nodes="sim[1-1000]", at_once=1000, out_of_service="include")
    Path(plan).write_text(Path(plan).read_text().replace("requests_per_s = 20.0", "requests_per_s = 50.0"))
    process = lab.start("run", plan)
    while not wait_for(process, 1):
        if (lab.status("many") if lab.has_book("many") else {}).get("states", {}).get("queued") == 1000:
            break
    process.terminate()
    assert process.wait(30) == 3

    campaign = lab.campaign("many")
    assert len(lab.jobs_of(campaign.id)) == 1000
    with lab.book("many") as book:
        times = sorted(job.submitted_at for job in book.jobs(campaign.id))
    most = max(sum(at <= other < at + 1 for other in times) for at in times)
    print(f"\n{lab.slurm.release}: 1,000 jobs in {times[-1] - times[0]:.1f} s, at most {most} in a second")
    assert most <= 51

    cancelled = lab.cancel("many")
    print(cancelled.out)
    assert cancelled.code == 0
    assert "1000 jobs ended, none is left in Slurm" in cancelled.out
