"""How the nodes of a class differ in each metric, and who stands out."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Protocol

from nodeproof_bench.campaign.book_rows import FindingRow
from nodeproof_bench.campaign.report.gathered import Gathered, Series
from nodeproof_bench.campaign.report.spread import bounded, described

#: States of findings that mark somebody: one that was cleared is over, one that could not be told says nothing.
OPEN = frozenset({"confirmed", "suspect"})


class Baseline(Protocol):
    """What the analysis compared a class by: nodes that stand out are not in it. The scatter is a share."""

    @property
    def median(self) -> float: ...
    @property
    def scaled_mad(self) -> float: ...
    @property
    def count(self) -> int: ...


Baselines = Mapping[tuple[str, str], Baseline]


def distributions(gathered: Gathered, baselines: Baselines) -> list[dict[str, Any]]:
    """Return a distribution for each metric and class, those with somebody who stands out first."""
    outliers: dict[str, dict[str, FindingRow]] = {}
    for finding in gathered.findings:
        if finding.node and finding.state in OPEN:
            outliers.setdefault(finding.metric, {}).setdefault(finding.node, finding)
    found = [
        _distribution(series, name, values, outliers.get(series.metric, {}), baselines.get((name, series.metric)))
        for series in _telling(gathered.series, outliers)
        for name, values in by_class(series.values, gathered.classes)
    ]
    return sorted(found, key=lambda d: (-len(d["outliers"]), d["metric"], d["class"]))


def _telling(series: Sequence[Series], outliers: Mapping[str, Mapping[str, FindingRow]]) -> Iterator[Series]:
    """Yield each metric once, and what was held all the time, under stress or after it if others stand out in that."""
    named: dict[str, set[str]] = {}
    for one in sorted(series, key=lambda s: (s.plain, len(s.metric))):
        odd = set(outliers.get(one.metric, ()))
        if one.plain not in named or odd - named[one.plain]:
            yield one
        named.setdefault(one.plain, set()).update(odd)


def by_class(values: Mapping[str, float], classes: Mapping[str, str]) -> Iterator[tuple[str, dict[str, float]]]:
    """Yield the classes and what their nodes have; nodes that are not in the campaign are left out."""
    for name in sorted({classes[node] for node in values if node in classes}):
        yield name, {node: value for node, value in values.items() if classes.get(node) == name}


def _distribution(
    series: Series, name: str, values: Mapping[str, float], found: Mapping[str, FindingRow], baseline: Baseline | None
) -> dict[str, Any]:
    spread = described([*values.values()])
    rows: list[dict[str, Any]] = [{"node": node, "value": value} for node, value in _worst_first(values, series)]
    return {
        "metric": series.metric,
        "class": name,
        "unit": series.unit,
        "is_higher_better": series.is_higher_better,
        **spread,
        "baseline": None
        if baseline is None
        else {"median": baseline.median, "sigma_share": baseline.scaled_mad, "count": baseline.count},
        "outliers": [_outlier(row, found[row["node"]]) for row in rows if row["node"] in found],
        "values": bounded(rows),
        "inconclusive": sorted(series.inconclusive),
    }


def _worst_first(values: Mapping[str, float], series: Series) -> Sequence[tuple[str, float]]:
    return sorted(values.items(), key=lambda item: (item[1] if series.is_higher_better else -item[1], item[0]))


def _outlier(row: Mapping[str, Any], finding: FindingRow) -> dict[str, Any]:
    return {**row, "loss": finding.loss, "state": finding.state, "detector": finding.detector}
