"""slurmd runs nodeproof: health checks, prologs and epilogs on a real Slurm, from an installation on the node.

Faults are planted with `lab_checks`, except where a file system is unmounted. `n1` is broken, `n2` stays well.
"""

import json
import statistics
from collections.abc import Iterator

import pytest

from hooked_slurm import PROGRAMS, Hooked, wait_until

pytestmark = pytest.mark.slurm

#: How often slurmd runs a health check.
INTERVAL_S = 4

_NODES = ("n1", "n2")

SCRATCH = "/run/nodeproof/scratch"


@pytest.fixture
def lab(hooked: Hooked) -> Iterator[Hooked]:
    """Give two nodes that are idle and well, and whose health checks have said so."""
    yield hooked
    hooked.set()
    hooked.slurm.exec("scancel", "--user=root")
    for node in _NODES:
        hooked.dig_out(node)
        hooked.wait_for_peace(node)


@pytest.fixture
def scratch(lab: Hooked) -> Iterator[None]:
    """Have policy claim a file system that all nodes have, and that a health check has seen."""
    for node in _NODES:
        lab.slurm.at(node, "sh", "-c", f"mkdir -p {SCRATCH}; mount -t tmpfs tmpfs {SCRATCH}")
    lab.set(more=f'[claims.fs]\n"{SCRATCH}" = "tmpfs"\n[check.fs.mounted]\nclear_after = 1\n')
    wait_until(lambda: lab.state("n1"), lambda state: "fs.mounted" in state.get("streaks", {}))
    yield
    mounted = f"mountpoint -q {SCRATCH} || mount -t tmpfs tmpfs {SCRATCH}"
    for node in _NODES:
        lab.slurm.at(node, "sh", "-c", mounted)  # a drain for it ends while it is claimed
        lab.wait_for_peace(node)
    lab.set()
    for node in _NODES:
        lab.slurm.at(node, "umount", SCRATCH)


def drained_by_us(lab: Hooked, node: str, check: str) -> str:
    """Wait until the node is drained with our reason for a check. Returns the reason."""
    lab.slurm.wait_for(node, "IDLE", "DRAIN")
    reason = wait_until(lambda: lab.reason(node), lambda text: text.startswith("nodeproof["))
    assert f"]: {check}: " in reason
    return reason


# Health checks


def test_a_fault_drains_within_an_interval_and_its_repair_resumes(lab: Hooked, scratch: None) -> None:
    lab.slurm.at("n1", "umount", SCRATCH)

    reason = drained_by_us(lab, "n1", "fs.mounted")

    failed, _ = lab.state("n1")["streaks"]["fs.mounted"]
    assert 1 <= failed <= 2, "health checks, of which one may have come after that which drained"
    assert reason.endswith(f"{SCRATCH} is not mounted, expected tmpfs")
    assert lab.slurm.node("n1")["reason_set_by_user"] == "slurm"
    lab.slurm.at("n1", "mount", "-t", "tmpfs", "tmpfs", SCRATCH)
    lab.slurm.wait_for("n1", "IDLE")


def test_observing_drains_nothing_and_says_so_in_the_log_of_slurmd(lab: Hooked) -> None:
    lab.set(mode="observe")
    log = lab.new_lines("n1")
    lab.plant("n1", "both")

    said = wait_until(log, lambda text: "would drain n1" in text)

    assert "nodeproof healthcheck: would drain n1: nodeproof[" in said
    assert lab.slurm.state("n1") == ["IDLE"]


@pytest.mark.parametrize("kind", ["healthcheck", "prolog", "epilog"])
def test_a_well_node_is_silent_and_asks_slurmrestd_nothing(lab: Hooked, kind: str) -> None:
    lab.set(url="http://127.0.0.1:1")  # nobody is there: any request would be an error, and loud

    # a health check that slurmd started may have its turn just now
    done = wait_until(lambda: lab.hook("n2", kind, "SLURM_JOB_ID=7"), lambda done: "still running" not in done.stdout)

    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_of_ten_overlapping_health_checks_one_works_and_nine_leave_at_once(lab: Hooked) -> None:
    script = f"""
        mkfifo /run/nodeproof/slow; cd /run/nodeproof
        for i in 0 1 2 3 4 5 6 7 8 9; do
            ( began=$(date +%s%N)
              env -i SLURMD_NODENAME=n2 {PROGRAMS}/healthcheck >out.$i 2>&1 </dev/null
              echo $? $(( ($(date +%s%N) - began) / 1000000 )) >>out.$i ) &
        done
        wait; rm slow; for i in 0 1 2 3 4 5 6 7 8 9; do tr '\\n' '|' <out.$i; echo; done; rm -f out.*
    """
    with lab.slurm.stopped("n2"):  # so that slurmd starts none
        lines = lab.slurm.at("n2", "sh", "-c", script).splitlines()

    left = [line for line in lines if "another health check of this node is still running: this one leaves" in line]
    (worked,) = set(lines) - set(left)
    assert len(left) == 9
    assert all(line.split("|")[-2].startswith("0 ") for line in left), "they exit with 0"
    assert "could not tell: lab.both: /run/nodeproof/slow: timed out" in worked
    times_ms = sorted(int(line.split("|")[-2].split()[1]) for line in left)
    print(f"\nleaving took {times_ms} ms, working {worked.split('|')[-2].split()[1]} ms")


def test_the_health_check_at_slurmds_start_drains_before_the_node_registers(lab: Hooked) -> None:
    log = lab.new_lines("slurmctld")
    lab.slurm.stop("n1")
    lab.plant("n1", "both")
    lab.slurm.stop("slurmctld")  # after which it knows of no slurmd that is there
    lab.slurm.start("slurmctld")
    lab.slurm.start("n1")

    drained_by_us(lab, "n1", "lab.both")

    said = wait_until(log, lambda text: "node n1 registered with" in text)
    assert said.index("lab.both: a fault was planted") < said.index("node n1 registered with")


# Prologs


def test_a_prolog_on_a_sick_node_keeps_the_job_off_it_and_our_reason_stays(lab: Hooked) -> None:
    log = lab.new_lines("n1")
    lab.plant("n1", "prolog")
    job = lab.submit("-w", "n1")

    reason = drained_by_us(lab, "n1", "lab.prolog")

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
    drained_by_us(lab, "n1", "lab.prolog")
    lab.slurm.exec("scancel", job)

    lab.dig_out("n1")

    lab.slurm.wait_for("n1", "IDLE")


def test_a_prolog_on_a_well_node_lets_the_job_start_and_takes_its_time(lab: Hooked) -> None:
    job = lab.submit("-w", "n1")
    assert lab.wait_for_job(job, "COMPLETED")["Restarts"] == "0"

    script = f"""
        for i in 0 1 2 3 4 5 6 7 8 9; do
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

    drained_by_us(lab, "n1", "lab.both")

    lab.dig_out("n1")
    lab.slurm.wait_for("n1", "IDLE")


def test_a_prolog_fails_although_a_health_check_is_asking_slurmrestd_in_vain(lab: Hooked) -> None:
    with lab.slurm.stopped("slurmrestd-tcp"):
        lab.plant("n1", "both")
        wait_until(lambda: lab.state("n1"), lambda state: "wanted" in state)  # it asks for as long as it may
        job = lab.submit("-w", "n1")
        wait_until(lambda: lab.reason("n1"), lambda reason: reason == "Prolog error", 60)
        lab.slurm.exec("scancel", job)

    drained_by_us(lab, "n1", "lab.both")


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

    reason = drained_by_us(lab, "n1", "lab.prolog")

    assert lab.wait_for_job(job, "COMPLETED")["Restarts"] == "0"
    assert reason.endswith("lab.prolog: a fault was planted: prolog")


def test_an_epilog_that_cannot_reach_slurm_leaves_the_rest_to_a_health_check(lab: Hooked) -> None:
    with lab.slurm.stopped("slurmrestd-tcp"):
        lab.plant("n1", "prolog")
        done = lab.hook("n1", "epilog", "SLURM_JOB_ID=9")
        assert (done.returncode, "cannot drain n1" in done.stdout) == (0, True)

    drained_by_us(lab, "n1", "lab.prolog")


# Jobs


def test_beside_a_job_only_passive_checks_run(lab: Hooked) -> None:
    job = lab.submit("-w", "n1", script="touch /run/nodeproof/started; sleep 300")
    wait_until(lambda: lab.slurm.run_at("n1", "rm", "/run/nodeproof/started").returncode, lambda code: code == 0)
    lab.plant("n1", "exclusive")
    log = lab.new_lines("n1")
    skipped = wait_until(lambda: lab.state("n1")["streaks"], lambda streaks: "lab.exclusive" not in streaks)
    passes = skipped["lab.both"][1]
    wait_until(lambda: lab.state("n1")["streaks"]["lab.both"][1], lambda now: now > passes + 1)

    assert "DRAIN" not in lab.slurm.node("n1")["state"]
    assert "lab.exclusive" not in log()
    lab.slurm.exec("scancel", job)

    drained_by_us(lab, "n1", "lab.exclusive")


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
    drained_by_us(lab, "n1", "lab.prolog")
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

    reason = drained_by_us(agent, "n1", "lab.both")
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
    assert drained_by_us(agent, "n1", "nodeproof.operator").endswith("fan 3 is loud")

    agent.nodeproof("n1", "check", "--now")
    assert agent.slurm.state("n1") == ["IDLE", "DRAIN"]

    agent.nodeproof("n1", "resume")
    agent.slurm.wait_for("n1", "IDLE")


def test_a_drain_leaves_evidence_that_replays(agent: Hooked) -> None:
    agent.nodeproof("n1", "drain", "fan 3 is loud")
    drain_id = drained_by_us(agent, "n1", "nodeproof.operator").removeprefix("nodeproof[").partition("]")[0]

    (bundle,) = (agent.slurm.files_of("n1") / "var/lib/nodeproof/evidence").glob(f"*-{drain_id}.tar.gz")
    replayed = agent.nodeproof("n1", "check", "--root", f"/var/lib/nodeproof/evidence/{bundle.name}", "--json")

    found = {r["id"]: r["status"] for r in json.loads(replayed.stdout)["results"]}
    assert found["lab.both"] == "ok"
    agent.nodeproof("n1", "resume")
    agent.slurm.wait_for("n1", "IDLE")


def test_a_node_that_flaps_stays_drained_until_somebody_looks(lab: Hooked) -> None:
    for _ in range(2):
        lab.plant("n1", "both")
        lab.hook("n1", "healthcheck")
        drained_by_us(lab, "n1", "lab.both")
        lab.dig_out("n1")
        lab.set(more="[agent]\nflaps = 1\n")  # it was resumed in this lab before
        lab.hook("n1", "healthcheck")
    assert lab.slurm.state("n1") == ["IDLE", "DRAIN"]
    words = "it stays drained, though lab.both passed again: it was drained and resumed"
    wait_until(lambda: lab.hook("n1", "healthcheck").stdout, lambda said: words in said)

    lab.slurm.update("n1", "state=resume")
    lab.slurm.wait_for("n1", "IDLE")
