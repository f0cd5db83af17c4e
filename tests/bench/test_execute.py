"""Runs on programs that really crash, hang and are disturbed: each is named, and the suite goes on."""

import contextlib
import os
import re
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from fake_bench import busy, prints, program, result
from nodeproof.host import Host
from nodeproof_bench.execute import MOST_ATTEMPTS, Collected, Executor, Outcome
from nodeproof_bench.placement import Plan, Planned
from nodeproof_bench.runner import listed

Execute = Callable[..., list[Outcome]]


def planned(name: str = "memory.triad", seconds: float = 0.1) -> Planned:
    return Planned(name, ("--node", "0", "--seconds", "0.1"), seconds)


@pytest.fixture
def execute(tmp_path: Path) -> Execute:
    """Run every benchmark of a stand-in, each a shell command, once; it may take `limit_s`."""

    def run(commands: dict[str, str], *, limit_s: float = 60, seconds: float = 0.1, **more: Any) -> list[Outcome]:
        path = program(tmp_path, commands)
        plan = Plan("test", tuple(planned(name, seconds) for name in commands), limit_s, more.get("repeated", False))
        return list(Executor(path, listed(path), Host(), 2).all_of(plan, more.get("duration_s", 0)))

    return run


def failure(outcome: Outcome) -> tuple[str, str]:
    assert outcome.line is None
    assert outcome.failure is not None
    return outcome.failure["kind"], outcome.failure["reason"]


def test_a_result_comes_with_its_options_and_conditions(execute: Execute) -> None:
    (outcome,) = execute({"memory.triad": prints()})

    assert outcome.failure is None
    assert outcome.line is not None
    assert outcome.line["args"] == ["--node", "0", "--seconds", "0.1"]
    assert outcome.line["is_inconclusive"] is False
    assert outcome.line["conditions"]["foreign_cpu_s"] == 0.01
    assert outcome.line["conditions"]["load_average"] >= 0


CRASHES = {
    "memory.read": ("kill -SEGV $$", "crashed", "ended by signal 11 (Segmentation fault)"),
    "memory.write": ("kill -KILL $$", "crashed", "ended by signal 9 (Killed), by the kernel if memory ran out"),
    "memory.copy": ("kill -BUS $$", "crashed", "ended by signal 7 (Bus error)"),
    "memory.scale": ("echo 'no space left' >&2; exit 1", "failed", "no space left"),
    "memory.add": ("echo 'no such option' >&2; exit 2", "failed", "no such option"),
    "memory.triad": ("echo 'no SVE here' >&2; exit 3", "absent", "no SVE here"),
    "memory.latency": ("echo garbage", "malformed", "expected one line of JSON, found b'garbage\\n'"),
    "cpu.flops": (prints("cpu.flops", samples="many"), "malformed", "\"samples\" is 'many'"),
    "cpu.frequency": (prints("cpu.frequency", conditions=[1]), "malformed", '"conditions" is [1], expected an object'),
    "cpu.jitter": (prints("cpu.jitter", interval=[1]), "malformed", '"interval" is [1], expected two numbers'),
    "cpu.per_core": ("printf '\\033[31mred\\n' >&2; exit 1", "failed", "?[31mred"),
    "cpu.verify": (prints("cpu.verify", 0), "", ""),
}


def test_every_kind_of_crash_is_an_entry_and_the_suite_goes_on(execute: Execute) -> None:
    outcomes = execute({name: command for name, (command, _, _) in CRASHES.items()})

    for (name, (_, kind, reason)), outcome in zip(CRASHES.items(), outcomes, strict=True):
        if not kind:
            assert outcome.failure is None
            continue
        assert outcome.failure is not None
        assert (outcome.failure["name"], failure(outcome)[0]) == (name, kind)
        assert failure(outcome)[1].partition(" (other processes")[0] == reason  # this machine may be busy


def test_what_the_build_does_not_have_is_not_possible_and_not_tried(tmp_path: Path) -> None:
    path = program(tmp_path, {"memory.triad": prints()})
    plan = Plan("test", (planned("cpu.flops"),), 60)
    (outcome,) = Executor(path, listed(path), Host(), 2).all_of(plan)

    assert failure(outcome) == ("absent", "this build of nodeproof-bench does not have it")


def test_a_benchmark_that_hangs_is_ended_at_its_deadline(execute: Execute, tmp_path: Path) -> None:
    began = time.monotonic()
    (outcome,) = execute({"memory.triad": f"echo $$ > {tmp_path}/pid; exec sleep 60"}, seconds=-3.2)

    assert failure(outcome) == ("timed_out", "no result in 0.4 s")
    assert time.monotonic() - began < 20
    with pytest.raises(ProcessLookupError):
        os.kill(int((tmp_path / "pid").read_text()), 0)


def counted(directory: Path, *lines: str) -> str:
    """Return the command that prints another line each time, the last one for ever."""
    cases = " ".join(f"{n}) {line} ;;" for n, line in enumerate(lines))
    count = f"n=$(cat {directory}/n 2>/dev/null || echo 0); echo $((n + 1)) > {directory}/n"
    return f"{count}; case $n in {cases} *) {lines[-1]} ;; esac"


def test_a_disturbed_run_is_repeated_until_it_is_not(execute: Execute, tmp_path: Path) -> None:
    (outcome,) = execute({"memory.triad": counted(tmp_path, prints(value=3e10, **busy()), prints(value=5e10))})

    assert outcome.line is not None
    assert (outcome.line["value"], outcome.line["is_inconclusive"], outcome.line["attempts"]) == (5e10, False, 2)


def test_a_run_that_is_always_disturbed_is_inconclusive_and_kept(execute: Execute, tmp_path: Path) -> None:
    (outcome,) = execute({"memory.triad": counted(tmp_path, prints(**busy()))})

    assert outcome.line is not None
    assert outcome.line["is_inconclusive"] is True
    assert outcome.line["reason"] == "other processes used 1.0 CPUs"
    assert outcome.line["attempts"] == MOST_ATTEMPTS == int((tmp_path / "n").read_text())


def test_there_is_no_repetition_where_the_suite_has_no_time_for_it(execute: Execute, tmp_path: Path) -> None:
    (outcome,) = execute({"memory.triad": counted(tmp_path, prints(**busy()))}, limit_s=0.05)

    assert outcome.line is not None
    assert outcome.line["attempts"] == 1


def test_what_is_still_to_come_keeps_its_time(execute: Execute) -> None:
    disturbed = prints(**busy())
    outcomes = execute(
        {"memory.triad": disturbed, "memory.read": prints("memory.read", **busy())}, seconds=30, limit_s=45
    )

    assert [o.line["attempts"] for o in outcomes if o.line] == [1, MOST_ATTEMPTS]


def test_a_crash_is_not_repeated(execute: Execute, tmp_path: Path) -> None:
    execute({"memory.triad": counted(tmp_path, "kill -SEGV $$")})

    assert (tmp_path / "n").read_text().strip() == "1"


def test_a_benchmark_that_others_kept_from_measuring_is_repeated(execute: Execute, tmp_path: Path) -> None:
    with busy_cpus():
        (outcome,) = execute({"memory.triad": counted(tmp_path, "sleep 0.5; echo 'no CPU for me' >&2; exit 1")})

    kind, reason = failure(outcome)
    assert kind == "failed"
    assert re.fullmatch(r"no CPU for me \(other processes used \d+\.\d CPUs.*\)", reason)
    assert int((tmp_path / "n").read_text()) == MOST_ATTEMPTS


@contextlib.contextmanager
def busy_cpus() -> Iterator[None]:
    """Keep all CPUs busy with processes that are not children of the one that measures."""
    loop = [sys.executable, "-c", "while True: pass"]
    running = [subprocess.Popen(loop) for _ in range(os.cpu_count() or 1)]
    try:
        yield
    finally:
        for process in running:
            process.kill()
            process.wait()


def test_wrong_values_on_a_busy_machine_are_not_run_over(execute: Execute, tmp_path: Path) -> None:
    wrong = prints(wrong_elements=3, **busy())
    (outcome,) = execute({"memory.triad": counted(tmp_path, wrong, prints())})

    assert outcome.line is not None
    assert (outcome.line["wrong_elements"], outcome.line["is_inconclusive"]) == (3, False)


def test_a_burn_in_repeats_all_until_the_time_is_up(execute: Execute) -> None:
    began = time.monotonic()
    commands = {"memory.triad": prints(), "memory.read": prints("memory.read")}
    outcomes = execute(commands, repeated=True, duration_s=1.5, seconds=0.3)

    names = [o.line["name"] for o in outcomes if o.line]
    assert names[:4] == ["memory.triad", "memory.read"] * 2
    assert 0.5 < time.monotonic() - began < 10


def test_a_burn_in_runs_what_still_fits(tmp_path: Path) -> None:
    path = program(tmp_path, {"memory.triad": prints(), "cpu.verify": prints("cpu.verify", 0)})
    plan = Plan("burnin", (planned("cpu.verify", 1000), planned("memory.triad", 0.5)), 0, is_repeated=True)
    outcomes = list(Executor(path, listed(path), Host(), 2).all_of(plan, 1.5))

    assert {o.line["name"] for o in outcomes if o.line} == {"memory.triad"}


def collected(*lines: dict[str, Any]) -> Collected:
    found = Collected()
    for line in lines:
        found.add(Outcome(line={"args": ["--seconds", "1"], "is_inconclusive": False, **line}))
    return found


def test_of_many_rounds_the_newest_stands_with_how_far_they_went() -> None:
    (line,) = collected(*(result(value=v) for v in (5.0, 3.0, 7.0, 6.0))).results

    assert (line["value"], line["rounds"], line["lowest"], line["highest"]) == (6.0, 4, 3.0, 7.0)


def test_a_disturbed_round_does_not_take_the_place_of_an_undisturbed_one() -> None:
    lines = collected(result(value=5.0), result(value=3.0) | {"is_inconclusive": True})

    assert [line["value"] for line in lines.results] == [5.0]


def test_wrong_values_that_were_found_once_stay() -> None:
    verified = collected(*(result("cpu.verify", value=v) for v in (0, 2, 0)))
    stored = collected(result(value=5.0, wrong_elements=1), result(value=6.0, wrong_elements=0))

    assert [line["value"] for line in verified.results] == [2]
    assert [line["wrong_elements"] for line in stored.results] == [1]


def test_the_same_failure_is_told_once() -> None:
    found = Collected()
    for reason in ("a", "b", "a"):
        found.add(Outcome(failure={"name": "cpu.flops", "args": [], "kind": "failed", "reason": reason}))

    assert [f["reason"] for f in found.failures] == ["a", "b"]
