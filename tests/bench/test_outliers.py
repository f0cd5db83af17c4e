"""Which of a few parts is unlike the others: literal values, and runs drawn from the latencies of real ports."""

from collections.abc import Mapping

import numpy as np
import pytest

from latency_histograms import NO_FAULT, PUBLISHED, Fault, Node, points
from nodeproof_bench.checks.rdma import rdma_latency
from nodeproof_bench.outliers import Figure, Room, blamed, far_above, long_tails, low_median, median_of, quantile
from nodeproof_bench.port_kinds import PortKinds
from planted_bench import history, result

ROOM = Room(least_share=0.3, most_share=1.0, least=0.5)


def far(values: list[float], spread: float = 0.0) -> list[int]:
    return list(far_above({n: Figure(v, v, spread) for n, v in enumerate(values)}, ROOM))


def ring(*excess: float) -> dict[tuple[str, str], float]:
    """Links of each port with the next one, the last with the first; those without excess are not bad."""
    names = [f"p{n}" for n in range(len(excess))]
    return {(one, names[(n + 1) % len(names)]): excess[n] for n, one in enumerate(names)}


def blame(links: Mapping[tuple[str, str], float]) -> list[tuple[str, ...]]:
    return list(blamed({link: e for link, e in links.items() if e}, links))


# far_above


def test_the_one_that_differs_is_found_with_what_is_usual() -> None:
    values = {"a": 2.0, "b": 2.1, "c": 52.0, "d": 2.05}
    found = far_above({part: Figure(v, v) for part, v in values.items()}, ROOM)

    assert list(found) == ["c"]
    assert found["c"].usual == 2.05
    assert found["c"].excess == pytest.approx(49.95)


def test_small_differences_are_none_however_alike_the_others_are() -> None:
    assert far([1.2] * 7 + [1.3]) == []
    assert far([1.2] * 7 + [1.69]) == []
    assert far([1.2] * 7 + [1.71]) == [7]


def test_values_that_differ_anyway_need_more() -> None:
    scattered = [1.5, 1.8, 2.1, 2.4, 2.0, 1.7, 2.2]

    assert far([*scattered, 2.9]) == []
    assert far([*scattered, 4.0]) == [7]


def test_samples_that_scatter_need_more() -> None:
    assert far([100, 100, 100, 140]) == [3]
    assert far([100, 100, 100, 140], spread=50) == []


def test_a_median_of_few_samples_is_not_sure() -> None:
    scattered = [(1.0, 7), (9.0, 11)]

    assert median_of(scattered, 9.0).least == 1.0
    assert median_of([(edge, 100 * count) for edge, count in scattered], 9.0).least == 9.0

    usual = median_of([(1.9, 20), (2.0, 60), (2.4, 20)], 1.98)
    assert (usual.value, usual.least) == (1.98, 1.98)
    assert usual.spread == pytest.approx(0.42)


def test_a_node_with_ports_at_both_sockets_is_healthy() -> None:
    assert far([1.0, 1.02, 0.99, 1.01, 1.3, 1.31, 1.29, 1.33]) == []


def test_half_of_them_may_be_bad() -> None:
    assert far([2, 2, 2, 2, 52, 53, 54, 52]) == [4, 5, 6, 7]


def test_of_two_only_a_large_difference_counts_and_one_alone_is_never_odd() -> None:
    assert far([2.0, 3.5]) == []
    assert far([2.0, 4.5]) == [1]
    assert far([50.0]) == []


def test_in_a_ring_of_three_the_one_good_link_is_the_usual_one() -> None:
    assert far([2.0, 52.0, 52.0]) == [1, 2]


def test_of_an_even_number_the_lower_middle_is_taken() -> None:
    assert low_median([4, 1, 3, 2]) == 2
    assert low_median([3, 1, 2]) == 2


# long_tails


def test_messages_that_are_late_on_one_part_only_are_a_tail() -> None:
    clean = [(2.0, 30_000), (3.0, 50), (30.0, 3)]
    tails = long_tails({"a": clean, "b": clean, "c": [*clean, (52.0, 300)]}, 2.0)

    assert list(tails) == ["c"]
    assert tails["c"].share == pytest.approx(0.01, rel=0.02)
    assert (tails["c"].limit, tails["c"].usual_share) == (32, 0)


def test_messages_that_are_late_on_all_parts_are_none() -> None:
    busy = [(2.0, 30_000), (30.0, 300)]

    assert long_tails({"a": busy, "b": busy, "c": [*busy, (31.0, 500)]}, 2.0) == {}


def test_a_few_late_messages_are_chance() -> None:
    few = [(2.0, 1000), (30.0, 15)]

    assert long_tails({"a": [(2.0, 1000)], "b": [(2.0, 1000)], "c": few}, 2.0) == {}


def test_the_bin_of_the_limit_does_not_count() -> None:
    assert long_tails({"a": [(2.0, 900), (4.1, 100)], "b": [(2.0, 1000)]}, 2.0) == {}
    assert list(long_tails({"a": [(2.0, 900), (4.3, 100)], "b": [(2.0, 1000)]}, 2.0)) == ["a"]


def test_quantiles_are_the_edges_of_bins() -> None:
    assert [quantile([(1.0, 90), (2.0, 9), (9.0, 1)], q) for q in (0.5, 0.9, 0.99, 1)] == [1, 1, 2, 9]


# blamed


def test_a_port_whose_links_are_both_bad_is_to_blame() -> None:
    assert blame(ring(0, 0, 50, 49, 0, 0, 0, 0)) == [("p3",)]
    assert blame(ring(50, 0, 50)) == [("p0",)]


def test_a_link_that_is_bad_alone_is_named_with_both_its_ends() -> None:
    assert blame(ring(0, 0, 50, 0, 0)) == [("p2", "p3")]
    assert blame({("p0", "p1"): 50.0}) == [("p0", "p1")]


def test_two_bad_neighbours_add_up_on_their_link() -> None:
    assert sorted(blame(ring(0, 30, 60, 30, 0, 0))) == [("p2",), ("p3",)]


def test_a_bad_port_and_a_bad_link_elsewhere_are_told_apart() -> None:
    assert blame(ring(20, 20, 0, 0, 50, 0)) == [("p1",), ("p4", "p5")]


def test_ports_that_talk_to_themselves_are_to_blame_themselves() -> None:
    assert blame({("p0", "p0"): 0.0, ("p1", "p1"): 50.0}) == [("p1",)]


# runs drawn from what was published


def named(source: np.random.Generator, node: Node, fault: Fault = NO_FAULT) -> object:
    one = result("rdma.latency", 2e-6, "s", points=points(source, node, fault), threads=1, cpus="0")
    return rdma_latency(history(one), PortKinds({})).evidence.get("ports")


def test_fifty_microseconds_on_one_of_eight_ports_are_found_and_named() -> None:
    source = np.random.default_rng(6)

    assert sum(named(source, Node(), Fault(50)) == ["mlx5_5/1"] for _ in range(100)) >= 99


def test_a_clean_node_raises_no_alarm() -> None:
    source = np.random.default_rng(6)

    assert [named(source, Node()) for _ in range(100)] == [None] * 100


@pytest.mark.parametrize(
    "fault", [Fault(50, 0.05), Fault(50, 0.01), Fault(5, 0.05), Fault(2)], ids="{0[0]} us on {0[1]}".format
)
def test_smaller_and_rarer_faults_are_found_too(fault: Fault) -> None:
    source = np.random.default_rng(6)

    assert sum(named(source, Node(), fault) == ["mlx5_5/1"] for _ in range(20)) >= 19


@pytest.mark.parametrize("ports", [3, 4, 8])
def test_in_a_ring_the_bad_port_is_named_and_not_its_links(ports: int) -> None:
    source = np.random.default_rng(6)
    bad = "mlx5_5/1" if ports == 8 else f"mlx5_{1 if ports == 4 else 2}/1"

    assert sum(named(source, Node(ports, is_ring=True), Fault(50)) == [bad] for _ in range(20)) >= 19


@pytest.mark.parametrize("published", PUBLISHED, ids=lambda p: p.name)
def test_what_is_drawn_is_spread_as_it_was_published(published: object) -> None:
    """Within the width of two bins, and without what is added for a node with eight ports."""
    chosen = next(p for p in PUBLISHED if p is published)
    point = points(np.random.default_rng(6), Node(1, operations=("write",)), published=chosen)[0]

    usual = chosen.quantiles_us[0.5]
    assert point["sustained"] == pytest.approx(1e-6 * usual, rel=0.15)
    assert point["p99_s"] / point["sustained"] == pytest.approx(chosen.quantiles_us[0.99] / usual, rel=0.1)
