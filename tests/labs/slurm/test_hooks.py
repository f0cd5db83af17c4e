"""slurmd runs our health checks on a real Slurm, every few seconds, from an installation on the node.

Faults are planted with `lab_checks`, except where a file system is unmounted. `n1` is broken, `n2` stays well.
"""

from collections.abc import Iterator

import pytest

from hooked_slurm import NODES, PROGRAMS, Hooked, wait_until

pytestmark = pytest.mark.slurm

#: How often slurmd runs a health check.
INTERVAL_S = 4

SCRATCH = "/run/nodeproof/scratch"


@pytest.fixture
def lab(hooked: Hooked) -> Iterator[Hooked]:
    yield hooked
    hooked.settle()


@pytest.fixture
def scratch(lab: Hooked) -> Iterator[None]:
    """Have policy claim a file system that all nodes have, and that a health check has seen."""
    for node in NODES:
        lab.slurm.at(node, "sh", "-c", f"mkdir -p {SCRATCH}; mount -t tmpfs tmpfs {SCRATCH}")
    lab.set(more=f'[claims.fs]\n"{SCRATCH}" = "tmpfs"\n[check.fs.mounted]\nclear_after = 1\n')
    wait_until(lambda: lab.state("n1"), lambda state: "fs.mounted" in state.get("streaks", {}))
    yield
    mounted = f"mountpoint -q {SCRATCH} || mount -t tmpfs tmpfs {SCRATCH}"
    for node in NODES:
        lab.slurm.at(node, "sh", "-c", mounted)  # a drain for it ends while it is claimed
        lab.wait_for_peace(node)
    lab.set()
    for node in NODES:
        lab.slurm.at(node, "umount", SCRATCH)


# Health checks


def test_a_fault_drains_within_an_interval_and_its_repair_resumes(lab: Hooked, scratch: None) -> None:
    lab.slurm.at("n1", "umount", SCRATCH)

    reason = lab.drained_by_us("n1", "fs.mounted")

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

    lab.drained_by_us("n1", "lab.both")

    said = wait_until(log, lambda text: "node n1 registered with" in text)
    assert said.index("lab.both: a fault was planted") < said.index("node n1 registered with")


# Beside jobs


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

    lab.drained_by_us("n1", "lab.exclusive")


def test_a_prolog_fails_although_a_health_check_is_asking_slurmrestd_in_vain(lab: Hooked) -> None:
    with lab.slurm.stopped("slurmrestd-tcp"):
        lab.plant("n1", "both")
        wait_until(lambda: lab.state("n1"), lambda state: "wanted" in state)  # it asks for as long as it may
        job = lab.submit("-w", "n1")
        wait_until(lambda: lab.reason("n1"), lambda reason: reason == "Prolog error", 60)
        lab.slurm.exec("scancel", job)

    lab.drained_by_us("n1", "lab.both")


def test_a_node_that_flaps_stays_drained_until_somebody_looks(lab: Hooked) -> None:
    for _ in range(2):
        lab.plant("n1", "both")
        lab.hook("n1", "healthcheck")
        lab.drained_by_us("n1", "lab.both")
        lab.dig_out("n1")
        lab.set(more="[agent]\nflaps = 1\n")  # it was resumed in this lab before
        lab.hook("n1", "healthcheck")
    assert lab.slurm.state("n1") == ["IDLE", "DRAIN"]
    words = "it stays drained, though lab.both passed again: it was drained and resumed"
    wait_until(lambda: lab.hook("n1", "healthcheck").stdout, lambda said: words in said)

    lab.slurm.update("n1", "state=resume")
    lab.slurm.wait_for("n1", "IDLE")
