"""Judgement against a node's own earlier results, and of what gave none."""

import random
from collections.abc import Iterable, Sequence
from typing import Any

import pytest

from nodeproof.verdict import Status
from nodeproof_bench.result import BenchHistory, BenchResult, BenchRun
from planted_bench import failure, history, point, result, run, verdict


def repeated(count: int, value: float = 60e9, *, variation: float = 0.006, seed: int = 1) -> list[float]:
    source = random.Random(seed)
    return [value * source.gauss(1, variation) for _ in range(count)]


def triad(value: float, **more: Any) -> BenchResult:
    return result("memory.triad", value, node=0, **more)


def of_values(values: Iterable[float], **more: Any) -> BenchHistory:
    return BenchHistory(tuple(run(triad(v, **more)) for v in values))


def drift(*runs: BenchRun, **parameters: object) -> Any:
    return verdict("bench.drift", BenchHistory(runs), **parameters)


def test_results_that_repeat_are_ok() -> None:
    found = verdict("bench.drift", of_values(repeated(20)))

    assert found.status == Status.OK
    assert found.summary == "1 figure as good as before"


def test_a_loss_of_five_percent_is_named_with_metric_place_and_both_values() -> None:
    found = verdict("bench.drift", of_values([*repeated(20, variation=0), *repeated(5, 57e9, variation=0)]))

    assert found.status == Status.FAIL
    assert found.summary == "memory.triad on NUMA node 0 went from 60.0 GB/s to 57.0 GB/s, 5.0% slower"
    assert found.evidence["loss_ratio"] == {"memory.triad on NUMA node 0": 0.05}


def test_a_healthy_fleet_raises_no_alarm_and_a_lossy_one_does() -> None:
    fleet = [repeated(20, seed=seed) for seed in range(100)]
    lossy = [[*values[:-5], *(0.95 * v for v in values[-5:])] for values in fleet]

    assert not [v for v in fleet if verdict("bench.drift", of_values(v)).status != Status.OK]
    assert not [v for v in lossy if verdict("bench.drift", of_values(v)).status != Status.FAIL]


def test_a_time_that_grew_is_a_loss_and_one_that_fell_is_none() -> None:
    def of_times(values: Sequence[float]) -> BenchHistory:
        return BenchHistory(tuple(run(result("memory.latency", v, "s", node=0, threads=1)) for v in values))

    grown = verdict("bench.drift", of_times([*repeated(15, 110e-9, variation=0), *[120e-9] * 5]))
    assert grown.summary == "memory.latency on NUMA node 0 went from 110 ns to 120 ns, 8.3% slower"
    assert verdict("bench.drift", of_times([*repeated(15, 110e-9), *[100e-9] * 5])).status == Status.OK


def test_a_loss_goes_before_a_drift_of_another_figure() -> None:
    slow = [v * (1 - 0.0008 * max(0, n - 20)) for n, v in enumerate(repeated(70))]
    lost = [*repeated(65, 9e10, variation=0), *repeated(5, 8.73e10, variation=0)]
    found = drift(*[run(triad(v), result("memory.read", w, node=0)) for v, w in zip(slow, lost, strict=True)])

    assert found.status == Status.FAIL
    assert found.summary.startswith("memory.read on NUMA node 0 went from 90.0 GB/s to 87.3 GB/s")


def test_a_slow_drift_is_a_warning() -> None:
    values = [v * (1 - 0.0008 * max(0, n - 20)) for n, v in enumerate(repeated(70))]
    found = verdict("bench.drift", of_values(values))

    assert found.status == Status.WARN
    assert found.summary.startswith("bit by bit, memory.triad on NUMA node 0 went from 60.")


def test_disturbed_results_are_neither_baseline_nor_loss() -> None:
    good = [run(triad(v)) for v in repeated(20)]
    disturbed = [run(triad(30e9, reason="busy")) for _ in range(5)]

    assert drift(*good, *disturbed, run(triad(60e9))).status == Status.OK
    assert drift(*good, *disturbed).status == Status.SKIP


def test_threads_that_were_placed_otherwise_are_another_series() -> None:
    """A hypervisor that moves two CPUs to one core complex halves bandwidth and the time of a cache line."""
    far = [run(triad(v, fingerprint_s=1.9e-7)) for v in repeated(15, 100e9)]
    near = [run(triad(v, fingerprint_s=5e-8)) for v in repeated(5, 60e9)]

    assert drift(*far, *near).status == Status.SKIP
    assert drift(*far, *[run(triad(60e9, fingerprint_s=1.8e-7)) for _ in range(5)]).status == Status.FAIL


@pytest.mark.parametrize("other", [{"isa": "avx2"}, {"threads": 16, "cpus": "0-15"}])
def test_results_of_other_cores_or_instructions_are_another_series(other: dict[str, Any]) -> None:
    assert drift(*of_values(repeated(15)).runs, *[run(triad(40e9, **other)) for _ in range(5)]).status == Status.SKIP


def test_counts_and_lost_shares_are_not_compared() -> None:
    runs = [run(result("cpu.jitter", share, "1")) for share in [0.001] * 15 + [0.01] * 5]

    assert drift(*runs).status == Status.SKIP


def test_how_much_is_worth_a_word_is_policy() -> None:
    values = [*repeated(20, variation=0.001), *repeated(5, 58.5e9, variation=0.001)]

    assert verdict("bench.drift", of_values(values)).status == Status.FAIL
    assert verdict("bench.drift", of_values(values), max_loss_ratio=0.05).status == Status.OK


def test_a_young_history_is_a_skip() -> None:
    found = verdict("bench.drift", of_values(repeated(11)))

    assert found.status == Status.SKIP
    assert "no benchmark has 12 results to compare yet" in found.summary


# bench.conclusive


def test_a_run_that_says_something_of_everything_is_ok() -> None:
    assert verdict("bench.conclusive", history(triad(60e9))).summary == "1 result of the newest run, all conclusive"


def test_what_gave_no_result_or_a_doubtful_one_is_named() -> None:
    doubtful = history(triad(60e9, reason="other processes used 1.0 CPUs"), failures=[failure("disk.latency")])
    found = verdict("bench.conclusive", doubtful)

    assert found.status == Status.UNKNOWN
    assert found.summary == (
        "nodeproof bench: failed (1 benchmark without a result: disk.latency (ended by signal 11); "
        "1 result inconclusive: memory.triad on NUMA node 0 (other processes used 1.0 CPUs))"
    )


def test_what_is_not_possible_here_needs_no_word_unless_it_is_all() -> None:
    absent = failure("numa.bandwidth", kind="absent", reason="one node")

    assert verdict("bench.conclusive", history(triad(60e9), failures=[absent])).status == Status.OK
    assert verdict("bench.conclusive", history(failures=[absent])).status == Status.UNKNOWN


def test_only_the_newest_run_counts() -> None:
    assert verdict("bench.conclusive", history(triad(6e10), earlier=[run(failures=[failure("cpu.flops")])])).status == (
        Status.OK
    )
    assert verdict("bench.conclusive", BenchHistory(())).status == Status.SKIP


# bench.values


def test_wrong_values_of_any_benchmark_fail_without_any_policy() -> None:
    wrong = [triad(60e9, wrong_elements=2), result("net.loopback", 7e-6, "s", wrong_messages=1, threads=2)]
    found = verdict("bench.values", history(*wrong))

    assert found.status == Status.FAIL
    assert found.summary == (
        "memory.triad on NUMA node 0 had 2 wrong values, net.loopback on 2 CPUs had 1 wrong message, expected none"
    )


def test_right_values_are_ok() -> None:
    right = history(triad(60e9, wrong_elements=0, reason="busy"), result("cpu.flops", 1e12, points=[point(1e12)]))

    assert verdict("bench.values", right).summary == "no wrong value in 2 results"
