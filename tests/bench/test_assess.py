"""From the samples in a book to findings in it: once or often, the same."""

import json
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import pytest

from nodeproof_bench.analysis.tournament import full
from nodeproof_bench.campaign.assess import Assessment, assess
from nodeproof_bench.campaign.book import Book, BookError
from nodeproof_bench.campaign.book_rows import Campaign, FindingRow, NodeRow, Result, Sample, Task, VerdictRow

NODES = [f"n{n:02d}" for n in range(24)]
METRICS = {"memory.triad": ("B/s", 1e11), "cpu.peak_flops": ("flop/s", 1e12), "memory.latency": ("s", 1e-7)}


@pytest.fixture
def book(tmp_path: Path) -> Iterator[Book]:
    tmp_path.chmod(0o700)
    with Book(f"sqlite:///{tmp_path}/campaigns.db") as opened:
        yield opened


def begin(
    book: Book,
    name: str,
    tasks: Sequence[tuple[str, str, Sequence[str]]],
    created_at: float = 1.0,
    effort: str = "usual",
) -> None:
    """Begin a campaign with tasks of (phase, kind, nodes), all nodes of one class."""
    plan = json.dumps({"act": {"confirmations": 2, "effort": effort}})
    rows = [Task(name, n, phase, kind, "", 1, 1, tuple(nodes)) for n, (phase, kind, nodes) in enumerate(tasks, 1)]
    nodes = [NodeRow(name, node, "class-a") for node in NODES]
    book.add_campaign(Campaign(name, name, created_at, plan=plan), nodes, rows)


def store(book: Book, name: str, task: int, samples: Sequence[Sample], verdicts: Sequence[VerdictRow] = ()) -> None:
    node = samples[0].node if samples else verdicts[0].node
    result = Result(name, task, 1, node, f"{name}{task}{node}", 2.0)
    assert book.store_result(result, samples=samples, verdicts=verdicts) == "stored"


def bench(
    name: str,
    task: int,
    node: str,
    *,
    slow: float = 0.0,
    phase: str = "bench",
    repeats: int = 5,
    seed: int = 1,
    noise: float = 0.004,
) -> list[Sample]:
    source = np.random.default_rng([seed, task, int(node[1:])])
    made = list[Sample]()
    for metric, (unit, usual) in METRICS.items():
        is_rate = unit != "s"
        factor = (1 - slow if metric == "memory.triad" else 1.0) * 1.0
        for repeat in range(repeats):
            value = usual * factor * float(np.exp(noise * source.normal()))
            made.append(Sample(name, task, 1, node, "", phase, repeat, metric, unit, is_rate, value, value * 0.98))
    return made


def benched(book: Book, name: str, slow: dict[str, float], created_at: float = 1.0, seed: int = 1) -> None:
    begin(book, name, [("bench", "bench", [node]) for node in NODES], created_at)
    for task, node in enumerate(NODES, 1):
        store(book, name, task, bench(name, task, node, slow=slow.get(node, 0.0), seed=seed))


def states(book: Book, name: str) -> dict[tuple[str, str], str]:
    return {(f.node, f.detector): f.state for f in book.findings(name)}


def test_a_slow_node_is_a_suspect_in_the_book_and_no_other_is(book: Book) -> None:
    benched(book, "c", {"n07": 0.1})
    assessment = assess(book, "c")
    rows = book.findings("c")

    assert {f.node for f in rows} == {"n07"}
    assert {f.metric for f in rows} == {"memory.triad", "memory.triad sustained"}
    assert {f.state for f in rows} == {"suspect"}
    assert rows[0].loss == pytest.approx(0.1, abs=0.01)
    assert assessment.judgement.baselines["class-a", "memory.triad"].count == len(NODES) - 1


def test_judging_twice_changes_nothing_and_keeps_what_was_done(book: Book) -> None:
    benched(book, "c", {"n07": 0.1})
    first = assess(book, "c")
    acted = [f._replace(action="drained") for f in book.findings("c")]
    other = FindingRow("c", "n01", "", "job", "task", text="its job failed twice")
    book.set_findings("c", [*acted, other])

    assert assess(book, "c") == first
    assert book.findings("c") == sorted([*acted, other], key=lambda f: (f.node, f.path, f.metric, f.detector))


def confirmed_by(book: Book, slow: Sequence[float]) -> dict[tuple[str, str], str]:
    """Return states after n07 was 10 % slow, and then measured again as slow as given."""
    again = [("confirm.bench", "bench", ["n07"]) for _ in slow]
    begin(book, "c", [*(("bench", "bench", [node]) for node in NODES), *again])
    for task, node in enumerate(NODES, 1):
        store(book, "c", task, bench("c", task, node, slow=0.085 if node == "n07" else 0.0))
    for task, share in enumerate(slow, len(NODES) + 1):
        store(book, "c", task, bench("c", task, "n07", slow=share, phase="confirm.bench", repeats=3))
    assess(book, "c")
    return states(book, "c")


def test_a_suspect_is_confirmed_by_as_many_measurements_as_the_plan_asks_for(book: Book) -> None:
    assert confirmed_by(book, [0.1, 0.1])["n07", "class"] == "confirmed"


def test_one_measurement_of_two_confirms_nothing(book: Book) -> None:
    assert confirmed_by(book, [0.1])["n07", "class"] == "suspect"


def test_a_suspect_that_is_fine_when_measured_again_is_cleared(book: Book) -> None:
    assert confirmed_by(book, [0.0, 0.0])["n07", "class"] == "cleared"


def test_earlier_campaigns_tell_what_a_node_had(book: Book) -> None:
    for at in range(3):
        benched(book, f"old{at}", {}, created_at=float(at), seed=10 + at)
        book.end_campaign(f"old{at}", "done", at + 0.5)
    benched(book, "c", {"n07": 0.04}, created_at=9.0)
    assess(book, "c")

    assert states(book, "c")["n07", "history"] == "suspect"
    assert {node for node, _ in states(book, "c")} == {"n07"}


def test_a_campaign_that_was_cancelled_tells_nothing(book: Book) -> None:
    benched(book, "old", dict.fromkeys(NODES, 0.5), created_at=0.0)
    book.end_campaign("old", "cancelled", 0.5)
    benched(book, "c", {}, created_at=9.0)

    assert assess(book, "c").judgement.shifts == {}


def test_a_node_that_is_slower_after_the_stress_than_before_is_found(book: Book) -> None:
    kinds = [("bench", "bench"), ("repeat", "repeat")]
    begin(book, "c", [(phase, kind, [node]) for phase, kind in kinds for node in NODES])
    for number, (phase, _) in enumerate(kinds):
        for place, node in enumerate(NODES, 1):
            task, slow = number * len(NODES) + place, 0.05 if number and node == "n03" else 0.0
            store(book, "c", task, bench("c", task, node, slow=slow, phase=phase))
    assess(book, "c")

    assert {(f.node, f.metric) for f in book.findings("c") if f.detector == "history"} == {
        ("n03", "memory.triad after stress"),
        ("n03", "memory.triad sustained after stress"),
    }


def test_disturbed_samples_count_as_not_measured_and_never_as_bad(book: Book) -> None:
    begin(book, "c", [("bench", "bench", [node]) for node in NODES])
    for task, node in enumerate(NODES, 1):
        samples = bench("c", task, node, slow=0.5 if node == "n07" else 0.0)
        if node == "n07":
            samples = [s._replace(is_inconclusive=True, reason="another job") for s in samples]
        store(book, "c", task, samples)
    assess(book, "c")

    assert states(book, "c") == {("n07", "disturbed"): "could-not-tell"}


def test_a_campaign_whose_every_sample_was_disturbed_has_no_findings_and_ends(book: Book) -> None:
    begin(book, "c", [("bench", "bench", [node]) for node in NODES])
    for task, node in enumerate(NODES, 1):
        store(book, "c", task, [s._replace(is_inconclusive=True) for s in bench("c", task, node, slow=0.0)])
    assess(book, "c")

    assert states(book, "c") == {}


def paired(book: Book, bad: str) -> Assessment:
    """Judge a tournament of ten nodes in which pairs with the bad one take 50 µs more."""
    rounds = [pair for one in full(NODES[:10]) for pair in one.pairs]
    begin(book, "c", [("pairs", "pairs", pair) for pair in rounds])
    source = np.random.default_rng(3)
    for task, pair in enumerate(rounds, 1):
        value = 2e-5 * float(np.exp(0.03 * source.normal())) + (5e-5 if bad in pair else 0.0)
        for node, peer in (pair, pair[::-1]):
            sample = Sample("c", task, 1, node, peer, "pairs", 0, "net.latency blocking 1 B", "s", False, value)
            store(book, "c", task, [sample])
    return assess(book, "c")


def test_a_bad_pair_convicts_the_node_that_is_bad_in_all_its_pairs(book: Book) -> None:
    assessment = paired(book, "n04")
    (row,) = book.findings("c")

    assert (row.node, row.detector, row.state) == ("n04", "pairs", "suspect")
    assert assessment.pair_fits[row.metric].node_effects["n04"] == pytest.approx(5e-5, rel=0.1)
    assert "9 pairs" in row.text


def verdict(task: int, node: str, status: str, check_id: str = "memory.size") -> VerdictRow:
    return VerdictRow("c", task, node, "inventory", check_id, status, "a DIMM is missing")


@pytest.mark.parametrize(
    ("said", "state"),
    [
        (["fail"], "suspect"),
        (["fail", "fail", "fail"], "confirmed"),
        (["fail", "unknown"], "suspect"),
        (["fail", "ok"], "cleared"),
    ],
)
def test_a_failed_check_is_a_finding_of_its_own(book: Book, said: list[str], state: str) -> None:
    begin(book, "c", [("inventory", "inventory", ["n05"]) for _ in said])
    for task, word in enumerate(said, 1):
        store(book, "c", task, [], [verdict(task, "n05", word), verdict(task, "n06", "ok")])
    assess(book, "c")

    assert states(book, "c") == {("n05", "check"): state}


def test_a_wrong_value_that_does_not_come_again_is_no_comfort(book: Book) -> None:
    begin(book, "c", [("bench", "bench", ["n05"]), ("confirm.bench", "bench", ["n05"])])
    for task, word in enumerate(["fail", "ok"], 1):
        store(book, "c", task, [], [verdict(task, "n05", word, "bench.values")])
    assess(book, "c")

    assert states(book, "c") == {("n05", "check"): "suspect"}


def test_only_checks_of_what_was_measured_name_a_phase_to_measure_again(book: Book) -> None:
    begin(
        book,
        "c",
        [("inventory", "inventory", ["n05"]), ("early", "bench", ["n05"]), ("confirm.early", "bench", ["n05"])],
    )
    store(book, "c", 1, [], [verdict(1, "n05", "fail")])
    for task in (2, 3):
        store(book, "c", task, [], [verdict(task, "n05", "fail", "memory.triad")])

    assert assess(book, "c").check_phases == {("n05", "memory.triad"): "early"}


def doubted(book: Book, slow: Sequence[float]) -> Assessment:
    """Judge nodes of which n07 is so slow that it may be chance, and then was measured again as slow as given."""
    again = [("confirm.bench", "bench", ["n07"])] * len(slow)
    begin(book, "c", [*(("bench", "bench", [node]) for node in NODES), *again])
    for task, node in enumerate(NODES, 1):
        store(book, "c", task, bench("c", task, node, slow=0.085 if node == "n07" else 0.0, noise=0.03))
    for task, share in enumerate(slow, len(NODES) + 1):
        store(book, "c", task, bench("c", task, "n07", slow=share, phase="confirm.bench", noise=0.03))
    return assess(book, "c")


def test_what_may_be_chance_is_no_finding_but_worth_measuring_again_more_often_than_usual(book: Book) -> None:
    doubts = doubted(book, []).doubts

    assert book.findings("c") == []
    assert "n07" in {row.node for row in doubts}
    assert max(doubts.values()) > 2


def test_a_thorough_campaign_measures_a_noisy_metric_of_all_nodes_again(book: Book) -> None:
    begin(book, "t", [("bench", "bench", [node]) for node in NODES], effort="thorough")
    for task, node in enumerate(NODES, 1):
        store(book, "t", task, bench("t", task, node, noise=0.03))
    usual, thorough = doubted(book, []).doubts, assess(book, "t").doubts

    assert len({row.node for row in thorough}) > 0.8 * len(NODES) > len({row.node for row in usual})
    assert max(thorough.values()) > max(usual.values())


def test_it_is_told_which_loss_would_be_seen_and_repeats_make_it_smaller(book: Book) -> None:
    phases = ["bench"] + ["confirm.bench"] * 8
    begin(book, "d", [(phase, "bench", [node]) for phase in phases for node in NODES])
    found = []
    for number, phase in enumerate(phases):
        for task, node in enumerate(NODES, number * len(NODES) + 1):
            store(book, "d", task, bench("d", task, node, noise=0.03, phase=phase))
        found.append(assess(book, "d"))

    assert {metric for _, metric in found[0].resolution} == {m + of for m in METRICS for of in ("", " sustained")}
    for place, loss in found[0].resolution.items():
        now = found[-1].resolution[place]
        assert loss is not None
        assert now is not None
        assert loss > found[0].wanted_loss
        assert now < 0.9 * loss


def test_what_was_in_doubt_is_confirmed_by_all_repeats_together(book: Book) -> None:
    doubted(book, [0.085] * 6)

    assert {(f.node, f.state) for f in book.findings("c")} == {("n07", "confirmed")}
    assert {f.metric for f in book.findings("c")} == {"memory.triad", "memory.triad sustained"}


@pytest.mark.parametrize("slow", [[0.0] * 6, [0.085]])
def test_what_was_in_doubt_and_is_fine_or_was_hardly_measured_again_is_no_finding(
    book: Book, slow: Sequence[float]
) -> None:
    doubted(book, slow)

    assert book.findings("c") == []


def test_a_campaign_without_samples_has_no_findings(book: Book) -> None:
    begin(book, "c", [])

    assert assess(book, "c").judgement.findings == ()
    assert book.findings("c") == []


def test_a_campaign_that_is_not_there_is_named(book: Book) -> None:
    with pytest.raises(BookError, match="nowhere"):
        assess(book, "nowhere")
