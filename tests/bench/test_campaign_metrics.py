"""What figures are called, so that those of other nodes compare; with the real benchmarks where they are quick."""

from collections.abc import Callable
from typing import Any

import pytest

from fake_bench import result, run
from nodeproof_bench.campaign.collect.metrics import Measure, measures_of
from nodeproof_bench.result import run_of

Run = Callable[..., dict[str, Any]]


def measures(*lines: dict[str, Any], is_pair: bool = False) -> dict[str, Measure]:
    found = measures_of(run_of(run(*lines)), is_pair=is_pair)
    assert len({m.metric for m in found}) == len(found)
    return {m.metric: m for m in found}


def point(operation: str, size: int = 8, device: str = "eth0", **changes: Any) -> dict[str, Any]:
    figures = {"value": 1e-5, "sustained": 1.1e-5, "stability": 0.9}
    return {
        "operation": operation,
        "message_bytes": size,
        "device": device,
        "peer": "",
        "unit": "s",
        "p99_s": 2e-5,
        **figures,
        **changes,
    }


def test_a_metric_says_what_was_measured_and_not_how_long_or_where_files_lie() -> None:
    args = ["--node", "1", "--seconds", "0.5", "--path", "/tmp/x", "--share", "0.5"]
    found = measures(result(args=args))

    assert found == {
        "memory.triad --node 1": Measure("memory.triad --node 1", "B/s", True, 5e10, 0.97 * 5e10, 0.95, False, "")
    }


@pytest.mark.parametrize(
    ("name", "unit", "is_higher_better"),
    [("memory.latency", "s", False), ("cpu.verify", "1", False), ("cpu.flops", "FLOP/s", True), ("x.y", "Hz", True)],
)
def test_of_times_and_counts_less_is_better(name: str, unit: str, is_higher_better: bool) -> None:
    assert measures(result(name, unit=unit, args=[]))[name].is_higher_better is is_higher_better


def test_the_latency_that_one_in_a_hundred_exceeds_is_a_metric_of_its_own() -> None:
    found = measures(result("net.loopback", 7e-6, unit="s", args=[], p99_s=9e-6, points=[point("spinning")]))

    assert {name: m.value for name, m in found.items()} == {"net.loopback": 7e-6, "net.loopback p99": 9e-6}


def test_with_too_few_samples_for_a_tail_there_is_none() -> None:
    assert list(measures(result("net.loopback", 7e-6, unit="s", args=[], p99_s=None))) == ["net.loopback"]


def test_a_disturbed_result_says_so() -> None:
    found = measures(result(args=[], is_inconclusive=True, reason="others\nran"))["memory.triad"]

    assert (found.is_inconclusive, found.reason) == (True, "others?ran")


def test_of_a_pair_each_operation_and_size_is_a_metric() -> None:
    args = ["--listen", "10.0.0.1:7000", "--session", "abc", "--seconds", "1"]
    line = result("net.latency", 1e-5, unit="s", args=args, points=[point("spinning"), point("blocking", value=5e-5)])

    assert {name: m.value for name, m in measures(line, is_pair=True).items()} == {
        "net.latency spinning 8 B": 1e-5,
        "net.latency spinning 8 B p99": 2e-5,
        "net.latency blocking 8 B": 5e-5,
        "net.latency blocking 8 B p99": 2e-5,
    }


def test_both_ends_of_a_pair_use_the_same_names() -> None:
    lines = [
        result("net.latency", 1e-5, unit="s", args=[f"--{role}", "10.0.0.1:7000"], points=[point("spinning")])
        for role in ("listen", "connect")
    ]

    assert measures(lines[0], is_pair=True).keys() == measures(lines[1], is_pair=True).keys()


def test_several_links_are_told_apart_by_their_device() -> None:
    points = [point("write", 65536, f"mlx5_{n}/1", unit="B/s", p99_s=None) for n in range(2)]
    found = measures(result("rdma.bandwidth", 1e10, args=["--connect", "[fd00::1]:7000"], points=points), is_pair=True)

    assert list(found) == ["rdma.bandwidth write 65536 B mlx5_0/1", "rdma.bandwidth write 65536 B mlx5_1/1"]


@pytest.mark.parametrize("changes", [{"operation": 1}, {"unit": None}, {"message_bytes": "8"}, {"message_bytes": True}])
def test_a_point_of_a_pair_that_says_not_what_it_is_is_refused(changes: dict[str, Any]) -> None:
    line = result("net.latency", 1e-5, unit="s", args=[], points=[{**point("spinning"), **changes}])
    with pytest.raises(ValueError, match="a point without"):
        measures(line, is_pair=True)


@pytest.mark.parametrize("value", [None, "1", True, 10**400])
def test_a_point_without_a_figure_gives_none(value: object) -> None:
    line = result("net.latency", 1e-5, unit="s", args=[], points=[point("spinning", value=value, p99_s=None)])

    assert measures(line, is_pair=True) == {}


@pytest.mark.parametrize("name", ["net.latency", "net.bandwidth"])
def test_what_the_c_core_prints_has_names(measure: Run, name: str) -> None:
    line = measure(name, "--seconds", "0.05")
    found = measures({**line, "args": ["--seconds", "0.05"]}, is_pair=True)

    operations = {"net.latency": ["spinning 8 B", "blocking 8 B"], "net.bandwidth": ["stream 262144 B"]}[name]
    assert [metric for metric in found if not metric.endswith(" p99")] == [f"{name} {op}" for op in operations]
    assert all(m.is_higher_better is (name == "net.bandwidth") for m in found.values())
