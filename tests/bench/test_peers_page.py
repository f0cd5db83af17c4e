"""What `make bench-peers` concludes from its samples: pairs, goals, and the page."""

import itertools
import math
import statistics
from collections.abc import Callable
from pathlib import Path

import pytest

from peers import page
from peers.compare import best_peer, shift
from peers.goals import Goal, goals
from peers.machine import Machine
from peers.quantities import QUANTITIES
from peers.samples import Sample, Samples, Series
from peers.stats import repeatability

MACHINE = Machine("Model", "6.1", "x86_64", (0, 1), 32 << 20, 32 << 10, "avx512", 16)
HOG = "taskset -c 0 sh -c 'while :; do :; done'"


def sample(number: int, command: str, figures: dict[str, float], foreign_s: float = 0, steal_s: float = 0) -> Sample:
    return Sample(number, command, f"{command} --option", figures, 1.0, foreign_s, steal_s, 2, 0.15)


def session(*taken: Sample, lacking: dict[str, str] | None = None) -> Samples:
    about = {
        "machine": {**MACHINE._asdict(), "cpus": [0, 1]},
        "versions": {"likwid": "5.2"},
        "built": ["gcc -o stream"],
        "rounds": 1 + max((s.number for s in taken), default=0),
        "day": "2026-01-01",
        "hog": HOG,
        "wall_s": 60.0,
    }
    return Samples(about, lacking or {}, list(taken))


@pytest.mark.parametrize(
    ("foreign_s", "steal_s", "is_clean"),
    [(0, 0, True), (0.15, 0, True), (0.18, 0, False), (0, 0.07, True), (0, 0.09, False)],
)
def test_a_disturbed_run_is_known(foreign_s: float, steal_s: float, is_clean: bool) -> None:
    assert sample(0, "x", {}, foreign_s, steal_s).is_clean == is_clean


def test_disturbed_values_count_only_where_the_clean_ones_are_too_few() -> None:
    for clean, used in ((9, [1.0] * 9), (6, [1.0] * 6), (5, [1.0] * 5 + [9.0] * 4)):
        taken = [sample(n, "x", {"rate": 1.0 if n < clean else 9.0}, 0 if n < clean else 1) for n in range(9)]
        found = session(*taken).series("x", "rate")
        assert found is not None
        assert (found.used, found.is_doubtful) == (used, clean < 6)


def test_ratios_pair_what_is_from_the_same_round() -> None:
    ours = Series({0: 10.0, 1: 30.0, 3: 8.0}, frozenset({0, 1, 3}))
    theirs = Series({0: 5.0, 1: 10.0, 2: 7.0, 3: 0.0}, frozenset({0, 2, 3}))
    assert ours.over(theirs) == Series({0: 2.0, 1: 3.0}, frozenset({0}))


def triads(ours: Callable[[int], float], likwid: Callable[[int], float]) -> list[Sample]:
    mine = [sample(n, "triad-1", {"value": ours(n), "sustained": ours(n) * 0.9}) for n in range(9)]
    return mine + [sample(n, "likwid-triad-1", {"rate": likwid(n)}) for n in range(9)]


def goal(samples: Samples, title: str) -> Goal:
    return next(g for g in goals(samples) if g.title == title)


def test_goals_are_judged_by_the_best_peer_of_the_same_rounds() -> None:
    """The machine drifts by a factor of nine, the ratio stays."""
    samples = session(*triads(lambda n: 1.05 * (n + 1), lambda n: n + 1.0))
    capability = goal(samples, "Memory triad, one thread: capability / best peer")
    sustained = goal(samples, "Memory triad, one thread: sustained / best peer")
    assert (capability.is_met, sustained.is_met) == (True, False)
    assert (capability.value, capability.low, capability.high) == pytest.approx((1.05, 1.05, 1.05))
    better = [sample(n, "stream-clang-1", {"triad": (n + 1) * 1.1}) for n in range(9)]
    samples = session(*samples.taken, *better)
    assert goal(samples, "Memory triad, one thread: capability / best peer").is_met is False


def test_what_was_not_measured_meets_no_goal() -> None:
    assert {g.is_met for g in goals(session())} == {None}


def again(taken: list[Sample], factor: float) -> list[Sample]:
    return [sample(s.number, f"{s.command}-again", {k: v * factor for k, v in s.figures.items()}) for s in taken]


@pytest.mark.parametrize(("factor", "is_met"), [(1.01, True), (0.97, False)])
def test_a_goal_of_scatter_compares_two_runs_in_a_row(factor: float, is_met: bool) -> None:
    """The machine drifts by a factor of nine, for all alike: that is not what is compared."""
    first = triads(lambda n: n + 1, lambda n: n + 1)
    ours, theirs = again(first[:9], factor), again(first[9:], 1.04)
    found = goal(session(*first, *ours, *theirs), "Memory triad, one thread: CV of two runs in a row / likwid's")
    assert found.is_met is is_met
    assert found.value == pytest.approx(abs(factor - 1) / 0.04, rel=0.05)


def test_repeatability_is_that_of_pairs() -> None:
    assert repeatability([(99, 101), (990, 1010)]) == pytest.approx(0.02 / math.sqrt(2))
    assert repeatability([(1, 2)]) is None


@pytest.mark.parametrize(("factor", "is_met"), [(1.005, True), (0.995, True), (0.5, False), (1.02, False)])
def test_a_shift_counts_in_both_directions(factor: float, is_met: bool) -> None:
    hogged = [sample(n, "triad-1-hog", {"value": factor * (n + 1)}) for n in range(9)]
    samples = session(*triads(lambda n: n + 1, lambda n: n + 1), *hogged)
    assert goal(samples, "Memory triad, one thread: shift beside a busy loop").is_met == is_met
    found = shift(samples, QUANTITIES[0].ours[0])
    assert found is not None
    assert statistics.median(found.used) == pytest.approx(factor - 1)


def test_the_best_peer_of_a_time_is_the_shortest() -> None:
    quantity = next(q for q in QUANTITIES if q.id == "round-trip")
    taken = [sample(n, c, {"round_trip": t}) for n in range(6) for c, t in (("sockperf", 2e-5), ("qperf", 3e-5))]
    peer = best_peer(session(*taken), quantity)
    assert peer is not None
    assert peer.command == "sockperf"


def test_the_quick_suite_is_compared_with_all_that_peers_need_by_themselves() -> None:
    """Of likwid-bench that is the first run, with its search."""
    first = sample(0, "likwid-triad-1-first", {"iterations": 64.0})._replace(wall_s=49.0)
    quick = sample(0, "quick", {"seconds": 10.0})._replace(wall_s=10.0)
    samples = session(*triads(float, float), first, quick, sample(0, "pingpong", {"latency": 1e-7}))
    assert samples.iterations() == {"likwid-triad-1": 64.0}
    found = goal(samples, "Quick suite: wall time / all peers' for the same")
    assert (found.value, found.is_met) == (0.2, True)


def test_samples_survive_being_kept(tmp_path: Path) -> None:
    samples = session(*triads(float, float), lacking={"copy-1": "nodeproof-bench has no memory.copy yet"})
    samples.save(str(tmp_path / "samples.json"))
    assert Samples.load(str(tmp_path / "samples.json")) == samples


def test_the_page_keeps_what_is_around_its_markers() -> None:
    text = f"# Title\n\nBy hand.\n\n{page.BEGIN}\nold\n{page.END}\n\nAlso by hand.\n"
    once = page.rewritten(text, "| new |\n")
    assert once == f"# Title\n\nBy hand.\n\n{page.BEGIN}\n\n| new |\n\n{page.END}\n\nAlso by hand.\n"
    assert page.rewritten(once, "| new |\n") == once


@pytest.mark.parametrize("text", ["", page.BEGIN, page.END + page.BEGIN, 2 * (page.BEGIN + page.END)])
def test_a_page_without_its_markers_is_not_touched(text: str) -> None:
    with pytest.raises(ValueError, match="the page needs"):
        page.rewritten(text, "new")


def test_the_page_says_what_was_measured_and_what_was_not() -> None:
    failed = sample(0, "sysbench", {})._replace(error="exit status 1: out of memory")
    samples = session(
        *triads(lambda n: (50 + n) * 1e9, lambda n: (40 + n) * 1e9),
        failed,
        lacking={"copy-1": "nodeproof-bench has no memory.copy yet"},
    )
    text = "\n".join(page.generated(samples))
    assert "| nodeproof-bench, capability | 54.00 | 51.00 to 57.00 | 5.07 | 1.0 | 9 of 9 | `triad-1 --option` |" in text
    assert "- capability / likwid-bench, huge pages: **1.227** (1.213 to 1.244), 9 of 9 pairs clean" in text
    assert "- `copy-1`: nodeproof-bench has no memory.copy yet" in text
    assert "- `sysbench`: exit status 1: out of memory, in round 1" in text
    assert "Memory copy" not in text.split("## Quantities")[1]
    tables = [
        list(rows) for is_row, rows in itertools.groupby(text.splitlines(), lambda x: x.startswith("|")) if is_row
    ]
    assert tables
    assert all(len({row.count("|") for row in rows}) == 1 for rows in tables), "rows of a table are equally long"


def test_the_page_in_the_repository_has_its_markers() -> None:
    assert page.rewritten(Path(page.PAGE).read_text(), "new")


def test_nothing_that_is_written_by_hand_is_between_the_markers() -> None:
    text = Path(page.PAGE).read_text(encoding="utf-8")
    assert text.partition(page.BEGIN)[2].lstrip().startswith("## This session\n")
    assert page.rewritten(text, "x").count("\n## ") == 5
