"""A campaign as the report needs it: medians instead of samples, read once and in order.

A campaign of ten thousand nodes has millions of samples: they are read as a stream, and what stays in memory is one
figure for each node and metric.
"""

import math
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np

from nodeproof_bench.analysis.robust import better_middle
from nodeproof_bench.campaign.book import Book
from nodeproof_bench.campaign.book_rows import (
    Campaign,
    FactRow,
    FindingRow,
    Job,
    NodeRow,
    Result,
    Task,
    VerdictRow,
)
from nodeproof_bench.campaign.figures import AFTER_STRESS, figures, label, read_single
from nodeproof_bench.campaign.phases import CONFIRM
from nodeproof_bench.stats import median

#: What the analysis puts behind the name of a metric: measured in another phase, or held all the time.
_UNDER_STRESS, _SUSTAINED = label("", "stress"), label("", "bench", is_sustained=True)


class Series(NamedTuple):
    """One metric of single nodes, named as findings name it, with what the analysis takes as each node's value.

    `inconclusive` names the nodes that have no value, because all their runs were disturbed.
    """

    metric: str
    unit: str
    is_higher_better: bool
    values: Mapping[str, float]
    inconclusive: Sequence[str]

    @property
    def plain(self) -> str:
        return plain_name(self.metric)

    @property
    def before_stress(self) -> str | None:
        """The name of the same metric before the stress, if this is the one after it."""
        name = self.metric.removesuffix(AFTER_STRESS)
        return name if name not in (self.metric, f"{self.plain}{_SUSTAINED}") else None


def plain_name(metric: str) -> str:
    """Return the name of a metric as it was before the stress, and as it can be at its best."""
    return metric.removesuffix(AFTER_STRESS).removesuffix(_UNDER_STRESS).removesuffix(_SUSTAINED)


class PairSeries(NamedTuple):
    """One metric of pairs of nodes: the median of each pair, its ends in the order of their names."""

    metric: str
    unit: str
    is_higher_better: bool
    values: Mapping[tuple[str, str], float]


class Gathered(NamedTuple):
    """All that a report says of a campaign, before it is put in order."""

    campaign: Campaign
    nodes: Sequence[NodeRow]
    tasks: Sequence[Task]
    jobs: Sequence[Job]
    results: Sequence[Result]
    facts: Sequence[FactRow]
    verdicts: Sequence[VerdictRow]
    findings: Sequence[FindingRow]
    series: Sequence[Series]
    pairs: Sequence[PairSeries]

    @property
    def included(self) -> list[NodeRow]:
        return [n for n in self.nodes if n.state == "included"]

    @property
    def units(self) -> dict[str, str]:
        """The unit of each metric, of single nodes and of pairs."""
        alone, together = {s.metric: s.unit for s in self.series}, {p.metric: p.unit for p in self.pairs}
        return alone | together

    @property
    def classes(self) -> dict[str, str]:
        """The hardware class of each node that takes part; empty where it is not known."""
        return {n.node: n.hardware_class or "" for n in self.included}


def gather(book: Book, campaign_id: str) -> Gathered:
    """Read a campaign."""
    tasks, nodes = book.tasks(campaign_id), book.nodes(campaign_id)
    included = [node.node for node in nodes if node.state == "included"]
    return Gathered(
        campaign=book.campaign(campaign_id),
        nodes=nodes,
        tasks=tasks,
        jobs=book.jobs(campaign_id),
        results=book.results(campaign_id),
        facts=book.facts(campaign_id),
        verdicts=book.verdicts(campaign_id),
        findings=book.findings(campaign_id),
        series=_series(book, campaign_id, included, tasks),
        pairs=_pairs(book, campaign_id, tasks),
    )


def _series(book: Book, campaign_id: str, nodes: Sequence[str], tasks: Sequence[Task]) -> list[Series]:
    """Return the metrics of single nodes, by name; not what only confirms findings."""
    table = read_single(book, campaign_id, nodes, tasks)
    if not table.values.size:
        return []
    values = better_middle(table.values, np.array([metric.is_higher_better for metric in table.metrics], bool))
    found = [
        Series(
            metric.name,
            metric.unit,
            metric.is_higher_better,
            {node: v for node, v in zip(nodes, column.tolist(), strict=True) if v == v},  # noqa: PLR0124  # not NaN
            [nodes[n] for n in np.flatnonzero(np.isnan(column) & (disturbed > 0)).tolist()],
        )
        for metric, column, disturbed in zip(table.metrics, values.T, table.disturbed.T, strict=True)
    ]
    return sorted(found, key=lambda series: series.metric)


def _pairs(book: Book, campaign_id: str, tasks: Sequence[Task]) -> list[PairSeries]:
    """Return the metrics of pairs, by name; not what only confirms findings."""
    phases = {task.phase for task in tasks if len(task.nodes) > 1 and not task.phase.startswith(CONFIRM)}
    values: dict[str, dict[tuple[str, str], list[float]]] = {}
    kinds: dict[str, tuple[str, bool]] = {}
    for figure in figures(book, campaign_id, phases, is_pair=True):
        if figure.is_inconclusive or not 0 < figure.value < math.inf:
            continue
        kinds[figure.metric] = figure.unit, bool(figure.is_higher_better)
        pair = min(figure.node, figure.peer), max(figure.node, figure.peer)
        values.setdefault(figure.metric, {}).setdefault(pair, []).append(figure.value)
    return [
        PairSeries(metric, *kinds[metric], {pair: median(of_pair) for pair, of_pair in of_metric.items()})
        for metric, of_metric in sorted(values.items())
    ]
