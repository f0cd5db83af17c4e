"""The book of campaigns: nothing is lost, nothing is there twice, and nobody else can read it."""

import math
import os
import stat
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import update

from nodeproof.errors import PolicyError
from nodeproof_bench.campaign import book_tables as tables
from nodeproof_bench.campaign.book import Book, BookError
from nodeproof_bench.campaign.book_rows import (
    Campaign,
    FactRow,
    FindingRow,
    Job,
    NodeEvent,
    NodeRow,
    Result,
    Sample,
    Task,
)
from nodeproof_bench.campaign.figures import figures
from nodeproof_bench.campaign.lock import only_controller

CAMPAIGN = Campaign("c1", "rack", 1000.0, cluster="here")
TASK = Task("c1", 1, "pairs", "pairs", "net.latency", 1, 1, ("n1", "n2"), "within a")
JOBS = [Job("c1", 1, 1, node, f"np-c1-1-1-{node}", submitted_at=1001.0) for node in ("n1", "n2")]
RESULT = Result("c1", 1, 1, "n1", "ab", 1010.0, 1002.0, 1009.0)
SAMPLE = Sample("c1", 1, 1, "n1", "n2", "pairs", 1, "net.latency 1 B", "s", False, 1e-6, stability=0.1)


def url_of(tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path}/book/campaigns.db"


@pytest.fixture
def book(tmp_path: Path) -> Iterator[Book]:
    with Book(url_of(tmp_path)) as opened:
        opened.add_campaign(CAMPAIGN, [NodeRow("c1", "n1", partitions=("a", "b")), NodeRow("c1", "n2")], [TASK])
        yield opened


def test_what_is_written_is_read_after_a_restart(book: Book, tmp_path: Path) -> None:
    book.begin_attempt(TASK._replace(state="submitting", attempts=1), JOBS)
    book.close()

    with Book(url_of(tmp_path)) as again:
        assert again.campaigns() == [CAMPAIGN]
        assert again.nodes("c1")[0].partitions == ("a", "b")
        assert again.tasks("c1") == [TASK._replace(state="submitting", attempts=1)]
        assert again.jobs("c1") == JOBS


def test_only_its_owner_reads_the_book(book: Book, tmp_path: Path) -> None:
    del book
    directory = tmp_path / "book"

    assert stat.S_IMODE(directory.stat().st_mode) == 0o700
    assert {stat.S_IMODE(file.stat().st_mode) for file in directory.iterdir()} == {0o600}


def test_a_book_in_a_directory_that_others_may_write_is_refused(tmp_path: Path) -> None:
    (tmp_path / "book").mkdir()
    (tmp_path / "book").chmod(0o777)

    with pytest.raises(PolicyError, match="writable by its owner alone"):
        Book(url_of(tmp_path))


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("sqlite:///campaigns.db", "expected an absolute path"),
        ("mysql://x/y", "expected sqlite or postgresql"),
        ("nonsense", "expected sqlite:////absolute/file.db"),
    ],
)
def test_a_url_that_is_none_is_told(url: str, said: str) -> None:
    with pytest.raises(BookError, match=said):
        Book(url)


def test_a_password_is_in_no_message() -> None:
    with pytest.raises(BookError) as raised:
        Book("postgresql+psycopg://user:secret@127.0.0.1:9/x?connect_timeout=1")

    assert "secret" not in str(raised.value)


@pytest.mark.parametrize(
    ("version", "said"),
    [
        ("99", f"its schema is 99, this nodeproof knows {tables.VERSION}: use a newer nodeproof"),
        (
            "1",
            f"its schema is 1, this nodeproof knows {tables.VERSION}: use the older nodeproof that made it, or begin",
        ),
    ],
)
def test_a_book_of_another_version_is_left_alone(book: Book, tmp_path: Path, version: str, said: str) -> None:
    with book.engine.begin() as database:
        database.execute(update(tables.meta).values(value=version))

    with pytest.raises(BookError, match=said):
        Book(url_of(tmp_path))


def test_samples_come_back_as_they_were_repeat_by_repeat(book: Book) -> None:
    made = [
        SAMPLE._replace(repeat=repeat, value=value, sustained=sustained, is_inconclusive=bool(why), reason=why)
        for repeat, value, sustained, why in [
            (1, 0.1 + 0.2, None, ""),
            (2, 5e-324, 1e308, "steal"),
            (3, math.inf, 0.0, ""),
        ]
    ]
    other = SAMPLE._replace(metric="net.bandwidth", is_higher_better=True, stability=None, reason="straße \u2028")
    book.store_result(RESULT, [made[0], other, *made[1:]])

    assert book.samples("c1") == [*made, other]


def test_a_file_that_is_no_book_is_told(tmp_path: Path) -> None:
    (tmp_path / "book").mkdir(mode=0o700)
    file = tmp_path / "book" / "campaigns.db"
    file.write_text("no database at all, but rather long" * 50)
    file.chmod(0o600)

    with pytest.raises(BookError, match="not a database"):
        Book(url_of(tmp_path))


def test_no_attempt_begins_in_a_campaign_that_was_cancelled(book: Book) -> None:
    book.end_campaign("c1", "cancelled", 1.0)

    assert not book.begin_attempt(TASK._replace(state="submitting", attempts=1), JOBS)
    assert book.jobs("c1") == []
    assert book.tasks("c1") == [TASK]


def test_a_campaign_that_was_cancelled_stays_so(book: Book) -> None:
    book.end_campaign("c1", "cancelled", 5.0)
    book.end_campaign("c1", "stopped", None)

    assert book.campaign("c1").state == "cancelled"


def test_no_two_jobs_have_one_name(book: Book) -> None:
    task = TASK._replace(state="submitting", attempts=1)
    book.begin_attempt(task, JOBS)

    with pytest.raises(BookError, match="is there already"):
        book.begin_attempt(task, JOBS[:1])
    assert len(book.jobs("c1")) == 2


def test_the_same_result_changes_nothing(book: Book) -> None:
    assert book.store_result(RESULT, [SAMPLE]) == "stored"
    assert book.store_result(RESULT._replace(received_at=2000.0), [SAMPLE]) == "same"

    assert book.results("c1") == [RESULT]
    assert book.samples("c1") == [SAMPLE]


def test_another_result_of_the_same_job_is_refused_and_noted(book: Book) -> None:
    book.store_result(RESULT, [SAMPLE])

    assert book.store_result(RESULT._replace(sha256="cd"), [SAMPLE._replace(value=9.0)]) == "other"
    (kept,) = book.results("c1")
    assert (kept.sha256, "other content" in kept.problem) == ("ab", True)
    assert book.samples("c1") == [SAMPLE]


def test_a_whole_result_takes_the_place_of_one_that_was_refused(book: Book) -> None:
    refused = RESULT._replace(sha256="", problem="truncated")
    assert book.store_result(refused) == "stored"
    assert book.store_result(refused) == "same"
    assert book.store_result(RESULT, [SAMPLE]) == "stored"

    assert book.results("c1") == [RESULT]


def test_a_second_attempt_replaces_the_facts_of_the_first(book: Book) -> None:
    book.store_result(RESULT, facts=[FactRow("c1", "n1", "p", "a", "1"), FactRow("c1", "n1", "p", "b", "2")])
    book.store_result(RESULT._replace(attempt=2), facts=[FactRow("c1", "n1", "p", "a", "3")])

    assert [(fact.key, fact.value) for fact in book.facts("c1")] == [("a", "3")]


def test_what_happened_to_a_node_is_remembered_once(book: Book) -> None:
    event = NodeEvent("n1", 5.0, "drain", "why", "c1")
    book.add_events([event, event])
    book.add_events([event])

    assert book.node_events() == [event]
    assert book.node_events(since=6.0) == []


def test_findings_are_replaced_as_a_whole(book: Book) -> None:
    book.set_findings("c1", [FindingRow("c1", "n1", "", "m", "class"), FindingRow("c1", "n2", "", "m", "class")])
    book.set_findings("c1", [FindingRow("c1", "n1", "", "m", "class", state="confirmed")])

    assert [(f.node, f.state) for f in book.findings("c1")] == [("n1", "confirmed")]


def test_a_campaign_has_one_controller(book: Book, tmp_path: Path) -> None:
    with only_controller(book, "c1"), Book(url_of(tmp_path)) as other:
        with pytest.raises(BookError, match="another controller is at work"), only_controller(other, "c1"):
            pass
        with only_controller(other, "c2"):
            pass
    with only_controller(book, "c1"):
        pass


def test_the_lock_of_a_controller_that_was_killed_is_free(book: Book, tmp_path: Path) -> None:
    program = (
        "import os, signal, sys\n"
        "from nodeproof_bench.campaign.book import Book\n"
        "from nodeproof_bench.campaign.lock import only_controller\n"
        "with Book(sys.argv[1]) as book, only_controller(book, 'c1'):\n"
        "    os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    done = subprocess.run([sys.executable, "-c", program, url_of(tmp_path)], check=False)

    assert done.returncode == -9
    with only_controller(book, "c1"):
        pass


def test_reading_goes_on_while_another_process_writes(book: Book, tmp_path: Path) -> None:
    with book.engine.execution_options(nodeproof_writes=True).begin() as writer:
        writer.execute(update(tables.campaigns).values(name="other"))
        with Book(url_of(tmp_path)) as reader:
            assert reader.campaigns()[0].name == "rack"
    assert book.campaigns()[0].name == "other"


@pytest.mark.skipif(
    "NODEPROOF_POSTGRESQL" not in os.environ, reason="needs a PostgreSQL: its URL in NODEPROOF_POSTGRESQL"
)
def test_the_same_schema_works_on_postgresql() -> None:
    with Book(os.environ["NODEPROOF_POSTGRESQL"]) as book:
        name = f"c{os.getpid()}"
        book.add_campaign(CAMPAIGN._replace(id=name), [NodeRow(name, "n1")], [TASK._replace(campaign_id=name)])
        result = RESULT._replace(campaign_id=name)
        assert book.store_result(result, [SAMPLE._replace(campaign_id=name)]) == "stored"
        assert book.store_result(result) == "same"
        assert book.samples(name) == [SAMPLE._replace(campaign_id=name)]
        assert [f.value for f in figures(book, name, {"pairs"}, is_pair=True)] == [SAMPLE.value]
        other = Book(os.environ["NODEPROOF_POSTGRESQL"])
        taken = pytest.raises(BookError, match="another controller")
        with only_controller(book, name), other, taken, only_controller(other, name):
            pass
