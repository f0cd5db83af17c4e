"""Judgement of what the C core really prints: all keys that checks ask for are there, and planted faults are found."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from nodeproof.check import registry
from nodeproof.engine.worker import read_facts
from nodeproof.host import Host
from nodeproof.verdict import Status, Verdict
from nodeproof_bench.result import BenchHistory, BenchResult, result_of
from planted_bench import run, verdict

Measure = Callable[..., dict[str, Any]]

#: Short and small: what is measured so says nothing, but it is printed as on any other day.
OPTIONS = {
    "memory.triad": ("--bytes", "4M"),
    "memory.latency": ("--bytes", "4M"),
    "numa.bandwidth": ("--bytes", "4M"),
    "numa.latency": ("--bytes", "4M"),
    "memory.verify": ("--bytes", "8M"),
    "disk.bandwidth": ("--bytes", "8M"),
    "disk.latency": ("--bytes", "8M"),
}

#: Limits that no machine misses, and that every machine does; nothing where physics or the node itself is the limit.
LIMITS: dict[str, tuple[dict[str, object], dict[str, object]]] = {
    "memory.triad": ({"min_bytes_per_s": 1.0}, {"min_bytes_per_s": 1e18}),
    "memory.latency": ({"max_latency_s": 1.0}, {"max_latency_s": 1e-15}),
    "numa.bandwidth": ({}, {}),
    "numa.latency": ({}, {}),
    "cpu.flops": ({"min_flops_per_s": 1.0}, {"min_flops_per_s": 1e24}),
    "cpu.flops_per_clock": ({"flops_per_clock": 1e-3}, {"flops_per_clock": 1e4}),
    "cpu.clock": ({"min_hz": 1.0}, {"min_hz": 1e12}),
    "cpu.per_core": ({}, {}),
    "cpu.core_to_core": ({}, {}),
    "cpu.jitter": ({"max_lost_share": 1.1}, {"max_lost_share": -1.0}),
    "clock.consistency": ({}, {"max_offset_s": -1.0}),
    "net.loopback": ({"max_spinning_s": 10.0}, {"max_spinning_s": 1e-12}),
    "disk.bandwidth": ({"min_bytes_per_s": 1.0}, {"min_bytes_per_s": 1e18}),
    "disk.latency": ({"max_latency_s": 10.0}, {"max_latency_s": 1e-12}),
    "cpu.verify": ({}, {}),
    "memory.verify": ({}, {}),
}

MEASURED_BY = {"cpu.flops_per_clock": "cpu.flops", "cpu.clock": "cpu.frequency"}


def printed(measure: Measure, name: str, folder: Path, *more: str, **kwargs: Any) -> BenchResult:
    """Run a benchmark for a moment and return its line as `nodeproof bench` keeps it."""
    path = ("--path", str(folder)) if name.startswith("disk.") else ()
    line = measure(name, "--seconds", "0.1", *OPTIONS.get(name, ()), *path, *more, **kwargs)
    return result_of({**line, "args": [], "is_inconclusive": False, "reason": ""})


def judged(check_id: str, result: BenchResult, **parameters: object) -> Verdict:
    facts = [f for f in registry()[check_id].facts if f is not BenchHistory]
    with Host() as host:
        readings = read_facts(host, facts, deadline_s=5, until_s=float("inf"))
    others = [(fact, readings[fact].value) for fact in facts]
    return verdict(check_id, BenchHistory((run(result),)), *others, **parameters)


@pytest.mark.parametrize("check_id", LIMITS)
def test_every_key_that_is_asked_for_is_printed(measure: Measure, tmp_path: Path, check_id: str) -> None:
    """A machine that is busy gives no failure, and a key that is missing or misspelt would be malformed or a crash."""
    easy, impossible = LIMITS[check_id]
    result = printed(measure, MEASURED_BY.get(check_id, check_id), tmp_path)
    good = judged(check_id, result, **easy)
    bad = judged(check_id, result, **impossible)

    if impossible:
        assert good.status in {Status.OK, Status.WARN, Status.UNKNOWN}
        assert bad.status in {Status.FAIL, Status.UNKNOWN}
    for found in (good, bad):
        assert "malformed" not in found.summary
        assert "the check crashed" not in found.summary


def test_memory_that_fits_into_the_caches_is_not_judged(measure: Measure, tmp_path: Path) -> None:
    found = judged("memory.triad", printed(measure, "memory.triad", tmp_path), min_bytes_per_s=1.0)

    assert found.status == Status.UNKNOWN
    assert "too little free memory to get past the caches" in found.summary


@pytest.mark.parametrize(("fault", "status"), [("", Status.FAIL), (":once", Status.WARN)])
def test_a_bit_flipped_by_a_core_is_named(
    measure: Measure, tmp_path: Path, first_cpu: str, fault: str, status: Status
) -> None:
    if len(os.sched_getaffinity(0)) < 2:
        pytest.skip("needs two CPUs: one alone has nobody to be compared with")
    hook = ("--hook", f"flip:{first_cpu}:crc32c:5{fault}")
    found = judged("cpu.verify", printed(measure, "cpu.verify", tmp_path, *hook, program="nodeproof-bench-hooks"))

    assert found.status == status
    assert f"CPU {first_cpu} computed crc32c" in found.summary or "one that it was compared with" in found.summary
    assert "(bit 5)" in found.summary


@pytest.mark.parametrize(("fault", "status"), [("", Status.FAIL), (":once", Status.WARN)])
def test_a_bit_that_memory_lost_is_named(measure: Measure, tmp_path: Path, fault: str, status: Status) -> None:
    hook = ("--hook", f"flip:4096:9{fault}")
    found = judged("memory.verify", printed(measure, "memory.verify", tmp_path, *hook, program="nodeproof-bench-hooks"))

    assert found.status == status
    assert "did not keep the pattern" in found.summary
    assert "(bit 9)" in found.summary


def test_a_write_that_a_disk_lost_fails_whatever_policy_says(measure: Measure, tmp_path: Path) -> None:
    hook = ("--hook", "lost-write")
    result = printed(measure, "disk.bandwidth", tmp_path, *hook, program="nodeproof-bench-hooks")

    assert judged("bench.values", result).status == Status.FAIL
    assert judged("disk.bandwidth", result, min_bytes_per_s=1.0).status == Status.FAIL
