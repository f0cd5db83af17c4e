"""What `nodeproof bench --plan` and `--list` say, of planted machines and of this one."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

import fake_bench
from nodeproof.errors import BenchError
from nodeproof_bench.runner import find_program, listed
from nodeproof_bench.suites import BENCHMARKS
from planted_cpus import big_machine, small_machine
from support import Machine, plant

HOSTS = sorted((Path(__file__).parents[1] / "hosts").glob("*.tar.gz"))


def bench(*args: object) -> "subprocess.CompletedProcess[str]":
    command = [sys.executable, "-I", "-m", "nodeproof", "bench", *map(str, args)]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)


@pytest.mark.parametrize(("files", "most_s"), [(small_machine(), 20), (big_machine(), 60)], ids=["2 cores", "2 x 64"])
def test_the_quick_plan_of_a_machine_fits(tmp_path: Path, files: dict[str, str], most_s: float) -> None:
    plant(tmp_path, files)
    done = bench("quick", "--plan", "--root", tmp_path)

    *_, last = done.stdout.splitlines()
    assert (done.returncode, done.stderr) == (0, "")
    word, seconds = last.split()
    assert word == "sum"
    assert 5 < float(seconds) <= most_s


def test_a_plan_shows_each_run_with_its_options(tmp_path: Path) -> None:
    plant(tmp_path, big_machine())
    done = bench("memory.latency", "cpu.*", "--plan", "--root", tmp_path)

    rows = [line.split() for line in done.stdout.splitlines()]
    assert rows[0] == ["BENCHMARK", "OPTIONS", "SECONDS", "NOTE"]
    assert rows[1][:-1] == ["memory.latency", "--node", "0", "--seconds", "3"]
    assert rows[2][:-1] == ["memory.latency", "--node", "1", "--seconds", "3"]
    assert len(rows) == 4 + sum(name.startswith("cpu.") for name in BENCHMARKS)


def test_a_plan_as_json_says_the_same(machine: Machine, tmp_path: Path) -> None:
    machine(big_machine())
    made = json.loads(bench("quick", "--plan", "--json", "--root", tmp_path).stdout)

    assert made["suite"] == "quick"
    assert made["estimate_s"] == pytest.approx(sum(r["estimate_s"] for r in made["runs"]), abs=0.1)


@pytest.mark.parametrize("recording", HOSTS, ids=lambda p: p.name)
def test_recordings_that_never_asked_for_caches_can_be_planned_for(recording: Path) -> None:
    done = bench("quick", "--plan", "--root", recording)

    assert (done.returncode, done.stderr) == (0, "")


def test_a_recording_is_not_measured(tmp_path: Path) -> None:
    plant(tmp_path, small_machine())
    done = bench("quick", "--root", tmp_path)

    assert (done.returncode, done.stdout) == (2, "")
    assert "--root works with --plan only" in done.stderr


def test_a_tree_without_cpus_is_one_clear_line(tmp_path: Path) -> None:
    done = bench("quick", "--plan", "--root", tmp_path)

    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == "nodeproof: /sys/devices/system/cpu/present: absent (ENOENT)\n"


@pytest.mark.parametrize(
    "args",
    [
        ["memory.traid"],
        ["burnin"],
        ["quick", "--duration", "30m"],
        ["burnin", "--duration", "soon"],
        ["burnin", "--plan", "--duration", "soon"],
        ["quick", "--plan", "--duration", "30m"],
        ["burnin", "--duration", "0s"],
        ["burnin", "--duration", ""],
        ["quick", "--seconds", "0"],
        ["quick", "--seconds", "nan"],
        ["quick", "--policy", "/no/such"],
        ["quick", "-p", "no.such=1"],
        ["--compare", "/no/such", "last"],
        ["--no-such"],
    ],
)
def test_wrong_use_is_exit_2_before_anything_is_measured(args: list[str], tmp_path: Path) -> None:
    program = fake_bench.program(tmp_path, {"memory.triad": f"touch {tmp_path}/ran"})
    done = bench(*args, "--state-dir", tmp_path / "state", "--program", program)

    assert (done.returncode, done.stdout) == (2, ""), done.stderr
    assert done.stderr
    assert [f.name for f in tmp_path.iterdir()] == ["stand-in"]


def test_every_benchmark_of_the_program_is_known_and_listed() -> None:
    try:
        has = listed(find_program())
    except BenchError as error:
        pytest.skip(str(error))
    done = bench("--list")

    assert set(has) <= set(BENCHMARKS)
    assert done.returncode == 0
    for name in BENCHMARKS:
        assert f"\n{name} " in done.stdout
