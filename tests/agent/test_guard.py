"""The guard, as tables and as properties: it never lets more nodes out of service than policy allows."""

from collections.abc import Iterable, Sequence
from itertools import permutations
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nodeproof.policy.settings import GuardSettings
from nodeproof.slurm.guard import Fleet, admit, before_drain, recent, usage
from nodeproof.slurm.metrics import Counts, counts_in, why_full
from nodeproof.slurm.node import Node
from nodeproof.slurm.wish import Wish, check_of, parts, reason

NOW = 1_795_436_536
ROOMY = GuardSettings(share=1.0, drains=1000, same_check_nodes=1000)


def node(
    name: str,
    base: str = "IDLE",
    *flags: str,
    why: str = "",
    age_s: int = 3600,
    partitions: tuple[str, ...] = ("batch",),
) -> Node:
    return Node(name, base, frozenset(flags), why, "root", NOW - age_s, "", partitions)


def ours(name: str, age_s: int = 3600, text: str = "a.b: x", **keys: tuple[str, ...]) -> Node:
    return node(name, "IDLE", "DRAIN", why=reason("00c0ffee", text), age_s=age_s, **keys)


def fleet(*nodes: Node, idle: int = 0) -> Fleet:
    return Fleet({n.name: n for n in (*(node(f"i{k:03}") for k in range(idle)), *nodes)}, NOW)


def wish(name: str, text: str = "a.b: x", decided_at: int = NOW) -> Wish:
    return Wish(name, "drain", "00c0ffee", text, (check_of(text),), decided_at=decided_at)


def let_through(wishes: Sequence[Wish], read: Fleet, guard: GuardSettings, **demand: int) -> list[str]:
    admitted, held = admit(wishes, read, guard, {key.replace("_", "."): count for key, count in demand.items()})
    assert sorted([w.node for w in admitted] + list(held)) == sorted({w.node for w in wishes})
    return [w.node for w in admitted]


@pytest.mark.parametrize(
    ("guard", "total", "limit"),
    [
        (GuardSettings(), 1000, 50),
        (GuardSettings(), 999, 49),
        (GuardSettings(), 4, 2),
        (GuardSettings(), 0, 2),
        (GuardSettings(share=0.29, nodes=0), 100, 29),
        (GuardSettings(share=0.07, nodes=0), 100, 7),
        (GuardSettings(share=0.0, nodes=0), 1000, 0),
        (GuardSettings(share=1.0), 1000, 1000),
    ],
)
def test_the_limit_is_a_share_and_never_below_some_nodes(guard: GuardSettings, total: int, limit: int) -> None:
    assert usage(fleet(idle=total), guard) == (total, 0, limit)


@pytest.mark.parametrize(
    ("found", "is_out"),
    [
        (node("a"), False),
        (node("a", "IDLE", "DRAIN"), True),
        (node("a", "ALLOCATED", "DRAIN"), True),
        (node("a", "DOWN"), True),
        (node("a", "DOWN", "DRAIN"), True),
        (node("a", "ERROR"), True),
        (node("a", "MIXED", "FAIL"), True),
        (node("a", "IDLE", "NOT_RESPONDING"), False),
        (node("a", "IDLE", "RESERVED", "MAINTENANCE"), False),
        (node("a", "UNKNOWN"), False),
    ],
)
def test_what_counts_as_out_of_service(found: Node, *, is_out: bool) -> None:
    assert usage(fleet(found), GuardSettings()).out == is_out


def test_the_budget_holds_in_all_and_says_so() -> None:
    down = [node(f"d{n}", "DOWN") for n in range(51)]

    admitted, held = admit([wish("i000")], fleet(*down, idle=949), GuardSettings())

    assert admitted == []
    assert held == {"i000": "51 of 1000 nodes are out of service, the limit is 50"}


def test_the_budget_holds_in_each_partition() -> None:
    gpus = [node(f"g{n}", partitions=("batch", "gpu")) for n in range(4)]
    drained = [node(f"h{n}", "IDLE", "DRAIN", partitions=("gpu",)) for n in range(2)]
    read = fleet(*gpus, *drained, idle=994)

    assert let_through([wish("g0"), wish("i000")], read, GuardSettings()) == ["i000"]
    assert "2 of 6 nodes of partition gpu" in admit([wish("g0")], read, GuardSettings())[1]["g0"]


def test_a_node_in_several_partitions_uses_the_budget_of_each() -> None:
    both = [node(f"g{n}", partitions=("batch", "gpu")) for n in range(3)]

    assert let_through([wish(n.name) for n in both], fleet(*both, idle=997), ROOMY._replace(share=0.5)) == ["g0", "g1"]


@pytest.mark.parametrize(("age_s", "is_counted"), [(0, True), (599, True), (600, False), (-30, True)])
def test_the_rate_counts_our_drains_of_the_window(age_s: int, *, is_counted: bool) -> None:
    read = fleet(*(ours(f"o{n}", age_s) for n in range(10)), idle=990)
    guard = GuardSettings(same_check_nodes=1000)

    assert recent(read, guard) == 10 * is_counted
    assert let_through([wish("i000")], read, guard) == ([] if is_counted else ["i000"])


def test_the_rate_counts_drains_that_somebody_took_back_and_no_others() -> None:
    taken_back = node("a", why=reason("00c0ffee", "a.b: x"), age_s=10)
    read = fleet(taken_back, node("b", "IDLE", "DRAIN", why="bad fan", age_s=10), node("c", why="nodeproof: resumed 0"))

    assert recent(read, GuardSettings()) == 1


def test_the_rate_is_said() -> None:
    read = fleet(*(ours(f"o{n}", 10, f"c{n}: x") for n in range(10)), idle=990)

    assert admit([wish("i000")], read, GuardSettings())[1] == {
        "i000": "10 nodes drained within 10 minutes, the limit is 10"
    }


def test_the_same_check_on_many_nodes_holds_all_of_them() -> None:
    many = [wish(f"i00{n}") for n in range(6)]
    other = wish("i009", "c.d: y")

    assert let_through(many[:5], fleet(idle=1000), GuardSettings()) == [w.node for w in many[:5]]
    assert let_through([*many, other], fleet(idle=1000), GuardSettings()) == ["i009"]
    assert admit(many, fleet(idle=1000), GuardSettings())[1]["i000"] == (
        "a.b fails on 6 nodes at once, the limit is 5: a fault of the check or the fabric"
    )


def test_the_same_check_counts_the_drains_of_the_window() -> None:
    lately, before = [ours(f"o{n}", 60) for n in range(5)], [ours(f"p{n}") for n in range(5)]

    assert let_through([wish("i000")], fleet(*lately, idle=995), GuardSettings()) == []
    assert let_through([wish("i000")], fleet(*before, idle=995), GuardSettings()) == ["i000"]


def test_more_may_be_known_of_the_demand_than_these_wishes() -> None:
    assert let_through([wish("i000")], fleet(idle=1000), GuardSettings(), a_b=6) == []
    assert let_through([wish("i000")], fleet(idle=1000), GuardSettings(), c_d=6) == ["i000"]


def test_the_oldest_decision_comes_first_and_then_the_name() -> None:
    wishes = [wish("i003"), wish("i001"), wish("i002", decided_at=NOW - 5)]

    assert let_through(wishes, fleet(idle=4), GuardSettings()) == ["i002", "i001"]


@pytest.mark.parametrize("found", [None, node("a", "DOWN"), node("a", "IDLE", "DRAIN")])
def test_what_is_not_known_to_be_in_service_is_never_let_through(found: Node | None) -> None:
    assert let_through([wish("a")], fleet(*filter(None, [found]), idle=9), ROOMY) == []


names = st.sampled_from([f"n{k}" for k in range(12)])
nodes = st.builds(
    node,
    names,
    st.sampled_from(["IDLE", "ALLOCATED", "DOWN", "UNKNOWN"]),
    st.sampled_from(["", "DRAIN", "FAIL"]),
    why=st.sampled_from(["", "bad fan", reason("00c0ffee", "a.b: x"), reason("00c0ffee", "c.d: x")]),
    age_s=st.integers(0, 1200),
    partitions=st.lists(st.sampled_from(["p", "q", "r"]), unique=True).map(tuple),
)
fleets = st.lists(nodes, min_size=1, max_size=12).map(lambda found: fleet(*found))
guards = st.builds(
    GuardSettings,
    st.floats(0, 1),
    st.integers(0, 4),
    st.integers(0, 8),
    st.sampled_from([60.0, 600.0]),
    st.integers(0, 6),
)
wish_lists = st.lists(
    st.builds(wish, names, st.sampled_from(["a.b: x", "c.d: y"]), st.integers(NOW - 9, NOW)),
    max_size=12,
    unique_by=lambda w: w.node,
)


def drained_for(read: Fleet, wishes: Iterable[Wish]) -> Fleet:
    """Return the fleet once these wishes were carried out."""
    after = {
        w.node: read.nodes[w.node]._replace(
            flags=read.nodes[w.node].flags | {"DRAIN"}, reason=reason("11111111", w.text), reason_changed_at=NOW
        )
        for w in wishes
    }
    return read._replace(nodes={**read.nodes, **after})


@settings(max_examples=100)
@given(fleets, wish_lists, guards)
def test_what_is_let_through_never_exceeds_a_limit(read: Fleet, wishes: list[Wish], guard: GuardSettings) -> None:
    admitted, held = admit(wishes, read, guard)

    assert {w.node for w in admitted} | set(held) == {w.node for w in wishes}
    after = drained_for(read, admitted)
    for w in admitted:
        assert not read.nodes[w.node].is_out_of_service
        for partition in (None, *read.nodes[w.node].partitions):
            used = usage(after, guard, partition)
            assert used.out <= used.limit
        assert recent(after, guard) <= guard.drains
        for_check = [n for n in after.nodes.values() if n.reason_changed_at > NOW - guard.window_s]
        same = [n for n in for_check if (p := parts(n.reason)) and check_of(p[1]) == check_of(w.text)]
        assert len(same) <= guard.same_check_nodes


@settings(max_examples=60)
@given(fleets, wish_lists, guards, st.randoms())
def test_the_order_of_wishes_changes_nothing(
    read: Fleet, wishes: list[Wish], guard: GuardSettings, random: Random
) -> None:
    shuffled = list(wishes)
    random.shuffle(shuffled)

    assert admit(shuffled, read, guard) == admit(wishes, read, guard)


@settings(max_examples=60)
@given(fleets, wish_lists, guards)
def test_what_one_may_another_may_not_take_away(read: Fleet, wishes: list[Wish], guard: GuardSettings) -> None:
    """Whatever is let through together would be let through one after another too."""
    for w in admit(wishes, read, guard)[0]:
        one, _ = admit([w], read, guard)
        assert one == [w]
        read = drained_for(read, one)


def kept(written: Sequence[tuple[str, int]], guard: GuardSettings, total: int) -> set[str]:
    """Return who keeps its drain, when nodes write in this order (name, second), and each reads right after."""
    keeping: dict[str, Node] = {}
    for name, second in written:
        keeping[name] = ours(name, -second)
        read = fleet(*(node(f"i{k}") for k in range(total - len(keeping))), *keeping.values())
        if admit([wish(name)], before_drain(read, name, with_ties=True), guard)[0] == []:
            del keeping[name]
    return set(keeping)


@pytest.mark.parametrize("seconds", [(0, 0, 0, 0), (0, 0, 1, 1), (0, 1, 1, 2), (0, 1, 2, 3)])
def test_no_order_of_writers_leaves_more_than_the_budget(seconds: tuple[int, ...]) -> None:
    for order in permutations("abcd"):
        assert len(kept(list(zip(order, seconds, strict=True)), GuardSettings(), 30)) == 2


def test_a_late_reader_gives_way_to_those_of_its_second_and_keeps_what_came_before() -> None:
    read = fleet(ours("a", 0), ours("b", 0), ours("c", 0), idle=30)
    guard = GuardSettings()

    assert [admit([wish(n)], before_drain(read, n, with_ties=True), guard)[0] for n in "abc"] == [[], [], []]
    by_name = [admit([wish(n)], before_drain(read, n, with_ties=False), guard)[0] for n in "abc"]
    assert [len(found) for found in by_name] == [1, 1, 0]


def test_a_later_drain_of_somebody_else_is_no_reason_to_keep_ours() -> None:
    read = fleet(ours("a", 60), node("b", "IDLE", "DRAIN", why="fan", age_s=0), node("c", "DOWN", age_s=0), idle=30)

    assert admit([wish("a")], before_drain(read, "a", with_ties=True), GuardSettings())[0] == []


METRICS = """# HELP slurm_nodes Total number of nodes
# TYPE slurm_nodes gauge
slurm_node_cpus{node="n1"} 4
slurm_nodes 1000
slurm_nodes_down 3
slurm_nodes_drain 51
slurm_nodes_drained 50
slurm_nodes_fail 0
"""


def test_slurmctlds_own_counts_may_say_no() -> None:
    counts = counts_in(METRICS)

    assert counts == Counts(1000, 3, 51, 0)
    assert why_full(counts, GuardSettings()) == "at least 51 of 1000 nodes are out of service, the limit is 50"
    assert why_full(counts._replace(drain=49), GuardSettings()) == ""


@pytest.mark.parametrize("text", ["", "slurm_nodes 7\n", METRICS.replace("51", "NaN"), "<html>"])
def test_counts_that_are_not_there_say_nothing(text: str) -> None:
    assert counts_in(text) is None
