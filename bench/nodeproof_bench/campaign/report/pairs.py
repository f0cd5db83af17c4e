"""Pairs of nodes: what each pair reached, and what the model says of nodes and paths."""

import math
from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from nodeproof_bench.campaign.book_rows import FindingRow
from nodeproof_bench.campaign.report.distributions import OPEN
from nodeproof_bench.campaign.report.gathered import Gathered, PairSeries
from nodeproof_bench.campaign.report.spread import bounded, described, loss

#: Of more pairs, a document names the worst.
MOST_PAIRS, _WORST = 20_000, 500


class Fit(Protocol):
    """What the additive model says each node and path adds: logarithms of rates, or seconds; positive is worse."""

    @property
    def node_effects(self) -> Mapping[str, float]: ...
    @property
    def path_effects(self) -> Mapping[str, float]: ...
    @property
    def scale(self) -> float: ...
    @property
    def usual(self) -> float: ...


def pair_metrics(gathered: Gathered, fits: Mapping[str, Fit]) -> list[dict[str, Any]]:
    """Return the metrics of pairs, those with somebody to blame first."""
    switches = {node.node: node.switch for node in gathered.nodes}
    found = [
        _metric(series, fits.get(series.metric), [f for f in gathered.findings if f.metric == series.metric], switches)
        for series in gathered.pairs
        if series.values
    ]
    return sorted(found, key=lambda p: (-len(p["suspect_nodes"]) - len(p["suspect_paths"]), p["metric"]))


def _metric(
    series: PairSeries, fit: Fit | None, findings: Sequence[FindingRow], switches: Mapping[str, str]
) -> dict[str, Any]:
    spread = described([*series.values.values()])
    rows: list[dict[str, Any]] = [
        {
            "nodes": list(pair),
            "path": path_of(*(switches.get(node, "") for node in pair)),
            "value": value,
            "loss": loss(spread["median"], value, is_higher_better=series.is_higher_better),
        }
        for pair, value in series.values.items()
    ]
    rows.sort(key=lambda row: (-(row["loss"] or 0.0), row["nodes"]))
    open_findings = [f for f in findings if f.state in OPEN]
    return {
        "metric": series.metric,
        "unit": series.unit,
        "is_higher_better": series.is_higher_better,
        **spread,
        "nodes": sorted({node for pair in series.values for node in pair}, key=lambda n: (switches.get(n, ""), n)),
        "values": bounded(rows, MOST_PAIRS) or rows[:_WORST],
        "is_thinned": len(rows) > MOST_PAIRS,
        "suspect_nodes": sorted({f.node for f in open_findings if f.node}),
        "suspect_paths": sorted({f.path for f in open_findings if f.path}),
        "scale": None if fit is None else _share(fit.scale, fit, series),
        "node_effects": [] if fit is None else _effects("node", fit.node_effects, fit, series),
        "path_effects": [] if fit is None else _effects("path", fit.path_effects, fit, series),
    }


def _effects(what: str, effects: Mapping[str, float], fit: Fit, series: PairSeries) -> list[dict[str, Any]]:
    """Return effects as shares that pairs lose by them, from worst to best."""
    shares = {name: _share(effect, fit, series) for name, effect in effects.items()}
    ordered = sorted(shares.items(), key=lambda item: (-item[1], item[0]))
    return [{what: name, "loss": share} for name, share in ordered]


def _share(effect: float, fit: Fit, series: PairSeries) -> float:
    if series.is_higher_better:
        return -math.expm1(-effect)
    return effect / fit.usual if fit.usual else 0.0


def path_of(switch_a: str, switch_b: str) -> str:
    """Return the path between two switches as tasks name it; empty if one is not known."""
    if not switch_a or not switch_b:
        return ""
    first, second = sorted((switch_a, switch_b))
    return f"within {first}" if first == second else f"{first} - {second}"
