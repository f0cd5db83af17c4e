"""Tournaments: everybody is accounted for in every round, and nobody meets anybody twice."""

from collections import Counter
from collections.abc import Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nodeproof_bench.analysis.tournament import Round, confirming, full, path, sparse


def names(count: int) -> list[str]:
    return [f"n{n}" for n in range(count)]


def switches_of(nodes: Sequence[str], count: int) -> dict[str, str]:
    return {node: f"s{n % count}" for n, node in enumerate(nodes)}


def met(rounds: Sequence[Round]) -> Counter[frozenset[str]]:
    return Counter(frozenset(pair) for one in rounds for pair in one.pairs)


def everybody(one: Round) -> list[str]:
    return sorted([*(node for pair in one.pairs for node in pair), *one.bye])


@given(st.integers(2, 60))
@settings(max_examples=30, deadline=None)
def test_in_a_full_tournament_every_two_nodes_meet_once_in_disjoint_rounds(count: int) -> None:
    nodes = names(count)
    rounds = full(nodes)

    assert len(rounds) == (count if count % 2 else count - 1)
    assert len(met(rounds)) == count * (count - 1) // 2
    assert set(met(rounds).values()) == {1}
    assert all(everybody(one) == sorted(nodes) for one in rounds)


def test_an_odd_node_has_one_bye_and_so_has_every_other() -> None:
    assert sorted(node for one in full(names(7)) for node in one.bye) == names(7)
    assert all(len(one.bye) == 1 for one in full(names(7)))
    assert all(not one.bye for one in full(names(8)))


def test_one_node_or_none_has_no_tournament() -> None:
    assert full([]) == full(["n0"]) == sparse(["n0"], 3, 1) == []


def test_a_name_that_is_there_twice_is_named() -> None:
    with pytest.raises(ValueError, match="node n1 is twice"):
        full(["n0", "n1", "n1"])


@pytest.mark.parametrize("count", [2, 4, 7, 16])
def test_each_node_listens_as_often_as_it_connects(count: int) -> None:
    listens = Counter(pair[0] for one in full(names(count)) for pair in one.pairs)
    connects = Counter(pair[1] for one in full(names(count)) for pair in one.pairs)

    assert all(abs(listens[node] - connects[node]) <= 1 for node in names(count))


@given(st.integers(2, 90), st.integers(1, 9), st.integers(0, 9), st.integers(0, 5))
@settings(max_examples=60, deadline=None)
def test_in_a_sparse_design_nobody_meets_twice_and_everybody_is_accounted_for(
    count: int, rounds: int, switches: int, seed: int
) -> None:
    nodes = names(count)
    found = sparse(nodes, rounds, seed, switches_of(nodes, switches) if switches else None)

    assert len(found) == min(rounds, len(full(nodes)))
    assert set(met(found).values()) == {1}
    assert all(everybody(one) == sorted(nodes) for one in found)
    assert all(len(one.bye) == count % 2 for one in found)


def test_a_switch_with_most_of_the_nodes_leaves_nobody_alone() -> None:
    nodes = names(101)
    uneven = {node: "big" if n < 90 else f"s{n}" for n, node in enumerate(nodes)}
    found = sparse(nodes, 12, 3, uneven)

    assert all(everybody(one) == sorted(nodes) for one in found)
    assert set(met(found).values()) == {1}


def test_the_seed_decides() -> None:
    nodes, switches = names(64), switches_of(names(64), 4)

    assert sparse(nodes, 4, 1, switches) == sparse(nodes, 4, 1, switches)
    assert sparse(nodes, 4, 1, switches) != sparse(nodes, 4, 2, switches)


def test_pairs_cover_all_paths_within_and_between_switches_evenly() -> None:
    nodes = names(256)
    switches = switches_of(nodes, 16)
    pairs = Counter(path(*pair, switches) for one in sparse(nodes, 8, 1, switches) for pair in one.pairs)
    within = [count for name, count in pairs.items() if name.startswith("within ")]
    between = [count for name, count in pairs.items() if " - " in name]

    assert (len(within), len(between)) == (16, 120)
    assert min(within) == max(within) == 16
    assert min(between) >= 6
    assert max(between) <= 8


def test_paths_are_named_alike_from_both_ends() -> None:
    switches = {"a": "s2", "b": "s1", "c": "s1"}

    assert path("a", "b", switches) == path("b", "a", switches) == "s1 - s2"
    assert path("b", "c", switches) == "within s1"
    assert path("a", "x", switches) == ""


def test_suspects_meet_good_nodes_on_different_switches() -> None:
    nodes = names(20)
    switches = switches_of(nodes, 4)
    found = confirming(["n0", "n1", "n2"], nodes[3:], 3, 1, switches)

    assert len(found) == 3
    for suspect in ("n0", "n1", "n2"):
        partners = [node for one in found for pair in one.pairs if suspect in pair for node in pair if node != suspect]
        assert len(set(partners)) == 3
        assert not set(partners) & {"n0", "n1", "n2"}
        assert len({switches[node] for node in partners}) == 3


def test_more_suspects_than_good_nodes_take_turns() -> None:
    found = confirming(names(5), ["g0", "g1"], 2, 1)

    assert all(len(one.pairs) <= 2 for one in found)
    assert set(met(found).values()) == {1}
    assert len(met(found)) == 10
    assert all(everybody(one)[-5:] == names(5) for one in found)


def test_a_suspect_is_nobodys_good_partner() -> None:
    assert confirming(["a"], ["a"], 2, 1) == []
    assert confirming([], ["b"], 2, 1) == []
