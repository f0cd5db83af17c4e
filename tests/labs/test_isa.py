"""The C core on CPUs that this machine has not, built by other compilers, and under sanitizers."""

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest

from native_lab import EMULATED, REAL, Builds, Runner, tool

pytestmark = pytest.mark.isa

#: What has code of its own for each instruction set.
DISPATCHED = ("memory.triad", "cpu.flops", "cpu.verify")

FORCED = [(name, isa) for name, machine in EMULATED.items() for isa in machine.isas]

ISAS = ("avx512", "avx2", "sse2", "sve", "neon")

LACKING = [(name, isa) for name, machine in EMULATED.items() for isa in ISAS if isa not in machine.isas]


def wrong_values(result: dict[str, Any]) -> int:
    """Return how many values a benchmark found to be wrong."""
    wrong = sum(count for key, count in result.items() if key.startswith("wrong_"))
    return int(wrong + (result["value"] if result["name"].endswith(".verify") else 0))


@pytest.mark.parametrize("name", EMULATED)
def test_the_test_programs_pass(builds: Builds, name: str) -> None:
    runner = Runner(name, builds)
    programs = runner.test_programs()
    failed = {p.name: done.stderr for p in programs if (done := runner.run(p)).returncode != 0}

    assert len(programs) > 8
    assert failed == {}


@pytest.mark.parametrize("benchmark", DISPATCHED)
@pytest.mark.parametrize("name", EMULATED)
def test_the_widest_instructions_are_chosen(builds: Builds, name: str, benchmark: str) -> None:
    runner = Runner(name, builds)
    result = runner.measure(benchmark)

    assert (result["isa"], wrong_values(result)) == (runner.machine.isas[0], 0)


@pytest.mark.parametrize(("name", "isa"), FORCED)
def test_narrower_instructions_can_be_forced(builds: Builds, name: str, isa: str) -> None:
    result = Runner(name, builds).measure("memory.triad", "--isa", isa)

    assert (result["isa"], wrong_values(result)) == (isa, 0)


@pytest.mark.parametrize(("name", "isa"), LACKING)
def test_instructions_that_the_cpu_lacks_are_refused(builds: Builds, name: str, isa: str) -> None:
    done = Runner(name, builds).bench("memory.triad", "--isa", isa)

    assert (done.returncode, done.stdout) == (3, "")
    assert f"this CPU does not support {isa}" in done.stderr


@pytest.mark.parametrize("name", ["haswell", "sve-256", *REAL])
def test_every_benchmark_runs(builds: Builds, name: str, tmp_path: Path) -> None:
    runner = Runner(name, builds)
    failed, wrong = {}, {}
    for benchmark in runner.names():
        done = runner.bench(benchmark, *(["--path", str(tmp_path)] if benchmark.startswith("disk.") else []))
        if done.returncode == 0:
            wrong[benchmark] = wrong_values(json.loads(done.stdout))
        elif done.returncode != 3:  # what this machine does not have, whoever built it
            failed[benchmark] = done.stderr

    assert failed == {}
    assert {"memory.triad"} <= set(wrong)
    assert set(wrong.values()) == {0}


@pytest.mark.parametrize("name", ["asan", "tsan"])
def test_the_test_programs_pass_under_the_sanitizer(builds: Builds, name: str) -> None:
    runner = Runner(name, builds)
    ctest = [*runner.command, tool("ctest"), "--test-dir", str(runner.build), "--output-on-failure"]
    done = subprocess.run(ctest, capture_output=True, text=True, check=False)

    assert done.returncode == 0, done.stdout + done.stderr
