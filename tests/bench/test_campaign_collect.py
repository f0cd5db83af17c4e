"""Result files into the book: what is whole is taken once, what is not is refused aloud."""

import json
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from campaign_results import CAMPAIGN, ONE, bench_line, book_at, head, result_file
from fake_bench import run as bench_run
from nodeproof_bench.campaign.book import Book
from nodeproof_bench.campaign.collect import files
from nodeproof_bench.campaign.collect.files import ResultError, read, written
from nodeproof_bench.campaign.collect.spool import Spool, Taken
from nodeproof_bench.campaign.order import Key


@pytest.fixture
def book(tmp_path: Path) -> Iterator[Book]:
    with book_at(tmp_path) as opened:
        yield opened


@pytest.fixture
def spool(tmp_path: Path) -> Spool:
    made = Spool(str(tmp_path / "spool"), CAMPAIGN)
    made.prepare()
    return made


def put(spool: Spool, content: bytes, name: str = "1.1.n1.jsonl") -> Path:
    file = Path(spool.directory, name)
    file.write_bytes(content)
    return file


def fresh(spool: Spool) -> Spool:
    """Return the spool as a controller sees it that was started anew."""
    return Spool(os.path.dirname(spool.directory), CAMPAIGN)


# Files


def test_a_file_says_what_was_written() -> None:
    content = written(head(), [bench_line(), {"kind": "problem", "text": "x"}], 1.8e9 + 60)
    found = read(ONE, "bench", content)

    assert found.ended_at == 1.8e9 + 60
    assert [line["kind"] for line in found.lines] == ["bench", "problem"]
    assert found.lines[0] == bench_line()


def test_a_file_that_is_cut_anywhere_is_refused() -> None:
    content = result_file({"kind": "problem", "text": "x"})
    for size in [*range(0, len(content), 97), len(content) - 2, len(content) - 1]:
        with pytest.raises(ResultError):
            read(ONE, "bench", content[:size])


def test_a_file_of_which_any_bit_is_flipped_is_refused() -> None:
    content = result_file({"kind": "problem", "text": "x"})
    body = content.rindex(b'{"kind":"end"')
    for at in range(0, body, 31):
        flipped = bytes([*content[:at], content[at] ^ 4, *content[at + 1 :]])
        with pytest.raises(ResultError):
            read(ONE, "bench", flipped)


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"", "cut short"),
        (b"\n" * 5000, "expected 2 to"),
        (b"x\n" * 3, "expected JSON"),
        (b"\xff\n" * 3, "expected JSON"),
        (b"[1]\n" * 3, "expected a JSON object"),
        (result_file(node="n2"), "node is 'n2', expected 'n1'"),
        (result_file(task=True), "task is True, expected 1"),
        (result_file(campaign="other"), "campaign is 'other'"),
        (result_file(phase="stress"), "phase is 'stress', expected 'bench'"),
        (result_file(schema="nodeproof.campaign-result/2"), "schema"),
        (result_file(more=1), "expected a head"),
        (result_file(began_at="now"), "began_at is 'now'"),
        (result_file(began_at=-1), "began_at is -1"),
        (result_file(host="a\nb"), "host is"),
        (result_file({"kind": "shell"}), "kind is 'shell', expected one of bench, check"),
        (result_file({"kind": ["bench"]}), "kind is ['bench']"),
    ],
)
def test_a_file_of_another_kind_is_refused(content: bytes, says: str) -> None:
    with pytest.raises(ResultError) as raised:
        read(ONE, "bench", content)

    assert says in str(raised.value)


# The spool


def test_a_result_is_stored_with_its_samples(book: Book, spool: Spool) -> None:
    put(spool, result_file(bench_line(5e10), bench_line(6e10, repeat=2)))

    assert spool.collect(book) == [Taken(ONE, "stored")]
    samples = book.samples(CAMPAIGN)
    assert [(s.metric, s.repeat, s.value, s.node, s.peer) for s in samples] == [
        ("memory.triad --node 0", 1, 5e10, "n1", ""),
        ("memory.triad --node 0", 2, 6e10, "n1", ""),
    ]
    [result] = book.results(CAMPAIGN)
    assert (result.began_at, result.ended_at, result.problem) == (1.8e9, 1.8e9 + 60, "")


def test_what_was_seen_is_not_read_again_and_a_restart_changes_nothing(book: Book, spool: Spool) -> None:
    put(spool, result_file())
    spool.collect(book)
    before = (book.results(CAMPAIGN), book.samples(CAMPAIGN))

    assert spool.collect(book) == []
    assert fresh(spool).collect(book) == [Taken(ONE, "same")]
    assert (book.results(CAMPAIGN), book.samples(CAMPAIGN)) == before


def test_a_different_second_copy_is_refused_and_noted(book: Book, spool: Spool) -> None:
    put(spool, result_file(bench_line(5e10)))
    spool.collect(book)
    put(spool, result_file(bench_line(9e10)))

    assert [taken.outcome for taken in spool.collect(book)] == ["other"]
    assert [s.value for s in book.samples(CAMPAIGN)] == [5e10]
    assert "another file with other content" in book.results(CAMPAIGN)[0].problem


@pytest.mark.parametrize(
    ("name", "content", "says"),
    [
        ("1.1.n1.jsonl", result_file()[:-9], "cut short"),
        ("1.1.n1.jsonl", result_file().replace(b"5e", b"6e").replace(b"50000000000", b"60000000000"), "checksum"),
        ("1.1.n1.jsonl", result_file(key=Key(CAMPAIGN, 1, 1, "n2")), "node is 'n2'"),
        ("1.1.n2.jsonl", result_file(key=Key(CAMPAIGN, 1, 1, "n2")), "no such job"),
        ("1.2.n1.jsonl", result_file(key=Key(CAMPAIGN, 1, 2, "n1")), "no such job"),
        ("9.1.n1.jsonl", result_file(key=Key(CAMPAIGN, 9, 1, "n1")), "no such job"),
        ("2.1.n1.jsonl", result_file(key=Key(CAMPAIGN, 2, 1, "n1")), "phase is 'bench', expected 'pairs'"),
    ],
)
def test_what_cannot_be_believed_is_a_problem_in_the_book(
    book: Book, spool: Spool, name: str, content: bytes, says: str
) -> None:
    put(spool, content, name)
    [taken] = spool.collect(book)

    assert taken.outcome == "refused"
    assert book.samples(CAMPAIGN) == []
    [result] = book.results(CAMPAIGN)
    assert result.sha256 == ""
    assert says in result.problem


def test_a_whole_file_takes_the_place_of_one_that_was_cut_short(book: Book, spool: Spool) -> None:
    put(spool, result_file()[:-9])
    spool.collect(book)
    put(spool, result_file())

    assert [taken.outcome for taken in spool.collect(book)] == ["stored"]
    assert book.results(CAMPAIGN)[0].problem == ""


def test_files_of_others_links_and_unfinished_ones_are_left_alone(book: Book, spool: Spool, tmp_path: Path) -> None:
    (tmp_path / "elsewhere").write_bytes(result_file())
    for name in (".1.1.n1.jsonl.77", "notes.txt", "x.jsonl", "1.1.jsonl"):
        put(spool, result_file(), name)
    Path(spool.directory, "1.1.n1.jsonl").symlink_to(tmp_path / "elsewhere")

    assert [(taken.outcome, "cannot be read" in taken.problem) for taken in spool.collect(book)] == [("refused", True)]
    assert len(book.results(CAMPAIGN)) == 1
    assert book.results(CAMPAIGN)[0].sha256 == ""


def test_a_file_that_is_too_large_is_refused_unread(book: Book, spool: Spool) -> None:
    with put(spool, b"").open("wb") as stream:
        stream.truncate(files.MOST_BYTES + 1)  # a hole: takes no room

    [taken] = spool.collect(book)
    assert "expected at most" in taken.problem


# What is in a file


def test_facts_verdicts_and_events_come_into_the_book(book: Book, spool: Spool) -> None:
    results = [
        {"id": "cpu.smt", "status": "fail", "summary": "SMT is on"},
        {"id": "x", "status": "fine", "summary": ""},
    ]
    events = [
        {"at": 1.7e9, "kind": "xid", "detail": "gpu:0: XID 79"},
        {"at": "now", "kind": "xid", "detail": ""},
        {"at": 1.7e9, "kind": "party", "detail": ""},
    ]
    put(
        spool,
        result_file(
            {"kind": "facts", "facts": {"hardware.class": "A CPU", "cpu.model": "A\x1b[2J", "n": 1, "": "x"}},
            {"kind": "check", "report": {"results": results}},
            {"kind": "history", "events": events},
            {"kind": "problem", "text": "the disk is full"},
        ),
    )
    [taken] = spool.collect(book)

    assert {f.key: f.value for f in book.facts(CAMPAIGN)} == {"hardware.class": "A CPU", "cpu.model": "A?[2J"}
    assert [n.hardware_class for n in book.nodes(CAMPAIGN)] == ["A CPU", None]
    assert [(v.check_id, v.status, v.summary) for v in book.verdicts(CAMPAIGN)] == [("cpu.smt", "fail", "SMT is on")]
    assert [(e.node, e.at, e.kind) for e in book.node_events()] == [("n1", 1.7e9, "xid")]
    for part in ("the disk is full", "a verdict cannot be used", "an event cannot be used"):
        assert part in taken.problem


@pytest.mark.parametrize(
    "line",
    [
        {"kind": "bench", "repeat": 1, "document": {}},
        {"kind": "bench", "repeat": "1", "document": bench_run()},
        {"kind": "bench", "repeat": 10**9, "document": bench_run()},
        {"kind": "bench"},
        {"kind": "facts", "facts": []},
        {"kind": "check", "report": {"results": {}}},
        {"kind": "history", "events": None},
    ],
)
def test_nonsense_costs_only_its_own_line(book: Book, spool: Spool, line: dict[str, object]) -> None:
    put(spool, result_file(json.loads(json.dumps(line)), bench_line()))
    [taken] = spool.collect(book)

    assert taken.outcome == "stored"
    assert "cannot be used" in taken.problem
    assert len(book.samples(CAMPAIGN)) == 1


def test_a_benchmark_that_crashed_is_a_problem_and_one_that_is_absent_is_none(book: Book, spool: Spool) -> None:
    failures = tuple(
        {"name": name, "args": [], "kind": kind, "reason": "because"}
        for name, kind in (("cpu.flops", "crashed"), ("rdma.latency", "absent"))
    )
    put(spool, result_file({"kind": "bench", "repeat": 1, "document": bench_run(failures=failures)}))

    assert spool.collect(book)[0].problem == "cpu.flops: crashed: because"
