"""What a campaign measured, as arrays for the analysis: read as a stream."""

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from itertools import islice
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import select

from nodeproof_bench.analysis.fleet import Metric
from nodeproof_bench.analysis.robust import Floats
from nodeproof_bench.campaign.book import Book
from nodeproof_bench.campaign.book_rows import Task
from nodeproof_bench.campaign.book_samples import REPEAT, repeats_of
from nodeproof_bench.campaign.book_tables import samples
from nodeproof_bench.campaign.phases import CONFIRM

#: Rows that are read at a time, each with all repeats of a metric in a result. The garbage collector looks through all
#: that there is again and again if there are more: it begins at 700 new objects.
_ROWS = 300

#: What is said behind the name of a metric that was measured in a phase of this kind.
AFTER_STRESS = " after stress"
AFTER = {"bench": "", "repeat": AFTER_STRESS, "stress": " under stress"}

#: The same for what was held all the time, as opposed to what can be reached.
SUSTAINED = " sustained"


class Figure(NamedTuple):
    """What is read of a sample."""

    metric: str
    node: str
    peer: str
    phase: str
    task: int
    unit: str
    is_higher_better: bool
    value: float
    sustained: float | None
    is_inconclusive: bool


class Table(NamedTuple):
    """Metrics of single nodes: `values` is node x metric x repeat, `disturbed` node x metric counts what has none."""

    metrics: Sequence[Metric]
    values: Floats
    disturbed: NDArray[np.int64]


def figures(book: Book, campaign_id: str, phases: Collection[str], *, is_pair: bool | None = None) -> Iterator[Figure]:
    """Yield the samples of some phases in any order: those of pairs, of single nodes, or (None) both."""
    shared = ("metric", "node", "peer", "phase", "task", "unit", "is_higher_better")
    for rows in _batches(book, campaign_id, phases, shared, is_pair):
        repeats = repeats_of(b"".join(row[-1] for row in rows))
        for *row, packed in rows:
            for one in islice(repeats, len(packed) // REPEAT.itemsize):
                yield Figure._make((*row, one.value, one.sustained, one.is_inconclusive))


def _batches(
    book: Book, campaign_id: str, phases: Collection[str], shared: Sequence[str], is_pair: bool | None
) -> Iterator[Sequence[Any]]:
    """Yield rows of the table, many at a time: what the repeats of each share, and they themselves, packed."""
    if not phases:
        return
    columns = [samples.c[name] for name in (*shared, "repeats")]
    statement = select(*columns).where(samples.c.campaign_id == campaign_id, samples.c.phase.in_(sorted(phases)))
    if is_pair is not None:
        statement = statement.where(samples.c.peer != "" if is_pair else samples.c.peer == "")
    with book.engine.connect() as database:
        rows: Any = database.execution_options(yield_per=_ROWS).execute(statement)
        yield from rows.partitions()


def label(metric: str, kind: str, *, is_sustained: bool = False) -> str:
    """Return what a metric is called in findings: `memory.triad sustained after stress`."""
    return metric + (SUSTAINED if is_sustained else "") + AFTER[kind]


def read_single(book: Book, campaign_id: str, nodes: Sequence[str], tasks: Iterable[Task]) -> Table:
    """Return what single nodes measured in a campaign of these tasks; not what only confirms findings."""
    kinds = {task.phase: task.kind for task in tasks if task.kind in AFTER and not task.phase.startswith(CONFIRM)}
    growing = _GrowingTable(nodes, kinds)
    for rows in _batches(book, campaign_id, kinds, _GrowingTable.SHARED, is_pair=False):
        growing.add(rows)
    return growing.table()


class _GrowingTable:
    """A table that is filled as rows come. Its columns are numbered in that order, and sorted at the end."""

    #: What is read of a row, beside its repeats.
    SHARED = ("node", "metric", "phase", "unit", "is_higher_better")

    def __init__(self, nodes: Sequence[str], kinds: Mapping[str, str]) -> None:
        self._place = {node: n for n, node in enumerate(nodes)}
        self._kinds = kinds
        self._metrics, self._numbers = list[Metric](), dict[str, int]()
        self._columns = dict[tuple[Any, ...], tuple[int, int]]()
        self._values = np.empty((len(nodes), 0, 1))  # of nodes that were all disturbed, there is still one repeat: none
        self._filled, self._disturbed = np.zeros((2, len(nodes), 0), int)
        self._known = np.zeros(0, int)

    def add(self, rows: Sequence[Any]) -> None:
        """Add rows of `SHARED` and packed repeats. Those of a node that is not in the table are left out."""
        own = [row for row in rows if row[0] in self._place]
        if not own:
            return
        names, *measured, packed = zip(*own, strict=True)
        each = np.fromiter(map(len, packed), int, len(packed)) // REPEAT.itemsize
        node = np.repeat([self._place[name] for name in names], each)
        columns = np.repeat(self._columns_of(list(zip(*measured, strict=True))), each, axis=0)
        repeats = np.frombuffer(b"".join(packed), REPEAT)
        is_calm = ~repeats["is_inconclusive"]
        for column, value in zip(columns.T, (repeats["value"], repeats["sustained"]), strict=True):
            is_known = np.isfinite(value)
            is_value = is_known & is_calm
            self._fill(node[is_value], column[is_value], value[is_value])
            self._known += np.bincount(column[is_known], minlength=len(self._known))
        is_disturbed = np.isfinite(repeats["value"]) & ~is_calm
        np.add.at(self._disturbed, (node[is_disturbed], columns[is_disturbed, 0]), 1)

    def _columns_of(self, measured: Sequence[tuple[Any, ...]]) -> list[tuple[int, int]]:
        """Return the two columns of each row: of what can be reached, and of what is sustained."""
        for key in dict.fromkeys(measured):
            if key not in self._columns:
                self._columns[key] = self._column(*key, is_sustained=False), self._column(*key, is_sustained=True)
        more = len(self._metrics) - len(self._known)
        if more:
            self._values = np.pad(self._values, ((0, 0), (0, more), (0, 0)), constant_values=np.nan)
            self._filled, self._disturbed = (np.pad(a, ((0, 0), (0, more))) for a in (self._filled, self._disturbed))
            self._known = np.pad(self._known, (0, more))
        return [self._columns[key] for key in measured]

    def _column(self, metric: str, phase: str, unit: str, is_higher_better: bool, *, is_sustained: bool) -> int:
        name = label(metric, self._kinds[phase], is_sustained=is_sustained)
        if name not in self._numbers:
            self._numbers[name] = len(self._metrics)
            self._metrics.append(Metric(name, unit, bool(is_higher_better)))
        return self._numbers[name]

    def _fill(self, node: NDArray[np.int64], column: NDArray[np.int64], value: Floats) -> None:
        """Put each value behind those that are in its cell already."""
        repeat = self._filled[node, column] + _ranks(node * len(self._known) + column)
        more = repeat.max(initial=-1) + 1 - self._values.shape[2]
        if more > 0:
            self._values = np.pad(self._values, ((0, 0), (0, 0), (0, more)), constant_values=np.nan)
        self._values[node, column, repeat] = value
        np.add.at(self._filled, (node, column), 1)

    def table(self) -> Table:
        """Return what came: columns by name, without those that nothing is known of."""
        order = sorted(np.flatnonzero(self._known).tolist(), key=lambda n: self._metrics[n].name)
        metrics, number = [self._metrics[n] for n in order], np.array(order, int)
        return Table(metrics, np.take(self._values, number, 1), np.take(self._disturbed, number, 1))


def _ranks(cells: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return for each how many of the same come before it."""
    order = np.argsort(cells, kind="stable")
    ordered, ranks = cells[order], np.arange(len(cells))
    is_first = np.diff(ordered, prepend=-1) != 0
    ranks[order] = ranks - np.maximum.accumulate(np.where(is_first, ranks, 0))
    return ranks
