"""What is read of a book, against a plain reading of the same samples one by one."""

import math
import random
from collections import defaultdict
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import pytest

from nodeproof_bench.campaign.book import Book
from nodeproof_bench.campaign.book_rows import Campaign, NodeRow, Result, Sample, Task
from nodeproof_bench.campaign.figures import AFTER, Figure, figures, label, read_single
from nodeproof_bench.campaign.phases import CONFIRM

NODES = [f"n{n}" for n in range(6)]
KINDS = {
    "inventory": "inventory",
    "bench": "bench",
    "again": "bench",
    "stress": "stress",
    "repeat": "repeat",
    "pairs": "pairs",
    f"{CONFIRM}bench": "bench",
}
METRICS = {"memory.triad": ("B/s", True), "memory.latency": ("s", False), "cpu.flops": ("flop/s", True)}


@pytest.fixture(scope="module")
def book(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Book]:
    """A book in which nearly everything that may be odd of a sample is so sometimes."""
    directory: Path = tmp_path_factory.mktemp("book")
    source = random.Random(4)
    with Book(f"sqlite:///{directory}/campaigns.db") as opened:
        for name in ("c", "other"):
            tasks = [
                Task(name, number, phase, kind, "", 1, 1, (node, NODES[n - 1]) if kind == "pairs" else (node,))
                for number, (phase, kind, n, node) in enumerate(
                    (phase, kind, n, node) for phase, kind in KINDS.items() for n, node in enumerate(NODES)
                )
            ]
            opened.add_campaign(Campaign(name, name, 1.0), [NodeRow(name, node, "a") for node in NODES], tasks)
            for task in tasks:
                for attempt in (1, 2):
                    result = Result(name, task.task, attempt, task.nodes[0], f"{task.task}.{attempt}", 2.0)
                    opened.store_result(result, list(random_samples(source, task, attempt)))
        yield opened


def random_samples(source: random.Random, task: Task, attempt: int) -> Iterator[Sample]:
    node, *peer = task.nodes
    for repeat in range(source.randrange(5)):
        for metric, (unit, is_higher_better) in METRICS.items():
            value = source.choice([math.nan, math.inf, -math.inf, 0.0, *(source.gauss(1, 0.1) for _ in range(9))])
            sustained = source.choice([None, math.inf, *(source.gauss(1, 0.1) for _ in range(3))])
            if metric == "cpu.flops" and task.phase != "bench":
                sustained = None
            if source.random() < 0.8:
                yield Sample(
                    *(task.campaign_id, task.task, attempt, node, "".join(peer), task.phase, repeat),
                    *(metric, unit, is_higher_better, value, sustained),
                    is_inconclusive=source.random() < 0.3,
                )


def read_plainly(
    samples: Sequence[Sample], nodes: Sequence[str], kinds: dict[str, str]
) -> tuple[list[tuple[str, str, bool]], dict[tuple[str, str], list[float]], dict[tuple[str, str], int]]:
    """Return metrics, values by node and metric, and how many of these were disturbed."""
    metrics = set[tuple[str, str, bool]]()
    values, disturbed = defaultdict[tuple[str, str], list[float]](list), defaultdict[tuple[str, str], int](int)
    for s in samples:
        is_left_out = s.peer or s.node not in nodes or kinds[s.phase] not in AFTER or s.phase.startswith(CONFIRM)
        for is_sustained, value in enumerate((s.value, s.sustained)):
            if is_left_out or value is None or not math.isfinite(value):
                continue
            name = label(s.metric, kinds[s.phase], is_sustained=bool(is_sustained))
            metrics.add((name, s.unit, s.is_higher_better))
            if not s.is_inconclusive:
                values[s.node, name].append(value)
            elif not is_sustained:
                disturbed[s.node, name] += 1
    return sorted(metrics), values, disturbed


def test_the_table_of_a_campaign_has_what_a_plain_reading_finds(book: Book) -> None:
    nodes = [*NODES[:0:-1], "elsewhere"]  # in another order, with one that measured nothing, and n0 not
    table = read_single(book, "c", nodes, book.tasks("c"))
    metrics, values, disturbed = read_plainly(book.samples("c"), nodes, KINDS)

    assert [(m.name, m.unit, m.is_higher_better) for m in table.metrics] == metrics
    assert {"cpu.flops sustained", "memory.triad under stress", "memory.triad after stress"} <= {m[0] for m in metrics}
    assert "cpu.flops sustained after stress" not in {m[0] for m in metrics}
    assert table.values.shape == (len(nodes), len(metrics), max(map(len, values.values())))
    for row, node in enumerate(nodes):
        for column, (name, *_) in enumerate(metrics):
            found = table.values[row, column]
            assert found[~np.isnan(found)].tolist() == values[node, name]
            assert np.isnan(found[len(values[node, name]) :]).all()
            assert table.disturbed[row, column] == disturbed[node, name]


@pytest.mark.parametrize("rows_at_once", [1, 2, 7])
def test_it_does_not_matter_how_many_rows_are_read_at_a_time(
    book: Book, monkeypatch: pytest.MonkeyPatch, rows_at_once: int
) -> None:
    tasks = book.tasks("c")
    usual = read_single(book, "c", NODES, tasks)
    monkeypatch.setattr("nodeproof_bench.campaign.figures._ROWS", rows_at_once)
    table = read_single(book, "c", NODES, tasks)

    assert table.metrics == usual.metrics
    np.testing.assert_array_equal(table.values, usual.values)
    np.testing.assert_array_equal(table.disturbed, usual.disturbed)


@pytest.mark.parametrize("nodes", [[], ["elsewhere"]])
def test_nodes_that_measured_nothing_are_an_empty_table(book: Book, nodes: list[str]) -> None:
    table = read_single(book, "c", nodes, book.tasks("c"))

    assert table.metrics == []
    assert table.values.shape == (len(nodes), 0, 1)
    assert table.disturbed.shape == (len(nodes), 0)


@pytest.mark.parametrize("is_pair", [None, False, True])
def test_figures_are_the_samples_of_the_phases_that_were_asked_for(book: Book, is_pair: bool | None) -> None:
    wanted = {"bench", "pairs"}
    found = figures(book, "c", wanted, is_pair=is_pair)
    samples = [s for s in book.samples("c") if s.phase in wanted and is_pair in (None, bool(s.peer))]

    expected = [Figure(*(getattr(s, name) for name in Figure._fields)) for s in samples]
    assert sorted(map(repr, found)) == sorted(map(repr, expected))  # NaN is like itself in words alone
    assert expected


def test_no_phase_has_no_figures(book: Book) -> None:
    assert list(figures(book, "c", ())) == []
