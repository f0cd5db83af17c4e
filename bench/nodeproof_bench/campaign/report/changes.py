"""What changed: under heat within a campaign, and since the last campaign of the same nodes."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from nodeproof_bench.campaign.report.distributions import by_class
from nodeproof_bench.campaign.report.gathered import Gathered, Series
from nodeproof_bench.campaign.report.spread import bounded, described, loss
from nodeproof_bench.stats import median, robust_sigma

#: A node changed if it did by that much more than its class: more than machines wander within hours, and beyond what
#: the scatter of the class makes likely.
LEAST_CHANGE, _SIGMAS = 0.03, 4.0

#: Of fewer nodes the scatter is not known, and only this counts.
_LEAST_NODES, _CHANGE_OF_FEW = 5, 0.05


def under_heat(gathered: Gathered) -> list[dict[str, Any]]:
    """Return what the stress changed: the median of each node after it against that before it."""
    before = {series.metric: series for series in gathered.series}
    found = (
        change
        for after in gathered.series
        if (old := before.get(after.before_stress or "")) is not None
        for change in _changes(old, old.values, after.values, gathered.classes)
    )
    return _most_first(found)


def since(now: Gathered, before: Gathered) -> dict[str, Any]:
    """Return what changed since an earlier campaign with the same nodes."""
    earlier = {series.metric: series for series in before.series}
    found = (
        change
        for series in now.series
        if series.metric == series.plain and (old := earlier.get(series.metric)) is not None and old.unit == series.unit
        for change in _changes(series, old.values, series.values, now.classes)
    )
    names, old_names = now.classes.keys(), before.classes.keys()
    return {
        "campaign": before.campaign.id,
        "name": before.campaign.name,
        "created_at": before.campaign.created_at,
        "metrics": _most_first(found),
        "facts": _changed_facts(now, before),
        "new_nodes": sorted(names - old_names),
        "gone_nodes": sorted(old_names - names),
    }


def _most_first(found: Iterator[dict[str, Any]]) -> list[dict[str, Any]]:
    return sorted(found, key=lambda c: (-len(c["changed"]), -c["losses"]["median"], c["metric"], c["class"]))


def _changes(
    series: Series, before: Mapping[str, float], after: Mapping[str, float], classes: Mapping[str, str]
) -> Iterator[dict[str, Any]]:
    losses = {
        node: lost
        for node in before.keys() & after.keys()
        if (lost := loss(before[node], after[node], is_higher_better=series.is_higher_better)) is not None
    }
    for name, of_class in by_class(losses, classes):
        rows: list[dict[str, Any]] = [
            {"node": node, "before": before[node], "after": after[node], "loss": lost}
            for node, lost in sorted(of_class.items(), key=lambda item: (-item[1], item[0]))
        ]
        limit, usual = _limit([*of_class.values()]), median(of_class.values())
        yield {
            "metric": series.metric,
            "class": name,
            "unit": series.unit,
            "is_higher_better": series.is_higher_better,
            "losses": described([*of_class.values()]),
            "limit": limit,
            "changed": [row for row in rows if abs(row["loss"] - usual) > limit],
            "values": bounded(rows),
        }


def _limit(losses: Sequence[float]) -> float:
    if len(losses) < _LEAST_NODES:
        return _CHANGE_OF_FEW
    return max(LEAST_CHANGE, _SIGMAS * robust_sigma(losses))


def _changed_facts(now: Gathered, before: Gathered) -> list[dict[str, Any]]:
    """Return facts with another value than then, of nodes that told it both times."""
    old = {(fact.node, fact.key): fact.value for fact in before.facts}
    new = {(fact.node, fact.key): fact.value for fact in now.facts}
    return [
        {"node": node, "key": key, "before": old[node, key], "now": value}
        for (node, key), value in sorted(new.items())
        if (node, key) in old and old[node, key] != value
    ]
