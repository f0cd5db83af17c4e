"""Latency of caches and memory, idle and loaded: what the lines say, and what they refuse."""

import ctypes
import errno
import os
import resource
import signal
import struct
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

Bench = Callable[..., "subprocess.CompletedProcess[str]"]
Measure = Callable[..., dict[str, Any]]

LEVELS = ["l1", "l2", "l3", "memory"]

PR_SET_SECCOMP, PR_SET_NO_NEW_PRIVS, PR_SET_THP_DISABLE = 22, 38, 41

#: mbind and move_pages: linux/unistd.h of the architecture
PLACING = {"x86_64": (237, 279), "aarch64": (235, 239)}


def forbid_to_place_memory() -> None:
    """Refuse mbind and move_pages with EPERM from here on, as containers do (seccomp(2), linux/filter.h)."""
    load_number, skip_unless_equal, give_back = 0x20, 0x15, 0x06
    allow, refuse = 0x7FFF0000, 0x00050000 | errno.EPERM
    mbind, move_pages = PLACING[os.uname().machine]
    steps = [
        (load_number, 0, 0, 0),
        (skip_unless_equal, 1, 0, mbind),
        (skip_unless_equal, 0, 1, move_pages),
        (give_back, 0, 0, refuse),
        (give_back, 0, 0, allow),
    ]
    code = ctypes.create_string_buffer(b"".join(struct.pack("HBBI", *step) for step in steps))
    program = struct.pack("HxxxxxxP", len(steps), ctypes.addressof(code))
    libc = ctypes.CDLL(None, use_errno=True)
    assert libc.prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0
    assert libc.prctl(PR_SET_SECCOMP, 2, ctypes.c_char_p(program), 0, 0) == 0


def test_a_cache_has_a_small_share_of_the_time_also_where_it_is_all_that_is_asked_for(
    measure: Measure, first_cpu: str
) -> None:
    result = measure("memory.latency", "--seconds", "2", "--cpus", first_cpu, "--bytes", "16384")

    assert result["level"] == "l1"
    assert 0.2 < result["seconds"] < 1


def test_each_cache_and_memory_are_a_point_and_memory_is_the_value(measure: Measure, first_cpu: str) -> None:
    result = measure("memory.latency", "--seconds", "0.05", "--cpus", first_cpu)
    points = result["points"]
    levels = [p["level"] for p in points]

    assert levels == [level for level in LEVELS if level in levels]
    assert {"l1", "memory"} <= set(levels)
    assert [p["bytes"] for p in points] == sorted({p["bytes"] for p in points})
    assert points[0]["value"] < points[-1]["value"]
    assert 1e-11 < points[0]["value"] < 1e-6
    assert {key: result[key] for key in points[-1]} == points[-1]
    assert result["bytes"] >= 4 * result["cache_bytes"] or result["is_cache_bound"]


@pytest.mark.parametrize(("size", "expected"), [("1", 64), ("64", 64), ("65", 128), ("16K", 16384), ("3M", 3 << 20)])
def test_one_working_set_may_be_asked_for(measure: Measure, first_cpu: str, size: str, expected: int) -> None:
    result = measure("memory.latency", "--seconds", "0.01", "--bytes", size, "--cpus", first_cpu)

    assert [p["bytes"] for p in result["points"]] == [result["bytes"]] == [expected]
    assert result["is_cache_bound"]
    assert (result["cpus"], result["threads"], result["isa"]) == (first_cpu, 1, "generic")


def test_the_level_is_the_smallest_cache_that_holds_the_set(measure: Measure, first_cpu: str) -> None:
    index = Path(f"/sys/devices/system/cpu/cpu{first_cpu}/cache/index0")
    if not index.is_dir() or (index / "type").read_text().strip() == "Instruction":
        pytest.skip("the kernel names no first data cache")
    size = int((index / "size").read_text().strip().removesuffix("K")) << 10
    levels = [
        measure("memory.latency", "--seconds", "0.01", "--bytes", str(n), "--cpus", first_cpu)["level"]
        for n in (size, size + 1)
    ]

    assert levels[0] == "l1"
    assert levels[1] in LEVELS[1:]


def test_memory_is_that_of_the_node(measure: Measure) -> None:
    result = measure("memory.latency", "--seconds", "0.01", "--bytes", "4M", "--node", "0")

    assert result["node"] in {0, None}
    assert result["local_share"] in {1, None}


@pytest.mark.skipif(os.uname().machine not in PLACING, reason="needs the numbers of its system calls")
@pytest.mark.parametrize("name", ["memory.latency", "memory.loaded_latency"])
def test_where_memory_may_not_be_placed_first_touch_serves(measure: Measure, name: str) -> None:
    args = (name, "--seconds", "0.06", "--bytes", "4M")
    result = measure(*args, preexec_fn=forbid_to_place_memory)

    assert result["local_share"] is None
    assert measure(*args)["node"] == result["node"]


def test_base_pages_are_said_to_be_so_and_serve(measure: Measure, first_cpu: str) -> None:
    # the setting outlives fork and exec: prctl(2)
    deny = lambda: ctypes.CDLL(None).prctl(PR_SET_THP_DISABLE, 1, 0, 0, 0)  # noqa: E731
    args = ("memory.latency", "--seconds", "0.01", "--bytes", "8M", "--cpus", first_cpu)
    result = measure(*args, preexec_fn=deny)

    assert (result["pages"], result["points"][0]["pages"]) == ("base", "base")


def test_huge_pages_are_used_where_the_kernel_gives_them(measure: Measure, first_cpu: str) -> None:
    enabled, free = Path("/sys/kernel/mm/transparent_hugepage/enabled"), Path("/proc/buddyinfo")
    if not enabled.exists() or "[never]" in enabled.read_text():
        pytest.skip("the kernel gives no transparent huge pages")
    # of each zone the free blocks of 2^0, 2^1, … pages: Documentation/filesystems/proc.rst
    if os.sysconf("SC_PAGESIZE") != 4096 or not any(
        int(n) for z in free.read_text().splitlines() for n in z.split()[13:]
    ):
        pytest.skip("no huge page is free")
    result = measure("memory.latency", "--seconds", "0.01", "--bytes", "2M", "--cpus", first_cpu)

    assert result["pages"] == "huge"


def test_several_cpus_are_wrong_use(bench: Bench) -> None:
    done = bench("memory.latency", "--cpus", "0,1")

    assert (done.returncode, done.stdout) == (2, "")
    assert "runs on one CPU, --cpus names several (0-1)" in done.stderr


@pytest.mark.parametrize("name", ["memory.latency", "memory.loaded_latency", "numa.latency"])
def test_more_than_half_of_the_free_memory_is_refused(bench: Bench, name: str) -> None:
    if name == "memory.loaded_latency" and len(os.sched_getaffinity(0)) < 2:
        pytest.skip("needs two CPUs")
    available = int(Path("/proc/meminfo").read_text().partition("MemAvailable:")[2].split()[0]) << 10
    done = bench(name, "--bytes", str(available), "--seconds", "0.01")

    assert (done.returncode, done.stdout) == (3, "")
    assert f"{-(-available // 64) * 64} bytes do not fit into the " in done.stderr
    assert done.stderr.count("\n") == 1


def test_too_little_address_space_is_one_clear_line(bench: Bench, first_cpu: str) -> None:
    limit = lambda: resource.setrlimit(resource.RLIMIT_AS, (256 << 20, 256 << 20))  # noqa: E731
    done = bench("memory.latency", "--bytes", "300M", "--cpus", first_cpu, preexec_fn=limit)

    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == "nodeproof-bench: memory.latency: cannot reserve 314572800 bytes: Cannot allocate memory\n"


@pytest.mark.parametrize("name", ["memory.latency", "memory.loaded_latency", "numa.latency", "numa.bandwidth"])
@pytest.mark.parametrize("after_s", [0.05, 0.25])
def test_a_signal_cancels_setting_up_as_well(build: Path, name: str, after_s: float) -> None:
    argv = [str(build / "nodeproof-bench"), name, "--seconds", "60"]
    if name == "memory.loaded_latency" and len(os.sched_getaffinity(0)) < 2:
        pytest.skip("needs two CPUs")
    with subprocess.Popen(argv, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as child:
        time.sleep(after_s)
        child.send_signal(signal.SIGTERM)
        out, _ = child.communicate(timeout=10)

    assert child.returncode == -signal.SIGTERM
    assert out == b""


def test_latency_under_load_has_a_point_for_each_load(measure: Measure) -> None:
    result = measure("memory.loaded_latency", "--seconds", "0.06", "--bytes", "8M")
    points = result["points"]
    loads = [p["load_percent"] for p in points]

    assert loads == sorted(set(loads))
    assert (loads[0], loads[-1]) == (0, 100)
    assert points[0]["bytes_per_s"] == 0
    assert all(p["bytes_per_s"] > 0 for p in points[1:])
    assert result["value"] == points[-1]["value"]
    assert result["threads"] >= 2
    assert result["load_bytes"] >= 8 << 20


def test_one_cpu_cannot_be_loaded_by_another(bench: Bench, first_cpu: str) -> None:
    done = bench("memory.loaded_latency", "--cpus", first_cpu)

    assert (done.returncode, done.stdout) == (3, "")
    assert done.stderr == (
        "nodeproof-bench: memory.loaded_latency: needs two cores: one for the chain, others for the load\n"
    )
