"""The C core: its own test programs, and what `nodeproof-bench` promises to whoever runs it."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jsonschema
import pytest

NATIVE = Path(__file__).parents[2] / "native"

Bench = Callable[..., "subprocess.CompletedProcess[str]"]


def tool(name: str) -> str:
    """Return cmake or ctest: installed, or as the PyPI package cmake brings it."""
    path = shutil.which(name) or shutil.which(name, path=os.path.dirname(sys.executable))
    if path is None:
        pytest.skip(f"needs {name} (package cmake)")
    return path


@pytest.fixture(scope="module")
def build(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Build the C core with warnings as errors."""
    cmake, directory = tool("cmake"), tmp_path_factory.mktemp("native")
    for argv in (
        [cmake, "-S", str(NATIVE), "-B", str(directory), "-DNODEPROOF_WERROR=ON", "-DCMAKE_BUILD_TYPE=Release"],
        [cmake, "--build", str(directory), "--parallel", "4"],
    ):
        done = subprocess.run(argv, capture_output=True, text=True, check=False, timeout=120)
        assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-4000:]
    return directory


@pytest.fixture(scope="module")
def bench(build: Path) -> Bench:
    def run(*args: str, **kwargs: Any) -> "subprocess.CompletedProcess[str]":
        argv = [str(build / "nodeproof-bench"), *args]
        return subprocess.run(argv, capture_output=True, text=True, check=False, timeout=30, **kwargs)

    return run


def first_cpu() -> int:
    return min(os.sched_getaffinity(0))


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


def test_native_test_programs_pass(build: Path) -> None:
    argv = [tool("ctest"), "--test-dir", str(build), "--output-on-failure"]
    done = subprocess.run(argv, capture_output=True, text=True, check=False, timeout=120)

    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("isa", ["", "avx512", "avx2", "sse2", "generic"])
def test_triad_prints_one_line_that_follows_the_schema(bench: Bench, isa: str) -> None:
    done = bench("memory.triad", "--seconds", "0.05", "--cpus", str(first_cpu()), *(["--isa", isa] if isa else []))
    if done.returncode == 3 and isa:
        pytest.skip(done.stderr.strip())

    assert done.returncode == 0, done.stderr
    assert done.stdout.count("\n") == 1
    assert done.stderr == ""
    result = json.loads(done.stdout)
    schema = json.loads((NATIVE / "schema/result.schema.json").read_text())
    jsonschema.Draft202012Validator.check_schema(schema)
    jsonschema.Draft202012Validator(schema).validate(result)
    assert result["cpus"] == str(first_cpu())
    assert result["isa"] == (isa or result["isa"])
    assert result["wrong_elements"] == 0
    assert 1e8 < result["value"] < 1e13


def test_triad_uses_the_cores_of_one_node_by_default(bench: Bench) -> None:
    result = json.loads(bench("memory.triad", "--seconds", "0.05").stdout)

    assert 1 <= result["threads"] <= len(os.sched_getaffinity(0))
    assert result["node"] is None or Path(f"/sys/devices/system/node/node{result['node']}").is_dir()
    assert result["local_share"] in (None, 1)


def test_list_and_help_and_version(bench: Bench) -> None:
    listed = bench("--list")
    name, unit, title, needs = listed.stdout.splitlines()[0].split("\t")

    assert (listed.returncode, name, unit) == (0, "memory.triad", "B/s")
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


def test_threads_stay_within_the_affinity_of_the_caller(bench: Bench) -> None:
    cpu = max(os.sched_getaffinity(0))
    done = bench("memory.triad", "--seconds", "0.05", preexec_fn=lambda: os.sched_setaffinity(0, {cpu}))

    result = json.loads(done.stdout)
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
