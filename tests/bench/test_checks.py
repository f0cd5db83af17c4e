"""Judgement of memory, and what holds for results of every kind: doubt is unknown, never a failure."""

import ast
import tomllib
from pathlib import Path
from typing import Any

import pytest

from nodeproof.check import registry
from nodeproof.errors import FactError
from nodeproof.probes.smbios import Dimm, Dimms
from nodeproof.verdict import Status
from nodeproof_bench.result import BenchHistory, BenchResult
from planted_bench import failure, history, learnt, point, result, run, verdict

ROOT = Path(__file__).parents[2]

LIMIT = 50e9


def triad(node: int, value: float, **more: Any) -> BenchResult:
    return result("memory.triad", value, node=node, **more)


def judged(*results: BenchResult, **parameters: object) -> Any:
    return verdict("memory.triad", history(*results), **{"min_bytes_per_s": LIMIT, **parameters})


def test_nodes_above_the_limit_are_ok() -> None:
    found = judged(triad(0, 61.2e9), triad(1, 58.7e9))

    assert found.status == Status.OK
    assert found.summary == "2 NUMA nodes move 58.7 GB/s or more through memory"
    assert found.evidence == {"bytes_per_s": {"0": 61_200_000_000, "1": 58_700_000_000}}


def test_the_slow_node_is_named() -> None:
    found = judged(triad(0, 61.2e9), triad(1, 40e9))

    assert found.status == Status.FAIL
    assert found.summary == "NUMA node 1 moves 40.0 GB/s through memory, expected at least 50.0 GB/s"


def test_without_a_limit_nothing_is_judged() -> None:
    assert verdict("memory.triad", history(triad(0, 1e9))).status == Status.SKIP


@pytest.mark.parametrize(
    ("noise", "why"),
    [
        ({"reason": "other processes used 1.0 CPUs"}, "inconclusive: other processes used 1.0 CPUs"),
        ({"stability": 0.3}, "not repeatable: stability is 30%, expected at least 50%"),
        ({"is_contended": True}, "not repeatable: other processes used what was measured all the time"),
        (
            {"is_partial": True, "cpus": "0-1"},
            "not measured: of the node's cores this process may use only CPU 0-1",
        ),
    ],
)
def test_a_slow_node_that_was_not_measured_alone_and_whole_is_unknown(noise: dict[str, Any], why: str) -> None:
    found = judged(triad(0, 61.2e9), triad(1, 40e9, **noise))

    assert found.status == Status.UNKNOWN
    assert found.summary == f"bench memory.triad --node 1: failed ({why})"


@pytest.mark.parametrize("noise", [{"reason": "busy"}, {"stability": 0.3}, {"is_contended": True}])
def test_noise_matters_only_where_the_node_is_slow(noise: dict[str, Any]) -> None:
    assert judged(triad(0, 61.2e9), triad(1, 55e9, **noise)).status == Status.OK


def test_how_much_noise_is_too_much_is_policy() -> None:
    assert judged(triad(0, 40e9, stability=0.3), min_stability=0.2).status == Status.FAIL


def test_not_converged_is_no_failure() -> None:
    slow, fast = (triad(0, v)._replace(is_converged=False, interval=None) for v in (40e9, 60e9))

    assert judged(fast).status == Status.OK
    assert judged(slow).status == Status.FAIL  # what is missed by a fifth needs no interval


def test_a_result_out_of_the_cache_is_unknown_however_fast() -> None:
    found = judged(triad(0, 61.2e9), triad(1, 400e9, is_cache_bound=True))

    assert found.status == Status.UNKNOWN
    assert "too little free memory" in found.summary


def test_a_slow_node_fails_though_another_is_noisy_or_gave_no_result() -> None:
    noisy = judged(triad(0, 40e9, reason="busy"), triad(1, 40e9))
    assert noisy.summary.startswith("NUMA node 1 moves")

    crashed = history(triad(0, 40e9), failures=[failure("memory.triad", "--node", "1")])
    assert verdict("memory.triad", crashed, min_bytes_per_s=LIMIT).status == Status.FAIL


def test_wrong_numbers_fail_however_fast() -> None:
    found = judged(triad(0, 61.2e9), triad(1, 61.2e9, wrong_elements=3, reason="busy"))

    assert found.status == Status.FAIL
    assert found.summary == "memory.triad on NUMA node 1 had 3 wrong values, expected none"


@pytest.mark.parametrize("kind", ["failed", "crashed", "timed_out", "malformed", "denied"])
@pytest.mark.parametrize("others", [(), (triad(0, 61.2e9),)])
def test_a_benchmark_without_a_result_is_unknown(kind: str, others: tuple[BenchResult, ...]) -> None:
    broken = history(*others, failures=[failure("memory.triad", "--node", "1", kind=kind, reason="why")])
    found = verdict("memory.triad", broken, min_bytes_per_s=LIMIT)

    assert found.status == Status.UNKNOWN
    assert found.summary.startswith("bench memory.triad --node 1")


def test_what_is_not_possible_here_is_a_skip() -> None:
    absent = history(failures=[failure("memory.triad", kind="absent", reason="no memory of its own")])

    assert verdict("memory.triad", absent, min_bytes_per_s=LIMIT).status == Status.SKIP


def test_a_node_that_cannot_be_measured_does_not_spoil_the_others() -> None:
    partly = history(triad(0, 61.2e9), failures=[failure("memory.triad", "--node", "1", kind="absent")])

    assert verdict("memory.triad", partly, min_bytes_per_s=LIMIT).status == Status.OK


def test_a_node_that_was_never_measured_is_a_skip() -> None:
    assert verdict("memory.triad", BenchHistory(()), min_bytes_per_s=LIMIT).status == Status.SKIP
    nothing = (BenchHistory, FactError("/var/lib/nodeproof/bench.jsonl", "absent"))
    for check_id in (c for c, s in registry().items() if s.facts == (BenchHistory,)):
        assert verdict(check_id, nothing).status == Status.SKIP


def test_the_newest_run_that_tried_it_counts() -> None:
    slow_before = history(triad(0, 61e9), earlier=[run(triad(0, 40e9))])
    other_since = BenchHistory((*slow_before.runs, run(result("memory.read", 60e9, node=0))))

    assert verdict("memory.triad", slow_before, min_bytes_per_s=LIMIT).status == Status.OK
    assert verdict("memory.triad", other_since, min_bytes_per_s=LIMIT).status == Status.OK


def test_a_limit_is_learnt_from_the_slowest_node_of_a_quiet_machine() -> None:
    assert learnt("memory.triad", history(triad(0, 61.2e9), triad(1, 58.7e9))) == {"min_bytes_per_s": 55.7e9}
    assert learnt("memory.triad", history(triad(0, 61.2e9), triad(1, 58.7e9, stability=0.7))) == {}
    assert learnt("memory.triad", history(triad(0, 61.2e9, reason="busy"))) == {}
    assert learnt("memory.triad", history()) == {}


@pytest.mark.parametrize("check_id", sorted(id_ for id_, s in registry().items() if "bench" in s.tags))
def test_checks_of_results_are_of_the_boot_and_never_of_the_default_set(check_id: str) -> None:
    assert registry()[check_id].tags == {"boot", "bench"}


def test_checks_of_results_import_nothing_that_touches_the_machine() -> None:
    banned = tomllib.loads((ROOT / "checks/ruff.toml").read_text())["lint"]["flake8-tidy-imports"]["banned-api"]
    package = ROOT / "bench/nodeproof_bench"
    for file in [*package.glob("checks/*.py"), package / "stats.py", package / "physics.py", package / "units.py"]:
        for node in ast.walk(ast.parse(file.read_text())):
            names = [a.name for a in node.names] if isinstance(node, ast.Import) else []
            names += [str(node.module)] if isinstance(node, ast.ImportFrom) else []
            assert not {n for n in names if n in banned or n.partition(".")[0] in banned}, file
            assert not (isinstance(node, ast.Name) and node.id == "open"), file


# memory.peak_share: twelve channels of DDR5-4800 for each of two nodes are 460.8 GB/s each.

CHANNELS = "ABCDEFGHIJKL"


def dimms(*, per_node: int = 12, nodes: int = 2, name: str = "P{n}-DIMM{c}1") -> Dimms:
    slots = [name.format(n=n, c=c, i=i) for n in range(nodes) for i, c in enumerate(CHANNELS[:per_node], 1)]
    return Dimms(tuple(Dimm(s, "DDR5", True, 64 << 30, 5600, 4800) for s in slots), ())


def share(*values: float, modules: Dimms | None = None, **parameters: object) -> Any:
    results = [triad(n, v) for n, v in enumerate(values)]
    return verdict("memory.peak_share", history(*results), modules or dimms(), **parameters)


def test_a_healthy_share_of_what_the_modules_can_do_is_ok() -> None:
    found = share(350e9, 352e9)

    assert found.status == Status.OK
    assert found.summary == "memory moves 702 GB/s, 76% of the 922 GB/s of 24 channels at 4800 MT/s"


def test_far_below_the_modules_is_a_warning_and_with_policy_a_failure() -> None:
    assert share(180e9, 182e9).status == Status.WARN
    assert share(180e9, 182e9, min_share=0.7).status == Status.FAIL
    assert share(180e9, 182e9, min_share=0.35).status == Status.OK


def test_a_disturbed_result_far_below_is_unknown() -> None:
    disturbed = history(triad(0, 180e9, reason="busy"), triad(1, 352e9))

    assert verdict("memory.peak_share", disturbed, dimms()).status == Status.UNKNOWN


def test_more_than_the_modules_can_do_is_a_warning() -> None:
    found = share(500e9, 502e9)

    assert found.status == Status.WARN
    assert "caches were measured" in found.summary


def test_slots_that_are_only_counted_are_no_warning_until_policy_says_how_many_channels() -> None:
    two_in_each = dimms(name="PROC {n} DIMM {i}")

    assert share(180e9, 182e9, modules=two_in_each).status == Status.OK
    assert share(180e9, 182e9, modules=two_in_each, channels=12).status == Status.OK
    assert share(120e9, 122e9, modules=two_in_each, channels=12).status == Status.WARN


def test_a_missing_channel_is_named_by_the_other_node() -> None:
    found = share(350e9, 350e9 * 11 / 12)

    assert found.status == Status.FAIL
    assert found.summary == (
        "NUMA node 1 moves 321 GB/s, 0.92 of the 350 GB/s of the fastest node, "
        "as if one of its 12 memory channels was missing"
    )


def test_a_missing_channel_is_named_by_the_nodes_own_history() -> None:
    before = [run(triad(0, 350e9), triad(1, 350e9)) for _ in range(5)]
    now = history(triad(0, 350e9 * 11 / 12), triad(1, 350e9 * 11 / 12), earlier=before)
    found = verdict("memory.peak_share", now, dimms())

    assert found.status == Status.FAIL
    assert "NUMA node 0 moves 321 GB/s, 0.92 of the 350 GB/s that it moved before" in found.summary
    assert verdict("memory.peak_share", now._replace(runs=now.runs[1:]), dimms()).status != Status.FAIL  # too few


def test_a_missing_channel_is_named_by_the_class_though_the_firmware_lists_one_module_less() -> None:
    found = share(7 / 8 * 250e9, modules=dimms(per_node=7, nodes=1), usual_bytes_per_s=250e9)

    assert found.status == Status.FAIL
    assert "of its class, as if one of its 8 memory channels was missing" in found.summary


def test_a_virtual_machine_without_speeds_is_a_skip() -> None:
    virtual = Dimms((Dimm("DIMM 0", "RAM", False, 4 << 30, None, None),), ())

    assert share(50e9, modules=virtual).status == Status.SKIP


def test_a_share_is_learnt() -> None:
    assert learnt("memory.peak_share", history(triad(0, 350e9), triad(1, 350e9)), dimms()) == {"min_share": 0.721}


# memory.latency


def latency(value: float = 110e-9, *, l2: float = 3.1e-9, **more: Any) -> BenchResult:
    points = [point(1e-9, level="l1", bytes=1 << 14), point(l2, level="l2", bytes=1 << 19)]
    points.append(point(value, level="memory", bytes=1 << 29))
    return result("memory.latency", value, "s", node=0, threads=1, cpus="0", points=points, **more)


def test_latency_within_its_limits_is_ok() -> None:
    found = verdict("memory.latency", history(latency()), max_latency_s=120e-9)

    assert found.status == Status.OK
    assert found.summary == "a load from memory takes 110 ns at most"


def test_slow_memory_and_slow_caches_fail() -> None:
    slow = verdict("memory.latency", history(latency(150e-9)), max_latency_s=120e-9)
    assert slow.status == Status.FAIL
    assert slow.summary == "a load at NUMA node 0 takes 150 ns from memory, expected at most 120 ns from memory"

    cache = verdict(
        "memory.latency", history(latency(l2=6e-9)), max_latency_s=120e-9, max_level_latency_s={"l1": 2e-9, "l2": 4e-9}
    )
    assert cache.summary == "a load at NUMA node 0 takes 6.00 ns from l2, expected at most 4.00 ns from l2"


def test_slow_memory_of_a_busy_machine_is_unknown() -> None:
    busy = history(latency(150e-9, reason="the hypervisor took 0.50 s of processor time"))

    assert verdict("memory.latency", busy, max_latency_s=120e-9).status == Status.UNKNOWN
    assert verdict("memory.latency", busy, max_latency_s=160e-9).status == Status.OK


def test_a_latency_limit_is_learnt_with_room_above() -> None:
    assert learnt("memory.latency", history(latency())) == {"max_latency_s": 1.21e-7}
