"""The benchmarks of cores and of the clock: the shape of what they say, and that they see a core that others have."""

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

Bench = Callable[..., "subprocess.CompletedProcess[str]"]
Measure = Callable[..., dict[str, Any]]

NAMES = ("cpu.flops", "cpu.frequency", "cpu.per_core", "cpu.core_to_core", "cpu.jitter", "clock.consistency")


@contextmanager
def busy_loop(cpu: str) -> Iterator[None]:
    """Run a busy loop on a CPU meanwhile."""
    script = f"import os; os.sched_setaffinity(0, {{{cpu}}}); print(flush=True)\nwhile True: pass"
    with subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE) as busy:
        assert busy.stdout is not None
        busy.stdout.readline()
        try:
            yield
        finally:
            busy.kill()


@pytest.mark.parametrize("isa", ["avx512", "avx2", "sse2", "sve", "neon", "generic"])
def test_flops_has_a_point_for_each_precision_of_the_instructions(measure: Measure, isa: str, first_cpu: str) -> None:
    result = measure("cpu.flops", "--seconds", "0.05", "--cpus", first_cpu, "--isa", isa)

    precisions = [p["precision"] for p in result["points"]]
    assert precisions[:2] == ["fp64", "fp32"]
    assert precisions == [p for p in ("fp64", "fp32", "bf16", "int8") if p in precisions]
    assert result["isa"] == isa
    assert result["value"] == result["points"][0]["value"]
    assert 0 < result["value"] < 1e13
    assert result["flops_per_clock"] is None or 0 < result["flops_per_clock"] < 1000
    assert result["slowest_cpu"] == int(first_cpu)
    assert [p["unit"] for p in result["points"]] == ["OP/s" if p == "int8" else "FLOP/s" for p in precisions]


def test_flops_uses_one_cpu_of_each_core_by_default(measure: Measure) -> None:
    result = measure("cpu.flops", "--seconds", "0.05")

    assert 1 <= result["threads"] <= len(os.sched_getaffinity(0))
    assert result["threads"] > 1 or result["fingerprint_s"] is None


def test_frequency_has_a_point_for_each_load_and_the_drop_to_the_widest(measure: Measure, first_cpu: str) -> None:
    result = measure("cpu.frequency", "--seconds", "0.1", "--cpus", first_cpu)

    points = result["points"]
    assert points[0]["load"] == "scalar"
    assert result["value"] == points[0]["value"]
    assert result["drop"] == pytest.approx(points[-1]["value"] / points[0]["value"])
    assert result["isa"] in {points[-1]["load"], "generic"}
    assert 1e7 < result["value"] < 2e10


def test_per_core_has_a_point_for_each_core_and_names_the_slowest(measure: Measure) -> None:
    result = measure("cpu.per_core", "--seconds", "0.05")

    points = result["points"]
    clean = [p for p in points if not p["is_contended"]] or points
    assert result["value"] == min(p["value"] for p in clean)
    assert next(p["value"] for p in points if p["cpu"] == result["slowest_cpu"]) == result["value"]
    assert {p["cpu"] for p in points} <= os.sched_getaffinity(0)
    assert len({p["cpu"] for p in points}) == len(points) == result["threads"]
    assert all(1e6 < p["clock_hz"] < 2e10 for p in points)
    assert all(p["flops_per_clock"] is None or 0 < p["flops_per_clock"] < 1000 for p in points)


def test_per_core_sees_that_others_have_the_cpu(measure: Measure, first_cpu: str) -> None:
    with busy_loop(first_cpu):
        (point,) = measure("cpu.per_core", "--seconds", "0.3", "--cpus", first_cpu)["points"]

    assert point["on_cpu_share"] < 0.9


def test_core_to_core_has_a_point_for_each_pair(measure: Measure) -> None:
    result = measure("cpu.core_to_core", "--seconds", "0.1")

    pairs = [(p["cpu"], p["to_cpu"]) for p in result["points"]]
    values = [p["value"] for p in result["points"]]
    assert all(a < b for a, b in pairs)
    assert len(set(pairs)) == len(pairs)
    assert (
        result["is_sampled"] or result["is_contended"] or len(pairs) == result["threads"] * (result["threads"] - 1) / 2
    )
    assert result["slowest_s"] == max(values)
    of_shared = [p["value"] for p in result["points"] if p["shares_cache"]]
    assert result["value"] == max(of_shared or values)
    assert result["is_of_shared_cache"] == bool(of_shared)
    assert 1e-10 < result["value"] < 1e-2


@pytest.mark.parametrize("name", ["cpu.core_to_core", "clock.consistency"])
def test_one_cpu_cannot_be_compared(bench: Bench, name: str, first_cpu: str) -> None:
    done = bench(name, "--cpus", first_cpu)

    assert (done.returncode, done.stdout) == (3, "")
    assert "it takes two" in done.stderr


def test_jitter_has_a_point_for_each_cpu_and_its_longest_detours(measure: Measure) -> None:
    result = measure("cpu.jitter", "--seconds", "0.1")

    points = result["points"]
    assert {p["cpu"] for p in points} == os.sched_getaffinity(0)
    assert result["worst"] == max(p["value"] for p in points)
    assert next(p["value"] for p in points if p["cpu"] == result["worst_cpu"]) == result["worst"]
    for point in points:
        longest = [d["seconds"] for d in point["longest"]]
        assert longest == sorted(longest, reverse=True)
        assert point["longest_s"] == (longest[0] if longest else 0)
        assert all(seconds >= 0.8 * point["threshold_s"] for seconds in longest)
        assert bool(longest) == (point["detours_per_s"] > 0) == (point["value"] > 0)


def test_jitter_sees_a_busy_loop(measure: Measure, first_cpu: str) -> None:
    with busy_loop(first_cpu):
        result = measure("cpu.jitter", "--seconds", "0.3", "--cpus", first_cpu)

    (point,) = result["points"]
    assert result["value"] == point["value"] > 0.1
    assert point["on_cpu_share"] < 0.9
    assert result["is_contended"]
    assert point["involuntary_switches"] > 0
    assert point["longest_s"] > 1e-4


def test_clocks_of_all_cpus_are_compared_with_the_first(measure: Measure) -> None:
    result = measure("clock.consistency", "--seconds", "0.05")

    points = result["points"]
    cpus = os.sched_getaffinity(0)
    assert result["reference_cpu"] == min(cpus)
    assert result["is_contended"] or {p["cpu"] for p in points} == cpus - {min(cpus)}
    assert result["value"] == max(p["value"] for p in points)
    assert result["warps"] == sum(p["warps"] for p in points)
    assert all(p["value"] <= max(abs(p["offset_s"]) - p["uncertainty_s"], 0) + 1e-12 for p in points)
    assert (result["counter_hz"] is None) == (result["clock"] == "clock_gettime") == (result["drift"] is None)
    assert result["counter_hz"] is None or 1e6 < result["counter_hz"] < 1e11


@pytest.mark.parametrize("name", ["cpu.per_core", "cpu.jitter"])
def test_a_signal_cancels(build: Path, name: str) -> None:
    argv = [str(build / "nodeproof-bench"), name, "--seconds", "60"]
    with subprocess.Popen(argv, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as child:
        with pytest.raises(subprocess.TimeoutExpired):
            child.wait(0.3)
        child.send_signal(signal.SIGTERM)
        out, err = child.communicate(timeout=10)

    assert child.returncode == -signal.SIGTERM
    assert out == b""
    assert b"cancelled" in err


@pytest.mark.parametrize(
    ("name", "option"), [(n, ("--node", "0")) for n in NAMES] + [("cpu.jitter", ("--isa", "avx2"))]
)
def test_options_without_meaning_are_refused(bench: Bench, name: str, option: tuple[str, str]) -> None:
    done = bench(name, *option)

    assert (done.returncode, done.stdout) == (2, "")
    assert f"does not take {option[0]}" in done.stderr


@pytest.mark.parametrize("name", NAMES)
def test_a_cpu_outside_the_cpuset_is_named(bench: Bench, name: str) -> None:
    done = bench(name, "--cpus", "8191")

    assert (done.returncode, done.stdout) == (3, "")
    assert "CPU 8191 is not in this process's cpuset" in done.stderr


@pytest.mark.parametrize("name", ["cpu.flops", "cpu.per_core"])
def test_instructions_of_another_architecture_are_refused(bench: Bench, name: str) -> None:
    done = bench(name, "--isa", "neon" if os.uname().machine == "x86_64" else "sse2")

    assert (done.returncode, done.stdout) == (3, "")
    assert "this CPU does not support" in done.stderr
