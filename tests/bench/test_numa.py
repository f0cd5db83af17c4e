"""Matrices between NUMA nodes: their shape, where the memory is, and what sums them up."""

import os
from collections.abc import Callable
from itertools import product
from pathlib import Path
from typing import Any

import pytest

Measure = Callable[..., dict[str, Any]]

NODES = Path("/sys/devices/system/node")


def numbers(text: str) -> set[int]:
    """Return the numbers of a kernel list such as `0-3,8`."""
    ranges = [part.partition("-") for part in text.strip().split(",") if part]
    return {n for low, dash, high in ranges for n in range(int(low), int(high if dash else low) + 1)}


def rows_and_columns() -> tuple[set[int], set[int]]:
    """Return the nodes whose CPUs we may use, and those with memory that we may have."""
    if not (NODES / "has_memory").exists():
        return {0}, {0}
    ours = os.sched_getaffinity(0)
    rows = {
        int(node.name.removeprefix("node"))
        for node in NODES.glob("node[0-9]*")
        if numbers((node / "cpulist").read_text()) & ours
    }
    status = Path("/proc/self/status").read_text()
    return rows, numbers((NODES / "has_memory").read_text()) & numbers(
        status.partition("Mems_allowed_list:")[2].splitlines()[0]
    )


@pytest.mark.parametrize(("name", "unit"), [("numa.bandwidth", "B/s"), ("numa.latency", "s")])
def test_every_node_with_cpus_meets_every_one_with_memory(measure: Measure, name: str, unit: str) -> None:
    rows, columns = rows_and_columns()
    result = measure(name, "--seconds", "0.3", "--bytes", "8M")
    local = [p["value"] for p in result["points"] if p["cpu_node"] == p["memory_node"]]
    remote = [p["value"] for p in result["points"] if p["cpu_node"] != p["memory_node"]]
    worst = min if unit == "B/s" else max

    assert result["unit"] == unit
    assert sorted((p["cpu_node"], p["memory_node"]) for p in result["points"]) == sorted(product(rows, columns))
    assert result["nodes"] == sorted(rows | columns)
    assert result["value"] == worst(local or remote)
    assert {p["local_share"] for p in result["points"]} <= {None, 1}
    if local and remote:
        ratio = worst(remote) / worst(local)
        assert result["local_remote_ratio"] == pytest.approx(ratio if unit == "B/s" else 1 / ratio)
    else:
        assert result["local_remote_ratio"] is None


def test_bandwidth_counts_wrong_sums_and_uses_one_cpu_of_each_core(measure: Measure) -> None:
    result = measure("numa.bandwidth", "--seconds", "0.3", "--bytes", "6M")

    assert result["wrong_elements"] == 0
    assert 1 <= max(p["threads"] for p in result["points"]) <= result["threads"] <= len(os.sched_getaffinity(0))


def test_latency_uses_one_cpu_of_each_node(measure: Measure) -> None:
    result = measure("numa.latency", "--seconds", "0.02", "--bytes", "1M")

    assert result["threads"] == len({p["cpu_node"] for p in result["points"]})
    assert {p["bytes"] for p in result["points"]} == {1 << 20}


def test_nodes_are_those_of_the_cpus_that_are_ours(measure: Measure) -> None:
    cpu = max(os.sched_getaffinity(0))
    pin = lambda: os.sched_setaffinity(0, {cpu})  # noqa: E731
    result = measure("numa.latency", "--seconds", "0.02", "--bytes", "1M", preexec_fn=pin)

    assert result["cpus"] == str(cpu)
