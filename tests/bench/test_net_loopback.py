"""The benchmark of TCP over the loopback interface."""

import os
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

Bench = Callable[..., "subprocess.CompletedProcess[str]"]
Measure = Callable[..., dict[str, Any]]

needs_two_cpus = pytest.mark.skipif(len(os.sched_getaffinity(0)) < 2, reason="needs two CPUs")


@needs_two_cpus
def test_round_trips_and_throughput_are_points(measure: Measure) -> None:
    result = measure("net.loopback", "--seconds", "0.3")
    points = {p["mode"]: p for p in result["points"]}

    assert result["wrong_messages"] == 0
    assert result["value"] == points["spinning"]["value"]
    assert [p["unit"] for p in result["points"]] == ["s", "s", "B/s"]
    assert 1e-7 < points["spinning"]["value"] < 1
    assert 1e-7 < points["blocking"]["value"] < 1
    assert 1e6 < points["throughput"]["value"] < 1e12


@needs_two_cpus
def test_it_runs_on_two_of_the_cpus_named(measure: Measure) -> None:
    one, other = sorted(os.sched_getaffinity(0))[:2]
    result = measure("net.loopback", "--seconds", "0.02", "--cpus", f"{one},{other}")

    assert result["threads"] == 2
    assert result["fingerprint_s"] > 0
    assert set(result["cpus"].replace("-", ",").split(",")) == {str(one), str(other)}


def test_one_cpu_is_too_few(bench: Bench, first_cpu: str) -> None:
    pin = lambda: os.sched_setaffinity(0, {int(first_cpu)})  # noqa: E731
    done = bench("net.loopback", preexec_fn=pin)

    assert (done.returncode, done.stdout) == (3, "")
    assert "needs two CPUs" in done.stderr


def test_one_cpu_named_is_wrong_use(bench: Bench, first_cpu: str) -> None:
    done = bench("net.loopback", "--cpus", first_cpu)

    assert (done.returncode, done.stdout) == (2, "")
    assert "two CPUs are needed" in done.stderr


@needs_two_cpus
def test_a_signal_ends_it(build: Path) -> None:
    with subprocess.Popen(
        [str(build / "nodeproof-bench"), "net.loopback", "--seconds", "60"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as child:
        time.sleep(0.3)
        child.terminate()
        out, err = child.communicate(timeout=10)

    assert (child.returncode, out) == (-signal.SIGTERM, "")
    assert "cancelled" in err


def in_own_network(build: Path, prepare: str) -> "subprocess.CompletedProcess[str]":
    """Run it in a network namespace of its own, whose loopback interface is down at first."""
    script = f'PATH=$PATH:/usr/sbin:/sbin; {prepare}; exec "$0" net.loopback --seconds 0.02'
    argv = ["unshare", "--user", "--map-root-user", "--net", "sh", "-c", script, str(build / "nodeproof-bench")]
    done = subprocess.run(argv, capture_output=True, text=True, check=False, timeout=30)
    if "unshare" in done.stderr:
        pytest.skip(done.stderr.strip())
    return done


@needs_two_cpus
def test_no_loopback_interface_is_not_possible_here(build: Path) -> None:
    done = in_own_network(build, "true")

    assert (done.returncode, done.stdout) == (3, "")
    assert "no TCP connection over the loopback interface: " in done.stderr
    assert done.stderr.count("\n") == 1


@needs_two_cpus
def test_without_ipv4_it_is_ipv6(build: Path) -> None:
    done = in_own_network(build, "ip link set lo up && ip -4 address flush dev lo && ip -6 address show dev lo >&2")
    if "ip:" in done.stderr or "::1" not in done.stderr:
        pytest.skip(f"cannot have an interface with IPv6 only here: {done.stderr.strip()}")

    assert done.returncode == 0
    assert '"::1"' in done.stdout
