"""`nodeproof bench --compare`: two runs side by side, from the history and from files."""

import json
import subprocess
from pathlib import Path

import pytest

from fake_bench import Site, busy, prints

GOOD = {"memory.triad": prints(value=61.24e9), "memory.latency": prints("memory.latency", 98.31e-9)}


@pytest.fixture
def site(tmp_path: Path) -> Site:
    return Site(tmp_path)


def compare(site: Site, *args: object) -> "subprocess.CompletedProcess[str]":
    return site.run(GOOD, "--compare", *args)


def test_two_runs_are_compared_place_by_place_in_the_right_direction(site: Site) -> None:
    for triad, latency, jitter in ((60e9, 120e-9, 5e9), (50e9, 96e-9, 5.001e9)):
        commands = {
            "memory.triad": prints(value=triad),
            "memory.latency": prints("memory.latency", latency),
            "memory.read": prints("memory.read", jitter),
        }
        assert site.run(commands, "memory.triad", "memory.latency", "memory.read").returncode == 0
    done = compare(site, "last~1", "last")

    assert done.returncode == 0
    assert done.stdout.splitlines()[1:] == [
        "memory.triad    node 0  60.0 GB/s  50.0 GB/s  0.833  worse",
        "memory.latency  node 0     120 ns    96.0 ns  0.800  better",
        "memory.read     node 0  5.00 GB/s  5.00 GB/s  1.000  same (intervals overlap)",
    ]
    rows = json.loads(compare(site, "last~1", "last", "--json").stdout)
    assert [row["ratio"] for row in rows] == pytest.approx([0.8333, 0.8, 1.0002], abs=1e-4)


def test_saved_files_are_compared_and_doubtful_ones_not_judged(site: Site) -> None:
    files = [site.directory / name for name in ("a.json", "b.json")]
    for file, more in zip(files, (busy(), {"interval": None, "value": 4e10}), strict=True):
        site.run({"memory.triad": prints(**more)}, "memory.triad", "--seconds", "0.01", "--save", file)

    assert compare(site, *files).stdout.endswith("0.800  inconclusive\n")
    assert compare(site, files[1], files[1]).stdout.endswith("1.000  same\n")


@pytest.mark.parametrize(
    ("words", "why"),
    [
        (("last", "last"), "last: {state}/bench.jsonl holds 0 runs"),
        (("last~x", "last"), "last~x: expected `last` or `last~N`"),
        (("/no/such", "last"), "/no/such: No such file or directory"),
        (("/dev/null", "last"), "/dev/null: failed (not a regular file)"),
        (("/proc/version", "last"), "/proc/version: not a result of `nodeproof bench --save`: "),
    ],
)
def test_what_cannot_be_compared_is_one_clear_line(site: Site, words: tuple[str, str], why: str) -> None:
    site.state.mkdir(mode=0o700)
    done = compare(site, *words)

    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith(f"nodeproof: {why.format(state=site.state)}")
    assert done.stderr.count("\n") == 1
