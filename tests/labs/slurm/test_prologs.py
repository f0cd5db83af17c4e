"""slurmd runs our prologs and epilogs on a real Slurm, and an agent answers for them.

Faults are planted with `lab_checks`. `n1` is broken, `n2` stays well.
"""

import json
import statistics
from collections.abc import Iterator

import pytest

from hooked_slurm import PROGRAMS, Hooked, wait_until

pytestmark = pytest.mark.slurm

#: How often slurmd runs a health check: one ends a drain, and without any slurmctld tells old states for minutes.
INTERVAL_S = 4


@pytest.fixture
def lab(hooked: Hooked) -> Iterator[Hooked]:
    yield hooked
    hooked.settle()


# Prologs


def test_a_prolog_on_a_sick_node_keeps_the_job_off_it_and_our_reason_stays(lab: Hooked) -> None:
    log = lab.new_lines("n1")
    lab.plant("n1", "prolog")
    job = lab.submit("-w", "n1")

    reason = lab.drained_by_us("n1", "lab.prolog")

    assert reason.endswith("lab.prolog: a fault was planted: prolog")
    found = wait_until(lambda: lab.job(job), lambda found: found["Restarts"] == "1")
    assert found["JobState"] == "PENDING"
    assert "JobHeld" not in found["Reason"]
    said = wait_until(log, lambda text: f"nodeproof prolog of job {job}: job {job} does not start on n1" in text)
    assert f"nodeproof prolog of job {job}: drained n1: {reason}" in said
    following = lab.submit("-N", "1")
    assert lab.wait_for_job(following, "COMPLETED")["BatchHost"] == "n2"
    lab.slurm.exec("scontrol", "update", f"jobid={job}", "NodeList=", "StartTime=now")
    assert lab.wait_for_job(job, "COMPLETED")["BatchHost"] == "n2"
    assert lab.reason("n1") == reason


def test_a_drain_of_the_prolog_is_taken_back_by_a_health_check(lab: Hooked) -> None:
    lab.plant("n1", "prolog")
    job = lab.submit("-w", "n1")
    lab.drained_by_us("n1", "lab.prolog")
    lab.slurm.exec("scancel", job)

    lab.dig_out("n1")

    lab.slurm.wait_for("n1", "IDLE")


def test_a_prolog_on_a_well_node_lets_the_job_start_and_takes_its_time(lab: Hooked) -> None:
    job = lab.submit("-w", "n1")
    assert lab.wait_for_job(job, "COMPLETED")["Restarts"] == "0"

    script = f"""
        for i in 0 1 2 3 4; do
            began=$(date +%s%N)
            env -i SLURMD_NODENAME=n1 SLURM_JOB_ID=1 {PROGRAMS}/prolog </dev/null || exit 1
            echo $(( ($(date +%s%N) - began) / 1000000 ))
        done
    """
    times_ms = [int(word) for word in lab.slurm.at("n1", "sh", "-c", script).split()]
    print(f"\na prolog of ours adds {statistics.median(times_ms)} ms ({min(times_ms)} to {max(times_ms)})")
    assert statistics.median(times_ms) < 2000


def test_a_prolog_that_only_observes_says_so_and_lets_the_job_start(lab: Hooked) -> None:
    lab.set(mode="observe")
    lab.plant("n1", "prolog")

    job = lab.submit("-w", "n1")

    assert lab.wait_for_job(job, "COMPLETED")["Restarts"] == "0"
    done = lab.hook("n1", "prolog", f"SLURM_JOB_ID={job}")
    assert done.returncode == 0
    assert f"nodeproof prolog of job {job}: would drain n1: nodeproof[" in done.stdout


def test_a_prolog_whose_drain_the_guard_holds_back_lets_the_job_start(lab: Hooked) -> None:
    lab.set(more="[guard]\ndrains = 0\n")
    lab.plant("n1", "prolog")

    job = lab.submit("-w", "n1")

    assert lab.wait_for_job(job, "COMPLETED")["Restarts"] == "0"
    done = lab.hook("n1", "prolog", f"SLURM_JOB_ID={job}")
    assert (done.returncode, "would drain n1" in done.stdout, "held back" in done.stdout) == (0, True, True)
    assert "DRAIN" not in lab.slurm.state("n1")


def test_our_prolog_error_is_adopted_when_slurmrestd_is_back(lab: Hooked) -> None:
    with lab.slurm.stopped("slurmrestd-tcp"):
        lab.plant("n1", "both")
        job = lab.submit("-w", "n1")
        wait_until(lambda: lab.reason("n1"), lambda reason: reason == "Prolog error", 60)
        lab.slurm.exec("scancel", job)

    lab.drained_by_us("n1", "lab.both")

    lab.dig_out("n1")
    lab.slurm.wait_for("n1", "IDLE")


def test_a_prolog_error_of_another_prolog_is_never_ours(lab: Hooked) -> None:
    lab.plant("n1", "site")
    job = lab.submit("-w", "n1")
    wait_until(lambda: lab.reason("n1"), lambda reason: reason == "Prolog error")
    lab.slurm.exec("scancel", job)

    lab.plant("n1", "both")  # now we would drain it as well

    wait_until(lambda: lab.slurm.node("n1")["extra"], lambda extra: "lab.both: a fault was planted" in extra)
    assert lab.reason("n1") == "Prolog error"
    lab.dig_out("n1")
    wait_until(lambda: lab.slurm.node("n1")["extra"], lambda extra: "lab.both" not in extra)
    assert (lab.reason("n1"), lab.slurm.node("n1")["state"]) == ("Prolog error", ["IDLE", "DRAIN"])
    lab.slurm.free("n1")


# Epilogs


def test_an_epilog_on_a_sick_node_drains_it_with_our_reason(lab: Hooked) -> None:
    job = lab.submit("-w", "n1", script="touch /run/nodeproof/fault.prolog")

    reason = lab.drained_by_us("n1", "lab.prolog")

    assert lab.wait_for_job(job, "COMPLETED")["Restarts"] == "0"
    assert reason.endswith("lab.prolog: a fault was planted: prolog")


def test_an_epilog_that_cannot_reach_slurm_leaves_the_rest_to_a_health_check(lab: Hooked) -> None:
    with lab.slurm.stopped("slurmrestd-tcp"):
        lab.plant("n1", "prolog")
        done = lab.hook("n1", "epilog", "SLURM_JOB_ID=9")
        assert (done.returncode, "cannot drain n1" in done.stdout) == (0, True)

    lab.drained_by_us("n1", "lab.prolog")


# What a node need not have


def test_hooks_need_neither_slurms_files_nor_munge(lab: Hooked) -> None:
    lab.plant("n1", "prolog")
    packages = "slurmd slurmctld slurmrestd slurm-client slurm-wlm-jwt-plugin slurm-wlm-basic-plugins munge libmunge2"
    script = f"""
        touch /run/nodeproof/empty /run/nodeproof/audit
        for file in $(dpkg -L {packages} 2>/dev/null | grep -E '/(s?bin|lib|libexec)/'); do
            [ ! -f "$file" ] || [ -L "$file" ] || mount --bind /run/nodeproof/empty "$file"
        done
        mount -t tmpfs tmpfs /run/munge
        mount -t tmpfs tmpfs /etc/slurm
        ! scontrol ping 2>/dev/null || exit 100
        cd / && env -i SLURMD_NODENAME=n1 SLURM_JOB_ID=1 {PROGRAMS}/prolog </dev/null
    """

    done = lab.slurm.run_at("n1", "unshare", "--mount", "--propagation", "unchanged", "sh", "-c", script)

    assert done.returncode == 1, done.stdout + done.stderr
    lab.drained_by_us("n1", "lab.prolog")
    told = lab.slurm.at("n1", "cat", "/run/nodeproof/audit").splitlines()
    lab.slurm.at("n1", "rm", "/run/nodeproof/audit", "/run/nodeproof/empty")
    assert any(line.startswith("socket.connect") for line in told), "the ear works"
    ours = ("/opt/nodeproof/", "/etc/nodeproof/", "/var/lib/nodeproof/", "/var/cache/nodeproof/")
    foreign = [line for line in told if not any(f"'{place}" in line for place in ours)]
    assert [line for line in foreign if "slurm" in line and "import ('" not in line] == []
    assert [line for line in told if "munge" in line] == []
    assert [line for line in told if line.startswith(("subprocess", "os.exec", "os.posix_spawn", "os.system"))] == []


# With the agent


@pytest.fixture
def agent(lab: Hooked) -> Iterator[Hooked]:
    """Give an agent that runs on n1 and has judged it."""
    lab.set(more='[agent]\nflaps = 1000000\njitter_share = 0.0\nmetrics_listen = ""\n')
    start = "setsid /opt/nodeproof/bin/nodeproof agent </dev/null >>/var/log/nodeproof-agent.log 2>&1 &"
    lab.slurm.at("n1", "sh", "-c", start)
    wait_until(lambda: lab.slurm.run_at("n1", "test", "-e", "/run/nodeproof/gate").returncode, lambda code: code == 0)
    yield lab
    stop = 'for p in /proc/[0-9]*; do grep -qsz "^agent$" $p/cmdline && kill "${p#/proc/}"; done; true'
    lab.slurm.at("n1", "sh", "-c", stop)
    wait_until(lambda: lab.slurm.run_at("n1", "test", "-e", "/run/nodeproof/gate").returncode, lambda code: code != 0)


def test_with_an_agent_hooks_are_answered_without_a_pass_and_a_fault_drains_at_once(agent: Hooked) -> None:
    quiet = agent.hook("n1", "prolog", "SLURM_JOB_ID=7")
    assert (quiet.returncode, quiet.stdout, quiet.stderr) == (0, "", "")
    assert "prolog 7 " in (agent.slurm.files_of("n1") / "run/nodeproof/marks").read_text()

    agent.plant("n1", "both")
    agent.nodeproof("n1", "check", "--now")

    reason = agent.drained_by_us("n1", "lab.both")
    refused = agent.hook("n1", "prolog", "SLURM_JOB_ID=8")
    assert refused.returncode == 1
    assert reason in refused.stdout
    assert agent.hook("n1", "healthcheck").returncode == 1
    assert agent.hook("n1", "epilog", "SLURM_JOB_ID=7").returncode == 1
    status = agent.nodeproof("n1", "status")
    assert status.returncode == 1
    assert f"out of service: {reason}" in status.stdout

    agent.dig_out("n1")
    agent.nodeproof("n1", "resume")
    agent.slurm.wait_for("n1", "IDLE")
    assert agent.hook("n1", "prolog", "SLURM_JOB_ID=9").returncode == 0


def test_an_operators_drain_is_ours_and_ends_with_their_word(agent: Hooked) -> None:
    agent.nodeproof("n1", "drain", "fan 3 is loud")
    assert agent.drained_by_us("n1", "nodeproof.operator").endswith("fan 3 is loud")

    agent.nodeproof("n1", "check", "--now")
    assert agent.slurm.state("n1") == ["IDLE", "DRAIN"]

    agent.nodeproof("n1", "resume")
    agent.slurm.wait_for("n1", "IDLE")


def test_a_drain_leaves_evidence_that_replays(agent: Hooked) -> None:
    agent.nodeproof("n1", "drain", "fan 3 is loud")
    drain_id = agent.drained_by_us("n1", "nodeproof.operator").removeprefix("nodeproof[").partition("]")[0]

    (bundle,) = (agent.slurm.files_of("n1") / "var/lib/nodeproof/evidence").glob(f"*-{drain_id}.tar.gz")
    replayed = agent.nodeproof("n1", "check", "--root", f"/var/lib/nodeproof/evidence/{bundle.name}", "--json")

    found = {r["id"]: r["status"] for r in json.loads(replayed.stdout)["results"]}
    assert found["lab.both"] == "ok"
    agent.nodeproof("n1", "resume")
    agent.slurm.wait_for("n1", "IDLE")
