"""Judgement of ports by what was measured through them, their history, and planning for them."""

import json
from typing import Any

import pytest

from latency_histograms import point
from nodeproof.verdict import Status, Verdict
from nodeproof_bench.compare import differences, lines
from nodeproof_bench.port_kinds import PortKind, PortKinds
from nodeproof_bench.result import BenchHistory, BenchResult, BenchRun, run_of
from nodeproof_bench.store import content
from planted_bench import history, learnt, result, run, verdict

NOT_KNOWN = PortKinds({})

PORTS = [f"mlx5_{n}/1" for n in range(8)]


def bins(median_us: float, *late: tuple[float, int], count: int = 20_000) -> list[list[float]]:
    """Return a narrow histogram, and so many late messages at so many microseconds."""
    body = [[0.95e-6 * median_us, count // 4], [1e-6 * median_us, count // 2], [1.05e-6 * median_us, count // 4]]
    return [*body, *([1e-6 * us, n] for us, n in late)]


def port(device: str, median_us: float, *late: tuple[float, int], **more: Any) -> list[dict[str, Any]]:
    """Return the points of both operations."""
    return [point(device, bins(median_us, *late), **({"operation": o} | more)) for o in ("write", "send")]


def measured(*ports: list[dict[str, Any]], **more: Any) -> BenchResult:
    return result("rdma.latency", 2e-6, "s", points=[p for each in ports for p in each], threads=1, cpus="0", **more)


def eight(odd: list[dict[str, Any]] | None = None, **more: Any) -> BenchResult:
    """Return eight equal ports, the fourth of which is `odd`."""
    ports = [port(device, 2.0) for device in PORTS]
    return measured(*ports[:3], odd or ports[3], *ports[4:], **more)


def latency(*results: BenchResult, kinds: PortKinds = NOT_KNOWN, **parameters: object) -> Verdict:
    return verdict("rdma.latency", history(*results), kinds, **parameters)


# rdma.latency


def test_equal_ports_are_ok() -> None:
    found = latency(eight())

    assert (found.status, found.summary) == (Status.OK, "8 ports: 2.00 µs for half a round trip")


def test_a_port_that_takes_longer_than_its_siblings_is_named_without_any_policy() -> None:
    found = latency(eight(port("mlx5_3/1", 52)))

    assert found.status == Status.FAIL
    assert found.summary == "mlx5_3/1 takes 52.0 µs, its siblings 2.00 µs (write)"
    assert found.evidence["ports"] == ["mlx5_3/1"]


def test_a_port_with_late_messages_is_named_by_its_p99() -> None:
    found = latency(eight(port("mlx5_3/1", 2, (52, 1000))))

    assert found.summary == "mlx5_3/1 has a p99 of 52.0 µs, its siblings at most 2.10 µs (write)"


def test_late_messages_that_no_p99_shows_are_counted() -> None:
    found = latency(eight(port("mlx5_3/1", 2, (52, 120))))

    assert found.summary == ("mlx5_3/1 takes more than 32.0 µs for 0.60% of messages, its siblings for 0.00% (write)")


def test_late_messages_of_one_operation_alone_are_a_disturbance() -> None:
    write, _ = port("mlx5_3/1", 2, (52, 1000))
    _, send = port("mlx5_3/1", 2)

    assert latency(eight([write, send])).status == Status.OK


@pytest.mark.parametrize(
    "other", [{"rate_bits_per_s": 200e9}, {"mtu_bytes": 1024}, {"rate_bits_per_s": None, "mtu_bytes": None}]
)
def test_ports_of_another_kind_are_not_compared(other: dict[str, Any]) -> None:
    found = latency(eight(port("mlx5_3/1", 3, **other)))

    assert found.status == Status.OK
    assert found.summary.endswith("; mlx5_3/1: too few alike to tell which is the odd one")


def test_ports_of_another_link_layer_are_not_compared() -> None:
    layers = {p: PortKind("Ethernet" if p == "mlx5_3/1" else "InfiniBand", None) for p in PORTS}

    assert latency(eight(port("mlx5_3/1", 3))).status == Status.FAIL
    assert latency(eight(port("mlx5_3/1", 3)), kinds=PortKinds(layers)).status == Status.OK


def test_of_two_ports_only_a_large_difference_is_a_fault() -> None:
    assert latency(measured(port("a/1", 2), port("b/1", 3))).status == Status.OK
    assert latency(measured(port("a/1", 2), port("b/1", 52))).evidence["ports"] == ["b/1"]


def test_one_port_alone_is_judged_by_policy_only() -> None:
    alone = measured(port("a/1", 52))

    assert latency(alone).summary == (
        "1 port: 52.0 µs for half a round trip; a/1: too few alike to tell which is the odd one"
    )
    found = latency(alone, max_median_s={"400": 3e-6})
    assert found.summary == "a/1 has a median of 52.0 µs, expected at most 3.00 µs (write)"


def test_limits_are_by_rate_and_for_any_other() -> None:
    late = eight(port("mlx5_3/1", 2, (4, 1000)))

    assert latency(late, max_p99_s={"200": 3e-6}).status == Status.OK
    assert latency(late, max_p99_s={"200": 5e-6, "any": 3e-6}).summary == (
        "mlx5_3/1 has a p99 of 4.00 µs, expected at most 3.00 µs (write)"
    )
    assert latency(late, max_median_s={"400": 1e-6}).summary.endswith("and 6 more")


def test_in_a_ring_the_port_between_two_slow_links_is_named() -> None:
    slow = {2, 3}
    links = [port(p, 52 if n in slow else 2, peer=PORTS[(n + 1) % 8]) for n, p in enumerate(PORTS)]
    found = latency(measured(*links, between="ports"))

    assert found.summary == "mlx5_3/1 takes 52.0 µs, its siblings 2.00 µs (write)"


def test_in_a_ring_one_slow_link_is_named_with_both_ends() -> None:
    links = [port(p, 52 if n == 2 else 2, peer=PORTS[(n + 1) % 8]) for n, p in enumerate(PORTS)]

    assert latency(measured(*links, between="ports")).evidence["ports"] == ["mlx5_2/1 (to mlx5_3/1)"]


def test_between_two_hosts_a_port_of_the_same_name_is_another_one() -> None:
    links = [port(p, 52 if n == 2 else 2) for n, p in enumerate(PORTS)]
    found = latency(measured(*links, between="hosts", peer_host="n2"))

    assert found.summary == "mlx5_2/1 (to mlx5_2/1 of the other host) takes 52.0 µs, its siblings 2.00 µs (write)"


@pytest.mark.parametrize("noise", [{"reason": "busy"}, {"is_contended": True}])
def test_a_slow_port_of_a_disturbed_run_is_unknown(noise: dict[str, Any]) -> None:
    assert latency(eight(port("mlx5_3/1", 52), **noise)).status == Status.UNKNOWN
    assert latency(eight(**noise)).status == Status.OK


def test_a_tail_that_makes_the_figure_unstable_is_no_excuse() -> None:
    assert latency(eight(port("mlx5_3/1", 2, (52, 8000)), stability=0.04)).status == Status.FAIL


@pytest.mark.parametrize(
    "broken",
    [
        {"histogram": None},
        {"histogram": []},
        {"histogram": [[1e-6]]},
        {"histogram": [[1e-6, "many"]]},
        {"histogram": [[1e-6, -1]]},
        {"histogram": [["x", 1]]},
        {"histogram": [[1e-6, 1]] * 5000},
        {"device": 3},
        {"sustained": None},
        {"p99_s": "soon"},
        {"rate_bits_per_s": True},
    ],
)
def test_points_of_another_form_are_unknown_and_no_crash(broken: dict[str, Any]) -> None:
    found = latency(eight([p | broken for p in port("mlx5_3/1", 2)]))

    assert found.status == Status.UNKNOWN
    assert "malformed" in found.summary


def test_wrong_messages_fail_however_fast() -> None:
    assert latency(eight(wrong_messages=2)).summary == "rdma.latency on CPU 0 had 2 wrong messages, expected none"


def test_a_result_without_points_is_unknown() -> None:
    assert latency(measured()).status == Status.UNKNOWN


def test_limits_are_learnt_by_rate_with_room() -> None:
    mixed = measured(port("a/1", 2), port("b/1", 4, rate_bits_per_s=200e9))

    assert learnt("rdma.latency", history(mixed), NOT_KNOWN) == {
        "max_median_s": {"400": 2.5e-6, "200": 5e-6},
        "max_p99_s": {"400": 4.2e-6, "200": 8.4e-6},
    }
    assert learnt("rdma.latency", history(measured(port("a/1", 2), reason="busy")), NOT_KNOWN) == {}


# rdma.bandwidth


def carried(bytes_per_s: float, device: str = "mlx5_0/1", **more: Any) -> dict[str, Any]:
    figures = {"value": bytes_per_s, "sustained": bytes_per_s, "unit": "B/s", "stability": 0.99}
    figures |= {"interval": [0.99 * bytes_per_s, 1.01 * bytes_per_s]}
    return {k: v for k, v in point(device, bins(2)).items() if k != "histogram"} | figures | more


def bandwidth(*points: dict[str, Any], kinds: PortKinds = NOT_KNOWN, **parameters: object) -> Verdict:
    one = result("rdma.bandwidth", 4.9e10, points=points, threads=1, cpus="0")
    return verdict("rdma.bandwidth", history(one), kinds, **parameters)


def in_slot(bytes_per_s: float | None) -> PortKinds:
    return PortKinds({p: PortKind("InfiniBand", bytes_per_s) for p in PORTS})


def test_ports_that_carry_what_their_link_does_are_ok() -> None:
    found = bandwidth(*[carried(4.9e10, p) for p in PORTS], kinds=in_slot(63e9))

    assert (found.status, found.summary) == (Status.OK, "8 ports: 49.0 GB/s")


def test_a_port_below_its_link_fails() -> None:
    found = bandwidth(carried(4e10), kinds=in_slot(63e9))

    assert found.summary == "mlx5_0/1 carries 40.0 GB/s, its link 49.7 GB/s: expected at least 90% (write)"
    assert bandwidth(carried(4e10), kinds=in_slot(63e9), min_share=0.8).status == Status.OK


def test_a_port_is_not_blamed_for_what_its_slot_cannot_do() -> None:
    assert bandwidth(carried(2.7e10), kinds=in_slot(31.5e9)).status == Status.OK
    assert bandwidth(carried(2e10), kinds=in_slot(31.5e9)).summary == (
        "mlx5_0/1 carries 20.0 GB/s, its slot 28.6 GB/s: expected at least 90% (write)"
    )


def test_headers_of_small_packets_are_taken_off() -> None:
    small = carried(1.1e9, rate_bits_per_s=10e9, mtu_bytes=1024)
    layers = [PortKinds({"mlx5_0/1": PortKind(layer, 63e9)}) for layer in ("Ethernet", "InfiniBand", "")]

    payloads = [kinds.link_bytes_per_s("mlx5_0/1", 10e9, 1024) for kinds in layers]
    assert payloads == [pytest.approx(1.1573e9, rel=1e-4), pytest.approx(1.219e9, rel=1e-4), payloads[0]]
    assert bandwidth(small, kinds=layers[0]).status == Status.OK


def test_without_a_slot_the_rate_is_a_word_only() -> None:
    assert bandwidth(carried(1e8), kinds=in_slot(None)).status == Status.OK


def test_a_port_that_carries_less_than_its_siblings_is_named() -> None:
    found = bandwidth(*[carried(4.4e10 if p == "mlx5_6/1" else 4.9e10, p) for p in PORTS])

    assert found.summary == "mlx5_6/1 carries 44.0 GB/s, its siblings 49.0 GB/s (write)"
    assert bandwidth(*[carried(4.8e10 if p == "mlx5_6/1" else 4.9e10, p) for p in PORTS]).status == Status.OK


def test_a_bandwidth_of_few_samples_must_be_less_than_half_of_the_siblings() -> None:
    siblings = [carried(4.9e10, f"mlx5_{n}/1") for n in range(1, 8)]

    assert bandwidth(carried(3e10, interval=None), *siblings).status == Status.OK
    assert bandwidth(carried(3e10, interval=[2e10, 4.9e10]), *siblings).status == Status.OK
    assert bandwidth(carried(3e10, interval=[2e10, 3.1e10]), *siblings).status == Status.FAIL
    assert bandwidth(carried(2e10, interval=None), *siblings).status == Status.FAIL
    assert bandwidth(carried(2e10, interval=[2e10]), *siblings).status == Status.UNKNOWN


def test_a_port_that_carries_nothing_is_malformed_and_no_crash() -> None:
    assert bandwidth(carried(0), carried(4.9e10, "b/1"), carried(4.9e10, "c/1")).status == Status.UNKNOWN


# net.latency and net.bandwidth


def interface(device: str, spinning_us: float, blocking_us: float = 60) -> list[dict[str, Any]]:
    return [
        point(device, bins(spinning_us), operation="spinning", rate_bits_per_s=25e9, mtu_bytes=1500),
        point(device, bins(blocking_us), operation="blocking", rate_bits_per_s=25e9, mtu_bytes=1500),
    ]


def net(*interfaces: list[dict[str, Any]], **parameters: object) -> Verdict:
    points = [p for each in interfaces for p in each]
    return verdict("net.latency", history(result("net.latency", 1e-5, "s", points=points, threads=2)), **parameters)


def test_an_interface_that_takes_longer_than_its_siblings_is_named() -> None:
    good = [interface(f"eth{n}", 12) for n in range(3)]

    assert net(*good, interface("eth3", 12)).summary == "4 ports: 12.0 µs for half a round trip"
    assert net(*good, interface("eth3", 62)).summary == "eth3 takes 62.0 µs, its siblings 12.0 µs (spinning)"
    assert net(*good, interface("eth3", 12, 200)).summary == "eth3 takes 200 µs, its siblings 60.0 µs (blocking)"


def test_ends_that_sleep_have_no_limit() -> None:
    assert net(interface("eth0", 12), max_median_s={"25": 2e-5}).status == Status.OK
    assert net(interface("eth0", 12), max_median_s={"25": 1e-5}).status == Status.FAIL
    assert net(interface("", 12), max_median_s={"any": 1e-5}).summary.startswith("the interface that routing chose has")
    planted = history(result("net.latency", 1e-5, "s", points=interface("eth0", 12)))
    assert learnt("net.latency", planted)["max_median_s"] == {"25": 1.5e-5}


def stream(bytes_per_s: float, device: str) -> dict[str, Any]:
    return carried(bytes_per_s, device, operation="stream", rate_bits_per_s=25e9, mtu_bytes=1500)


def test_streams_are_compared_with_siblings_and_policy() -> None:
    def judged(*points: dict[str, Any], **parameters: object) -> Verdict:
        return verdict("net.bandwidth", history(result("net.bandwidth", 2.9e9, points=points)), **parameters)

    equal = [stream(2.9e9, f"eth{n}") for n in range(3)]
    assert judged(*equal).summary == "3 ports: 2.90 GB/s"
    assert judged(*equal, stream(2e9, "eth3")).summary == "eth3 carries 2.00 GB/s, its siblings 2.90 GB/s (stream)"
    assert judged(*equal, min_bytes_per_s={"25": 2.95e9}).status == Status.FAIL
    assert judged(*equal, min_bytes_per_s={"100": 2.95e9}).status == Status.OK
    assert learnt("net.bandwidth", history(result("net.bandwidth", 2.9e9, points=equal))) == {
        "min_bytes_per_s": {"25": 2.75e9}
    }


# bench.drift


def of_port(us: float) -> BenchRun:
    return run(eight(port("mlx5_3/1", us)))


def test_a_port_that_is_slower_than_it_was_is_named_even_where_it_is_not_the_slowest() -> None:
    slowest = port("mlx5_0/1", 2.4)
    before, now = (run(measured(slowest, port("mlx5_1/1", us), port("mlx5_2/1", 2))) for us in (2.0, 2.2))
    found = verdict("bench.drift", BenchHistory((*[before] * 15, *[now] * 5)))

    assert found.status == Status.FAIL
    assert found.summary == (
        "rdma.latency of mlx5_1/1 (write) went from 1.90 µs to 2.09 µs, 9.1% slower, "
        "rdma.latency of mlx5_1/1 (send) went from 1.90 µs to 2.09 µs, 9.1% slower"
    )
    assert found.evidence["compared"] == 6


def test_a_port_that_was_exchanged_is_another_series() -> None:
    old, new = (run(eight(port(device, us))) for device, us in (("mlx5_3/1", 2.0), ("mlx5_9/1", 3.0)))

    assert verdict("bench.drift", BenchHistory((*[old] * 15, *[new] * 5))).evidence["compared"] == 14


def test_equal_ports_have_no_drift() -> None:
    assert verdict("bench.drift", BenchHistory((of_port(2.0),) * 20)).summary == "16 figures as good as before"


# --compare and the store


def document(line: BenchResult) -> dict[str, Any]:
    fields = {k: v for k, v in line._asdict().items() if k not in ("fields", "args")}
    fields |= {"args": list(line.args), "points": list(line.points)}
    head = {"schema": "nodeproof.benchrun/1", "time_s": 1.0, "boot_id": "", "suite": "s", "host": "n", "conditions": {}}
    return head | {"results": [fields | {"interval": [1.9e-6, 2.1e-6]}], "failures": []}


def test_runs_are_kept_and_compared_though_only_the_newest_has_its_histograms() -> None:
    kept = content([document(eight())] * 2)
    first, second = (run_of(json.loads(line)) for line in kept.splitlines())

    assert "histogram" not in first.results[0].points[0]
    assert second.results[0].points[0]["histogram"] == eight().points[0]["histogram"]
    assert "same" in lines(differences(first, second))[1]
