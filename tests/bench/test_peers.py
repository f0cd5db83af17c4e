"""The tool behind `make bench-peers`: what it reads from the peers, its statistics and its rounds."""

import json
import os
import shutil
import subprocess
from contextlib import nullcontext
from pathlib import Path

import numpy as np
import pytest

from peers import parsers, run, stats
from peers.commands import Command, all_commands
from peers.machine import Machine
from peers.quantities import QUANTITIES

SOURCES = Path(run.__file__).parent
MACHINE = Machine("Model", "6.1", "x86_64", (0, 1), 32 << 20, 32 << 10, "avx512", 16)
HOG = "taskset -c 0 sh -c 'while :; do :; done'"


def output(name: str) -> str:
    """Return what a tool printed on a real machine."""
    return (Path(__file__).parent / "peers_output" / name).read_text()


@pytest.mark.parametrize(
    ("parse", "name", "figures"),
    [
        (parsers.likwid_bandwidth, "likwid_stream.txt", {"rate": 14820.10e6, "iterations": 64}),
        (parsers.likwid_flops, "likwid_peakflops.txt", {"rate": 27468.27e6, "iterations": 524288}),
        (parsers.stream, "stream.txt", {"copy": 17.45365e9, "triad": 15.49745e9}),
        (parsers.sysbench, "sysbench.txt", {"rate": 20998.78 * 2**20}),
        (parsers.stress_ng, "stress_ng.txt", {"rate": (2578.73 + 1719.15) * 2**20}),
        (parsers.dgemm, "dgemm.txt", {"rate": 1.114527e10}),
        (parsers.chase, "chase_samples.txt", {"16384": 4.864780e-09, "latency": 4.864780e-09}),
        (parsers.chase, "chase_sweep.txt", {"32768": 2.295669e-08, "1048576": 1.558077e-07, "latency": 1.558077e-07}),
        (parsers.pingpong, "pingpong.txt", {"latency": 12.50508e-6}),
        (parsers.fio, "fio.json", {"rate": 15611401, "latency": 75.264e-6}),
        (parsers.sockperf, "sockperf.txt", {"round_trip": 17.686e-6}),
        (parsers.qperf, "qperf.txt", {"round_trip": 63.2e-6, "rate": 489e6}),
        (parsers.oslat, "oslat.txt", {"worst": 0.02006}),
        (parsers.cyclictest, "cyclictest.txt", {"worst": 568e-6}),
        (
            parsers.nodeproof,
            "nodeproof_loopback.json",
            {"value": 1.430627441e-05, "blocking.sustained": 5.457115103e-05, "fingerprint_s": 1.427022079e-07},
        ),
    ],
    ids=lambda value: getattr(value, "__name__", value) if callable(value) else str(value)[:20],
)
def test_what_a_tool_prints_is_read_in_base_units(parse: parsers.Parser, name: str, figures: dict[str, float]) -> None:
    found = parse(output(name))
    assert {key: found[key] for key in figures} == pytest.approx(figures, rel=1e-9)


@pytest.mark.parametrize(
    "parse",
    [
        *(parsers.likwid_bandwidth, parsers.likwid_flops, parsers.stream, parsers.sysbench, parsers.stress_ng),
        *(parsers.dgemm, parsers.chase, parsers.pingpong, parsers.fio, parsers.sockperf, parsers.qperf),
        *(parsers.oslat, parsers.cyclictest, parsers.nodeproof),
    ],
)
@pytest.mark.parametrize("text", ["", "Killed\n"])
def test_what_is_no_result_is_not_taken_for_one(parse: parsers.Parser, text: str) -> None:
    with pytest.raises((ValueError, IndexError)):
        parse(text)


@pytest.mark.parametrize(
    ("is_complete", "failures", "figures"),
    [(True, [], {"seconds": 19.083, "results": 2.0}), (False, [], None), (True, [{"name": "cpu.flops"}], None)],
)
def test_only_a_complete_suite_has_a_wall_time(
    is_complete: bool, failures: list[object], figures: dict[str, float] | None
) -> None:
    document = {"seconds": 19.083, "is_complete": is_complete, "failures": failures, "results": [{}, {}]}
    with nullcontext() if figures else pytest.raises(ValueError, match="not completed"):
        assert parsers.suite(json.dumps(document)) == figures


def test_ten_iterations_of_likwid_are_no_result() -> None:
    """It reads `-s 0.5` as no time at all, and then measures for 10 µs."""
    with pytest.raises(ValueError, match="were measured"):
        parsers.likwid_flops(output("likwid_too_short.txt"))


def test_too_short_a_run_of_stress_ng_is_no_result() -> None:
    without_rate = "\n".join(line for line in output("stress_ng.txt").splitlines() if "memory rate" not in line)
    with pytest.raises(ValueError, match="memory rate"):
        parsers.stress_ng(without_rate)


@pytest.mark.parametrize(
    ("count", "rank"), [(1, None), (5, None), (6, 1), (8, 1), (9, 2), (10, 2), (11, 2), (12, 3), (20, 6), (100, 40)]
)
def test_interval_is_that_of_the_tables_of_order_statistics(count: int, rank: int | None) -> None:
    values = list(range(1, count + 1))
    expected = (None, None) if rank is None else (rank, count + 1 - rank)
    assert stats.interval(values[::-1]) == expected


@pytest.mark.parametrize("count", [6, 9, 15])
def test_interval_encloses_the_median_as_often_as_it_says(count: int) -> None:
    """Of a skewed distribution with the median log 2, from a fixed seed."""
    drawn = np.random.default_rng(20).exponential(size=(4000, count))
    intervals = [stats.interval(row.tolist()) for row in drawn]
    enclosed = sum(low <= np.log(2) <= high for low, high in intervals if low is not None and high is not None)
    assert len(intervals) == 4000
    assert enclosed / 4000 + 0.006 >= 0.95, "less the error of 4000 trials"


def test_summary_is_numpys() -> None:
    values = [3.5, 1.25, 9.0, 4.75, 2.0, 8.5]
    found = stats.summary(values)
    assert found.median == np.median(values)
    assert found.variation == pytest.approx(np.std(values, ddof=1) / np.mean(values))
    assert (found.low, found.high) == (1.25, 9.0)
    assert stats.summary([2.0]).variation is None


def test_every_figure_of_a_quantity_is_of_a_command_that_exists() -> None:
    commands = all_commands(MACHINE)
    rows = [row for quantity in QUANTITIES for row in (*quantity.ours, *quantity.theirs)]
    assert {row.command for row in rows} <= commands.keys()
    assert len({q.id for q in QUANTITIES}) == len(QUANTITIES)


@pytest.mark.parametrize("vectors", ["avx512", "avx", "sse"])
def test_likwid_runs_the_widest_kernel_that_the_cpu_has(vectors: str) -> None:
    commands = all_commands(MACHINE._replace(vectors=vectors))
    assert f"-t stream_mem_{vectors} -w M0:405MB:1" in commands["likwid-triad-1"].text
    assert ("_fma" in commands["likwid-flops-1"].text) == (vectors != "sse")


def test_rounds_repeat_what_likwids_first_run_found() -> None:
    commands = all_commands(MACHINE)
    found = {"likwid-triad-1": 64.0, "likwid-flops-1": 1048576.0}
    for id_ in ("likwid-triad-1", "likwid-triad-1-hog", "likwid-triad-1-base-pages"):
        assert "likwid-bench -i 64 -t stream_mem_avx512" in commands[id_].repeating(found).text
    assert "-i 1048576 " in commands["likwid-flops-1"].repeating(found).text
    assert commands["likwid-copy-1"].repeating(found) == commands["likwid-copy-1"]
    assert commands["triad-1"].repeating(found) == commands["triad-1"]


def test_what_cannot_be_run_says_why() -> None:
    commands = all_commands(MACHINE._replace(vectors=None, architecture="aarch64"))
    reasons = run.lacking(commands.values(), frozenset({"memory.triad"}))
    assert "aarch64" in reasons["likwid-triad-1"]
    assert reasons["copy-1"] == "nodeproof-bench has no memory.copy yet"
    missing = Command("x", "numactl -C 0,1 -l env A=1 no-such-program-here 5", parsers.oslat)
    assert "not installed" in run.lacking([missing], frozenset())["x"]


def test_the_machine_is_read() -> None:
    machine = Machine.read()
    assert machine.cpus
    assert machine.cache_bytes >= 32 << 20
    assert 8 << 10 <= machine.l1_bytes <= 1 << 20


def test_a_round_runs_what_is_due_in_alternating_order() -> None:
    commands = [
        Command("first", "echo 1", parsers.pingpong),
        Command("second", "echo 2", parsers.pingpong),
        Command("seldom", "echo 3", parsers.pingpong, every=3),
    ]
    rounds = [[s.command for s in run.run_round(commands, number, HOG)] for number in range(4)]
    assert rounds == [
        ["first", "second", "seldom"],
        ["second", "first"],
        ["first", "second"],
        ["seldom", "second", "first"],
    ]


def test_a_command_is_run_with_its_server_and_its_hog_and_leaves_neither(tmp_path: Path) -> None:
    server, hog = (f"sh -c 'echo $$ >{tmp_path}/{name}; exec sleep 60'" for name in ("server", "hog"))
    wait = f"until [ -s {tmp_path}/server ] && [ -s {tmp_path}/hog ]; do sleep 0.01; done; echo 7"
    command = Command("x", f"sh -c '{wait}'", parsers.pingpong, server=server, is_hogged=True)
    found = run.measure(command, 0, hog)
    assert (found.error, found.figures) == ("", {"latency": 7})
    assert found.text == f"{server} & {command.text}"
    for name in ("server", "hog"):
        with pytest.raises(ProcessLookupError):
            os.kill(int((tmp_path / name).read_text()), 0)


@pytest.mark.parametrize(
    ("text", "error"),
    [("sh -c 'echo broken >&2; exit 3'", "exit status 3: broken"), ("echo no number", "not understood")],
)
def test_a_command_that_fails_is_a_sample_that_says_so(text: str, error: str) -> None:
    found = run.measure(Command("x", text, parsers.pingpong), 4, HOG)
    assert found.error.startswith(error)
    assert (found.number, found.figures) == (4, {})


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Build our own peers with warnings as errors."""
    compiler = shutil.which("gcc") or pytest.skip("needs gcc")
    directory = tmp_path_factory.mktemp("peers")
    for name in ("stream", "chase", "pingpong", "dgemm"):
        strict = ["-Wall", "-Wextra", "-Wshadow", "-Wstrict-prototypes", "-Wmissing-prototypes", "-Werror"]
        argv = [compiler, *strict, "-O2", "-fopenmp", "-o", f"{directory}/{name}", f"{SOURCES}/{name}.c", "-lm", "-ldl"]
        subprocess.run(argv, check=True)
    return directory


def test_our_peers_measure(built: Path) -> None:
    def printed(*argv: str) -> str:
        return subprocess.run([str(built / argv[0]), *argv[1:]], check=True, capture_output=True, text=True).stdout

    assert all(1e7 < rate < 1e13 for rate in parsers.stream(printed("stream", "2")).values())
    sweep = parsers.chase(printed("chase", "sweep", "131072"))
    assert sweep.keys() == {"32768", "65536", "131072", "latency"}
    assert all(1e-10 < latency < 1e-4 for latency in sweep.values())


@pytest.mark.parametrize(
    "argv", [["stream"], ["chase", "sweep", "1"], ["chase", "run"], ["pingpong", "0", "0"], ["dgemm"]]
)
def test_our_peers_refuse_what_they_do_not_understand(built: Path, argv: list[str]) -> None:
    done = subprocess.run([str(built / argv[0]), *argv[1:]], capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert done.stderr.startswith("Usage: ")
