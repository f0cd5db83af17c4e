"""All samples of a campaign as a table for other programs: CSV, or Parquet through pyarrow."""

import contextlib
import csv
import os
from collections.abc import Iterator
from typing import Any

from sqlalchemy import select

from nodeproof.errors import NodeproofError
from nodeproof.verdict import harmless
from nodeproof_bench.campaign.book import Book
from nodeproof_bench.campaign.book_rows import Sample
from nodeproof_bench.campaign.book_samples import SampleRow, unpacked
from nodeproof_bench.campaign.book_tables import nodes, samples

FORMATS = ("csv", "parquet")

#: Rows of the book that are in memory at a time, and whose samples are in one group of a Parquet file.
_ROWS = 10_000

#: Columns: those of a sample, and the class of its node.
COLUMNS = (*Sample._fields, "hardware_class")

_FILE_MODE = 0o640


def export(book: Book, campaign_id: str, form: str, output: str) -> int:
    """Write all samples in one step, and return how many there are. Raises NodeproofError."""
    part = os.path.join(os.path.dirname(output), f".{os.path.basename(output)}.{os.getpid()}")
    write = _write_parquet if form == "parquet" else _write_csv
    try:
        try:
            os.close(os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, _FILE_MODE))
            count = write(_batches(book, campaign_id), part)
            os.replace(part, output)
        finally:
            with contextlib.suppress(FileNotFoundError):
                os.unlink(part)
    except OSError as error:
        raise NodeproofError(f"{harmless(output, 300)}: cannot write: {error.strerror or error}") from error
    return count


def _batches(book: Book, campaign_id: str) -> Iterator[list[tuple[Any, ...]]]:
    """Yield samples in the order in which they were planned, each with the class of its node."""
    own = samples.join(
        nodes, (samples.c.campaign_id == nodes.c.campaign_id) & (samples.c.node == nodes.c.node), isouter=True
    )
    order = [samples.c[name] for name in ("task", "attempt", "node", "peer", "metric")]
    statement = select(*(samples.c[name] for name in SampleRow._fields), nodes.c.hardware_class).select_from(own)
    statement = statement.where(samples.c.campaign_id == campaign_id).order_by(*order)
    with book.engine.connect() as database:
        rows: Any = database.execution_options(yield_per=_ROWS).execute(statement)
        for batch in rows.partitions():
            yield [(*sample, hardware_class) for *row, hardware_class in batch for sample in unpacked(row)]


def _write_csv(batches: Iterator[list[tuple[Any, ...]]], path: str) -> int:
    """Write RFC 4180, times and values in SI units, what is not known empty.

    A text that a spreadsheet would take for a formula gets an apostrophe in front: names come from the nodes.
    """
    count = 0
    with open(path, "w", encoding="utf-8", newline="") as stream:
        writer = csv.writer(stream)
        writer.writerow(COLUMNS)
        for batch in batches:
            writer.writerows([[_plain(value) for value in row] for row in batch])
            count += len(batch)
    return count


def _plain(value: object) -> object:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, str) and value[:1] in tuple("=+-@\t\r"):
        return f"'{value}"
    return value


def _write_parquet(batches: Iterator[list[tuple[Any, ...]]], path: str) -> int:
    try:
        import pyarrow as pa  # type: ignore[import-untyped]  # it ships no types
        from pyarrow import parquet
    except ImportError as error:
        raise NodeproofError(f"Parquet needs pyarrow: install nodeproof[parquet] ({error})") from error
    kinds = {
        **dict.fromkeys(COLUMNS, pa.string()),
        **dict.fromkeys(("task", "attempt", "repeat"), pa.int64()),
        **dict.fromkeys(("value", "sustained", "stability"), pa.float64()),
        **dict.fromkeys(("is_higher_better", "is_inconclusive"), pa.bool_()),
    }
    schema, count = pa.schema(list(kinds.items())), 0
    with parquet.ParquetWriter(path, schema, compression="zstd") as writer:
        for batch in batches:
            columns = [pa.array(c, kind) for c, kind in zip(zip(*batch, strict=True), kinds.values(), strict=True)]
            writer.write_table(pa.table(columns, schema=schema))
            count += len(batch)
    return count
