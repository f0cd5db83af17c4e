"""Limits of a node's own policy: told by the node, judged there by its checks, and findings that may drain."""

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from campaign_results import order
from fake_bench import result, run
from nodeproof.check import registry
from nodeproof.host import Host
from nodeproof.policy.settings import CheckSettings, Settings
from nodeproof_bench.campaign import limits
from nodeproof_bench.campaign.assess import assess
from nodeproof_bench.campaign.book import Book
from nodeproof_bench.campaign.book_rows import Campaign, FactRow, FindingRow, NodeRow, Result, Sample, Task, VerdictRow
from nodeproof_bench.campaign.confirming import is_suspect
from nodeproof_bench.campaign.follow_up import is_slow
from nodeproof_bench.campaign.node.judging import report_of

LIMIT = "limit.memory.triad.min_bytes_per_s"


# What a node tells of its policy


def told(**settings: CheckSettings) -> dict[str, str]:
    return limits.told(Settings(checks={name.replace("_", "."): own for name, own in settings.items()}), registry())


def test_a_limit_of_policy_is_told() -> None:
    assert told(memory_triad=CheckSettings({"min_bytes_per_s": 4e10}))[LIMIT] == "40000000000.0"


def test_a_check_that_may_only_report_tells_no_limit() -> None:
    assert LIMIT not in told(memory_triad=CheckSettings({"min_bytes_per_s": 4e10}, on_fail="report"))
    assert not [key for key in told(cpu_flops=CheckSettings({"min_flops_per_s": 1e12})) if "cpu.flops" in key]


def test_of_a_class_in_doubt_no_limit_is_told() -> None:
    checks = {"memory.triad": CheckSettings({"min_bytes_per_s": 4e10})}
    assert limits.told(Settings(checks=checks, doubts=("class",)), registry()) == {}


def test_what_a_node_says_is_not_believed_to_be_a_number() -> None:
    said = [("n1", LIMIT, text) for text in ("nan", "inf", "-1", "much", "")]
    assert limits.read(said) == {}
    assert limits.read([("n1", LIMIT, "4e10")]) == {("n1", "memory.triad.min_bytes_per_s"): 4e10}


# What its checks say of what a job measured


def verdicts(directory: Path, *values: float, kind: str = "bench", policy: str = "4.5e10", **of: Any) -> dict[str, str]:
    (directory / "limits.toml").write_text(f"[check.memory.triad]\nmin_bytes_per_s = {policy}\n" if policy else "")
    job = order(kind=kind, duration_s=1.0, policy=str(directory))
    document = report_of(Host(), job, [run(result(value=value, **of)) for value in values])
    return {row["id"]: row["status"] for row in document["results"]}


def test_most_repeats_decide(tmp_path: Path) -> None:
    assert verdicts(tmp_path, 4e10, 4e10, 5e10)["memory.triad"] == "fail"
    assert verdicts(tmp_path, 4e10, 5e10, 5e10)["memory.triad"] == "ok"
    assert verdicts(tmp_path, 4e10, 5e10)["memory.triad"] == "ok"


def test_without_a_limit_nothing_is_said(tmp_path: Path) -> None:
    assert "memory.triad" not in verdicts(tmp_path, 1.0, policy="")


def test_what_was_disturbed_is_unknown(tmp_path: Path) -> None:
    found = verdicts(tmp_path, 4e10, 4e10, is_inconclusive=True, reason="another job")
    assert found["memory.triad"] == found["bench.conclusive"] == "unknown"


def test_one_wrong_value_of_many_repeats_counts(tmp_path: Path) -> None:
    (tmp_path / "limits.toml").write_text("")
    documents = [run(result(wrong_elements=wrong)) for wrong in (0, 3, 0)]
    report = report_of(Host(), order(policy=str(tmp_path)), documents)
    assert {"bench.values": "fail"}.items() <= {row["id"]: row["status"] for row in report["results"]}.items()


def test_under_stress_only_wrong_values_are_judged(tmp_path: Path) -> None:
    assert verdicts(tmp_path, 4e10, kind="stress") == {"bench.values": "ok"}


# What it comes to


@pytest.fixture
def book(tmp_path: Path) -> Iterator[Book]:
    tmp_path.chmod(0o700)
    with Book(f"sqlite:///{tmp_path}/campaigns.db") as opened:
        yield opened


class Said:
    """One node, n1, that is measured in several tasks of one or two phases."""

    def __init__(self, book: Book, phases: Sequence[tuple[str, str]]) -> None:
        self.book = book
        tasks = [Task("c", n, phase, kind, "", 1, 1, ("n1",)) for n, (phase, kind) in enumerate(phases, 1)]
        plan = json.dumps({"act": {"confirmations": 2}})
        book.add_campaign(Campaign("c", "c", 1.0, plan=plan), [NodeRow("c", "n1", "a")], tasks)

    def store(self, task: int, phase: str, value: float, status: str, limit: str = "45") -> None:
        samples = [Sample("c", task, 1, "n1", "", phase, n, "memory.triad", "B/s", True, value) for n in range(3)]
        facts = [FactRow("c", "n1", phase, LIMIT, limit)] if limit else []
        said = [VerdictRow("c", task, "n1", phase, "memory.triad", status, "it moves too little")]
        one = Result("c", task, 1, "n1", str(task), 2.0)
        assert self.book.store_result(one, samples=samples, facts=facts, verdicts=said) == "stored"

    def limit(self) -> FindingRow | None:
        assess(self.book, "c")
        return next((f for f in self.book.findings("c") if f.detector == "limit"), None)


def test_a_node_below_its_own_limit_is_a_suspect_that_is_measured_again(book: Book) -> None:
    said = Said(book, [("bench", "bench")])
    said.store(1, "bench", 40.0, "fail")
    found = said.limit()

    assert found is not None
    assert (found.metric, found.value, found.expected, found.state) == ("memory.triad", 40.0, 45.0, "suspect")
    assert found.text.endswith("11 % beyond the limit of 45.0 B/s (policy: memory.triad.min_bytes_per_s)")
    assert is_suspect(found)
    assert is_slow(found)


@pytest.mark.parametrize(("status", "limit"), [("unknown", "45"), ("ok", "45"), ("fail", "")])
def test_no_limit_is_held_against_a_node_without_verdict_and_limit(book: Book, status: str, limit: str) -> None:
    said = Said(book, [("bench", "bench")])
    said.store(1, "bench", 40.0, status, limit)

    assert said.limit() is None


@pytest.mark.parametrize(("value", "status", "state"), [(40.0, "fail", "confirmed"), (50.0, "ok", "cleared")])
def test_measuring_again_confirms_or_clears(book: Book, value: float, status: str, state: str) -> None:
    said = Said(book, [("bench", "bench"), ("confirm.bench", "bench"), ("confirm.bench", "bench")])
    said.store(1, "bench", 40.0, "fail")
    for task in (2, 3):
        said.store(task, "confirm.bench", value, status)
    found = said.limit()

    assert found is not None
    assert found.state == state
    assert {f.detector: f.state for f in book.findings("c")}["check"] == state


def test_a_check_that_only_reports_is_no_reason_to_drain(book: Book) -> None:
    said = Said(book, [("bench", "bench")] * 4)
    for task in range(1, 5):
        said.store(task, "bench", 40.0, "fail", limit="")
    assess(book, "c")

    assert [(f.detector, f.state, is_slow(f)) for f in book.findings("c")] == [("check", "confirmed", False)]


def test_a_check_that_fails_in_pairs_names_the_node_that_is_in_all_of_them(book: Book) -> None:
    pairs = [("n1", "n2"), ("n3", "n4"), ("n1", "n3"), ("n2", "n4"), ("n1", "n4"), ("n2", "n3")]
    tasks = [Task("c", n, "pairs", "pairs", "", 1, 1, pair) for n, pair in enumerate(pairs, 1)]
    book.add_campaign(Campaign("c", "c", 1.0), [NodeRow("c", f"n{n}", "a") for n in range(1, 5)], tasks)
    for task in tasks:
        for node in task.nodes:
            status = "fail" if "n1" in task.nodes else "ok"
            said = [VerdictRow("c", task.task, node, "pairs", "bench.values", status, "1 wrong message")]
            book.store_result(Result("c", task.task, 1, node, f"{task.task}{node}", 2.0), verdicts=said)
    assess(book, "c")

    assert [(f.node, f.state) for f in book.findings("c")] == [("n1", "confirmed")]
