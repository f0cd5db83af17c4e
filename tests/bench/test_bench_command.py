"""`nodeproof bench` as a user meets it: whole processes, real exit codes, real disks."""

import json
import os
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from fake_bench import Site, busy, prints
from nodeproof.errors import BenchError
from nodeproof_bench.result import run_of
from nodeproof_bench.runner import find_program

needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="needs root")

GOOD = {"memory.triad": prints(value=61.24e9), "memory.latency": prints("memory.latency", 98.31e-9)}

NAMES = ("memory.triad", "memory.latency", "--seconds", "0.01")


@pytest.fixture
def site(tmp_path: Path) -> Site:
    return Site(tmp_path)


def test_results_are_a_table_with_scaled_units_and_a_verdict(site: Site) -> None:
    done = site.run(GOOD, *NAMES)

    assert (done.returncode, done.stderr) == (0, "")
    rows = [line.split() for line in done.stdout.splitlines()]
    assert rows[0] == ["BENCHMARK", "WHERE", "CAPABILITY", "SUSTAINED", "STABILITY", "SAMPLES", "NOTE"]
    assert rows[1] == ["memory.triad", "node", "0", "61.2", "GB/s", "59.4", "GB/s", "95%", "200"]
    assert rows[2] == ["memory.latency", "node", "0", "98.3", "ns", "95.4", "ns", "95%", "200"]
    assert "(observe, no class)" in done.stdout
    assert "\x1b" not in done.stdout


def test_a_share_is_in_percent_a_count_is_none_and_nothing_has_no_digits(site: Site) -> None:
    commands = {
        "cpu.jitter": prints("cpu.jitter", 0.00123, unit="1"),
        "cpu.verify": prints("cpu.verify", 0, unit="1"),
        "clock.consistency": prints("clock.consistency", 0, unit="s"),
    }
    done = site.run(commands, *commands, "--seconds", "0.01")

    cells = [re.split("  +", line)[2] for line in done.stdout.splitlines()[1:4]]
    assert cells == ["0.123 %", "0", "0 s"]


def test_the_document_holds_results_conditions_and_verdicts_and_is_kept(site: Site) -> None:
    done = site.run(GOOD, *NAMES, "--json", "--save", site.directory / "a.json")

    made = json.loads(done.stdout)
    assert made == json.loads((site.directory / "a.json").read_text())
    assert made["schema"] == "nodeproof.benchrun/1"
    assert (made["suite"], made["exit_code"], made["is_complete"]) == (
        " ".join(NAMES[:2]),
        0,
        True,
    )
    assert abs(made["time_s"] - time.time()) < 600
    assert made["boot_id"] == Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    assert [r["name"] for r in made["results"]] == list(NAMES[:2])
    assert {"load_average", "foreign_cpu_s"} <= made["results"][0]["conditions"].keys()
    (kept,) = site.history()
    assert run_of(kept) == run_of(made)._replace(results=run_of(kept).results)
    assert kept["results"] == made["results"]


def test_each_run_is_added_to_the_history_unless_it_should_not(site: Site) -> None:
    for args in (["memory.triad"], ["memory.latency"], ["memory.triad", "--no-history"]):
        assert site.run(GOOD, *args).returncode == 0

    assert [run["suite"] for run in site.history()] == ["memory.triad", "memory.latency"]


def test_a_crash_is_unknown_and_the_others_are_measured(site: Site) -> None:
    done = site.run({"memory.read": "kill -SEGV $$", **GOOD}, "memory.read", *NAMES)

    assert done.returncode == 3
    assert "memory.triad    node 0   61.2 GB/s" in done.stdout
    assert "crashed: ended by signal 11 (Segmentation fault)" in done.stdout
    assert "1 benchmark without a result: memory.read --node 0 --seconds 0.01 (ended by signal 11" in done.stdout
    assert "unknown  bench.conclusive " in done.stdout
    assert site.history()[0]["failures"][0]["kind"] == "crashed"


def test_a_disturbed_result_is_unknown(site: Site) -> None:
    done = site.run({"memory.triad": prints(**busy())}, "memory.triad", "--seconds", "0.01")

    assert done.returncode == 3
    assert "inconclusive: other processes used 1.0 CPUs" in done.stdout
    assert "1 result inconclusive: memory.triad on NUMA node 0 (other processes used 1.0 CPUs)" in done.stdout


def test_what_is_not_possible_is_shown_and_is_no_failure(site: Site) -> None:
    done = site.run({**GOOD, "cpu.flops": "echo 'no FMA here' >&2; exit 3"}, *NAMES, "cpu.flops", "cpu.jitter")

    assert done.returncode == 0
    assert "not possible here: no FMA here" in done.stdout
    assert "not possible here: this build of nodeproof-bench does not have it" in done.stdout


def test_nothing_possible_is_unknown(site: Site) -> None:
    done = site.run(GOOD, "cpu.jitter")

    assert done.returncode == 3
    assert "nothing was measured" in done.stdout


def test_hostile_words_of_the_program_reach_no_terminal(site: Site) -> None:
    commands = {"memory.triad": prints(cpus="\\u001b[31m0"), "memory.read": "printf '\\033[31mred\\n' >&2; exit 1"}
    done = site.run(commands, "memory.triad", "memory.read", "--seconds", "0.01")

    assert "\x1b" not in done.stdout + done.stderr


def test_a_burn_in_goes_round_until_its_time_is_up(site: Site) -> None:
    for duration in ("6s", "24s", "48s"):  # how far it gets in that time is up to the machine
        made = json.loads(site.run(GOOD, "burnin", "--duration", duration, "--seconds", "0.01", "--json").stdout)
        triad = next((r for r in made["results"] if r["name"] == "memory.triad"), {"rounds": 0})
        if triad["rounds"] > 1:
            break
    assert triad["rounds"] > 1
    assert triad["lowest"] == triad["highest"] == triad["value"]
    assert all(f["kind"] == "absent" for f in made["failures"])
    assert len({(f["name"], *f["args"]) for f in made["failures"]}) == len(made["failures"])


@pytest.fixture
def small_disk(site: Site) -> Iterator[Path]:
    disk = site.directory / "disk"
    disk.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=16k,mode=700", "tmpfs", disk], check=True)
    (disk / "fill").write_bytes(bytes(8192))
    yield disk
    subprocess.run(["umount", disk], check=True)


@pytest.mark.root
@needs_root
def test_a_full_disk_is_said_once_and_the_results_are_printed(site: Site, small_disk: Path) -> None:
    many = prints(points=[{"cpu": n, "value": n} for n in range(1000)])
    site.state = small_disk
    done = site.run({"memory.triad": many}, "memory.triad", "--save", small_disk / "a.json")

    assert done.returncode == 3
    assert "memory.triad  node 0   50.0 GB/s" in done.stdout
    assert done.stdout.count("No space left on device") == 1
    assert f"warning cannot keep the results in {small_disk}/bench.jsonl: No space left on device" in done.stdout
    assert done.stderr == f"nodeproof: {small_disk}/a.json: cannot write: No space left on device\n"
    assert sorted(f.name for f in small_disk.iterdir()) == ["bench.lock", "fill"]


def test_a_file_that_cannot_be_saved_is_exit_3_after_the_results(site: Site) -> None:
    done = site.run(GOOD, *NAMES, "--save", "/no/such/directory/a.json")

    assert done.returncode == 3
    assert "memory.triad" in done.stdout
    assert done.stderr == "nodeproof: /no/such/directory/a.json: cannot write: No such file or directory\n"


def test_a_damaged_history_is_set_aside_and_said(site: Site) -> None:
    site.state.mkdir(mode=0o700)
    (site.state / "bench.jsonl").write_text("{")
    done = site.run(GOOD, *NAMES)

    assert done.returncode == 3
    assert "is damaged and set aside as bench.jsonl.bad: line 1" in done.stdout
    assert (site.state / "bench.jsonl.bad").read_text() == "{"
    assert len(site.history()) == 1


def test_a_program_that_others_could_have_written_is_not_run(site: Site) -> None:
    argv = site.argv({"memory.triad": f"touch {site.directory}/ran"}, "memory.triad")
    (site.directory / "stand-in").chmod(0o777)
    done = subprocess.run(argv, capture_output=True, text=True, check=False, timeout=60)

    assert done.returncode == 2
    assert "expected writable by its owner alone, found 0777" in done.stderr
    assert not (site.directory / "ran").exists()


@pytest.mark.parametrize("line", ["exit 1", "kill -SEGV $$", "echo garbage"])
def test_a_program_that_does_not_work_is_could_not_tell(site: Site, line: str) -> None:
    argv = site.argv({}, "memory.triad")
    (site.directory / "stand-in").write_text(f"#!/bin/sh\n{line}\n")
    done = subprocess.run(argv, capture_output=True, text=True, check=False, timeout=60)

    assert (done.returncode, done.stdout) == (3, "")
    assert done.stderr.startswith(f"nodeproof: {site.directory}/stand-in --list: exit ")
    assert done.stderr.count("\n") == 1


def test_the_real_program_takes_what_is_planned_and_its_lines_are_understood(tmp_path: Path) -> None:
    try:
        find_program()
    except BenchError as error:
        pytest.skip(str(error))
    names = ["memory.verify", "cpu.flops", "cpu.core_to_core", "clock.consistency"]
    argv = [sys.executable, "-I", "-m", "nodeproof", "bench", *names, "--seconds", "0.05", "--json"]
    done = subprocess.run(
        [*argv, "--state-dir", str(tmp_path)], capture_output=True, text=True, check=False, timeout=120
    )

    made = json.loads(done.stdout)
    # one core has no pair, and on a busy machine a benchmark of so short a time may give up
    assert not [f for f in made["failures"] if f["kind"] == "malformed" or "does not take" in f["reason"]]
    assert {r["name"] for r in made["results"]} & set(names)
    assert all(r["args"][-2:] == ["--seconds", "0.05"] for r in made["results"])
    assert all(r["conditions"]["seconds"] > 0 for r in made["results"])
