"""Result files that an operator brings from nodes which could not deliver them."""

import subprocess
import sys
from pathlib import Path

import pytest

from campaign_results import CAMPAIGN, ONE, book_at, result_file
from nodeproof.errors import NodeproofError
from nodeproof_bench.campaign.book import Book
from nodeproof_bench.campaign.collect.by_hand import take

KEPT = f"{CAMPAIGN}.1.1.n1.jsonl"


@pytest.fixture
def database(tmp_path: Path) -> str:
    with book_at(tmp_path) as book:
        return str(book.engine.url)


def kept(directory: Path, content: bytes | None = None, name: str = KEPT) -> str:
    file = directory / name
    file.write_bytes(result_file() if content is None else content)
    return str(file)


def test_a_kept_result_is_in_the_book_once(tmp_path: Path, database: str, capsys: pytest.CaptureFixture[str]) -> None:
    file = kept(tmp_path)

    assert take("last", [file], database) == 0
    assert take(CAMPAIGN, [file], database) == 0

    with Book(database) as book:
        assert [(r.task, r.attempt, r.node, r.problem) for r in book.results(CAMPAIGN)] == [(*ONE[1:], "")]
        assert len(book.samples(CAMPAIGN)) > 0
    assert capsys.readouterr().out == f"{file}: taken\n{file}: was there already\n"


def test_the_name_that_a_spool_has_will_do_as_well(tmp_path: Path, database: str) -> None:
    assert take(CAMPAIGN, [kept(tmp_path, name="1.1.n1.jsonl")], database) == 0


@pytest.mark.parametrize(
    ("name", "content", "why"),
    [
        (KEPT, result_file()[:-20], "a result file was refused: "),
        (f"{CAMPAIGN}.7.1.n1.jsonl", result_file(), "a result file was refused: no such job was ever submitted"),
        (f"{CAMPAIGN}.1.1.n2.jsonl", result_file(), "a result file was refused: no such job was ever submitted"),
    ],
    ids=["cut", "task", "node"],
)
def test_what_a_spool_would_refuse_is_refused_and_the_next_file_taken(
    database: str, name: str, content: bytes, why: str, capsys: pytest.CaptureFixture[str]
) -> None:
    directory = Path(database.removeprefix("sqlite:///")).parent
    refused = kept(directory, content, name)
    whole = directory / "n1"
    whole.mkdir()

    assert take(CAMPAIGN, [refused, kept(whole)], database) == 1

    first, second = capsys.readouterr().out.splitlines()
    assert first.startswith(f"{refused}: refused: {why}")
    assert second == f"{whole / KEPT}: taken"


@pytest.mark.parametrize("name", ["other-1.1.1.n1.jsonl", f"{CAMPAIGN}.1.1.n1.json", "1.n1.jsonl", "notes"])
def test_another_name_is_told_with_the_one_that_was_expected(tmp_path: Path, database: str, name: str) -> None:
    with pytest.raises(NodeproofError, match=rf"{name}: expected the name .*, {CAMPAIGN}\.TASK\.ATTEMPT\.NODE\.jsonl"):
        take(CAMPAIGN, [kept(tmp_path, name=name)], database)


def test_a_file_that_is_not_there_is_told(tmp_path: Path, database: str) -> None:
    with pytest.raises(NodeproofError, match=r"n1\.jsonl: it cannot be read: No such file or directory"):
        take(CAMPAIGN, [str(tmp_path / KEPT)], database)


def test_the_command_ends_with_what_became_of_the_files(tmp_path: Path, database: str) -> None:
    file = kept(tmp_path)
    arguments = [sys.executable, "-I", "-m", "nodeproof", "campaign", "collect", "last", file, "--database", database]

    done = subprocess.run(arguments, capture_output=True, text=True, check=False, timeout=60)

    assert (done.returncode, done.stdout, done.stderr) == (0, f"{file}: taken\n", "")
