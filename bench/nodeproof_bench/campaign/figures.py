"""What a campaign measured, as arrays for the analysis: read as a stream."""

from array import array
from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Sequence
from math import isfinite
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import select

from nodeproof_bench.analysis.fleet import Metric
from nodeproof_bench.analysis.robust import Floats
from nodeproof_bench.campaign.book import Book
from nodeproof_bench.campaign.book_rows import Task
from nodeproof_bench.campaign.book_tables import samples
from nodeproof_bench.campaign.phases import CONFIRM

#: Rows that are in memory at a time.
_ROWS = 10_000

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


class _Column:
    """Values of one metric, as they come."""

    def __init__(self) -> None:
        self.node, self.repeat, self.value = array("q"), array("q"), array("d")
        self.repeats, self.disturbed = defaultdict[int, int](int), defaultdict[int, int](int)

    def add(self, node: int, value: float) -> None:
        self.node.append(node)
        self.repeat.append(self.repeats[node])
        self.value.append(value)
        self.repeats[node] += 1


def figures(book: Book, campaign_id: str, phases: Collection[str], *, is_pair: bool | None = None) -> Iterator[Figure]:
    """Yield the samples of some phases in any order: those of pairs, of single nodes, or (None) both."""
    columns = [samples.c[name] for name in Figure._fields]
    statement = select(*columns).where(samples.c.campaign_id == campaign_id, samples.c.phase.in_(sorted(phases)))
    if is_pair is not None:
        statement = statement.where(samples.c.peer != "" if is_pair else samples.c.peer == "")
    with book.engine.connect() as database:
        rows: Any = database.execution_options(yield_per=_ROWS).execute(statement)
        yield from map(Figure._make, rows)


def label(metric: str, kind: str, *, is_sustained: bool = False) -> str:
    """Return what a metric is called in findings: `memory.triad sustained after stress`."""
    return metric + (SUSTAINED if is_sustained else "") + AFTER[kind]


def read_single(book: Book, campaign_id: str, nodes: Sequence[str], tasks: Iterable[Task]) -> Table:
    """Return what single nodes measured in a campaign of these tasks; not what only confirms findings."""
    place = {node: n for n, node in enumerate(nodes)}
    kinds = {task.phase: task.kind for task in tasks if task.kind in AFTER and not task.phase.startswith(CONFIRM)}
    columns, metrics = dict[str, _Column](), dict[str, Metric]()
    names = dict[tuple[str, str, bool], str]()
    for metric, node, _, phase, _, unit, is_higher_better, capability, sustained, is_inconclusive in figures(
        book, campaign_id, kinds, is_pair=False
    ):
        row = place.get(node)
        for is_sustained, value in ((False, capability), (True, sustained)):
            if row is None or value is None or not isfinite(value):
                continue
            name = names.get((metric, phase, is_sustained))
            if name is None:
                name = names[metric, phase, is_sustained] = label(metric, kinds[phase], is_sustained=is_sustained)
                columns.setdefault(name, _Column())
                metrics[name] = Metric(name, unit, bool(is_higher_better))
            if not is_inconclusive:
                columns[name].add(row, value)
            elif not is_sustained:
                columns[name].disturbed[row] += 1
    ordered = sorted(metrics)
    return _table([metrics[name] for name in ordered], [columns[name] for name in ordered], len(nodes))


def _table(metrics: Sequence[Metric], columns: Sequence[_Column], count: int) -> Table:
    most = max((max(column.repeats.values(), default=0) for column in columns), default=0)
    values = np.full((count, len(columns), most), np.nan)
    disturbed = np.zeros((count, len(columns)), int)
    for number, column in enumerate(columns):
        rows, places = np.frombuffer(column.node, np.int64), np.frombuffer(column.repeat, np.int64)
        values[rows, number, places] = np.frombuffer(column.value, float)
        for node, times in column.disturbed.items():
            disturbed[node, number] = times
    return Table(metrics, values, disturbed)
