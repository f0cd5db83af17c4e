"""What follows a campaign: suspects are measured again, and confirmed nodes, and no other, are drained in Slurm."""

import hashlib
from collections.abc import Iterator
from typing import Any

import pytest

import campaign_book
from campaign_book import Planted, Shape, finding
from fake_jobs import fake_jobs
from fake_slurm import CTLD_DOWN, NOT_PRIVILEGED, VERSION, FakeSlurm
from nodeproof.policy.hosts import folded
from nodeproof.policy.settings import GuardSettings, Settings, SlurmSettings
from nodeproof.slurm.rest import Client
from nodeproof.slurm.wish import MAX_TEXT_BYTES, parts
from nodeproof_bench.campaign.book import Book
from nodeproof_bench.campaign.book_rows import Campaign, FindingRow, NodeRow, Result, VerdictRow
from nodeproof_bench.campaign.follow_up import FollowUp, reason_text
from nodeproof_bench.campaign.ledger import Ledger
from nodeproof_bench.campaign.plan import Act, Plan, Results

ID = "c0ffee01"
NAMES = ("n1", "n2", "n3", "n4")
ROOMY = GuardSettings(share=1.0)
HOSTILE = "cpu.fl\x1b[2Jops\n\u202e\u2026ünï: " + "x" * 400


@pytest.fixture
def slurm() -> Iterator[FakeSlurm]:
    with fake_jobs(*NAMES) as jobs:
        yield jobs.slurm


class Ends:
    """A campaign with findings whose tasks are over, and controllers that come to its end."""

    def __init__(self, book: Book, slurm: FakeSlurm, *findings: FindingRow) -> None:
        self.book, self.slurm = book, slurm
        self.said: list[str] = []
        book.add_campaign(Campaign(ID, "rack", 1.0), [NodeRow(ID, name) for name in NAMES], [])
        book.set_findings(ID, findings)

    def act(self, findings: Any = "drain", guard: GuardSettings = ROOMY, drain_s: float = 5.0) -> list[str]:
        """Act as a new process would, and return what is said in the book to have been done about each finding."""
        act = Act(findings=findings)
        with Client(SlurmSettings(self.slurm.url, api_version=VERSION), 0.0) as client:  # its time is up: it measured
            ledger, plan = Ledger(self.book, ID), plan_of(act)
            FollowUp(ledger, plan, client, Settings(guard=guard), self.said.append, drain_s=drain_s).act()
        return [f.action for f in self.book.findings(ID)]

    def events(self) -> list[tuple[str, str, str, str]]:
        return [(e.node, e.kind, e.detail, e.source) for e in self.book.node_events()]


def plan_of(act: Act) -> Plan:
    return Plan(name="rack", nodes="n[1-4]", results=Results(spool="/shared"), act=act)


def confirmed(node: str = "n1", **values: Any) -> FindingRow:
    return finding(ID, node, **{"state": "confirmed", "loss": 0.12, "text": "it is slow", **values})


# Who is drained


def test_a_confirmed_node_is_drained_with_the_reason_and_remembered(book: Book, slurm: FakeSlurm) -> None:
    ends = Ends(book, slurm, confirmed("n2", metric="memory.triad --node 0"))

    assert ends.act() == ["drained"]
    text = f"campaign.memory.triad: n2 is 12 % slow in memory.triad --node 0, confirmed in {ID}"
    assert slurm.drained() == ["n2"]
    drain_id = hashlib.sha256(f"{ID}/n2".encode()).hexdigest()[:8]  # the same for whoever goes on with the campaign
    assert parts(slurm.nodes["n2"].reason) == (drain_id, text)
    assert ends.events() == [("n2", "drain", text, ID)]
    assert book.node_events()[0].at == slurm.nodes["n2"].changed_at
    assert ends.said == ["n2: drained: it is slow"]


@pytest.mark.parametrize(
    "values",
    [
        {"state": "suspect"},
        {"state": "cleared"},
        {"state": "could-not-tell", "detector": "disturbed"},
        {"detector": "too_good"},
        {"detector": "disturbed"},
        {"detector": "check"},
        {"node": "", "path": "leaf1 - leaf2", "detector": "pairs"},
    ],
)
def test_nobody_is_drained_for_what_is_not_a_confirmed_fault(
    book: Book, slurm: FakeSlurm, values: dict[str, str]
) -> None:
    assert Ends(book, slurm, confirmed(**values)).act() == [""]
    assert (slurm.requests, book.node_events()) == ([], [])


def test_a_plan_that_only_reports_sends_nothing_to_slurm(book: Book, slurm: FakeSlurm) -> None:
    ends = Ends(book, slurm, confirmed())

    assert ends.act("report") == [""]
    assert (slurm.requests, book.node_events(), ends.said) == ([], [], [])


def test_only_the_findings_that_a_drain_stands_on_say_so(book: Book, slurm: FakeSlurm) -> None:
    others = [confirmed(metric="a", detector="too_good", state="suspect"), confirmed(metric="b", state="cleared")]
    ends = Ends(book, slurm, *others, confirmed(metric="c"), confirmed(metric="d"), confirmed("n2", state="suspect"))

    assert ends.act() == ["", "", "drained", "drained", ""]
    assert len(book.node_events()) == 1


@pytest.mark.parametrize(
    ("other", "text"),
    [
        ({"metric": "disk.bandwidth", "loss": 0.5}, "campaign.disk.bandwidth: n1 is 50 % slow"),
        ({"metric": "disk.bandwidth", "loss": 0.01}, "campaign.cpu.flops: n1 is 12 % slow"),
        (
            {"metric": "disk.bandwidth", "detector": "limit", "expected": 9.0, "loss": 0.01},
            "campaign.disk.bandwidth: n1 has disk.bandwidth at it is slow",
        ),
    ],
)
def test_a_limit_decides_before_a_comparison_and_then_the_larger_loss(
    book: Book, slurm: FakeSlurm, other: dict[str, Any], text: str
) -> None:
    Ends(book, slurm, confirmed(), confirmed(**other)).act()

    assert f"]: {text}" in slurm.nodes["n1"].reason


# What Slurm and others make of it


def test_the_guard_holds_back_and_says_why(book: Book, slurm: FakeSlurm) -> None:
    ends = Ends(book, slurm, *(confirmed(name) for name in NAMES[:3]))

    actions = ends.act(guard=GuardSettings())
    held = "held back: 2 of 4 nodes are out of service, the limit is 2"
    assert actions == ["drained", "drained", held]
    assert slurm.drained() == ["n1", "n2"]
    assert {event.node for event in book.node_events()} == {"n1", "n2"}
    assert ends.said[-1] == f"n3: {held}: it is slow"


def test_a_node_that_somebody_else_has_drained_is_left(book: Book, slurm: FakeSlurm) -> None:
    slurm.admin("n1", state=["DRAIN"], reason="fan broken")
    ends = Ends(book, slurm, confirmed())

    assert ends.act() == ["left: out of service by somebody else"]
    assert (slurm.nodes["n1"].reason, slurm.nodes["n1"].user) == ("fan broken", "jane")
    assert book.node_events() == []


def test_without_an_answer_nothing_is_lost_and_the_next_controller_drains(book: Book, slurm: FakeSlurm) -> None:
    findings = [confirmed(), confirmed("n2", state="suspect")]
    ends = Ends(book, slurm, *findings)
    slurm.on_read = lambda: CTLD_DOWN

    said, untouched = ends.act(drain_s=0.1)
    assert said.startswith("not drained: ")
    assert "Unable to contact slurm controller" in said
    assert [f._replace(action="") for f in book.findings(ID)] == findings
    assert (untouched, slurm.drained(), book.node_events()) == ("", [], [])

    slurm.on_read = lambda: None
    assert ends.act() == ["drained", ""]


def test_a_slurmrestd_that_is_gone_is_told(book: Book) -> None:
    with fake_jobs(*NAMES) as jobs:
        slurm = jobs.slurm
    ends = Ends(book, slurm, confirmed())

    (said,) = ends.act(drain_s=0.1)
    assert said.startswith("not drained: ")
    assert len(book.findings(ID)) == len(ends.said) == 1


def test_what_slurm_denies_is_not_drained(book: Book, slurm: FakeSlurm) -> None:
    slurm.on_write = lambda _names, _changes: NOT_PRIVILEGED
    (said,) = Ends(book, slurm, confirmed()).act()

    assert said.startswith("not drained: ")
    assert "Invalid user id" in said
    assert book.node_events() == []


def test_a_controller_that_died_after_its_drain_drains_no_second_time_and_remembers_one(
    book: Book, slurm: FakeSlurm
) -> None:
    ends = Ends(book, slurm, confirmed())
    ends.act()
    events = ends.events()
    for _ in range(2):  # it died before the book knew, and then once more
        ends = Ends(campaign_book.emptied(book), slurm, confirmed())
        assert ends.act() == ["drained"]
    ends.act()

    assert len(slurm.writes) == 1
    assert ends.events() == events


# What is said


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"detector": "pairs", "loss": 0.074}, "campaign.cpu.flops: n1 is 7 % slow in cpu.flops"),
        ({"detector": "history", "loss": None}, "campaign.cpu.flops: n1 is 0 % slow in cpu.flops"),
        (
            {
                "detector": "limit",
                "expected": 1e-6,
                "text": "cpu.flops is 8 µs, 7.0 times beyond the limit of 1 µs (why)",
            },
            "campaign.cpu.flops: n1 has cpu.flops at 8 us, 7.0 times beyond the limit of 1 us, confirmed",
        ),
        ({"detector": "limit", "metric": "cpu.verify", "value": 3.0, "loss": 3.0}, "n1 found 3 wrong values in cpu"),
        ({"detector": "limit", "metric": "cpu.verify", "value": 1.0, "loss": 1.0}, "n1 found 1 wrong value in cpu"),
        ({"detector": "distribution"}, "n1 varies too much in cpu.flops"),
    ],
)
def test_a_reason_says_what_is_wrong(values: dict[str, Any], words: str) -> None:
    expected = {"expected": 0.0} if values["detector"] == "limit" else {}
    text = reason_text(confirmed(**{**expected, **values}))

    assert words in text
    assert text.endswith(f", confirmed in {ID}")
    assert "%" not in text or "wrong value" not in text


def test_hostile_names_leave_a_reason_printable_and_short() -> None:
    for values in ({"metric": HOSTILE}, {"node": HOSTILE}, {"detector": "limit", "expected": 0.0, "value": 1e300}):
        text = reason_text(confirmed(**values))
        assert text.isascii()
        assert text.isprintable()
        assert len(text) <= MAX_TEXT_BYTES


def test_a_hostile_metric_reaches_slurm_harmless(book: Book, slurm: FakeSlurm) -> None:
    ends = Ends(book, slurm, confirmed(metric=HOSTILE))

    assert ends.act() == ["drained"]
    reason = slurm.nodes["n1"].reason
    assert reason.startswith("nodeproof[")
    assert (reason.isascii(), reason.isprintable(), len(reason) <= 200) == (True, True, True)


def test_a_hostile_node_is_denied_in_printable_words_and_holds_up_no_other(book: Book, slurm: FakeSlurm) -> None:
    ends = Ends(book, slurm, confirmed("n1,n2\x1b[31m" + "x" * 400), confirmed("n3"))

    hostile, other = ends.act()
    assert other == "drained"
    assert hostile.startswith("not drained: ")
    assert hostile.isprintable()
    assert len(hostile) <= 200
    assert slurm.drained() == ["n3"]


# Who is measured again


def follow_up(book: Book, client: Client, said: list[str], confirmations: int = 2) -> FollowUp:
    ledger, plan = Ledger(book, ID), plan_of(Act(confirmations=confirmations))
    return FollowUp(ledger, plan, client, Settings(), said.append)


def test_suspects_are_measured_again_once_and_in_pairs_with_good_nodes_only(book: Book) -> None:
    planted = Planted(
        factors={"n03": {"cpu.flops": 0.8}},
        pair_factors={"n05": 1.3},
        skipped={"n06": "drained"},
        without_result=["n07"],
    )
    shape = Shape(id=ID, nodes=16, pair_rounds=9)
    good = {*campaign_book.names(shape)} - {"n03", "n05", "n06", "n07"}
    campaign_book.fill(book, planted, shape)
    before, said = book.tasks(ID), list[str]()
    with Client(SlurmSettings("http://127.0.0.1:1"), 5.0) as client:
        assert not follow_up(book, client, said, confirmations=0).confirm()
        assert book.tasks(ID) == before
        assert follow_up(book, client, said, confirmations=len(good)).confirm()
        again = book.tasks(ID)[len(before) :]
        assert not follow_up(book, client, said).confirm()  # once is enough

    assert [task.task for task in again] == [len(before) + n for n in range(1, len(again) + 1)]
    assert book.tasks(ID) == [*before, *again]
    assert {task.state for task in again} == {"waiting"}
    pairs = [task for task in again if task.phase == "confirm.pairs"]
    assert sorted(({*task.nodes} - {"n05"}).pop() for task in pairs) == sorted(good)
    alone = [task for task in again if task.phase == "confirm.bench"]
    assert [task.nodes for task in alone] == len(good) * [("n03",)]
    assert said == ["measured again to confirm: n[03,05]"]


def test_where_nobody_stands_out_nothing_is_measured_again(book: Book) -> None:
    campaign_book.fill(book, shape=Shape(id=ID))
    before, said = book.tasks(ID), list[str]()
    with Client(SlurmSettings("http://127.0.0.1:1"), 5.0) as client:
        assert not follow_up(book, client, said).confirm()

    assert (book.tasks(ID), said) == (before, [])


def test_what_is_in_doubt_is_measured_again_and_is_no_finding_meanwhile(book: Book) -> None:
    campaign_book.fill(book, shape=Shape(id=ID, nodes=16))
    before, said = book.tasks(ID), list[str]()
    with Client(SlurmSettings("http://127.0.0.1:1"), 5.0) as client:
        assert follow_up(book, client, said).confirm()

    made = book.tasks(ID)[len(before) :]
    assert ("confirm.repeat", ("n01",)) in {(task.phase, task.nodes) for task in made}
    assert all(task.suite and task.suite != "quick" for task in made)
    assert book.findings(ID) == []
    assert said == [f"measured again to confirm: {folded({task.nodes[0] for task in made})}"]


def test_a_check_of_what_was_measured_is_repeated_where_it_failed(book: Book) -> None:
    campaign_book.fill(book, shape=Shape(id=ID))
    bench = next(task for task in book.tasks(ID) if task.phase == "bench" and task.nodes == ("n02",))
    failed = VerdictRow(ID, bench.task, "n02", "bench", "bench.values", "fail", "1 wrong value")
    again = Result(ID, bench.task, 2, "n02", "2", 3.0)
    assert book.store_result(again, verdicts=[failed]) == "stored"
    before = book.tasks(ID)
    with Client(SlurmSettings("http://127.0.0.1:1"), 5.0) as client:
        assert follow_up(book, client, []).confirm()

    made = book.tasks(ID)[len(before) :]
    assert [(task.phase, task.nodes) for task in made] == [("confirm.bench", ("n02",))] * 2
