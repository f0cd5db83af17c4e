"""Silent corruption: every planted flip is found and named, and a healthy machine gives no alarm."""

import os
import random
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

Bench = Callable[..., "subprocess.CompletedProcess[str]"]
Measure = Callable[..., dict[str, Any]]

HOOKS = "nodeproof-bench-hooks"

#: All kernels of cpu.verify.
KERNELS = (
    *("gemm_fp64", "gemm_fp32", "gemm_fma_fp64", "gemm_fma_fp32", "fft_fp64", "nbody_fp64", "svd_fp64", "aes"),
    *("sha256", "crc32c", "lz", "permute", "transpose", "gather", "compact", "copy", "copy_string", "multiply"),
    *("integer", "atomics"),
)

#: The smallest output of a kernel, in bits.
LEAST_BITS = 4096 * 8


def two_cpus() -> list[int]:
    """Return two CPUs of ours, or skip."""
    cpus = sorted(os.sched_getaffinity(0))[:2]
    if len(cpus) < 2:
        pytest.skip("needs two CPUs")
    return cpus


def plant(measure: Measure, *hooks: str, args: tuple[str, ...] = (), **kwargs: Any) -> dict[str, Any]:
    """Run cpu.verify on two CPUs that flip these bits."""
    cpus = ",".join(str(c) for c in two_cpus())
    argv = ("cpu.verify", "--seconds", "0.05", "--cpus", cpus, "--hook", ",".join(hooks), *args)
    return measure(*argv, program=HOOKS, **kwargs)


def flipped(point: dict[str, Any]) -> int:
    """Return the number of the bit in the output that is wrong."""
    difference = int(point["expected"], 16) ^ int(point["found"], 16)
    assert difference.bit_count() == 1
    assert point["wrong_words"] == 1
    return int(point["offset"]) * 8 + difference.bit_length() - 1


def test_a_healthy_machine_gives_no_alarm(measure: Measure) -> None:
    result = measure("cpu.verify", "--seconds", "0.3")

    assert (result["value"], result["points"]) == (0, [])
    assert result["threads"] == len(os.sched_getaffinity(0))
    assert result["rotations"] >= 2
    assert result["runs_per_cpu"] >= 2 * result["variants"] >= 2 * (len(KERNELS) - 1)
    assert sum(result["runs_by_phase"].values()) == result["runs_per_cpu"]
    assert result["samples"] == result["runs_per_cpu"] * result["threads"]


@pytest.mark.parametrize("isa", ["generic", "sse2", "avx2", "avx512", "neon", "sve"])
def test_each_isa_alone(measure: Measure, first_cpu: str, isa: str) -> None:
    result = measure("cpu.verify", "--seconds", "0.02", "--isa", isa, "--cpus", first_cpu)

    assert (result["value"], result["isa"], result["threads"]) == (0, isa, 1)
    assert 0 < result["variants"] <= len(KERNELS)


def test_one_cpu_is_compared_with_another_core(measure: Measure) -> None:
    helper, cpu = two_cpus()
    args = ("cpu.verify", "--seconds", "0.02", "--cpus", str(cpu), "--hook", f"flip:{helper}:gather:1:once")
    result = measure(*args, program=HOOKS)

    assert result["cpus"] == str(cpu)
    if result.get("helper_cpu") == helper:  # not an SMT sibling
        assert [(p["cpu"], flipped(p)) for p in result["points"]] == [(helper, 1)]


def test_a_hundred_random_flips_are_found_with_cpu_kernel_and_bit(measure: Measure) -> None:
    dice = random.Random(20)
    places = [(cpu, kernel) for cpu in two_cpus() for kernel in KERNELS]
    found = 0
    while found < 100:
        planted = {place: dice.randrange(LEAST_BITS) for place in dice.sample(places, min(40, 100 - found))}
        result = plant(measure, *(f"flip:{cpu}:{kernel}:{bit}:once" for (cpu, kernel), bit in planted.items()))

        assert {(p["cpu"], p["kernel"]): flipped(p) for p in result["points"]} == planted
        assert result["value"] == len(planted)
        assert {p["is_reproduced"] for p in result["points"]} == {False}
        found += len(planted)


@pytest.mark.parametrize("which", [0, 1])
def test_a_core_that_is_always_wrong_is_condemned_in_every_isa(measure: Measure, which: int) -> None:
    cpu = two_cpus()[which]
    result = plant(measure, f"flip:{cpu}:multiply:12345")
    points = result["points"]

    assert len(points) >= 2
    assert len({p["isa"] for p in points}) == len(points)
    assert {(p["cpu"], p["kernel"], flipped(p)) for p in points} == {(cpu, "multiply", 12345)}
    assert {(p["is_reproduced"], p["replays_wrong"], p["is_attributed"]) for p in points} == {(True, 10, True)}
    assert result["value"] == sum(p["value"] for p in points)
    assert all(p["value"] == 2 for p in points) or result["rotations"] > 2


def test_a_pair_names_the_other_side(measure: Measure) -> None:
    cpus = two_cpus()
    (point,) = plant(measure, f"flip:{cpus[0]}:atomics:64")["points"]

    assert (point["cpu"], point["partner_cpu"], flipped(point)) == (cpus[0], cpus[1], 64)


def test_the_seed_that_is_told_replays_the_corruption(measure: Measure) -> None:
    cpu = two_cpus()[1]
    first = plant(measure, f"flip:{cpu}:sha256:777:unknown", args=("--isa", "generic"))["points"][0]
    again = plant(measure, f"flip:{cpu}:sha256:777:unknown", args=("--isa", "generic", "--seed", str(first["seed"])))

    ignored = {"phase", "value"}
    assert {k: v for k, v in again["points"][0].items() if k not in ignored} == {
        k: v for k, v in first.items() if k not in ignored
    }
    assert again["seed"] == first["seed"]


def test_two_cores_that_stand_against_each_other_are_both_named(measure: Measure) -> None:
    cpus = two_cpus()
    only_these = lambda: os.sched_setaffinity(0, cpus)  # noqa: E731
    points = plant(measure, f"flip:{cpus[0]}:integer:5:unknown", preexec_fn=only_these)["points"]

    assert [p["cpu"] for p in points] == cpus
    assert {p["is_attributed"] for p in points} == {False}
    assert points[0]["expected"] == points[1]["found"]


def test_a_third_core_says_which_of_two_is_wrong(measure: Measure) -> None:
    if len(os.sched_getaffinity(0)) < 3:
        pytest.skip("needs three CPUs")
    cpus = two_cpus()
    (point,) = plant(measure, f"flip:{cpus[0]}:integer:5:unknown")["points"]

    assert (point["cpu"], point["is_attributed"]) == (cpus[0], True)


def test_a_cpu_that_is_alone_is_found_out_by_the_known_seed(measure: Measure, first_cpu: str) -> None:
    alone = lambda: os.sched_setaffinity(0, {int(first_cpu)})  # noqa: E731
    args = ("cpu.verify", "--seconds", "0.02", "--hook", f"flip:{first_cpu}:aes:9")
    points = measure(*args, program=HOOKS, preexec_fn=alone)["points"]

    assert {(p["cpu"], p["kernel"], p["offset"], p["is_reproduced"]) for p in points} == {
        (int(first_cpu), "aes", None, True)
    }


def test_memory_that_keeps_everything_gives_no_alarm(measure: Measure, first_cpu: str) -> None:
    result = measure("memory.verify", "--bytes", "8M", "--seconds", "10", "--cpus", first_cpu)

    assert (result["value"], result["points"], result["is_complete"]) == (0, [], True)
    assert result["bytes"] == result["bytes_tested"] == 8 << 20
    assert result["passes"] == result["passes_planned"]
    assert result["bytes_checked"] == result["samples"] << 21 == 12 * result["bytes"]


def test_memory_is_tested_for_as_long_as_there_is_time(measure: Measure) -> None:
    result = measure("memory.verify", "--share", "0.02", "--seconds", "0.05")

    assert 0 < result["bytes_tested"] <= result["bytes"]
    assert result["bytes_tested"] <= result["bytes_checked"]
    assert result["seconds"] < 5
    assert result["node"] is None


def test_memory_of_a_node(measure: Measure) -> None:
    node = Path("/sys/devices/system/node/node0")
    if not node.is_dir():
        pytest.skip("a kernel without NUMA")
    result = measure("memory.verify", "--node", "0", "--bytes", "16M", "--seconds", "0.05")

    assert (result["node"], result["value"]) == (0, 0)


@pytest.mark.parametrize("seed", range(5))
def test_a_flipped_bit_in_memory_is_found_by_every_pattern(measure: Measure, first_cpu: str, seed: int) -> None:
    dice = random.Random(seed)
    offset, bit = dice.randrange(4 << 20) // 8 * 8, dice.randrange(64)
    args = ("memory.verify", "--bytes", "4M", "--seconds", "10", "--cpus", first_cpu)
    result = measure(*args, "--hook", f"flip:{offset}:{bit}", program=HOOKS)
    points = result["points"]

    assert result["value"] == len(points) == 12
    assert {(p["offset"], int(p["expected"], 16) ^ int(p["found"], 16)) for p in points} == {(offset, 1 << bit)}
    assert len({p["pattern"] for p in points}) == 10
    assert {p["is_reproduced"] for p in points} == {True}
    assert {p["is_stored"] for p in points} == {True, None}
    known = {p["physical_address"] for p in points} - {None}
    assert all(int(address, 16) % 4096 == offset % 4096 for address in known)


def test_a_bit_that_flips_once_in_memory_is_not_reproduced(measure: Measure, first_cpu: str) -> None:
    args = ("memory.verify", "--bytes", "4M", "--seconds", "10", "--cpus", first_cpu, "--seed", "5")
    result = measure(*args, "--hook", "flip:3000000:63:once", program=HOOKS)
    (point,) = result["points"]

    assert (result["value"], result["seed"], point["seed"]) == (1, 5, 5)
    assert (point["offset"], point["pattern"]) == (3000000, "random")
    assert (point["is_stored"], point["is_reproduced"], point["replays_wrong"]) == (True, False, 0)


@pytest.mark.parametrize(
    ("args", "status", "why"),
    [
        (("memory.verify", "--bytes", "4K"), 3, "need 2 MiB each"),
        (("memory.verify", "--bytes", "4000000G"), 3, "do not fit"),
        (("memory.verify", "--node", "1023"), 3, "no NUMA node 1023"),
        (("memory.verify", "--hook", "flip:0"), 2, "--hook takes flip:OFFSET:BIT"),
        (("memory.verify", "--isa", "sse2"), 2, "does not take --isa"),
        (("cpu.verify", "--hook", "flip:0:aes"), 2, "--hook takes flip:CPU:KERNEL:BIT"),
        (("cpu.verify", "--cpus", "8191"), 3, "CPU 8191"),
        (("cpu.verify", "--share", "0.5"), 2, "does not take --share"),
    ],
)
def test_what_cannot_be_done_is_said_in_one_line(bench: Bench, args: tuple[str, ...], status: int, why: str) -> None:
    done = bench(*args, program=HOOKS)

    assert (done.returncode, done.stdout) == (status, "")
    assert why in done.stderr
    assert done.stderr.count("\n") == 1


@pytest.mark.parametrize("name", ["cpu.verify", "memory.verify"])
def test_what_is_installed_plants_no_faults(bench: Bench, name: str) -> None:
    done = bench(name, "--hook", "flip:0:0")

    assert (done.returncode, done.stdout) == (2, "")


@pytest.mark.parametrize("args", [("cpu.verify",), ("memory.verify", "--share", "0.1")])
def test_a_signal_cancels(build: Path, args: tuple[str, ...]) -> None:
    argv = [str(build / "nodeproof-bench"), *args, "--seconds", "60"]
    with subprocess.Popen(argv, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as child:
        time.sleep(0.2)
        child.send_signal(signal.SIGTERM)
        out, err = child.communicate(timeout=10)

    assert (child.returncode, out) == (-signal.SIGTERM, b"")
    assert b"cancelled" in err
