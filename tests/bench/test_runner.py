"""The runner, on programs that really fail: each is started, ended and named."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from nodeproof.errors import BenchError, FactError
from nodeproof_bench.runner import (
    MAX_OUTPUT_BYTES,
    SCHEMA,
    BenchMalformed,
    BenchTimedOut,
    Listed,
    as_fact_error,
    find_program,
    listed,
    run,
)

LINE = (
    f'{{"schema": "{SCHEMA}", "name": "memory.triad", "unit": "B/s", "value": 5e10, "samples": 200, '
    '"cpus": "0-1", "isa": "avx512", "compiler": "GCC 12.2.0"}'
)

Program = Callable[[str], str]


@pytest.fixture
def program(tmp_path: Path) -> Program:
    """Make a program of a shell script."""

    def make(script: str) -> str:
        file = tmp_path / "stand-in"
        file.write_text(f"#!/bin/sh\n{script}\n")
        file.chmod(0o755)
        return str(file)

    return make


def is_running(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except (FileNotFoundError, ProcessLookupError):
        return False


def fact_error(error: BenchError) -> tuple[str, str]:
    found = as_fact_error("bench memory.triad", error)
    return found.kind, found.detail


def test_a_result_is_returned(program: Program) -> None:
    result = run(program(f"echo '{LINE}'"), "memory.triad", "--node", "0")

    assert result["value"] == 5e10


def test_a_program_is_told_its_parent_and_gets_a_clean_environment(program: Program) -> None:
    os.environ["LD_NODEPROOF"] = "1"
    try:
        with pytest.raises(BenchMalformed) as caught:
            run(program('echo "$* $LD_NODEPROOF."'), "memory.triad", "--node", "0")
    finally:
        del os.environ["LD_NODEPROOF"]

    assert f"memory.triad --node 0 --die-with-parent {os.getpid()} ." in str(caught.value)


def test_an_exit_status_comes_with_the_last_words(program: Program) -> None:
    with pytest.raises(BenchError) as caught:
        run(program("echo 'out of memory' >&2; exit 1"), "memory.triad")

    assert (caught.value.returncode, caught.value.tail) == (1, "out of memory")
    assert fact_error(caught.value) == ("failed", "out of memory")


def test_what_a_machine_does_not_have_is_absent(program: Program) -> None:
    with pytest.raises(BenchError) as caught:
        run(program("echo 'this CPU does not support sve' >&2; exit 3"), "memory.triad")

    assert fact_error(caught.value) == ("absent", "this CPU does not support sve")


def test_a_crash_is_a_return_code(program: Program) -> None:
    with pytest.raises(BenchError) as caught:
        run(program("kill -SEGV $$"), "memory.triad")

    assert caught.value.returncode == -signal.SIGSEGV
    assert fact_error(caught.value) == ("crashed", "ended by signal 11 (Segmentation fault)")


def test_a_hanging_program_is_killed_with_its_children(program: Program, tmp_path: Path) -> None:
    pids = tmp_path / "pids"
    began = time.monotonic()
    with pytest.raises(BenchTimedOut) as caught:
        run(program(f"trap '' TERM INT; sleep 60 & echo $$ $! > {pids}; wait"), "memory.triad", deadline_s=0.5)

    assert time.monotonic() - began < 3
    assert fact_error(caught.value) == ("timed_out", "no result in 0.5 s")
    for pid in map(int, pids.read_text().split()):
        until_s = time.monotonic() + 5
        while is_running(pid) and time.monotonic() < until_s:
            time.sleep(0.01)
        assert not is_running(pid)


def test_a_program_that_is_ended_may_remove_its_files_first(program: Program, tmp_path: Path) -> None:
    file = tmp_path / "scratch"
    with pytest.raises(BenchTimedOut):
        run(program(f"trap 'rm {file}; exit 1' TERM; touch {file}; sleep 60 & wait"), "memory.triad", deadline_s=0.5)

    assert not file.exists()


def test_what_a_finished_program_leaves_behind_is_killed(program: Program, tmp_path: Path) -> None:
    pids = tmp_path / "pids"
    run(program(f"sleep 60 >&- 2>&- & echo $! > {pids}; echo '{LINE}'"), "memory.triad")

    time.sleep(0.1)
    assert not is_running(int(pids.read_text()))


def test_a_program_that_closes_its_output_and_goes_on_is_killed(program: Program) -> None:
    with pytest.raises(BenchTimedOut):
        run(program(f"echo '{LINE}'; exec >&- 2>&-; sleep 60"), "memory.triad", deadline_s=0.3)


@pytest.mark.parametrize(
    "script",
    [
        "true",
        "echo garbage",
        "printf '\\377\\376\\n'",
        "echo '[]'",
        f"echo '{LINE}'; echo '{LINE}'",
        f"printf '%s' '{LINE}'",
        f"echo '{LINE.replace('bench/1', 'bench/2')}'",
        f"echo '{LINE.replace('memory.triad', 'memory.copy')}'",
        f"echo '{LINE.replace('5e10', 'NaN')}'",
        f"echo '{LINE.replace('5e10', '1e999')}'",
        f"echo '{LINE.replace('5e10', 'true')}'",
        "echo '" + LINE.replace("}", ', "points": [1e999]}') + "'",
        f"echo '{LINE.replace('200', '2.5')}'",
        f"echo '{LINE.replace('unit', 'units')}'",
        "head -c 5000 /dev/zero | tr '\\0' '['; echo",
    ],
)
def test_a_line_that_is_no_result_is_malformed(program: Program, script: str) -> None:
    with pytest.raises(BenchMalformed) as caught:
        run(program(script), "memory.triad")

    assert fact_error(caught.value)[0] == "malformed"


def test_a_program_says_what_it_has(program: Program) -> None:
    found = listed(program(r"printf 'memory.read\tB/s\t1.6\treads\tmemory\ncpu.flops\tFLOP/s\t2\tcounts\t-\n'"))

    assert found == {
        "memory.read": Listed("B/s", 1.6, "reads", "memory"),
        "cpu.flops": Listed("FLOP/s", 2, "counts", "-"),
    }


@pytest.mark.parametrize("script", ["exit 1", "echo garbage", "kill -SEGV $$", r"printf 'a\tb\tc\td\te\n'"])
def test_a_program_that_cannot_say_what_it_has_is_an_error(program: Program, script: str) -> None:
    with pytest.raises(BenchError):
        listed(program(script))


def test_endless_output_is_cut_off(program: Program) -> None:
    began = time.monotonic()
    with pytest.raises(BenchMalformed, match=f"more than {MAX_OUTPUT_BYTES} bytes"):
        run(program("exec cat /dev/zero"), "memory.triad", deadline_s=20)

    assert time.monotonic() - began < 10


def test_a_program_that_cannot_be_started_is_failed_and_not_absent(tmp_path: Path) -> None:
    with pytest.raises(BenchError) as caught:
        run(str(tmp_path / "nothing"), "memory.triad")

    assert caught.value.returncode == 127
    assert fact_error(caught.value) == ("failed", "cannot be started: No such file or directory")


def test_the_installed_program_is_found_and_measures() -> None:
    try:
        program = find_program()
    except BenchError as error:
        pytest.skip(str(error))

    cpu = str(min(os.sched_getaffinity(0)))  # two threads may never run at once beside other tests
    result = run(program, "memory.triad", "--seconds", "0.5", "--cpus", cpu, "--bytes", "6M", deadline_s=30)

    assert os.path.dirname(program) in (os.path.dirname(sys.executable), "/usr/libexec/nodeproof")
    assert result["unit"] == "B/s"


def test_a_runner_that_is_killed_leaves_no_benchmark_behind() -> None:
    try:
        program = find_program()
    except BenchError as error:
        pytest.skip(str(error))
    script = (
        f"from nodeproof_bench.runner import run; run({program!r}, 'memory.triad', '--seconds', '60', deadline_s=60)"
    )
    with subprocess.Popen([sys.executable, "-c", script]) as runner:
        children = Path(f"/proc/{runner.pid}/task/{runner.pid}/children")
        until_s = time.monotonic() + 10
        while not (found := children.read_text().split()) and time.monotonic() < until_s:
            time.sleep(0.01)
        time.sleep(0.3)  # the program is past its first lines, where it asks the kernel to die with us
        assert [is_running(int(pid)) for pid in found] == [True]
        runner.kill()
    until_s = time.monotonic() + 5
    while is_running(int(found[0])) and time.monotonic() < until_s:
        time.sleep(0.01)
    assert not is_running(int(found[0]))


def test_a_failure_is_named_by_what_was_asked() -> None:
    error = as_fact_error("bench memory.triad --node 1", BenchError(["nodeproof-bench"], 1, ""))

    assert isinstance(error, FactError)
    assert str(error) == "bench memory.triad --node 1: failed (exit 1)"
