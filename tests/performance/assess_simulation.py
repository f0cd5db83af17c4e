"""How long judging a large campaign takes, from its book to its findings: seconds and memory.

    PYTHONPATH=tests .venv/bin/python tests/performance/assess_simulation.py --nodes 10000

Every node has 60 metrics in 5 repeats; one node in a thousand is 10 % slow in one of them. `--database` takes the
URL of an empty PostgreSQL database, in the place of a SQLite file in a temporary directory.
"""

import argparse
import resource
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from sqlalchemy import insert

from nodeproof_bench.campaign import book_tables as tables
from nodeproof_bench.campaign.assess import assess
from nodeproof_bench.campaign.book import Book
from nodeproof_bench.campaign.book_rows import Campaign, FactRow, NodeRow, Sample, Task, VerdictRow
from nodeproof_bench.campaign.book_samples import packed

METRICS, REPEATS, CHECKS = 60, 5, 100
_PARTS = ("memory", "cpu", "disk", "net", "numa")

#: One node in so many is slow.
_SLOW = 1000

#: Nodes whose rows are in memory at a time.
_CHUNK = 100


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--nodes", type=int, default=10_000)
    parser.add_argument("--database", help="URL of an empty database")
    arguments = parser.parse_args()
    nodes = [f"n{n:05d}" for n in range(arguments.nodes)]
    with (
        tempfile.TemporaryDirectory(prefix="nodeproof-assess-") as directory,
        Book(arguments.database or f"sqlite:///{directory}/campaigns.db") as book,
    ):
        began = time.monotonic()
        _fill(book, nodes)
        size = sum(file.stat().st_size for file in Path(directory).iterdir())
        print(f"{len(nodes)} nodes, {METRICS} metrics, {REPEATS} repeats, {CHECKS} verdicts a node")
        print(f"book filled in {time.monotonic() - began:.1f} s" + (f", {size / 1e6:.0f} MB" if size else ""))
        before_mib = _peak_mib()
        began, cpu = time.monotonic(), time.process_time()
        assess(book, "c")
        print(f"assessed in {time.monotonic() - began:.1f} s, {time.process_time() - cpu:.1f} s of CPU")
        print(f"peak memory {_peak_mib():.0f} MiB ({before_mib:.0f} MiB before)")
        slow = set(nodes[::_SLOW])
        found = {finding.node for finding in book.findings("c") if finding.detector != "check"}
        print(f"slow nodes found: {len(slow & found)} of {len(slow)}, others: {len(found - slow)}")


def _peak_mib() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def _fill(book: Book, nodes: list[str]) -> None:
    tasks = [Task("c", n, "bench", "bench", "quick", 1, 1, (node,)) for n, node in enumerate(nodes, 1)]
    book.add_campaign(Campaign("c", "c", 1.0), [NodeRow("c", node, "a") for node in nodes], tasks)
    for start in range(0, len(nodes), _CHUNK):
        some = nodes[start : start + _CHUNK]
        verdicts = [
            VerdictRow("c", n, node, "bench", f"check.{c}", "fail" if c == n % _SLOW == 7 else "ok", "as it should be")
            for n, node in enumerate(some, start + 1)
            for c in range(CHECKS)
        ]
        facts = [FactRow("c", node, "inventory", f"fact.{n}", "value") for node in some for n in range(CHECKS)]
        with book.engine.begin() as database:
            database.execute(insert(tables.samples), [row._asdict() for row in packed(_samples(some, start))])
            database.execute(insert(tables.verdicts), [row._asdict() for row in verdicts])
            database.execute(insert(tables.facts), [row._asdict() for row in facts])


def _samples(nodes: list[str], start: int) -> Iterator[Sample]:
    source = np.random.default_rng(start)
    own = source.normal(0, 0.005, (len(nodes), METRICS, 1))
    values = 1e9 * np.exp(own + source.normal(0, 0.004, (len(nodes), METRICS, REPEATS)))
    for row, node in enumerate(nodes):
        if (start + row) % _SLOW == 0:
            values[row, 3] *= 0.9
        for metric in range(METRICS):
            for repeat in range(REPEATS):
                value = float(values[row, metric, repeat])
                name = f"{_PARTS[metric % len(_PARTS)]}.figure {metric}"
                shared = ("c", start + row + 1, 1, node, "", "bench", repeat, name, "B/s", True)
                yield Sample(*shared, value, 0.98 * value, 0.9)


if __name__ == "__main__":
    main()
