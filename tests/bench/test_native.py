"""The C core: its own test programs, and what `nodeproof-bench` promises to whoever runs it."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

Bench = Callable[..., "subprocess.CompletedProcess[str]"]
Measure = Callable[..., dict[str, Any]]


def has_ended(pid: int, within_s: float = 5) -> bool:
    """Return whether a process that is not our child is gone or a zombie."""
    until_s = time.monotonic() + within_s
    while time.monotonic() < until_s:
        try:
            stat = Path(f"/proc/{pid}/stat").read_text()
        except (FileNotFoundError, ProcessLookupError):
            return True
        if stat.rpartition(")")[2].split()[0] == "Z":
            return True
        time.sleep(0.01)
    return False


def test_native_test_programs_pass(build: Path, ctest: str) -> None:
    argv = [ctest, "--test-dir", str(build), "--output-on-failure"]
    done = subprocess.run(argv, capture_output=True, text=True, check=False, timeout=120)

    assert done.returncode == 0, done.stdout + done.stderr


OPERATIONS = ("read", "write", "copy", "scale", "add", "triad", "triad_regular")


@pytest.mark.parametrize("operation", OPERATIONS)
def test_memory_bandwidth_prints_one_line_that_follows_the_schema(
    measure: Measure, operation: str, first_cpu: str
) -> None:
    result = measure(f"memory.{operation}", "--seconds", "0.05", "--bytes", "16M", "--cpus", first_cpu)

    assert result["cpus"] == first_cpu
    assert result["wrong_elements"] == 0
    assert result["is_cache_bound"]
    assert 1e8 < result["value"] < 1e13


@pytest.mark.parametrize("isa", ["avx512", "avx2", "sse2", "sve", "neon", "generic"])
def test_instructions_can_be_forced(measure: Measure, isa: str, first_cpu: str) -> None:
    result = measure("memory.triad", "--seconds", "0.02", "--bytes", "6M", "--cpus", first_cpu, "--isa", isa)

    assert (result["isa"], result["wrong_elements"]) == (isa, 0)


def test_each_number_of_threads_for_a_cache_is_a_point_and_the_best_is_the_value(measure: Measure) -> None:
    result = measure("memory.triad", "--seconds", "0.2", "--bytes", "48M")

    clean = [p for p in result["points"] if p["is_contended"] == result["is_contended"]]
    assert result["value"] == max(p["value"] for p in clean)
    assert result["points"][-1]["threads"] == result["threads"]
    assert [p["threads"] for p in result["points"]] == sorted({p["threads"] for p in result["points"]})
    if result["threads"] == 1:
        assert result["fingerprint_s"] is None
    elif result["fingerprint_s"] is not None:  # where others have the CPUs, no two may meet in time
        assert 1e-9 < result["fingerprint_s"] < 1e-3


def test_conditions_are_those_of_the_run(measure: Measure, first_cpu: str) -> None:
    conditions = measure("memory.copy", "--seconds", "0.3", "--bytes", "6M", "--cpus", first_cpu)["conditions"]

    assert 0.1 < conditions["seconds"] < 30
    assert 0.05 < conditions["own_cpu_s"] < conditions["seconds"] + 0.1


def test_a_busy_neighbour_is_seen(measure: Measure, first_cpu: str) -> None:
    script = f"import os; os.sched_setaffinity(0, {{{first_cpu}}}); print(flush=True)\nwhile True: pass"
    with subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE) as busy:
        assert busy.stdout is not None
        busy.stdout.readline()
        try:
            conditions = measure("memory.copy", "--seconds", "0.5", "--bytes", "6M", "--cpus", first_cpu)["conditions"]
        finally:
            busy.kill()

    assert conditions["foreign_cpu_s"] > 0.1 * conditions["seconds"]
    assert conditions["run_delay_s"] > 0.1 * conditions["seconds"]
    assert conditions["involuntary_switches"] > 0


def test_triad_uses_the_cores_of_one_node_by_default(measure: Measure) -> None:
    result = measure("memory.triad", "--seconds", "0.05", "--bytes", "12M")

    assert 1 <= result["threads"] <= len(os.sched_getaffinity(0))
    assert result["node"] is None or Path(f"/sys/devices/system/node/node{result['node']}").is_dir()
    assert result["local_share"] in {None, 1}


def test_list_and_help_and_version(bench: Bench) -> None:
    listed = bench("--list")
    rows = [line.split("\t") for line in listed.stdout.splitlines()]

    assert listed.returncode == 0
    assert ["memory.triad", "B/s"] in [row[:2] for row in rows]
    for _, _, seconds, title, needs in rows:
        assert float(seconds) > 0
        assert title
        assert needs
    assert "--cpus LIST" in bench("--help").stdout
    assert bench("--version").stdout.startswith("nodeproof-bench ")


@pytest.mark.parametrize(
    "args",
    [
        (),
        ("memory.triad", "memory.triad"),
        ("no.such",),
        ("memory.triad", "--no-such"),
        ("memory.triad", "--seconds"),
        ("memory.triad", "--seconds", "0"),
        ("memory.triad", "--seconds", "nan"),
        ("memory.triad", "--seconds", "1e9"),
        ("memory.triad", "--cpus", ""),
        ("memory.triad", "--cpus", "3-1"),
        ("memory.triad", "--cpus", "99999999999999999999"),
        ("memory.triad", "--node", "-1"),
        ("memory.triad", "--node", "0x0"),
        ("memory.triad", "--isa", "mmx"),
        ("memory.triad", "--bytes", "0"),
        ("memory.triad", "--bytes", "K"),
        ("memory.triad", "--bytes", "99999999999G"),
        ("memory.triad", "--path", "/tmp"),
        ("memory.triad", "--share", "0.1"),
        ("memory.triad", "--seed", "1"),
        ("memory.triad", "--hook", "segv"),
    ],
)
def test_wrong_use_is_exit_2_and_prints_no_result(bench: Bench, args: tuple[str, ...]) -> None:
    done = bench(*args)

    assert done.returncode == 2
    assert done.stdout == ""
    assert done.stderr


def test_a_cpu_outside_the_cpuset_is_named(bench: Bench) -> None:
    done = bench("memory.triad", "--cpus", "8191")

    assert done.returncode == 3
    assert "CPU 8191 is not in this process's cpuset" in done.stderr
    assert done.stderr.count("\n") == 1


def test_a_node_that_is_not_there_is_named(bench: Bench) -> None:
    done = bench("memory.triad", "--node", "1023")

    assert (done.returncode, done.stdout) == (3, "")
    assert "no NUMA node 1023" in done.stderr


def test_threads_stay_within_the_affinity_of_the_caller(measure: Measure) -> None:
    cpu = max(os.sched_getaffinity(0))
    pin = lambda: os.sched_setaffinity(0, {cpu})  # noqa: E731
    result = measure("memory.triad", "--seconds", "0.05", "--bytes", "6M", preexec_fn=pin)

    assert result["cpus"] == str(cpu)
    assert result["is_partial"] == (result["cores"] > 1)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_cancels(build: Path, number: signal.Signals) -> None:
    argv = [str(build / "nodeproof-bench"), "memory.triad", "--seconds", "60"]
    with subprocess.Popen(argv, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as child:
        time.sleep(0.5)
        child.send_signal(number)
        out, err = child.communicate(timeout=10)

    assert child.returncode == -number
    assert out == b""
    assert b"cancelled" in err


def catches_sigterm(pid: int) -> bool:
    status = Path(f"/proc/{pid}/status").read_text()
    caught = int(next(line for line in status.splitlines() if line.startswith("SigCgt:")).split()[1], 16)
    return bool(caught >> (signal.SIGTERM - 1) & 1)


def test_a_signal_before_the_first_measurement_cancels_every_benchmark(build: Path, bench: Bench) -> None:
    for row in bench("--list").stdout.splitlines():
        name = row.split("\t")[0]
        argv = [str(build / "nodeproof-bench"), name, "--seconds", "60"]
        with subprocess.Popen(argv, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as child:
            while child.poll() is None and not catches_sigterm(child.pid):
                time.sleep(0.0005)
            child.send_signal(signal.SIGTERM)
            try:
                _, err = child.communicate(timeout=10)
            finally:
                child.kill()
        assert (child.returncode, b"cancelled" in err) == (-signal.SIGTERM, True), name


def test_a_list_that_cannot_be_written_is_no_success(build: Path) -> None:
    with open("/dev/full", "w") as full:
        done = subprocess.run(
            [str(build / "nodeproof-bench"), "--list"], stdout=full, stderr=subprocess.PIPE, text=True, check=False
        )

    assert done.returncode == 1
    assert "cannot write" in done.stderr


def test_it_dies_with_its_parent(build: Path) -> None:
    script = (
        "import os, subprocess, sys, time\n"
        "argv = [sys.argv[1], 'memory.triad', '--seconds', '60', '--die-with-parent', str(os.getpid())]\n"
        "print(subprocess.Popen(argv, start_new_session=True).pid, flush=True)\n"
        "time.sleep(60)\n"
    )
    argv = [sys.executable, "-c", script, str(build / "nodeproof-bench")]
    with subprocess.Popen(argv, stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout is not None
        pid = int(parent.stdout.readline())
        time.sleep(0.3)
        assert not has_ended(pid, within_s=0.1)
        parent.kill()
        assert has_ended(pid)


def test_a_parent_that_is_gone_already_is_refused(bench: Bench) -> None:
    done = bench("memory.triad", "--die-with-parent", "1")

    assert (done.returncode, done.stdout) == (1, "")
    assert "not the parent" in done.stderr
