"""Results as text for people."""

from typing import Any

from nodeproof_bench.result import BenchResult
from nodeproof_bench.table import place_of, results_table
from planted_bench import result


def note(found: BenchResult) -> str:
    """Return what the table says of a result after its figures."""
    line = results_table([found], [])[1]
    return line.split(str(found.samples), 1)[1].strip()


def point(device: str, operation: str, value: float) -> dict[str, Any]:
    return {"device": device, "operation": operation, "value": value}


def test_the_slowest_port_is_named_by_its_first_operation() -> None:
    points = [
        *(point("mlx5_0/1", "write", 1.1e-6), point("mlx5_0/1", "send", 1.4e-6)),
        *(point("mlx5_1/1", "write", 51e-6), point("mlx5_1/1", "send", 52e-6)),
    ]

    assert note(result("rdma.latency", 51e-6, "s", points=points)) == "highest of 2: port mlx5_1/1, 51.0 µs"


def test_the_slowest_of_rates_is_the_lowest() -> None:
    points = [point("eth0", "stream", 11e9), point("eth1", "stream", 1.1e9)]

    assert note(result("net.bandwidth", 1.1e9, "B/s", points=points)) == "lowest of 2: port eth1, 1.10 GB/s"


def test_connections_without_an_interface_are_no_places() -> None:
    points = [point("", "spinning", 4e-6), point("", "blocking", 12e-6)]

    assert note(result("net.latency", 4e-6, "s", points=points)) == ""


def test_a_result_between_hosts_names_the_other_one() -> None:
    found = result("net.latency", 4e-6, "s", peer_host="10.0.0.2")

    assert place_of(found) == "with 10.0.0.2"
