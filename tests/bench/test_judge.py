"""What was just measured is judged, and what was kept is judged again without measuring: here, and from a recording."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Annotated, Any

import pytest

from fake_bench import result, run
from nodeproof.check import CheckSpec, Parameter, registry
from nodeproof.host import Host
from nodeproof.policy.settings import CheckSettings, Settings
from nodeproof.verdict import Status, Verdict, fail, ok
from nodeproof_bench.judge import Judges, judged, prepare
from nodeproof_bench.result import HISTORY, BenchHistory
from nodeproof_bench.store import content
from support import plant


def bandwidth(
    history: BenchHistory, *, min_bytes_per_s: Annotated[float, "least bandwidth, in bytes per second"]
) -> Verdict:
    """The memory is fast."""
    results = history.need("memory.triad")
    earlier = [e.value for r in results for e in history.earlier(r)]
    judge = ok if all(r.value >= min_bytes_per_s for r in results) else fail
    return judge(f"{[r.value for r in results]} after {earlier}")


SPEC = CheckSpec(
    id="memory.test",
    function=bandwidth,
    facts=(BenchHistory,),
    parameters={"min_bytes_per_s": Parameter("min_bytes_per_s", float, "", None, is_required=True)},
    tags=frozenset({"bench"}),
    remedy="Look.",
    learn=None,
    beta=False,
)


def verdicts(this: dict[str, Any], *earlier: dict[str, Any], limit: float = 4e10) -> list[tuple[str, Status, str]]:
    settings = Settings(checks={SPEC.id: CheckSettings(parameters={"min_bytes_per_s": limit})})
    outcome = judged(Judges((SPEC, registry()["bench.conclusive"]), settings, []), Host(), this, earlier)
    return [(r.spec.id, r.verdict.status, r.verdict.summary) for r in outcome.results]


def test_a_run_is_judged_with_its_history() -> None:
    before = run(result(value=5.1e10))

    assert ("memory.test", Status.OK, "[50000000000.0] after [51000000000.0]") in verdicts(run(result()), before)
    assert verdicts(run(result()), before, limit=6e10)[0][1] == Status.FAIL


def test_what_was_not_tried_now_is_not_judged_by_what_was_measured_long_ago() -> None:
    (_, status, summary), _ = verdicts(run(result("cpu.flops")), run(result()))

    assert status == Status.SKIP
    assert summary.startswith("bench memory.triad: not there (not measured")


def test_a_crash_is_unknown_to_the_check_and_to_the_run_whatever_was_measured_before() -> None:
    crash = {"name": "memory.triad", "args": ["--node", "1"], "kind": "crashed", "reason": "ended by signal 11"}
    found = verdicts(run(failures=(crash,)), run(result()))

    assert found == [
        (
            "bench.conclusive",
            Status.UNKNOWN,
            "nodeproof bench: failed (1 benchmark without a result: memory.triad --node 1 (ended by signal 11))",
        ),
        ("memory.test", Status.UNKNOWN, "bench memory.triad --node 1: crashed (ended by signal 11)"),
    ]


def test_an_inconclusive_result_is_unknown_though_no_check_asks_for_it() -> None:
    doubtful = {**result("cpu.flops"), "is_inconclusive": True, "reason": "other processes used 1.0 CPUs"}

    assert ("bench.conclusive", Status.UNKNOWN) in [found[:2] for found in verdicts(run(doubtful))]


def test_only_checks_of_benchmarks_judge_a_benchmark(tmp_path: Path) -> None:
    specs = prepare(Host(), str(tmp_path), []).specs

    assert "memory.triad" in {s.id for s in specs}
    assert all("bench" in s.tags for s in specs)


def nodeproof(*args: object) -> "subprocess.CompletedProcess[str]":
    command = [sys.executable, "-I", "-m", "nodeproof", *map(str, args)]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)


@pytest.mark.parametrize(("limit", "status"), [(4e10, "ok"), (6e10, "fail")])
def test_kept_results_are_judged_without_measuring_even_from_a_scrubbed_recording(
    tmp_path: Path, limit: float, status: str
) -> None:
    tree, recording = tmp_path / "tree", tmp_path / "recording.tar.gz"
    kept = content([run(result(node=0, is_partial=False, is_cache_bound=False, wrong_elements=0))])
    plant(tree, {HISTORY: kept, "/proc/sys/kernel/hostname": "node-7.example\n"})
    assert nodeproof("record", recording, "--root", tree, "--scrub").returncode == 0
    check = ("check", "memory.triad", "--json", "-p", f"memory.triad.min_bytes_per_s={limit}")

    found = [json.loads(nodeproof(*check, "--root", root).stdout)["results"] for root in (tree, recording)]

    assert found[0] == found[1]
    assert found[0][0]["status"] == status


def test_only_limits_of_policy_and_wrong_values_can_drain() -> None:
    drains = {s.id for s in registry().values() if "bench" in s.tags and not s.beta}

    assert drains == {
        *("memory.triad", "memory.latency", "disk.bandwidth", "disk.latency", "disk.link", "net.loopback"),
        *("bench.values", "bench.conclusive", "cpu.verify", "memory.verify", "clock.consistency"),
    }
