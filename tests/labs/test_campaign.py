"""Campaigns on a real Slurm: all phases, a controller that is killed again and again, and a slow node that is found."""

from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

import campaign_lab
from campaign_lab import Lab, killed, wait_for
from nodeproof_bench.campaign.collect.files import SUFFIX

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

#: What 4 nodes do: 4 inventories, benchmarks, stresses and repeats, and 6 pairs of two jobs.
TASKS, JOBS = 4 * 4 + 6, 4 * 4 + 2 * 6


@pytest.fixture(scope="module", params=["trixie", "forky"], ids="lab_{}".format)
def lab(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    """Start a Slurm 24.11, and a 26.05, with nine nodes, and a thousand that are only known by name."""
    directory: Path = tmp_path_factory.mktemp("campaign")
    with campaign_lab.running(request.param, directory, SIMULATED) as started:
        yield started


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
    assert len(files) == len(results) == len([job for job in jobs if job.state == "done"]) == JOBS


@pytest.mark.skipif(not Path("/sys/fs/cgroup/blkio").is_dir(), reason="needs the cgroup v1 controller blkio")
def test_a_node_slowed_on_purpose_is_drained_with_the_reason_and_no_other(lab: Lab) -> None:
    lab.free()
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
    lab.free()


def test_a_thousand_submissions_keep_to_the_rate_and_are_cancelled_in_a_few_requests(lab: Lab) -> None:
    plan = lab.plan("many", '[[phases]]\nkind = "inventory"\n', nodes="sim[1-1000]", at_once=1000)
    text = Path(plan).read_text().replace("requests_per_s = 20.0", "requests_per_s = 50.0")
    Path(plan).write_text('out_of_service = "include"\n' + text)
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
