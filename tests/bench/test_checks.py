"""Thresholds: on recorded results that are good, slow, noisy or missing."""

import os
from typing import Any

import pytest

from nodeproof.check import registry
from nodeproof.errors import BenchError, FactError
from nodeproof.host import Host
from nodeproof.verdict import Status
from nodeproof_bench.result import MemoryTriad
from nodeproof_bench.runner import bench, find_program
from support import Machine, verdict_of

NODE = "/sys/devices/system/node"
TWO_NODES = {f"{NODE}/has_cpu": "0-1\n", f"{NODE}/has_memory": "0-1\n"}

LIMIT = 50e9


def result(value: float, **changes: Any) -> dict[str, Any]:
    return {
        "value": value,
        "sustained": 0.97 * value,
        "stability": 0.95,
        "cpus": "0-31",
        "isa": "avx512",
        "is_contended": False,
        "is_partial": False,
        "is_cache_bound": False,
        "wrong_elements": 0,
        **changes,
    }


def call(node: int) -> tuple[Any, ...]:
    return (bench, "memory.triad", "--node", str(node))


def two_nodes(machine: Machine, first: dict[str, Any], second: dict[str, Any]) -> Host:
    return machine(TWO_NODES, calls={call(0): first, call(1): second})


def test_nodes_above_the_limit_are_ok(machine: Machine) -> None:
    host = two_nodes(machine, result(61.2e9), result(58.7e9))
    verdict = verdict_of("memory.triad", host, min_bytes_per_s=LIMIT)

    assert verdict.status == Status.OK
    assert verdict.summary == "2 NUMA nodes move 58.7 GB/s or more through memory"
    assert verdict.evidence == {"bytes_per_s": {"0": 61_200_000_000, "1": 58_700_000_000}}


def test_the_slow_node_is_named(machine: Machine) -> None:
    host = two_nodes(machine, result(61.2e9), result(40e9))
    verdict = verdict_of("memory.triad", host, min_bytes_per_s=LIMIT)

    assert verdict.status == Status.FAIL
    assert verdict.summary == "NUMA node 1 moves 40.0 GB/s through memory, expected at least 50.0 GB/s"


def test_without_a_limit_nothing_is_measured(machine: Machine) -> None:
    assert verdict_of("memory.triad", machine({})).status == Status.SKIP


@pytest.mark.parametrize(
    ("noise", "why"),
    [
        ({"stability": 0.3}, "not repeatable: the 10th percentile is 30% of the 90th"),
        ({"is_contended": True}, "not repeatable: other processes used the CPUs all the time"),
        ({"is_partial": True, "cpus": "0-1"}, "not measured: of the node's cores this process may use only CPU 0-1"),
    ],
)
def test_a_slow_node_that_was_not_measured_alone_and_whole_is_unknown(
    machine: Machine, noise: dict[str, Any], why: str
) -> None:
    host = two_nodes(machine, result(61.2e9), result(40e9, **noise))
    verdict = verdict_of("memory.triad", host, min_bytes_per_s=LIMIT)

    assert verdict.status == Status.UNKNOWN
    assert verdict.summary == f"bench memory.triad --node 1: failed ({why})"


def test_noise_matters_only_where_the_node_is_slow(machine: Machine) -> None:
    host = two_nodes(machine, result(61.2e9, stability=0.3), result(55e9, is_contended=True))

    assert verdict_of("memory.triad", host, min_bytes_per_s=LIMIT).status == Status.OK


def test_how_much_noise_is_too_much_is_policy(machine: Machine) -> None:
    host = two_nodes(machine, result(61.2e9), result(40e9, stability=0.3))

    assert verdict_of("memory.triad", host, min_bytes_per_s=LIMIT, min_stability=0.2).status == Status.FAIL


def test_a_result_out_of_the_cache_is_unknown_however_fast(machine: Machine) -> None:
    host = two_nodes(machine, result(61.2e9), result(400e9, is_cache_bound=True))

    assert verdict_of("memory.triad", host, min_bytes_per_s=LIMIT).status == Status.UNKNOWN


def test_a_slow_node_fails_though_another_is_noisy_or_unread(machine: Machine) -> None:
    noisy = two_nodes(machine, result(40e9, stability=0.1), result(40e9))
    assert verdict_of("memory.triad", noisy, min_bytes_per_s=LIMIT).summary.startswith("NUMA node 1 moves")

    unread = machine(TWO_NODES, calls={call(0): result(40e9)}, errors={"bench memory.triad --node 1": ("crashed", "")})
    assert verdict_of("memory.triad", unread, min_bytes_per_s=LIMIT).status == Status.FAIL


def test_wrong_numbers_fail_however_fast(machine: Machine) -> None:
    host = two_nodes(machine, result(61.2e9), result(61.2e9, wrong_elements=3))
    verdict = verdict_of("memory.triad", host, min_bytes_per_s=LIMIT)

    assert verdict.status == Status.FAIL
    assert verdict.summary == "NUMA node 1 computed or stored 3 wrong values, expected none"


@pytest.mark.parametrize("kind", ["failed", "crashed", "timed_out", "malformed", "not_recorded"])
def test_a_benchmark_that_failed_is_unknown(machine: Machine, kind: str) -> None:
    host = machine(TWO_NODES, calls={call(0): result(61.2e9)}, errors={"bench memory.triad --node 1": (kind, "why")})
    verdict = verdict_of("memory.triad", host, min_bytes_per_s=LIMIT)

    assert verdict.status == Status.UNKNOWN
    assert verdict.summary.startswith("bench memory.triad --node 1")


@pytest.mark.parametrize("broken", [{"value": "fast"}, {"sustained": None}, {"wrong_elements": []}])
def test_an_incomplete_result_is_unknown(machine: Machine, broken: dict[str, Any]) -> None:
    host = two_nodes(machine, result(61.2e9), result(61.2e9) | broken)

    assert verdict_of("memory.triad", host, min_bytes_per_s=LIMIT).status == Status.UNKNOWN


def test_a_kernel_without_numa_is_one_node(machine: Machine) -> None:
    host = machine({}, calls={call(0): result(61.2e9)})

    assert verdict_of("memory.triad", host, min_bytes_per_s=LIMIT).status == Status.OK


def test_nodes_without_memory_or_without_cpus_are_left_out(machine: Machine) -> None:
    files = {f"{NODE}/has_cpu": "0-1\n", f"{NODE}/has_memory": "1-2\n"}

    assert list(MemoryTriad.read(machine(files, calls={call(1): result(61.2e9)})).nodes) == [1]


def test_no_node_with_both_is_unknown(machine: Machine) -> None:
    host = machine({f"{NODE}/has_cpu": "0\n", f"{NODE}/has_memory": "1\n"})

    assert verdict_of("memory.triad", host, min_bytes_per_s=LIMIT).status == Status.UNKNOWN


def test_a_limit_is_learnt_from_the_slowest_node(machine: Machine) -> None:
    learn = registry()["memory.triad"].learn
    assert learn is not None

    assert learn(MemoryTriad.read(two_nodes(machine, result(61.2e9), result(58.7e9)))) == {"min_bytes_per_s": 52.8e9}
    assert learn(MemoryTriad.read(two_nodes(machine, result(61.2e9), result(58.7e9, stability=0.3)))) == {}


def test_this_machine_is_measured() -> None:
    try:
        find_program()
    except BenchError as error:
        pytest.skip(str(error))
    measured = MemoryTriad.read(Host())
    if any(e.kind == "timed_out" for e in measured.unread):
        pytest.skip("this machine is too busy to measure anything")

    assert measured.unread == ()
    assert all(t.capability_bytes_per_s > 1e8 for t in measured.nodes.values())


def test_a_benchmark_that_does_not_exist_is_failed() -> None:
    try:
        find_program()
    except BenchError as error:
        pytest.skip(str(error))
    with pytest.raises(FactError, match="there is no benchmark of that name") as caught:
        Host().call(bench, "no.such")

    assert caught.value.kind == "failed"
    assert os.path.basename(caught.value.source.split()[0]) == "bench"
