"""Judgement of matrices between NUMA nodes."""

from typing import Any

import pytest

from nodeproof.verdict import Status
from nodeproof_bench.result import BenchResult
from planted_bench import history, learnt, point, result, verdict

Matrix = list[list[float]]

#: Four nodes on two sockets: near within a socket, far across.
RATES: Matrix = [[90, 70, 40, 40], [70, 90, 40, 40], [40, 40, 90, 70], [40, 40, 70, 90]]
TIMES: Matrix = [[110, 125, 210, 212], [124, 111, 211, 209], [210, 211, 110, 126], [212, 210, 125, 109]]


def matrix(values: Matrix, name: str = "numa.bandwidth", **more: Any) -> BenchResult:
    """Return a result of GB/s, or nanoseconds. Rows are nodes of CPUs, columns of memory."""
    unit, scale = ("B/s", 1e9) if name == "numa.bandwidth" else ("s", 1e-9)
    points = [
        point(value * scale, cpu_node=row, memory_node=column, local_share=1.0)
        for row, line in enumerate(values)
        for column, value in enumerate(line)
    ]
    return result(name, values[0][0] * scale, unit, points=more.pop("points", points), wrong_elements=0, **more)


def changed(values: Matrix, row: int, column: int, value: float) -> Matrix:
    return [[value if (r, c) == (row, column) else v for c, v in enumerate(line)] for r, line in enumerate(values)]


def judged(values: Matrix, name: str = "numa.bandwidth", **parameters: object) -> Any:
    return verdict(name, history(matrix(values, name)), **parameters)


def test_a_healthy_matrix_is_ok() -> None:
    assert (
        judged(RATES).summary == "4 NUMA nodes, own memory at 90.0 GB/s or better, that of others at 44% of its speed"
    )
    assert judged(TIMES, "numa.latency").status == Status.OK


def test_nodes_whose_memory_is_swapped_are_named() -> None:
    swapped = [RATES[1], RATES[0], *RATES[2:]]
    found = judged(swapped)

    assert found.status == Status.FAIL
    assert found.summary.startswith(
        "node 0 from memory of node 1 gets 90.0 GB/s, from its own 70.0 GB/s, expected its own to be nearest"
    )
    assert judged([TIMES[1], TIMES[0], *TIMES[2:]], "numa.latency").status == Status.FAIL


def test_virtual_nodes_that_are_alike_are_no_failure() -> None:
    assert judged([[60, 62], [63, 61]]).status == Status.OK
    assert judged([[110, 107], [108, 109]], "numa.latency").status == Status.OK


def test_memory_without_cpus_may_be_faster() -> None:
    points = [point(v * 1e9, cpu_node=0, memory_node=n, local_share=1.0) for n, v in enumerate((90, 400))]

    assert verdict("numa.bandwidth", history(matrix([[90]], points=points))).status == Status.OK


def test_a_node_that_is_slower_than_its_siblings_is_named() -> None:
    found = judged(changed(RATES, 2, 2, 82))

    assert found.status == Status.FAIL
    assert found.summary == "node 2 gets 82.0 GB/s from its own memory, expected 95% of the 90.0 GB/s of its siblings"
    assert judged(changed(TIMES, 2, 2, 123.5), "numa.latency").summary.startswith("node 2 gets 124 ns from its own")


def test_of_two_nodes_the_slower_is_named() -> None:
    assert judged([[90, 40], [40, 84]]).summary.startswith("node 1 gets 84.0 GB/s")
    assert judged([[90, 40], [40, 87]]).status == Status.OK


def test_a_slow_link_is_found_by_policy() -> None:
    found = judged(changed(RATES, 0, 3, 20), min_remote_share=0.4)

    assert found.status == Status.FAIL
    assert found.summary == (
        "node 0 from memory of node 3 gets 20.0 GB/s, 22% of what it gets from its own, expected at least 40%"
    )
    assert judged(changed(RATES, 0, 3, 20)).status == Status.OK


def test_memory_without_cpus_is_behind_no_link_that_policy_speaks_of() -> None:
    points = [point(v * 1e9, cpu_node=0, memory_node=n, local_share=1.0) for n, v in enumerate((90, 20))]  # CXL
    found = verdict("numa.bandwidth", history(matrix([[90]], points=points)), min_remote_share=0.4)

    assert found.status == Status.OK


def test_pages_that_were_elsewhere_are_unknown_and_not_a_failure() -> None:
    points = [point(v, cpu_node=0, memory_node=n, local_share=s) for n, v, s in ((0, 40e9, 0.4), (1, 90e9, 1.0))]
    found = verdict("numa.bandwidth", history(matrix([[40]], points=points)))

    assert found.status == Status.UNKNOWN
    assert "only 40% of the pages were on node 0" in found.summary


def test_where_pages_are_need_not_be_known() -> None:
    points = [point(90e9, cpu_node=0, memory_node=0, local_share=None)]

    assert verdict("numa.bandwidth", history(matrix([[90]], points=points))).status == Status.OK


@pytest.mark.parametrize(("name", "values"), [("numa.bandwidth", RATES), ("numa.latency", TIMES)])
def test_a_bad_cell_of_a_disturbed_run_is_unknown(name: str, values: Matrix) -> None:
    bad = changed(values, 2, 2, 60 if name == "numa.bandwidth" else 180)

    assert verdict(name, history(matrix(bad, name, reason="busy"))).status == Status.UNKNOWN
    assert verdict(name, history(matrix(values, name, reason="busy"))).status == Status.OK


@pytest.mark.parametrize("noise", [{"is_contended": True}, {"stability": 0.3}])
def test_a_bad_cell_that_was_disturbed_itself_is_unknown(noise: dict[str, Any]) -> None:
    healthy = matrix(changed(RATES, 2, 2, 60))
    points = [{**p, **noise} if p["cpu_node"] == p["memory_node"] == 2 else p for p in healthy.points]

    found = verdict("numa.bandwidth", history(matrix(RATES, points=points)))
    assert found.status == Status.UNKNOWN
    assert "node 2 from memory of node 2 was disturbed" in found.summary


def test_wrong_values_fail() -> None:
    wrong = matrix(RATES)
    wrong = wrong._replace(fields={"wrong_elements": 2})

    assert verdict("numa.bandwidth", history(wrong)).status == Status.FAIL


def test_a_matrix_without_points_or_with_broken_ones_is_unknown() -> None:
    assert verdict("numa.bandwidth", history(matrix(RATES, points=[]))).status == Status.UNKNOWN
    broken = [point("fast", cpu_node=0, memory_node=0)]  # type: ignore[arg-type]
    assert verdict("numa.bandwidth", history(matrix(RATES, points=broken))).status == Status.UNKNOWN


def test_the_share_of_remote_memory_is_learnt() -> None:
    assert learnt("numa.bandwidth", history(matrix(RATES))) == {"min_remote_share": 0.4}
    assert learnt("numa.bandwidth", history(matrix([[90]]))) == {}
    assert learnt("numa.latency", history(matrix(TIMES, "numa.latency", reason="busy"))) == {}
