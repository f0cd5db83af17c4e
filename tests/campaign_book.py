"""Fill a book with a campaign as one would be: nodes of one class in racks, benchmarks, pairs, stress, a second look.

What is wrong with the nodes is what the caller plants; everything else is noise of healthy machines.
"""

import random
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from sqlalchemy import Table, delete, insert

from nodeproof_bench.campaign import book_tables as tables
from nodeproof_bench.campaign.book import Book
from nodeproof_bench.campaign.book_rows import (
    Campaign,
    FactRow,
    FindingRow,
    Job,
    NodeRow,
    Result,
    Sample,
    Task,
    VerdictRow,
)
from nodeproof_bench.campaign.book_samples import packed

#: 2026-03-02 08:00 UTC.
BEGAN = 1772438400.0


class Measured(NamedTuple):
    """What healthy nodes reach in a metric: nodes differ by a share, runs of one node by another."""

    unit: str
    is_higher_better: bool
    usual: float
    between: float
    within: float


METRICS: Mapping[str, Measured] = {
    "cpu.flops": Measured("FLOP/s", True, 3.07e12, 0.004, 0.002),
    "cpu.frequency": Measured("Hz", True, 2.91e9, 0.003, 0.001),
    "disk.bandwidth": Measured("B/s", True, 6.4e9, 0.02, 0.015),
    "disk.latency": Measured("s", False, 81e-6, 0.02, 0.015),
    "memory.latency --node 0": Measured("s", False, 104e-9, 0.006, 0.004),
    "memory.triad --node 0": Measured("B/s", True, 205e9, 0.004, 0.003),
    "memory.triad --node 1": Measured("B/s", True, 204e9, 0.004, 0.003),
    "net.loopback": Measured("s", False, 7.1e-6, 0.02, 0.02),
}
PAIR_METRICS: Mapping[str, Measured] = {
    "net.bandwidth throughput": Measured("B/s", True, 11.2e9, 0.004, 0.004),
    "net.latency spinning 1 B": Measured("s", False, 11.4e-6, 0.01, 0.01),
}
FACTS: Mapping[str, str] = {
    "smbios.bios_version": "2.7.1",
    "cpu.microcode": "0x2b000603",
    "memory.dimms": "16 x 32 GiB 4800 MT/s",
    "nic.firmware.eth0": "22.39.1002",
    "kernel.release": "6.1.0-37-amd64",
}


class Planted(NamedTuple):
    """What is wrong. Factors multiply a node's values: `{"n03": {"memory.triad --node 1": 0.92}}`."""

    factors: Mapping[str, Mapping[str, float]] = {}
    hot: Mapping[str, Mapping[str, float]] = {}
    pair_factors: Mapping[str, float] = {}
    facts: Mapping[str, Mapping[str, str]] = {}
    failed_checks: Mapping[str, tuple[str, str]] = {}
    skipped: Mapping[str, str] = {}
    without_result: Sequence[str] = ()


class Shape(NamedTuple):
    """How large a campaign is, and when it was."""

    nodes: int = 12
    racks: int = 3
    repeats: int = 3
    pair_rounds: int = 3
    began: float = BEGAN
    id: str = "c0ffee01"
    name: str = "rack-12"
    seed: int = 1


def names(shape: Shape) -> list[str]:
    return [f"n{n:02d}" for n in range(1, shape.nodes + 1)]


def book(directory: Path) -> Book:
    """Return an empty book in a directory of the test."""
    return Book(f"sqlite:///{directory}/campaigns.db")


def emptied(book: Book) -> Book:
    """Return a book without its campaigns, for the next test: to make one takes longer than to fill it."""
    with book.engine.begin() as database:
        for table in reversed(tables.metadata.sorted_tables):
            if table is not tables.meta:
                database.execute(delete(table))
    return book


def fill(book: Book, planted: Planted | None = None, shape: Shape | None = None) -> str:
    """Write a campaign into a book and return its id."""
    campaign = _Campaign(planted or Planted(), shape or Shape())
    campaign.make()
    with book.engine.begin() as database:
        for table, rows in campaign.rows.items():
            if rows:
                stored = packed(rows) if table is tables.samples else rows
                database.execute(insert(table), [_values(row) for row in stored])
    return campaign.shape.id


def change_samples(book: Book, campaign_id: str, changed: Callable[[Sample], Sample]) -> None:
    """Put other samples in the place of those of a campaign."""
    rows = packed(changed(sample) for sample in book.samples(campaign_id))
    with book.engine.begin() as database:
        database.execute(delete(tables.samples).where(tables.samples.c.campaign_id == campaign_id))
        database.execute(insert(tables.samples), [_values(row) for row in rows])


def finding(campaign_id: str, node: str = "", **values: Any) -> FindingRow:
    """Return a finding of a campaign."""
    given = {"path": "", "metric": "cpu.flops", "detector": "class", "loss": 0.1, "state": "suspect", **values}
    return FindingRow(campaign_id, node, **given)


def _values(row: Any) -> dict[str, Any]:
    import json

    values: dict[str, Any] = row._asdict()
    return {k: json.dumps(v) if isinstance(v, tuple) else v for k, v in values.items()}


class _Campaign:
    def __init__(self, planted: Planted, shape: Shape) -> None:
        self.planted, self.shape = planted, shape
        self.random = random.Random(shape.seed)
        self.rows: dict[Table, list[Any]] = {
            table: []
            for table in (
                tables.campaigns,
                tables.nodes,
                tables.tasks,
                tables.jobs,
                tables.results,
                tables.samples,
                tables.facts,
                tables.verdicts,
            )
        }
        self.nodes = names(shape)
        self.taking_part = [n for n in self.nodes if n not in planted.skipped]
        self.switch = {n: f"leaf{1 + i * shape.racks // shape.nodes}" for i, n in enumerate(self.nodes)}
        # the same node has the same luck in every campaign
        own = random.Random(7)
        self.luck = {(node, metric): own.gauss(0, 1) for node in self.nodes for metric in (*METRICS, *PAIR_METRICS)}

    def make(self) -> None:
        shape, planted = self.shape, self.planted
        ended = shape.began + 9 * 3600
        row = Campaign(shape.id, shape.name, shape.began, ended, "done", shape.seed, '{"name": "rack-12"}', "hpc1")
        self.rows[tables.campaigns].append(row)
        for n, node in enumerate(self.nodes):
            state = "skipped" if node in planted.skipped else "included"
            why = planted.skipped.get(node, "")
            place = (f"10.0.0.{n % 250}", self.switch[node], ("batch",), state, why)
            self.rows[tables.nodes].append(NodeRow(shape.id, node, "HPC-9000", *place))
        for node in self.taking_part:
            self._inventory(node)
        for node in self.taking_part:
            self._bench("bench", "bench", node, {})
        self._pairs()
        for node in self.taking_part:
            self._task("stress", "stress", (node,), 3600.0, suite="burnin")
        for node in self.taking_part:
            self._bench("repeat", "repeat", node, planted.hot.get(node, {}))

    def _task(self, phase: str, kind: str, nodes: tuple[str, ...], seconds: float, **values: Any) -> int:
        """Add a task with its jobs and results, and return its number."""
        number, shape = len(self.rows[tables.tasks]) + 1, self.shape
        lost = [n for n in nodes if n in self.planted.without_result]
        state, why = ("failed", "no result file came") if lost else ("done", "")
        given = {"suite": "", "repeat": 1, "round": 0, "path": "", **values}
        self.rows[tables.tasks].append(
            Task(shape.id, number, phase, kind, nodes=nodes, state=state, attempts=1, why=why, **given)
        )
        for node in nodes:
            ended = shape.began + 60.0 * number + seconds
            job = Job(shape.id, number, 1, node, f"np-{shape.id}-{number}-1-{node}", 1000 + number, "done")
            self.rows[tables.jobs].append(job._replace(ended_at=ended, node_seconds=seconds))
            if node not in lost:
                self.rows[tables.results].append(Result(shape.id, number, 1, node, f"{number:064x}", ended))
        return number

    def _inventory(self, node: str) -> None:
        number = self._task("inventory", "inventory", (node,), 60.0)
        if node in self.planted.without_result:
            return
        for key, value in ({**FACTS, "smbios.serial": f"S{node}"} | dict(self.planted.facts.get(node, {}))).items():
            self.rows[tables.facts].append(FactRow(self.shape.id, node, "inventory", key, value))
        said = {"cpu.topology": ("ok", "2 sockets, 64 cores"), "fs.space": ("ok", "space left")}
        if node in self.planted.failed_checks:
            check_id, summary = self.planted.failed_checks[node]
            said[check_id] = ("fail", summary)
        for check_id, (status, summary) in said.items():
            row = VerdictRow(self.shape.id, number, node, "inventory", check_id, status, summary)
            self.rows[tables.verdicts].append(row)

    def _bench(self, phase: str, kind: str, node: str, hot: Mapping[str, float]) -> None:
        number = self._task(phase, kind, (node,), 300.0, suite="quick")
        if node in self.planted.without_result:
            return
        for repeat in range(1, self.shape.repeats + 1):
            for metric, usual in METRICS.items():
                factor = self.planted.factors.get(node, {}).get(metric, 1.0) * hot.get(metric, 1.0)
                value = self._value(usual, factor, [(node, metric)])
                self._sample(number, node, "", phase, repeat, metric, usual, value)

    def _pairs(self) -> None:
        ring = [*self.taking_part, *([""] if len(self.taking_part) % 2 else [])]
        for turn in range(min(self.shape.pair_rounds, len(ring) - 1)):
            for a, b in zip(ring[: len(ring) // 2], reversed(ring[len(ring) // 2 :]), strict=True):
                if a and b:
                    self._pair(turn, a, b)
            ring = [ring[0], ring[-1], *ring[1:-1]]

    def _pair(self, turn: int, a: str, b: str) -> None:
        first, second = sorted((self.switch[a], self.switch[b]))
        path = f"within {first}" if first == second else f"{first} - {second}"
        number = self._task("pairs", "pairs", (a, b), 45.0, round=turn, path=path)
        if {a, b} & set(self.planted.without_result):
            return
        for metric, usual in PAIR_METRICS.items():
            worse = 1.0
            for who in (a, b, path):
                worse *= self.planted.pair_factors.get(who, 1.0)
            factor = 1 / worse if usual.is_higher_better else worse
            value = self._value(usual, factor, [(a, metric), (b, metric)])
            self._sample(number, b, a, "pairs", 1, metric, usual, value)

    def _value(self, usual: Measured, factor: float, who: Sequence[tuple[str, str]]) -> float:
        own = sum(self.luck[key] for key in who) * usual.between
        return usual.usual * factor * (1 + own) * (1 + self.random.gauss(0, usual.within))

    def _sample(  # noqa: PLR0917
        self, task: int, node: str, peer: str, phase: str, repeat: int, metric: str, usual: Measured, value: float
    ) -> None:
        sustained = value * (0.98 if usual.is_higher_better else 1.02)
        figures = (metric, usual.unit, usual.is_higher_better, value, sustained, 0.97)
        self.rows[tables.samples].append(Sample(self.shape.id, task, 1, node, peer, phase, repeat, *figures))
