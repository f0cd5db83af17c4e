"""Samples as CSV and Parquet: what was written is what was measured."""

import csv
import re
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner
from pyarrow import parquet  # type: ignore[import-untyped]  # it ships no types

import campaign_book
from campaign_book import Planted, Shape, change_samples, fill
from nodeproof.errors import NodeproofError
from nodeproof_bench.campaign.book import Book
from nodeproof_bench.campaign.report import cli
from nodeproof_bench.campaign.report.export import COLUMNS, export
from nodeproof_bench.campaign.report.opened import find_campaign, open_book

SMALL = Shape(nodes=3, repeats=2)


def test_csv_has_every_sample_as_it_is_in_the_book(book: Book, tmp_path: Path) -> None:
    id_ = fill(book, shape=SMALL)
    file = tmp_path / "samples.csv"
    count = export(book, id_, "csv", str(file))
    with file.open(newline="") as stream:
        rows = list(csv.DictReader(stream))

    samples = book.samples(id_)
    assert tuple(rows[0]) == COLUMNS
    assert count == len(rows) == len(samples) > 0
    said = {(r["task"], r["node"], r["peer"], r["metric"], r["repeat"]): float(r["value"]) for r in rows}
    assert said == {(str(s.task), s.node, s.peer, s.metric, str(s.repeat)): s.value for s in samples}
    assert {r["hardware_class"] for r in rows} == {"HPC-9000"}
    assert {r["is_inconclusive"] for r in rows} == {"false"}


def test_parquet_has_every_sample_with_its_type(book: Book, tmp_path: Path) -> None:
    id_ = fill(book, shape=SMALL)
    change_samples(book, id_, lambda s: s._replace(sustained=None) if s.metric == "cpu.flops" else s)
    file = tmp_path / "samples.parquet"
    export(book, id_, "parquet", str(file))
    rows = parquet.read_table(file).to_pylist()

    samples = book.samples(id_)
    kept = [tuple(row[name] for name in COLUMNS[:-1]) for row in rows]
    assert sorted(kept, key=str) == sorted(map(tuple, samples), key=str)
    assert {row["sustained"] is None for row in rows if row["metric"] == "cpu.flops"} == {True}


def test_only_the_campaign_that_was_asked_for_is_written(book: Book, tmp_path: Path) -> None:
    first = fill(book, shape=SMALL._replace(id="aaaa"))
    fill(book, shape=SMALL._replace(id="bbbb", repeats=3))

    assert export(book, first, "csv", str(tmp_path / "a.csv")) == len(book.samples(first))


def test_a_name_that_a_spreadsheet_would_run_is_text_in_csv(book: Book, tmp_path: Path) -> None:
    id_ = fill(book, shape=SMALL)
    change_samples(book, id_, lambda s: s._replace(reason="=HYPERLINK(1)"))
    file = tmp_path / "samples.csv"
    export(book, id_, "csv", str(file))

    with file.open(newline="") as stream:
        assert {row["reason"] for row in csv.DictReader(stream)} == {"'=HYPERLINK(1)"}


def test_without_pyarrow_the_error_names_what_to_install(
    book: Book, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    id_ = fill(book, shape=SMALL)

    with pytest.raises(NodeproofError, match=r"install nodeproof\[parquet\]"):
        export(book, id_, "parquet", str(tmp_path / "x.parquet"))
    assert not list(tmp_path.glob("*parquet*"))


def test_a_directory_that_is_not_there_is_one_clear_error(book: Book, tmp_path: Path) -> None:
    id_ = fill(book, shape=SMALL)

    with pytest.raises(NodeproofError, match="cannot write: No such file or directory"):
        export(book, id_, "csv", str(tmp_path / "nowhere/x.csv"))


# the commands


def test_export_says_what_it_wrote(book: Book, tmp_path: Path) -> None:
    id_ = fill(book, shape=SMALL)
    file = tmp_path / "out.csv"
    done = CliRunner().invoke(cli.export, ["last", "--output", str(file), "--database", book.place])

    assert done.exit_code == 0, done.output
    assert done.output == f"{len(book.samples(id_))} samples of rack-12 ({id_}): {file}\n"


def test_report_writes_both_files_for_the_group_and_says_where(book: Book, tmp_path: Path) -> None:
    fill(book, Planted(failed_checks={"n02": ("memory.dimms", "15 modules, expected 16")}))
    page, document = tmp_path / "report.html", tmp_path / "report.json"
    argv = ["c0ffee", "--html", str(page), "--json", str(document), "--database", book.place]
    done = CliRunner().invoke(cli.report, argv)

    assert done.exit_code == 0, done.output
    assert re.search(r"n02 +suspect +memory.dimms: 15 modules, expected 16", done.output)
    assert f"The whole report: {page}" in done.output
    assert page.read_text().startswith("<!DOCTYPE html>")
    assert '"schema": "nodeproof.campaign-report/1"' in document.read_text()
    assert {oct(file.stat().st_mode & 0o777) for file in (page, document)} == {"0o640"}


def test_a_campaign_is_found_by_id_by_its_beginning_and_as_the_last(book: Book) -> None:
    for n, id_ in enumerate(("abc1", "abd2", "abd22")):
        fill(book, shape=SMALL._replace(id=id_, began=campaign_book.BEGAN + n))

    assert [find_campaign(book, word).id for word in ("abc", "abd2", "last")] == ["abc1", "abd2", "abd22"]
    with pytest.raises(NodeproofError, match="beginning of several: abd2, abd22"):
        find_campaign(book, "abd")
    with pytest.raises(NodeproofError, match="no campaign 'x': there is abd22, abd2, abc1"):
        find_campaign(book, "x")


def test_reading_makes_no_book_where_there_is_none(tmp_path: Path) -> None:
    with pytest.raises(NodeproofError, match=r"campaigns.db: no such book of campaigns"):
        open_book(f"sqlite:///{tmp_path}/campaigns.db")
    assert not list(tmp_path.iterdir())
